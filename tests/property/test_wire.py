"""Whatever is published and however slowly it is read, what a client has put together is what the hub has."""

from __future__ import annotations

import json
import math
import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tests.kit.stream_server import FROM_SERVER, TOKEN, make_hub
from wfmon.core.clock import FakeClock
from wfmon.core.registry import Registry
from wfmon.core.types import Batch, Series
from wfmon.stream import wire

SERIES = [
    Series("system.cpu_percent"),
    Series("system.swap_percent"),
    Series("system.load_1m"),
    Series("system.load_5m"),
]
values = st.one_of(st.just(math.nan), st.floats(-1e12, 1e12).map(lambda x: float(np.float32(x))))
ticks = st.lists(st.tuples(st.integers(0, 3), values, st.booleans()), max_size=4)
acts = st.one_of(
    st.tuples(st.just("tick"), ticks),
    st.tuples(st.just("silence"), st.integers(1, 80)),
    st.tuples(st.just("read"), st.integers(1, 8)),
    st.tuples(st.just("rate"), st.sampled_from([60, 30, 20, 10, 7, 1])),
    st.tuples(st.just("pause"), st.booleans()),
    st.tuples(st.just("watch"), st.sampled_from([None, ["system.cpu*"], ["*load*"], []])),
    st.tuples(st.just("return"), st.booleans()),
)


class Page:
    """A client that reads when it is told to, and puts together what it reads."""

    def __init__(self, hub):
        self.hub = hub
        self.last = {}
        self.seq = -1
        self.samples = []
        self.come()

    def come(self, *, resume=False):
        self.client = self.hub.open("websocket", threading.Event(), lambda: None, trusted=False)
        past = {"boot": self.hub.boot, "since": self.seq} if resume and self.seq >= 0 else {}
        self.say("hello", version=1, token=TOKEN, **past)

    def say(self, kind, **fields):
        self.client._allowance = 100  # how fast it may speak is another matter
        self.client.receive(json.dumps({"type": kind, **fields}))
        assert self.client.ended is None

    def read(self, batches):
        for _ in range(batches):
            for message in self.client.take():
                self.take(json.loads(message.text))

    def take(self, message):
        if message["type"] == "snapshot":
            self.seq = message["seq"]
            self.last.update({int(number): column[-1] for number, column in message["series"].items()})
        if message["type"] == "frame":
            assert message["seq"] > self.seq
            self.seq = message["seq"]
            for number, _, value in message["v"]:
                self.last[number] = value
                self.samples.append((number, value))


class Latest:
    """A window that knows the last values alone, exactly."""

    t0_ms, step_ms = 0, 100

    def __init__(self, changes):
        self.columns = {n: np.array([changes._value[n]], np.float32) for n in range(4) if changes._changed[n] >= 0}


def publish(hub, clock, samples):
    clock.advance(1 / 60)
    now_ms, count = clock.now_ms(), len(samples)
    ids, numbers, changed = (
        np.array([row[i] for row in samples], kind) for i, kind in enumerate([np.int32, float, bool])
    )
    hub.publish([Batch(np.full(count, now_ms, np.int64), ids, numbers, changed)] if count else [], now_ms)


def sent(value):
    return None if value is None or math.isnan(value) else value


@given(st.lists(acts, max_size=40), st.integers(10, 20))
def test_in_the_end_a_client_has_every_last_value(story, mailbox_frames):
    clock, registry = FakeClock(), Registry()
    for series in SERIES:
        registry.id(series)
    hub = make_hub(
        registry, clock, mailbox_frames=mailbox_frames, stall_seconds=1e9, snapshot=lambda: Latest(hub._changes)
    )
    page = Page(hub)
    for act, how in story:
        if act == "tick":
            publish(hub, clock, how)
        elif act == "silence":
            for _ in range(how):
                publish(hub, clock, [])
        elif act == "read":
            page.read(how)
        elif act == "rate":
            page.say("rate", rate_hz=how)
        elif act == "pause":
            page.say("pause", paused=how)
        elif act == "watch":
            page.say("watch", series=how)
        else:
            hub.leave(page.client)
            page.come(resume=how)
    page.say("pause", paused=False)
    page.say("watch", series=None)
    for _ in range(122):  # two seconds, at any rate and from any level
        publish(hub, clock, [])
        page.read(3)
    for number in range(4):
        ours, theirs = float(hub._changes._value[number]), page.last.get(number)
        told = sent(ours)
        assert (theirs is None) == (told is None)
        assert told is None or math.isclose(theirs, told, rel_tol=6e-6, abs_tol=1e-22)


@given(st.lists(ticks, max_size=100), st.sampled_from([60, 30, 12, 10, 1]))
def test_who_reads_in_time_gets_every_sample_in_order_at_any_rate(story, rate):
    clock, registry = FakeClock(), Registry()
    for series in SERIES:
        registry.id(series)
    hub = make_hub(registry, clock)
    page = Page(hub)
    page.say("rate", rate_hz=rate)
    for samples in [*story, *[[]] * (60 - len(story) % 60)]:
        publish(hub, clock, samples)
        page.read(2)
    wanted = [(n, v) for samples in story for n, v, changed in samples if changed]
    assert [n for n, _ in page.samples] == [n for n, _ in wanted]
    rounded = wire.rounded(np.array([v for _, v in wanted])).tolist()
    assert [v for _, v in page.samples] == [sent(v) for v in rounded]


@given(st.lists(st.floats(allow_nan=True, allow_infinity=False), min_size=1, max_size=20))
def test_a_value_survives_the_wire_to_six_digits(numbers):
    samples = wire.Samples(np.arange(len(numbers), dtype=np.int32), np.zeros(len(numbers), np.int64), np.array(numbers))
    frame = json.loads(wire.frame(3, 5, samples).text)
    FROM_SERVER.validate(frame)
    for given_, (_, dt, read) in zip(numbers, frame["v"], strict=True):
        assert dt == 5
        if math.isnan(given_):
            assert read is None
        else:
            assert math.isclose(read, given_, rel_tol=5e-6, abs_tol=1e-22)
