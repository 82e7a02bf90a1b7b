"""The stream over real sockets, as a page meets it."""

from __future__ import annotations

import http.client
import json

import pytest

from tests.kit.stream_server import CPU, LOAD, SWAP, Grid, StreamServer
from wfmon.core.types import ClockStep, CollectorStatus, Series, Table


def post(streaming, name, body):
    line = http.client.HTTPConnection("127.0.0.1", streaming.port, timeout=3)
    line.request("POST", f"/sse/{name}", body)
    answer = line.getresponse()
    told = answer.read()
    line.close()
    if answer.status == 204:
        return 204, None
    assert answer.headers["Content-Type"] == "application/problem+json"
    return answer.status, json.loads(told)


def test_a_client_is_greeted_given_the_past_and_then_every_tick(streaming):
    streaming.hub._history._snapshot = lambda: Grid({0: [1.5, float("nan")]}, t0_ms=5_000)
    streaming.tick({CPU: 12.3456789})
    page = streaming.websocket()
    assert [m["type"] for m in page.heard] == ["hello", "snapshot", "state", "state"]
    hello, snapshot = page.heard[:2]
    assert (hello["version"], hello["boot"], hello["rate_hz"], hello["resumed"]) == (1, "boot-1", 60, False)
    assert hello["series"] == [{"id": 0, "name": "system.cpu_percent", "unit": "%", "kind": "gauge", "labels": {}}]
    assert (snapshot["seq"], snapshot["t0"], snapshot["step_ms"]) == (1, 5_000, 100)
    assert snapshot["series"] == {"0": [1.5, None]}
    streaming.tick({CPU: 45.678912})
    streaming.tick()
    streaming.tick({CPU: float("nan")})
    frames = page.frames(3)
    assert [f["seq"] for f in frames] == [2, 3, 4]
    assert [f["v"] for f in frames] == [[[0, 0, 45.6789]], [], [[0, 0, None]]]


def test_frames_at_60_hz_follow_one_another_without_gap_or_duplicate(streaming):
    page = streaming.websocket()
    streaming.beat()
    frames = page.frames(60)
    assert [f["seq"] for f in frames] == list(range(1, 61))
    assert [v for f in frames for _, _, v in f["v"]] == list(range(1, 61))


def test_at_1_hz_no_sample_is_lost(streaming):
    page = streaming.websocket(rate_hz=1)
    for n in range(1, 121):
        streaming.tick({CPU: n})
    frames = page.frames(2)
    assert [f["seq"] for f in frames] == [60, 120]
    assert [v for f in frames for _, _, v in f["v"]] == list(range(1, 121))


@pytest.mark.parametrize(("wanted", "given"), [(1000, 60), (60, 60), (45, 30), (30, 30), (25, 20), (7, 6.667)])
def test_a_rate_is_the_tickers_divided_by_a_whole_number(streaming, wanted, given):
    page = streaming.websocket()
    page.say("rate", rate_hz=wanted)
    assert page.until("state")["client"]["rate_hz"] == given


def test_a_client_that_comes_back_goes_on_where_it_was(streaming):
    page = streaming.websocket()
    for n in range(10):
        streaming.tick({CPU: n})
    seen = page.frames(10)
    page.close()
    for n in range(10, 20):
        streaming.tick({CPU: n})
    page = streaming.websocket(boot="boot-1", since=seen[-1]["seq"])
    assert page.heard[0]["resumed"] is True
    assert page.of("snapshot") == []
    streaming.tick({CPU: 20})
    frame = page.until("frame")
    assert frame["seq"] == 21
    assert [v for f in [*seen, frame] for _, _, v in f["v"]] == list(range(21))


@pytest.mark.parametrize("past", [{"boot": "another", "since": 0}, {"boot": "boot-1", "since": 99}, {"since": 0}])
def test_who_cannot_go_on_gets_a_snapshot(streaming, past):
    page = streaming.websocket(**past)
    assert page.heard[0]["resumed"] is False
    assert len(page.of("snapshot")) == 1


