"""The hub without a network: the levels of a client that reads slowly."""

from __future__ import annotations

import json
import threading

import numpy as np
import pytest

from tests.kit.stream_server import CPU, LOAD, SWAP, TOKEN, Grid, batch, make_hub
from wfmon.core.clock import FakeClock
from wfmon.core.registry import Registry
from wfmon.core.types import Batch, CollectorStatus
from wfmon.stream import hub
from wfmon.stream.client import HELLO_S
from wfmon.stream.messages import StreamClosed


class HubHarness:
    def __init__(self, **more):
        self.clock = FakeClock()
        self.registry = Registry()
        self.hub = make_hub(self.registry, self.clock, **more)
        self.aborted = []

    def open(self, *, hello=True, **more):
        client = self.hub.open("websocket", threading.Event(), lambda: self.aborted.append(client.name), trusted=False)
        if hello:
            self.say(client, "hello", version=1, token=TOKEN, **more)
            read(client)
        return client

    def say(self, client, kind, **fields):
        client.receive(json.dumps({"type": kind, **fields}))

    def tick(self, values):
        self.clock.advance(1 / 60)
        now_ms = self.clock.now_ms()
        self.hub.publish([batch(self.registry, values, now_ms)], now_ms)


def read(client):
    """Read everything that waits, as a client does that has caught up."""
    return [json.loads(m.text) for b in iter(client.take, []) for m in b]


def values_of(frame):
    return {number: value for number, _, value in frame["v"]}


def test_a_slow_client_gets_less_step_by_step_and_every_last_value_in_the_end():
    harness = HubHarness()
    client = harness.open()
    levels, ticks = [], 0
    while not levels or levels[-1] != "drop":
        ticks += 1
        harness.tick({CPU: ticks, SWAP: ticks, LOAD: ticks})
        level = client.health()["level"]
        if not levels or levels[-1] != level:
            levels.append(level)
    assert levels == ["normal", "pressure", "critical", "drop"]
    for _ in range(60):  # dropping: nothing is queued
        ticks += 1
        harness.tick({CPU: ticks, SWAP: ticks, LOAD: ticks})
    waiting = read(client)
    frames = [m for m in waiting if m["type"] == "frame"]
    assert len(frames) == 60
    full, pressure, critical = frames[:49], frames[49:58], frames[58:]
    assert all(values_of(f) == {0: f["seq"], 1: f["seq"], 2: f["seq"]} for f in full)
    assert all((2 in values_of(f)) == (f["seq"] % 4 == 0) and values_of(f).keys() >= {0, 1} for f in pressure)
    assert all((1 in values_of(f)) == (2 in values_of(f)) == (f["seq"] % 60 == 0) for f in critical)
    assert [m["client"]["level"] for m in waiting if m["type"] == "state"] == ["drop"]  # the state that stands
    harness.tick({})
    state, merged = read(client)
    assert state["client"]["level"] == "normal"
    assert values_of(merged) == {0: ticks, 1: ticks, 2: ticks}
    assert len(merged["v"]) == 3
    harness.tick({CPU: -1.0})
    assert [values_of(f) for f in read(client)] == [{0: -1.0}]


def test_while_nobody_watches_no_state_is_encoded_and_who_comes_gets_it_whole(monkeypatch):
    harness = HubHarness()
    harness.tick({CPU: 1.0})
    with monkeypatch.context() as patch:
        patch.setattr(hub.wire, "message", None)
        harness.hub.set_absent({0: "switched off"})
        harness.hub.set_collectors([CollectorStatus("system", "running")])
    client = harness.hub.open("websocket", threading.Event(), lambda: None, trusted=True)
    harness.say(client, "hello", version=1)
    messages = read(client)
    assert [row["id"] for row in messages[0]["series"]] == [0]
    states = [message for message in messages if message["type"] == "state"]
    assert states[0]["absent"] == [[0, "switched off"]]
    assert [row["name"] for row in states[0]["collectors"]] == ["system"]


def test_a_deferred_series_that_changed_once_still_arrives():
    harness = HubHarness()
    client = harness.open()
    for n in range(49):
        harness.tick({CPU: n})
    assert harness.hub.stats()["clients"][0]["level"] == "normal"
    harness.tick({LOAD: 7})
    assert harness.hub.stats()["clients"][0]["level"] == "pressure"
    for _ in range(3):
        harness.tick({})
    frames = [m for m in read(client) if m["type"] == "frame"]
    assert [(f["seq"], values_of(f)) for f in frames[49:]] == [(50, {}), (51, {}), (52, {2 - 1: 7.0}), (53, {})]


def test_who_does_not_read_is_cut_after_the_stall_time():
    harness = HubHarness()
    client = harness.open()
    harness.tick({CPU: 1})
    assert client.take()  # the sender is now stuck on this piece
    for _ in range(179):
        harness.tick({CPU: 1})
    assert harness.aborted == []
    harness.tick({CPU: 1})
    harness.tick({CPU: 1})
    assert harness.aborted[0] == client.name
    harness.hub.leave(client, "lost")
    assert harness.hub.stats()["closed"] == {"stalled": 1}


