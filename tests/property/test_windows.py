"""The hot cache against a list of every sample, and sketches against their bound."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfmon.core import sketch as sketch_module
from wfmon.core.catalogue import Metric
from wfmon.core.clock import FakeClock
from wfmon.core.registry import Registry
from wfmon.core.sketch import ALPHA, EMPTY, counted, sketch
from wfmon.core.types import Batch, Series, Window
from wfmon.window import HotCache

METRICS = {"t.g": Metric("t.g", "", "gauge", "t", "A gauge.", ("k",))}
SERIES = 3
START = 1_700_000_000_000


def make(seconds, max_bytes):
    clock, registry = FakeClock(START), Registry(METRICS)
    for k in range(SERIES):
        registry.id(Series.of("t.g", k=k))
    return clock, HotCache(registry, clock, seconds, max_bytes)


class Model:
    """Every sample ever, as (t_ms, value) in a list a series. A series' samples come in order of time."""

    def __init__(self):
        self.samples = [[] for _ in range(SERIES)]

    def add(self, number, t_ms, value):
        """Tell whether the sample is in its series' order."""
        mine = self.samples[number]
        if mine and t_ms < mine[-1][0]:
            return False
        mine.append((t_ms, float(np.float32(value))))
        return True

    def step(self, step_ms):
        self.samples = [[(t + step_ms, v) for t, v in mine] for mine in self.samples]

    def sleep(self, t_ms):
        for mine in self.samples:
            if mine and not math.isnan(mine[-1][1]):
                mine.append((max(t_ms, mine[-1][0]), math.nan))

    def window(self, number, span_s, now_ms):
        values = [v for t, v in self.samples[number] if t > now_ms - span_s * 1000 and not math.isnan(v)]
        if not values:
            return Window(span_s, 0)
        ordered = sorted(values)

        def quantile(q):
            rank = q * (len(ordered) - 1)
            below = math.floor(rank)
            above = min(below + 1, len(ordered) - 1)
            return ordered[below] + (ordered[above] - ordered[below]) * (rank - below)

        return Window(
            span_s, len(values), math.fsum(values) / len(values), ordered[0], ordered[-1], values[-1],
            quantile(0.5), quantile(0.95), quantile(0.99),
        )  # fmt: skip

    def at(self, number, t_ms):
        held = math.nan
        for t, v in self.samples[number]:
            if t <= t_ms:
                held = v
        return held


def agree(found, expected, *, quantiles_off=0.0):
    assert (found.span_s, found.count) == (expected.span_s, expected.count)
    if found.count:
        assert (found.min, found.max, found.last) == (expected.min, expected.max, expected.last)
        scale = max(abs(expected.min), abs(expected.max))
        assert found.mean == pytest.approx(expected.mean, rel=1e-9, abs=1e-9 * scale)
        for name in ("p50", "p95", "p99"):
            want = getattr(expected, name)
            # Between two samples of different sign the error is relative to them, not to what lies between.
            mixed = quantiles_off * scale if expected.min < 0 < expected.max else 0.0
            assert getattr(found, name) == pytest.approx(want, rel=quantiles_off + 1e-6, abs=mixed + 1e-9 * scale), name


VALUES = st.one_of(
    st.sampled_from([math.nan, 0.0, -0.0, 1.0, -1.0, 3e38, -3e38, 1e-40]), st.floats(-1e6, 1e6, width=32)
)
EVENT = st.one_of(
    st.tuples(
        st.just("put"), st.lists(st.tuples(st.integers(0, SERIES - 1), VALUES, st.integers(0, 2_500)), max_size=6)
    ),
    st.tuples(st.just("pass"), st.sampled_from([0.001, 0.1, 0.5, 0.999, 1.0, 3.0, 250.0])),
    st.tuples(st.just("fold"), st.none()),
    st.tuples(st.just("step"), st.sampled_from([-3600.0, -2.0, 0.3, 3600.0])),
    st.tuples(st.just("sleep"), st.sampled_from([1.0, 20.0, 86_400.0])),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(EVENT, max_size=60), st.booleans())
