"""How the page stays connected: two transports, a monitor that restarts, pages that nobody looks at."""

from __future__ import annotations

import itertools
import time

import pytest

from tests.browser.driving import Recorder, eventually

TRACK = """
const track = wfmon.store.tracks.get(arguments[0]);
const samples = [];
for (let i = 0; i < track.size; i += 1) samples.push([track.t[track.slot(i)], track.v[track.slot(i)]]);
return samples.filter(([t]) => t > arguments[1] && t <= arguments[2]);
"""
COMPARED = ("system.cpu_percent", "monitor.rss_bytes", "network.loopback_rx_bytes_per_second")


@pytest.fixture
def recorder(monitor):
    recorder = Recorder(monitor)
    yield recorder
    recorder.close()


def assert_same_samples(page, recorder, since_ms):
    """Every sample that the stream carried since then is in the page, once, and nothing else is."""
    until_ms = page.debug["known"] - 1_000
    assert until_ms - since_ms > 1_000
    eventually(lambda: recorder.heard_ms > until_ms)
    for name in COMPARED:
        told = [[t, v] for t, v in sorted(recorder.samples.get(name, {}).items()) if since_ms < t <= until_ms]
        shown = page.js(TRACK, name, since_ms, until_ms)
        assert [t for t, _ in shown] == [t for t, _ in told], name
        assert [v for _, v in shown] == pytest.approx([v for _, v in told], rel=1e-6), name
    assert any(page.js(TRACK, name, since_ms, until_ms) for name in COMPARED)


def watched_since(page, recorder):
    """The instant from which on page and recorder hear the same: a second after the page was live."""
    since_ms = page.debug["known"]
    page.wait_js("return wfmon.debug().known > arguments[0] + 1000", since_ms)
    eventually(lambda: recorder.frames)
    return page.debug["known"]


def test_a_websocket_that_dies_twice_gives_way_to_sse_and_comes_back_without_duplicate_or_gap(page, recorder, values):
    with page.sockets_in_hand():
        page.load()
        since_ms = watched_since(page, recorder)
        page.js("probe.sockets.at(-1).close()")
        page.wait_js("const d = wfmon.debug(); return d.counters.resumed === 1 && d.phase === 'live'")
        assert page.debug["transport"] == "ws"
        seq = page.debug["seq"]
        page.js("probe.forbidden = true; probe.sockets.at(-1).close()")
        page.wait_js("const d = wfmon.debug(); return d.transport === 'sse' && d.phase === 'live'")
        page.wait_js("return wfmon.debug().seq > arguments[0] + 60", seq)
        eventually(lambda: page.status("transport") == "SSE")
        assert [client["transport"] for client in page.monitor.clients()].count("sse") == 1
        page.js("probe.forbidden = false")
        page.wait_js("return wfmon.debug().transport === 'ws'")
        eventually(lambda: page.status("transport") == "WebSocket")
        eventually(lambda: page.monitor.clients("sse") == [])
        page.wait_js("return wfmon.debug().known > arguments[0] + 1500", page.debug["known"])
        told = page.debug
        assert (told["gaps"], told["duplicates"], told["refused"]) == (0, 0, 0)
        assert told["counters"]["snapshots"] == 1
        assert told["counters"]["resumed"] >= 3
        assert_same_samples(page, recorder, since_ms)


def test_a_page_whose_websocket_never_opens_lives_on_sse(page, values):
    with page.sockets_in_hand(forbidden=True):
        page.load()
        assert page.debug["transport"] == "sse"
        eventually(lambda: [(c["transport"], c["rate_hz"]) for c in page.monitor.clients()] == [("sse", 60)])
        page.load("network")
        page.wait_js("return document.querySelector('[data-table=listeners] tbody').rows.length > 0")