def test_who_says_no_hello_is_ended_after_5_s():
    harness = HubHarness()
    client = harness.open(hello=False)
    harness.clock.advance(HELLO_S - 0.02)
    harness.tick({})
    assert client.ended is None
    harness.tick({})
    assert client.ended.code == 4408


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"type": "rate", "rate_hz": 1}, 1008), ({"type": "hello", "version": 2, "token": TOKEN}, 4400),
        ({"type": "hello", "version": 1, "token": "wrong"}, 4401), ({"type": "hello", "version": 1}, 4401),
        ({"type": "hello", "version": 1, "token": TOKEN, "watch": {"series": ["a{b"]}}, 1008),
    ],
)  # fmt: skip
def test_a_first_message_that_is_not_our_hello_ends_the_client(message, code):
    harness = HubHarness()
    client = harness.open(hello=False)
    client.receive(json.dumps(message))
    assert client.ended.code == code
    (told,) = read(client)
    assert (told["type"], told["code"], told["detail"]) == ("error", code, client.ended.sentence)


def test_a_second_hello_ends_the_client():
    harness = HubHarness()
    client = harness.open()
    harness.say(client, "hello", version=1, token=TOKEN)
    assert client.ended.code == 1008


def test_fifty_messages_a_second_are_taken_and_a_burst_of_a_hundred():
    harness = HubHarness()
    client = harness.open()
    for _ in range(99):
        harness.say(client, "pause", paused=False)
    assert client.ended is None
    for _ in range(500):
        harness.clock.advance(0.02)
        harness.say(client, "pause", paused=False)
    assert client.ended is None
    harness.say(client, "pause", paused=False)
    assert client.ended.code == 4429


def test_a_bad_ux_report_ends_the_client_with_the_collectors_sentence():
    def push(fields, client):
        raise ValueError("intervals must be numbers")

    client = (harness := HubHarness(push_ux=push)).open()
    harness.say(client, "ux", intervals="x")
    assert (client.ended.code, client.ended.sentence) == (1008, "ux: intervals must be numbers")


@pytest.mark.parametrize(("transport", "told_apart"), [("websocket", 1), ("sse", 2)])
def test_pages_that_share_an_sse_stream_are_told_apart_in_their_reports(transport, told_apart):
    heard = []
    harness = HubHarness(push_ux=lambda fields, who: heard.append(who))
    client = harness.hub.open(transport, threading.Event(), lambda: None, trusted=True)
    harness.say(client, "hello", version=1)
    for page in ("overview", "system", "overview"):
        harness.say(client, "ux", page=page)
    assert len(heard) == 3
    assert len(set(heard)) == told_apart


def test_one_client_too_many_is_refused():
    harness = HubHarness(max_clients=2)
    harness.open()
    harness.open(hello=False)
    with pytest.raises(StreamClosed, match=r"2 clients are already connected\. Close a page") as refused:
        harness.open()
    assert refused.value.code == 1013
    assert harness.hub.stats()["closed"] == {"full": 1}


def test_after_close_nobody_comes_in_and_closing_again_does_nothing():
    harness = HubHarness()
    harness.hub.close()
    harness.hub.close()
    with pytest.raises(StreamClosed, match=r"The monitor is stopping\."):
        harness.open()


def test_the_snapshot_is_encoded_once_a_second_and_shared():
    made = []
    harness = HubHarness(snapshot=lambda: made.append(1) or Grid({0: [1.0]}))
    for _ in range(3):
        harness.open()
    harness.open(watch={"series": []})
    assert len(made) == 1
    harness.clock.advance(1)
    harness.open()
    assert len(made) == 2


def test_what_comes_while_the_snapshot_is_made_is_in_the_frames():
    def snapshot():
        harness.tick({CPU: 2})
        return Grid({0: [1.0, 2.0]})

    harness = HubHarness(snapshot=snapshot)
    harness.tick({CPU: 1})
    client = harness.hub.open("websocket", threading.Event(), lambda: None, trusted=True)
    harness.say(client, "hello", version=1)
    assert read(client)[1]["seq"] == 1
    harness.tick({CPU: 3})
    (frame,) = read(client)
    assert [v for _, _, v in frame["v"]] == [2.0, 3.0]


def test_a_watch_of_the_same_series_costs_a_client_none_of_its_samples():
    harness = HubHarness()
    client = harness.open(rate_hz=1)
    for n in range(30):
        harness.tick({CPU: n})
    harness.say(client, "watch", series=None, tables=["processes"])
    for n in range(30, 60):
        harness.tick({CPU: n})
    (frame,) = [m for m in read(client) if m["type"] == "frame"]
    assert [v for _, _, v in frame["v"]] == list(range(60))


def test_a_crowd_of_samples_comes_as_latest_values():
    harness = HubHarness()
    client = harness.open(rate_hz=1)
    number = harness.registry.id(CPU)
    for n in range(60):
        t_ms, values = np.arange(1_000), np.full(1_000, n, float)
        harness.hub.publish([Batch(t_ms, np.full(1_000, number, np.int32), values, np.full(1_000, True))], 1_000)
    assert [f["v"] for f in read(client) if f["type"] == "frame"] == [[[0, 1, 59.0]]]


def test_the_ring_is_bounded_in_samples():
    harness = HubHarness()
    number = harness.registry.id(CPU)
    many = Batch(np.zeros(1_000, np.int64), np.full(1_000, number, np.int32), np.zeros(1_000), np.full(1_000, True))
    for _ in range(300):
        harness.hub.publish([many], 0)
    assert harness.hub.stats()["ring_samples"] == 100_000
    assert harness.hub._changes.floor == 200


def test_an_unchanged_sample_is_not_sent():
    harness = HubHarness()
    client = harness.open()
    now_ms = harness.clock.now_ms()
    harness.hub.publish([batch(harness.registry, {CPU: 1}, now_ms, changed=False)], now_ms)
    assert read(client)[-1]["v"] == []