def test_windows_and_grid_are_those_of_the_list_of_all_samples(events, packed):
    """With gaps, late samples, samples at the edges of blocks, steps, sleeps, and all older blocks compressed."""
    clock, cache = make(1_000_000, 12_000_000)
    model = Model()
    for kind, what in events:
        if kind == "put":
            rows = [(i, v, clock.now_ms() - late) for i, v, late in what if model.add(i, clock.now_ms() - late, v)]
            ids, values, t_ms = (np.array([row[at] for row in rows]) for at in range(3))
            if rows:
                cache.append(Batch(t_ms.astype(np.int64), ids.astype(np.int32), values, np.ones(len(ids), bool)))
        elif kind == "pass":
            clock.advance(what)
            if what > 3:  # a block spans seconds, not minutes: the sketch forgets whole ones
                _fold(cache, packed=packed)
        elif kind == "fold":
            _fold(cache, packed=packed)
        else:
            before_ms = clock.now_ms()
            clock.step(what, sleep=kind == "sleep")
            cache.on_clock_step(clock.check())
            if kind == "step":
                model.step(round(what * 1000))
            else:
                model.sleep(before_ms)
    now_ms = clock.now_ms()
    for span_s in (1, 10, 300, 100_000):
        every = cache._exact(span_s)
        for number in range(SERIES):
            expected = model.window(number, span_s, now_ms)
            agree(cache.window(number, span_s), expected)
            agree(every.get(number, Window(span_s, 0)), expected)
    for number in range(SERIES):
        quick = cache.windows(300).get(number, Window(300, 0))
        # It forgets whole blocks: what lies within a block of its old end may be in or out.
        if not any(295 <= (now_ms - t) / 1000 <= 305 for t, _ in model.samples[number]):
            agree(quick, model.window(number, 300, now_ms), quantiles_off=ALPHA * 1.001)
    latest = cache.latest()
    for number, mine in enumerate(model.samples):
        if mine:
            assert latest[number] == pytest.approx(mine[-1], nan_ok=True, rel=1e-6)
    grid = cache.snapshot(600)
    assert grid.until_ms == now_ms
    for number, column in grid.columns.items():
        assert grid.t0_ms + (len(column) - 1) * grid.step_ms == now_ms
        expected = [model.at(number, grid.t0_ms + i * grid.step_ms) for i in range(len(column))]
        np.testing.assert_array_equal(column, np.array(expected, np.float32))


def _fold(cache, *, packed):
    """Fold, and perhaps compress every block."""
    cache.fold()
    if packed:
        cache._blocks = type(cache._blocks)(block.compressed() for block in cache._blocks)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 400), min_size=20, max_size=60), st.integers(20_000, 60_000))
def test_the_cache_keeps_to_its_bytes_and_holds_the_newest_of_all_samples(loads, max_bytes):
    clock, cache = make(30, max_bytes)
    rng = np.random.default_rng(len(loads))
    model = Model()
    for load in loads:
        clock.advance(1)
        for number in range(SERIES):
            values = rng.normal(size=load).astype(np.float32).astype(np.float64)
            t_ms = np.sort(clock.now_ms() - rng.integers(0, 1_000, load))
            cache.append(Batch(t_ms, np.full(load, number, np.int32), values, np.ones(load, bool)))
            for t, v in zip(t_ms.tolist(), values.tolist(), strict=True):
                assert model.add(number, t, v)
        cache.fold()
        assert cache.bytes <= max_bytes or len(cache._blocks) == 1
        assert cache.seconds_held <= 31
    for number in range(SERIES):
        found = cache.window(number, 10_000)
        newest = [v for _, v in model.samples[number]][-found.count :] if found.count else []
        assert found.count == len(newest) == cache.windows(300).get(number, Window(300, 0)).count
        if newest:
            assert (found.min, found.max, found.last) == (min(newest), max(newest), newest[-1])