def test_the_ring_forgets_after_600_ticks(streaming):
    for n in range(601):
        streaming.tick({CPU: n})
    assert streaming.websocket(boot="boot-1", since=0).heard[0]["resumed"] is False
    assert streaming.websocket(boot="boot-1", since=1).heard[0]["resumed"] is True


def test_a_new_series_is_described_before_its_first_sample(streaming):
    page = streaming.websocket()
    streaming.tick({CPU: 1, Series.of("system.cpu_core_percent", core=0): 2})
    page.until("frame")
    assert [m["type"] for m in page.heard[-2:]] == ["series", "frame"]
    described = {s["id"]: (s["name"], s["labels"]) for s in page.of("series")[0]["series"]}
    assert described == {0: ("system.cpu_percent", {}), 1: ("system.cpu_core_percent", {"core": "0"})}


def test_states_are_told_on_joining_and_when_they_change(streaming):
    running = CollectorStatus("gpu", "running", since_ms=1, beats=1)
    streaming.hub.set_collectors([running])
    streaming.hub.set_absent({0: "no sensor"})
    page = streaming.websocket()
    told = page.of("state")[0]
    assert (told["collectors"][0]["state"], told["absent"]) == ("running", [[0, "no sensor"]])
    streaming.hub.set_collectors([running])  # no news
    streaming.hub.set_absent({0: "no sensor"})
    streaming.hub.set_collectors([CollectorStatus("gpu", "lost", "it fell off the bus", since_ms=2)])
    told = page.until("state")
    assert told["collectors"][0]["reason"] == "it fell off the bus"
    streaming.hub.set_absent({"gpu.power_watts": "not told"})
    assert page.until("state")["absent"] == [["gpu.power_watts", "not told"]]


def test_facts_that_change_are_told_once():
    cards = []
    streaming = StreamServer(host_facts=lambda: {"gpus": tuple(cards)})
    page = streaming.websocket()
    assert page.of("hello")[0]["host_facts"] == {"gpus": []}
    cards.append("NVIDIA H200")
    streaming.hub.set_collectors([])
    assert page.until("state")["host_facts"] == {"gpus": ["NVIDIA H200"]}
    streaming.hub.set_collectors([])
    streaming.tick({CPU: 1})
    page.until("frame")
    assert len([told for told in page.of("state") if "host_facts" in told]) == 1
    streaming.close()


def test_a_table_goes_to_those_who_look_at_it(streaming):
    looks, looks_away = streaming.websocket(), streaming.websocket()
    assert not streaming.hub.watching("processes")
    looks.say("watch", tables=["processes"])
    looks.say("ping", id=1, client_ms=0)
    looks.until("pong")
    assert streaming.hub.watching("processes")
    streaming.hub.set_table("processes", Table(("pid", "name"), ((1, "<b>"), (2, None))), 77)
    assert looks.until("table") == {
        "type": "table", "name": "processes", "t": 77, "columns": ["pid", "name"], "rows": [[1, "<b>"], [2, None]],
    }  # fmt: skip
    late = streaming.websocket(watch={"tables": ["processes"]})
    assert late.until("table")["t"] == 77
    streaming.tick()
    looks_away.until("frame")
    assert looks_away.of("table") == []


def test_a_kept_table_goes_to_those_who_open_it_later(streaming):
    streaming.hub.set_table("servers", Table(("server",), (("a",),)), 77, keep=True)
    streaming.hub.set_table("processes", Table(("pid",), ((1,),)), 78)
    late = streaming.websocket(watch={"tables": ["processes", "servers"]})
    assert late.until("table")["rows"] == [["a"]]
    streaming.hub.set_table("servers", Table(("server",), (("b",),)), 79, keep=True)
    assert late.until("table")["rows"] == [["b"]]
    assert {told["name"] for told in late.of("table")} == {"servers"}


