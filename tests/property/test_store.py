"""The store against a list of every sample, whatever happens to its writer and its clock; and the kept quantiles."""

from __future__ import annotations

import dataclasses
import math
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.kit.recorded_store import KEEP, START_S, RecordedStore
from wfmon.core.sketch import EMPTY, sketch
from wfmon.store import seal
from wfmon.store.buckets import HALVINGS, joined, of_series, seconds_of
from wfmon.store.tiers import TIERS
from wfmon.store.writer import Writer

NAMES = ("a", "b_ms", "c")
HOUR = 3_600
values = st.one_of(
    st.just(math.nan), st.sampled_from([0.0, -1.0, 1.0, 5.0]), st.floats(-1e6, 1e6, width=32, allow_subnormal=False)
)


class StoreMachine(RuleBasedStateMachine):
    """``kept``: what is in the file or will be; ``coming``: what the writer has not taken. A sample: t_ms, value, pass.

    A pass ends when the clock is set back: of what two passes wrote into one bucket neither is the last.
    """

    @initialize()
    def begin(self):
        self.folder = Path(tempfile.mkdtemp())
        self.patched = pytest.MonkeyPatch()  # more moments to be killed and asked at
        self.patched.setattr(seal, "SLICE", 1)
        self.patched.setattr(Writer._tidy, "__defaults__", (1,))
        self.recorded = RecordedStore(self.folder, *NAMES)
        self.kept = {name: [] for name in NAMES}
        self.coming = {name: [] for name in NAMES}
        self.gone_before = [0] * len(TIERS)
        self.times = 0

    def teardown(self):
        if hasattr(self, "recorded"):
            self.patched.undo()
            self.recorded.writer.finish()
            shutil.rmtree(self.folder)

    def beaten(self):
        """Note what the writer has taken, and what it may have deleted."""
        written_ms = self.recorded.writer.written_to_ms
        for name in NAMES:
            self.kept[name] += [each for each in self.coming[name] if each[0] < written_ms]
            self.coming[name] = [each for each in self.coming[name] if each[0] >= written_ms]
        for tier in TIERS:
            old_s = written_ms // 1_000 - self.recorded.keep.tiers[tier.number]
            self.gone_before[tier.number] = max(self.gone_before[tier.number], old_s)

    @rule(
        seconds=st.lists(st.dictionaries(st.sampled_from(NAMES), st.lists(values, min_size=1, max_size=3)), max_size=12)
    )
    def write(self, seconds):
        for second in seconds:
            for name, some in second.items():
                for number, value in enumerate(some):
                    at = self.recorded.clock.now_ms() + 100 * number
                    self.recorded.sample(name, value, at)
                    self.coming[name].append((at, float(np.float32(value)), self.times))
            self.recorded.clock.advance(1)
            self.recorded.writer.tick()
            self.beaten()

    @rule(seconds=st.sampled_from([1, 2, 7, 60, 297, 301, 1_800, HOUR, 5 * HOUR]))
    def let_time_pass(self, seconds):
        self.recorded.clock.advance(seconds)
        self.recorded.writer.tick()
        self.beaten()

    @rule(slices=st.integers(1, 4))
    def tidy(self, slices):
        self.recorded.writer._tidy(slices)

    @rule()
    def kill(self):
        for name in NAMES:
            self.coming[name] = []  # it was in memory alone
        self.recorded._samples = []
        self.recorded = self.recorded.killed()

    @rule()
    def reopen(self):
        self.recorded.writer.finish()
        self.beaten()
        described, samples = self.recorded.described[::-1], self.recorded._samples
        assert samples == []
        later = RecordedStore(self.folder, clock=self.recorded.clock, keep=self.recorded.keep)
        later.described = described  # other ids in this boot
        self.recorded = later

    @rule(tier=st.sampled_from(TIERS), kept_s=st.sampled_from([0, 600, 2 * HOUR, 6 * HOUR]))
    def prune(self, tier, kept_s):
        tiers = list(KEEP.tiers)
        tiers[tier.number] = kept_s
        self.recorded.keep = dataclasses.replace(KEEP, tiers=tuple(tiers))
        self.recorded.writer.tick()
        self.beaten()
        self.recorded.writer.tidy_all()

    @precondition(lambda self: self.times < 5)
    @rule(
        milliseconds=st.sampled_from([-7_200_000, -HOUR * 1_000, -61_500, -1_300, 300, 2_700, HOUR * 1_000, 9_999_999])
    )
    def step_the_clock(self, milliseconds):
        self.recorded.step(milliseconds / 1_000)
        self.times += milliseconds < 0
        for name in NAMES:
            self.coming[name] = [(t_ms + milliseconds, value, self.times) for t_ms, value, _ in self.coming[name]]
        self.recorded.writer.tick()
        self.beaten()

    @rule(tier=st.sampled_from(TIERS))
    def query(self, tier):
        connection = self.recorded.writer._connection
        assert not connection.in_transaction
        numbers = {each.text: each.id for each in self.recorded.reader.series()}
        found = self.recorded.reader.buckets(list(numbers.values()), START_S - 60 * HOUR, START_S + 9_999 * HOUR, tier)
        for name in NAMES:
            if name in numbers:
                self.compare(found[numbers[name]], name, tier)
            else:
                assert not self.kept[name]

    def compare(self, buckets, name, tier):
        since_s = -(-self.gone_before[tier.number] // tier.step_s) * tier.step_s
        truth = defaultdict(list)
        for t_ms, value, times in self.kept[name]:
            truth[t_ms // 1_000 // tier.step_s * tier.step_s].append((t_ms, value, times))
        expected = sorted(t_s for t_s in truth if t_s >= since_s)
        at = [place for place, t_s in enumerate(buckets.t_s.tolist()) if t_s >= since_s]
        assert [buckets.t_s[place] for place in at] == expected
        for place, t_s in zip(at, expected, strict=True):
            self.compare_one(buckets, place, truth[t_s], name)

    @staticmethod
    def compare_one(buckets, place, mine, name):
        samples, mean, low, high, last = (column[place].item() for column in buckets.figures)
        true = [value for _, value, _ in mine if not math.isnan(value)]
        assert samples == len(true)
        if true:
            assert (low, high) == (min(true), max(true))
            assert mean == pytest.approx(math.fsum(true) / len(true), rel=1e-5, abs=1e-5 * max(map(abs, true)))
        else:
            assert math.isnan(mean)
            assert math.isnan(low)
        if len({times for *_, times in mine}) == 1:
            assert last == pytest.approx(max(mine, key=lambda each: each[0])[1], nan_ok=True)
        keys = buckets.sketch.keys
        bins = keys[keys >> 16 == place] & 0xFFFF
        counts = buckets.sketch.counts[keys >> 16 == place]
        whole = sketch(np.zeros(len(true), np.uint16), np.array(true, np.float32)).halved(HALVINGS)
        if name != "b_ms":
            whole = EMPTY
        assert (bins.tolist(), counts.tolist()) == (whole.keys.tolist(), whole.counts.tolist())


TestStore = StoreMachine.TestCase
TestStore.settings = settings(max_examples=50, stateful_step_count=25)


# --- quantiles through all tiers

kinds = st.sampled_from(["lognormal", "bimodal", "constant", "negative", "with zeros", "both signs"])


def drawn(kind, seed, n):
    rng = np.random.default_rng(seed)
    lognormal = rng.lognormal(rng.uniform(-3, 8), rng.uniform(0.1, 3), n)
    other = rng.lognormal(rng.uniform(-3, 8), 0.2, n)
    found = {
        "lognormal": lognormal,
        "bimodal": np.where(rng.random(n) < 0.4, lognormal, other),
        "constant": np.full(n, lognormal[0]),
        "negative": -lognormal,
        "with zeros": np.where(rng.random(n) < 0.3, 0, lognormal),
        "both signs": np.where(rng.random(n) < 0.5, -other, lognormal),
    }[kind]
    return found.astype(np.float32)


@settings(max_examples=60)
@given(kind=kinds, seed=st.integers(0, 2**32 - 1), n=st.integers(1, 3_000), tier=st.sampled_from(TIERS))
def test_kept_quantiles_are_within_two_percent_in_every_tier(kind, seed, n, tier):
    some = drawn(kind, seed, n)
    t_ms = START_S * 1_000 + np.arange(n, dtype=np.int64) * 100
    buckets = of_series(
        seconds_of(np.ones(n, np.uint16), t_ms, some, np.ones(2, bool)), np.ones(1, np.uint16)
    )[1]  # fmt: skip
    for each in TIERS[1 : tier.number + 1]:
        buckets = joined([buckets], each.step_s)
    wanted = (0.0, 0.05, 0.5, 0.95, 0.99, 1.0)
    found = buckets.sketch.quantiles(np.arange(len(buckets), dtype=np.uint16), wanted)
    for place, t_s in enumerate(buckets.t_s.tolist()):
        mine = np.sort(some[(t_ms // 1_000 >= t_s) & (t_ms // 1_000 < t_s + tier.step_s)].astype(np.float64))
        rank = np.array(wanted) * (len(mine) - 1)
        below, above = mine[np.floor(rank).astype(int)], mine[np.ceil(rank).astype(int)]
        true = below + (above - below) * (rank - np.floor(rank))
        bound = 0.0201 * (np.abs(below) * (1 - rank % 1) + np.abs(above) * (rank % 1))
        assert (np.abs(found[place] - true) <= bound + 1e-9).all(), (found[place], true)