SHAPES = {
    "lognormal": lambda rng, n: rng.lognormal(0, 2, n),
    "bimodal": lambda rng, n: np.where(rng.random(n) < 0.5, rng.normal(10, 1, n), rng.normal(10_000, 10, n)),
    "constant": lambda _, n: np.full(n, 16.67),
    "negative": lambda rng, n: -rng.lognormal(0, 2, n),
    "zero": lambda _, n: np.zeros(n),
    "tiny and huge": lambda rng, n: 10.0 ** rng.uniform(-44, 38, n),
    "both signs": lambda rng, n: rng.normal(0, 1_000, n),
}


@pytest.mark.parametrize("shape", SHAPES)
@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 3_000))
def test_a_sketch_is_off_by_no_more_than_its_alpha(shape, seed, n):
    values = SHAPES[shape](np.random.default_rng(seed), n).astype(np.float32)
    q = (0.0, 0.5, 0.95, 0.99, 1.0)
    found = sketch(np.full(n, 7, np.uint16), values).quantiles(np.array([3, 7], np.uint16), q)
    assert np.isnan(found[0]).all()
    exact = values.astype(np.float64)
    for answer, fraction in zip(found[1], q, strict=True):
        low, high = np.quantile(exact, fraction, method="lower"), np.quantile(exact, fraction, method="higher")
        bound = (
            ALPHA * 1.001 * max(abs(low), abs(high))
            if low < 0 < high
            else ALPHA * 1.001 * abs(np.quantile(exact, fraction))
        )
        assert abs(answer - np.quantile(exact, fraction)) <= bound + 2e-45


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.lists(
            st.tuples(st.integers(0, 3), st.sampled_from([math.nan, 0.0, 1.0, -1.0, 1e3, 1e-3, 5.0])), max_size=20
        ),
        max_size=6,
    )
)
def test_a_sketch_forgets_exactly_what_it_was_given(parts):
    sketches = [
        sketch(np.array([i for i, _ in part], np.uint16), np.array([v for _, v in part], np.float32)) for part in parts
    ]
    whole = EMPTY
    for one in sketches:
        whole = whole.plus(one)
    at_once = sketch(
        np.array([i for part in parts for i, _ in part], np.uint16),
        np.array([v for p in parts for _, v in p], np.float32),
    )
    assert whole.keys.tolist() == at_once.keys.tolist()
    assert whole.counts.tolist() == at_once.counts.tolist()
    for one in sketches:
        whole = whole.minus(one)
    assert len(whole.keys) == len(whole.counts) == 0


@settings(max_examples=100, deadline=None)
@given(
    keys=st.lists(st.tuples(st.integers(0, 65_535), st.integers(0, 65_535)), max_size=60),
    spread=st.sampled_from((1, 7, 65_536)),
    most=st.integers(1, 2**32 - 1),
)
def test_bins_that_are_counted_in_a_table_are_those_that_are_sorted(keys, spread, most):
    packed = np.array([(owner % spread) << 16 | bin_ % spread for owner, bin_ in keys], np.uint32)
    counts = np.full(len(packed), max(1, most // max(1, len(packed))), np.uint32)
    sorted_by_key = {}
    for key, count in zip(packed.tolist(), counts.tolist(), strict=True):
        sorted_by_key[key] = sorted_by_key.get(key, 0) + count
    with pytest.MonkeyPatch.context() as patch:
        for dense in (0, 4, 10_000):
            patch.setattr(sketch_module, "DENSE", dense)
            found = counted(packed, counts, 1)
            assert found.keys.dtype == found.counts.dtype == np.uint32
            assert found.keys.tolist() == sorted(sorted_by_key)
            assert found.counts.tolist() == [sorted_by_key[key] for key in sorted(sorted_by_key)]