def test_a_step_of_the_clock_stands_between_the_frames(streaming):
    page = streaming.websocket()
    streaming.tick()
    streaming.hub.clock_step(ClockStep(9_000, -3_600_000, "step"))
    streaming.tick()
    page.frames(2)
    assert [m["type"] for m in page.heard[-3:]] == ["frame", "clock", "frame"]
    assert page.of("clock") == [{"type": "clock", "t": 9_000, "step_ms": -3_600_000, "kind": "step"}]


def test_a_ping_is_answered_with_both_clocks(streaming):
    page = streaming.websocket()
    page.say("ping", id=7, client_ms=12.5)
    pong = page.until("pong")
    assert (pong["id"], pong["client_ms"]) == (7, 12.5)
    assert abs(pong["now_ms"] - streaming.clock.now_ms()) < 3_000
    assert abs(pong["mono_ms"] - streaming.clock.mono_ns() // 1_000_000) < 3_000


def test_a_pause_stops_frames_and_the_next_one_catches_up(streaming):
    page = streaming.websocket()
    page.say("pause", paused=True)
    page.say("ping", id=1, client_ms=0)
    page.until("pong")
    assert not streaming.hub.anyone()
    streaming.tick({CPU: 1})
    streaming.tick({CPU: 2})
    page.say("pause", paused=False)
    page.say("ping", id=2, client_ms=0)
    page.until("pong")
    streaming.tick({CPU: 3})
    frame = page.until("frame")
    assert (frame["seq"], [v for _, _, v in frame["v"]]) == (3, [1, 2, 3])
    assert len(page.of("frame")) == 1


def test_a_watch_narrows_snapshot_and_frames_and_widening_brings_the_latest_values(streaming):
    streaming.hub._history._snapshot = lambda: Grid({0: [1], 1: [2]})
    streaming.tick({CPU: 1, SWAP: 2})
    page = streaming.websocket(watch={"series": ["system.cpu*"]})
    assert page.of("snapshot")[0]["series"] == {"0": [1.0]}
    streaming.tick({CPU: 3, SWAP: 4})
    assert page.until("frame")["v"] == [[0, 0, 3.0]]
    page.say("watch", series=None)
    page.say("ping", id=1, client_ms=0)
    page.until("pong")
    streaming.tick({LOAD: 5})
    assert [[i, v] for i, _, v in page.until("frame")["v"]] == [[0, 3.0], [1, 4.0], [2, 5.0]]


def test_a_client_with_a_bearer_header_may_leave_the_token_out(streaming):
    streaming.bearer = True
    page = streaming.websocket(hello=False)
    page.say("hello", version=1)
    assert page.next()["type"] == "hello"


def test_what_a_page_measured_of_itself_is_handed_on(streaming):
    heard = []
    streaming.hub._push_ux = lambda fields, client: heard.append((fields, client))
    page = streaming.websocket()
    page.say("ux", page="overview", t0=1.0, intervals=[16.7])
    page.say("ping", id=1, client_ms=0)
    page.until("pong")
    assert heard == [({"page": "overview", "t0": 1.0, "intervals": [16.7]}, page.heard[0]["client"])]


def test_sse_carries_the_same_messages_with_ids(streaming):
    streaming.tick({CPU: 1})
    page = streaming.sse("/sse?rate_hz=30")
    assert page.status == 200
    assert page.headers["content-type"] == "text/event-stream"
    assert (page.headers["cache-control"], page.headers["x-accel-buffering"]) == ("no-store", "no")
    page.until("state", lambda m: "client" in m)
    assert [m["type"] for m in page.heard] == ["hello", "snapshot", "state", "state"]
    assert (page.heard[0]["rate_hz"], page.last_id) == (30, "boot-1:1")
    for n in range(2, 6):
        streaming.tick({CPU: n})
    assert [(f["seq"], [v for _, _, v in f["v"]]) for f in page.frames(2)] == [(2, [2]), (4, [3, 4])]
    assert page.last_id == "boot-1:4"


def test_sse_goes_on_after_the_last_event(streaming):
    streaming.tick({CPU: 1})
    streaming.tick({CPU: 2})
    page = streaming.sse("/sse", **{"Last-Event-ID": "boot-1:1"})
    assert page.next()["resumed"] is True
    streaming.tick({CPU: 3})
    frame = page.until("frame")
    assert (frame["seq"], [v for _, _, v in frame["v"]]) == (3, [2, 3])
    assert page.of("snapshot") == []
    assert streaming.sse("/sse?last_event_id=boot-1:3").next()["resumed"] is True
    assert streaming.sse("/sse", **{"Last-Event-ID": "boot-1:x"}).next()["resumed"] is False


def test_an_sse_client_speaks_by_post(streaming):
    page = streaming.sse()
    name = page.next()["client"]
    assert post(streaming, name, '{"type":"ping","id":1,"client_ms":0}') == (204, None)
    assert page.until("pong")["id"] == 1
    status, problem = post(streaming, "nobody", "{}")
    assert (status, problem["type"]) == (404, "urn:wfmon:problem:no_client")
    status, problem = post(streaming, name, '{"type":"dance"}')
    assert (status, problem["type"]) == (400, "urn:wfmon:problem:refused")
    assert page.until("error")["code"] == 1008
    with pytest.raises(EOFError):
        page.next()
    assert post(streaming, name, "{}")[0] == 404


def test_a_message_by_post_may_have_64_kib(streaming):
    page = streaming.sse()
    status, problem = post(streaming, page.next()["client"], " " * 65_537)
    assert (status, problem["type"]) == (413, "urn:wfmon:problem:too_big")
    assert page.until("error")["code"] == 1009


def test_text_by_post_must_be_utf8(streaming):
    name = streaming.sse().next()["client"]
    status, problem = post(streaming, name, b'{"type":"\xff"}')
    assert (status, problem["type"]) == (400, "urn:wfmon:problem:malformed")


def test_a_silent_sse_stream_gives_a_sign_of_life(streaming, monkeypatch):
    monkeypatch.setattr("wfmon.stream.sse.SILENCE_S", 0.05)
    page = streaming.sse()
    page.until("state", lambda m: "client" in m)
    assert page.event() == {"": "still here"}


def test_fifty_clients_get_the_same_bytes_from_one_encode(streaming):
    pages = [streaming.websocket() for _ in range(40)] + [streaming.sse() for _ in range(10)]
    for page in pages[40:]:
        page.until("state", lambda m: "client" in m)
    before = streaming.hub.stats()["encodes"]
    streaming.tick({CPU: 1})
    texts = {page._text(3) for page in pages}
    assert len(texts) == 1
    assert streaming.hub.stats()["encodes"] == before + 1
    begun_ns = streaming.clock.mono_ns()
    streaming.hub.close()
    assert streaming.hub.stats()["clients"] == []
    assert streaming.clock.mono_ns() - begun_ns < 500e6
    assert {page.ends()[0] for page in pages[:40]} == {1001}
    assert streaming.hub.stats()["closed"] == {"stopping": 50}


def test_nobody_watching_costs_no_encode(streaming):
    streaming.tick({CPU: 1})
    assert not streaming.hub.anyone()
    streaming.websocket().close()
    while streaming.hub.stats()["clients"]:
        streaming.tick({CPU: 2})
    before = streaming.hub.stats()["encodes"]
    streaming.tick({CPU: 3})
    assert streaming.hub.stats()["encodes"] == before


def test_the_health_page_sees_each_client(streaming):
    page = streaming.websocket(rate_hz=10)
    stats = streaming.hub.stats()
    assert stats["clients"][0] | {"since_ms": 0, "client": ""} == {
        "client": "", "transport": "websocket", "rate_hz": 10.0, "level": "normal", "paused": False, "mailbox": 0,
        "sent": 4, "since_ms": 0,
    }  # fmt: skip
    page.close()
