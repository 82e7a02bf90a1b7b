"""The form, the meter and entropy against what is plainly right."""

from __future__ import annotations

import math

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.meter_harness import MeterHarness
from wfmon.collect.models.ingest import lines
from wfmon.collect.models.ingest.events import EventSource
from wfmon.collect.models.meter.entropy import divergence, of_top
from wfmon.collect.models.meter.requests import TokenTicks
from wfmon.collect.models.meter.sliding import Peak, SlidingSecond
from wfmon.core.types import TokenBatch

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3), max_leaves=6)
KINDS = st.sampled_from(sorted(lines.FIELDS))
GOOD = {
    "start": {"r": "r1", "t": 5, "model": "m"}, "tokens": {"r": "r1", "t": [5, 6]},
    "prompt": {"r": "r1", "t": 5, "tokens": 3},
    "phase": {"r": "r1", "t": 5, "name": "prompt"}, "end": {"r": "r1", "t": 9, "status": "ok"}, "beat": {"t": 5},
    "source": {"v": 1, "id": "abcdefgh", "via": "hook", "name": "p", "pid": 1},
}  # fmt: skip
WHO = EventSource("abcdefgh", "hook", "p", "", 1, "")


def refusal(line):
    """Read a line; gives why it was refused, None if it was not."""
    try:
        read(line)
    except lines.BadLine as why:
        return why
    return None


def read(line):
    fields = lines.parse(line)
    if fields["e"] == "source":
        return lines.source(fields)
    return lines.beat(fields) if fields["e"] == "beat" else lines.event(WHO, fields)


@given(st.binary(max_size=200) | VALUES.map(lambda value: b"{" if too_large(value) else orjson.dumps(value)))
def test_whatever_comes_is_read_or_refused(line):
    why = refusal(line)
    assert why is None or len(why.detail) < 200


@given(KINDS, st.data())
def test_a_line_with_any_value_in_any_field_is_read_or_refused_and_never_quoted(kind, data):
    fields = {"e": kind, **GOOD[kind]}
    for name in data.draw(st.sets(st.sampled_from(sorted(lines.FIELDS[kind] - {"e"})), min_size=1, max_size=3)):
        fields[name] = data.draw(VALUES | st.just("a canary sang"))
    if too_large(fields):
        return
    why = refusal(orjson.dumps(fields))
    assert why is None or why.field in lines.FIELDS[kind]
    assert "canary" not in str(why)


def too_large(value):
    """JSON numbers of this library have 64 bits."""
    if isinstance(value, dict):
        return any(too_large(one) for one in value.values())
    if isinstance(value, list):
        return any(too_large(one) for one in value)
    return isinstance(value, int) and not -(2**63) <= value < 2**64


@st.composite
def distributions(draw):
    weights = np.array(draw(st.lists(st.floats(1e-6, 1.0), min_size=2, max_size=40)))
    return np.sort(weights / weights.sum())[::-1].tolist()


@given(distributions(), st.data())
def test_the_entropy_of_the_whole_lies_in_the_band_of_its_top(ps, data):
    k = data.draw(st.integers(1, len(ps)))
    true = -sum(p * math.log2(p) for p in ps)
    found = of_top([math.log(p) for p in ps[:k]], len(ps))
    assert found.low - 1e-6 <= true <= found.high + 1e-6
    assert found.low <= found.bits <= found.high
    assert k == 1 or 0.0 <= found.certainty <= 1.0
    open_ended = of_top([math.log(p) for p in ps[:k]], None)
    assert open_ended.low == pytest.approx(found.low)


@given(distributions(), distributions(), st.integers(0, 40))
def test_divergence_is_from_0_to_1_and_the_same_both_ways(ps, qs, apart):
    one = dict(enumerate(ps))
    other = {at + apart: q for at, q in enumerate(qs)}
    assert 0.0 <= divergence(one, other) <= 1.0
    assert divergence(one, other) == pytest.approx(divergence(other, one))
    assert divergence(one, dict(one)) == pytest.approx(0.0, abs=1e-9)


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(1, 9)), max_size=30), st.integers(1, 5000))
def test_ticks_lose_no_token(chunks, times):
    ticks, total, at = TokenTicks(), 0, 0
    for _ in range(times):
        for gap, tokens in chunks[:2]:
            at += gap
            total += tokens
            ticks.add(float(at), tokens, math.nan)
    told = ticks.as_lists()
    assert sum(told["tokens"]) == total
    assert len(told["t_ms"]) == len(told["tokens"]) == len(told["entropy_bits"]) <= 2_048
    assert told["t_ms"] == sorted(told["t_ms"])


@given(st.lists(st.tuples(st.integers(-300_000, 1_500_000), st.integers(1, 20)), max_size=40))
def test_the_sliding_second_counts_what_is_in_it(steps):
    """Steps back are tokens of a slower source; what is older than an edge that has passed is gone."""
    second, peak, seen, now = SlidingSecond(), Peak(), [], 10_000_000
    for step, tokens in steps:
        t_us = now + step
        second.add(t_us, tokens)
        seen.append((t_us, tokens))
        now = max(now, t_us)
        total = second.at(now)
        assert total == sum(n for t, n in seen if now - 1_000_000 < t <= now)
        assert peak.add(now, total) >= total


REQUESTS = ("a", "b", "c")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(0, 900)),
        st.tuples(st.just("chunks"), st.sampled_from(REQUESTS), st.lists(st.integers(0, 5), min_size=1, max_size=4)),
        st.tuples(st.just("end"), st.sampled_from(REQUESTS)),
        st.tuples(st.just("beat"), st.just(0)),
    ),
    max_size=40,
)


@given(STEPS)
def test_the_meter_agrees_with_a_list_of_every_token(steps):
    harness = MeterHarness()
    sender = harness.sender()
    opened, tokens, ended, rows, last_ms = set(), [], 0, 0, 0
    for step, *more in [*steps, ("beat", 0)]:
        if step == "wait":
            harness.clock.advance(more[0] / 1000)
        elif step == "chunks":
            name, counts = more
            if name not in opened:
                opened.add(name)
                sender.start(name)
            sender.tokens(name, back_ms=[0] * len(counts), n=counts)
            tokens += [(harness.clock.mono_ns(), count) for count in counts]
        elif step == "end" and more[0] in opened:
            opened.discard(more[0])
            ended += 1
            sender.end(more[0])
        elif step == "beat":
            for item in harness.meters.drain():
                names = [series.name for series in item.layout.series]
                if isinstance(item, TokenBatch):
                    if "model.chunk_tokens" in names:
                        rows += int(np.nansum(item.values[:, names.index("model.chunk_tokens")]))
                        times = item.t_ms.tolist()
                        assert all(a < b for a, b in zip([last_ms, *times], times, strict=False))
                        last_ms = times[-1]
                    continue
                told = dict(zip(names, item.values.tolist(), strict=True))
                now = harness.clock.mono_ns()
                recent = sum(count for t_ns, count in tokens if now - 1_000_000_000 < t_ns)
                assert told["model.tokens_per_second"] == recent
                assert told["model.tokens_total"] == sum(count for _, count in tokens) == rows
                assert told["model.requests_active"] == len(opened)
                assert told.get("model.requests_total", 0) == ended
                assert 0 <= told.get("model.throughput_percent", 0) <= 100
    assert not harness.meters.dropped
    for request in harness.meters.requests(1000):
        assert request["ttft_ms"] is None or request["ttft_ms"] >= 0