def test_two_tabs_share_one_sse_stream_and_the_other_goes_on_when_one_closes(page, driver, values):
    # What a tab was saying just as the stream ended under it has nobody to hear it.
    page.allowed = [r"/sse/[\w-]+ - Failed to load resource: .* status of 404"]
    first = driver.current_window_handle
    with page.sockets_in_hand(forbidden=True):
        page.load()
    driver.switch_to.new_window("tab")
    second = driver.current_window_handle
    with page.sockets_in_hand(forbidden=True):
        page.load()
    eventually(lambda: [client["transport"] for client in page.monitor.clients()] == ["sse"])
    for handle in (first, second):
        driver.switch_to.window(handle)
        assert page.debug["transport"] == "sse"
        page.wait_js("return wfmon.debug().seq > arguments[0] + 10", page.debug["seq"])
    assert len(page.monitor.clients()) == 1
    driver.switch_to.window(first)
    driver.close()  # it held the stream
    driver.switch_to.window(second)
    seq = page.debug["seq"]
    page.wait_js("const d = wfmon.debug(); return d.phase === 'live' && d.seq > arguments[0] + 60", seq)
    assert page.debug["transport"] == "sse"
    eventually(lambda: [client["transport"] for client in page.monitor.clients()] == ["sse"])


def test_two_tabs_are_two_clients_and_the_one_behind_asks_for_less(page, driver):
    first = driver.current_window_handle
    driver.switch_to.new_window("tab")
    page.load("system")
    eventually(lambda: sorted(client["rate_hz"] for client in page.monitor.clients("websocket")) == [1, 60])
    driver.close()
    driver.switch_to.window(first)
    eventually(lambda: [client["rate_hz"] for client in page.monitor.clients()] == [60])


def test_a_page_that_nobody_looks_at_gets_one_frame_a_second_and_misses_nothing(page, driver, recorder, values):
    since_ms = watched_since(page, recorder)
    driver.minimize_window()
    try:
        page.wait_js("return document.hidden && wfmon.debug().rate === 1")
        eventually(lambda: 1 in [client["rate_hz"] for client in page.monitor.clients()])
        frames, begun = page.debug["counters"]["frames"], time.monotonic()
        page.wait_js("return wfmon.debug().counters.frames >= arguments[0] + 3", frames)
        assert 1.9 < time.monotonic() - begun < 10
    finally:
        driver.set_window_rect(0, 0, 1280, 943)
    page.wait_js("return !document.hidden && wfmon.debug().rate === 60")
    eventually(lambda: 1 not in [client["rate_hz"] for client in page.monitor.clients()])
    frames = page.debug["counters"]["frames"]
    page.wait_js("return wfmon.debug().counters.frames > arguments[0] + 60", frames, wait_s=10)
    page.wait_js("return wfmon.debug().known > arguments[0] + 1500", page.debug["known"])
    assert (page.debug["gaps"], page.debug["duplicates"]) == (0, 0)
    assert_same_samples(page, recorder, since_ms)


def test_a_restarted_monitor_finds_its_page_waiting_with_all_that_it_knew(page, driver, monitor, values):
    page.allowed = [r"ERR_CONNECTION_REFUSED", r"WebSocket connection to 'ws://127\.0\.0\.1:\d+/ws' failed"]
    page.js("window.mark = 'the same document'")
    cookies = {cookie["name"]: cookie["value"] for cookie in driver.get_cookies()}
    page.wait_js("return /^\\d/.test(document.querySelector(\"[data-value='system.cpu_percent']\").textContent)")
    eventually(lambda: page.pictures() and not any("blank" in picture for picture in page.pictures().values()))
    boot, since_ms = page.debug["boot"], page.debug["known"]
    assert monitor.stop() == 0
    try:
        eventually(lambda: page.status("transport") == "reconnecting")
        assert page.js("return document.documentElement.dataset.stream") == "lost"
        assert "reconnecting, last seen" in page.text("[data-banner]")
        assert page.find("#banner").is_displayed()
        assert len(page.pictures()) > 3
        assert not any("blank" in picture for picture in page.pictures().values())
        assert page.text("[data-value='system.cpu_percent']")[0].isdigit()
    finally:
        monitor.start()
    page.wait_js("const d = wfmon.debug(); return d.phase === 'live' && d.boot !== arguments[0]", boot)
    eventually(lambda: page.status("transport") == "WebSocket" and not page.find("#banner").is_displayed())
    page.wait_js("return wfmon.debug().counters.frames > 60")
    assert page.js("return window.mark") == "the same document"
    assert {cookie["name"]: cookie["value"] for cookie in driver.get_cookies()} == cookies
    history = page.js(TRACK, "system.cpu_percent", since_ms, page.debug["known"])
    known = [value is not None for _, value in history]
    assert [is_known for is_known, _ in itertools.groupby(known)] in ([True, False, True], [False, True])  # one gap
    page.load()
