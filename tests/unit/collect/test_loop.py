from __future__ import annotations

import threading

import numpy as np
import pytest

from wfmon.collect.loop import CollectorLoop
from wfmon.core.clock import FakeClock, SystemClock
from wfmon.core.types import Frame, Layout, Series, Unavailable

LAYOUT = Layout((Series("system.load_1m"),))


class Source:
    """A collector whose calls take as long, and fail as, the test says."""

    name = "source"

    def __init__(self, clock, takes=0.0, cpu=0.0):
        self.clock, self.takes, self.cpu = clock, takes, cpu
        self.error = None
        self.beats = []
        self.closed = 0

    def collect(self):
        self.beats.append(self.clock.mono_ns() / 1e9)
        self.clock.advance(self.takes, cpu_seconds=self.cpu)
        if self.error is not None:
            raise self.error
        return Frame(self.name, self.clock.now_ms(), LAYOUT, np.array([1.0]))

    def close(self):
        self.closed += 1


class LoopHarness:
    """A loop that is turned by hand."""

    def __init__(self, rate_hz=10.0, **kwargs):
        self.clock = FakeClock()
        self.source = Source(self.clock, **kwargs)
        self.frames, self.told, self.logged = [], [], []
        self.loop = CollectorLoop(
            self.source, rate_hz, self.clock, self.frames.append, self.told.append, log=lambda *a: self.logged.append(a)
        )

    def run(self, seconds):
        end = self.clock.mono_ns() + round(seconds * 1e9)
        while self.clock.mono_ns() < end:
            wait_s = self.loop._turn()
            self.clock.advance(min(wait_s, (end - self.clock.mono_ns()) / 1e9))


def test_the_nth_beat_comes_at_start_plus_n_over_rate_however_long_a_call_takes():
    harness = LoopHarness(takes=0.037)
    harness.run(100)
    assert len(harness.source.beats) == 1000
    assert harness.source.beats == pytest.approx([n / 10 for n in range(1000)], abs=1e-9)
    assert harness.loop.status().skipped == 0


def test_a_slow_source_skips_beats_and_counts_them_and_stays_on_the_grid():
    harness = LoopHarness(takes=0.25)
    harness.run(2.99)
    assert harness.source.beats == pytest.approx([0.0, 0.3, 0.6, 0.9, 1.2, 1.5, 1.8, 2.1, 2.4, 2.7])
    assert harness.loop.status().skipped == 20
    assert harness.loop.status().beats == 10


def test_an_absent_source_is_tried_again_after_1_2_4_up_to_60_seconds_and_at_once_in_time_when_it_works():
    harness = LoopHarness(rate_hz=10)
    harness.source.error = Unavailable("no card")
    harness.run(200)
    gaps = np.diff(harness.source.beats)
    assert gaps == pytest.approx([1.1, 2.1, 4.1, 8.1, 16.1, 32.1, 60.1, 60.1])
    status = harness.loop.status()
    assert (status.state, status.reason, status.errors, status.skipped) == ("absent", "no card", 0, 0)
    harness.source.error = None
    harness.run(60)
    assert harness.loop.status().state == "running"
    harness.source.error = Unavailable("fell off the bus", lost=True)
    before = len(harness.source.beats)
    harness.run(1.15)
    assert harness.loop.status().state == "lost"
    assert len(harness.source.beats) == before + 2  # the back-off began anew, at one second


def test_an_exception_is_an_error_with_type_and_message_counted_logged_and_told_once():
    harness = LoopHarness()
    harness.source.error = KeyError("MemTotal")
    harness.run(3.05)
    status = harness.loop.status()
    assert (status.state, status.reason, status.errors) == ("error", "KeyError: 'MemTotal'", 2)
    assert [one.state for one in harness.told] == ["error"]
    assert harness.logged[0][0] == "collector source failed: KeyError: 'MemTotal'"
    assert harness.frames == []


def test_switched_off_it_closes_its_source_and_gives_nothing_and_switched_on_it_beats_at_once():
    harness = LoopHarness()
    harness.run(0.95)
    harness.loop.set_enabled(False)
    harness.run(100)
    assert (harness.loop.status().state, harness.source.closed, len(harness.frames)) == ("off", 1, 10)
    harness.loop.set_enabled(True)
    now = harness.clock.mono_ns() / 1e9
    harness.run(0.05)
    assert harness.source.beats[-1] == pytest.approx(now)
    assert [one.state for one in harness.told] == ["running", "off", "running"]


def test_a_frame_that_was_measured_while_it_was_switched_off_is_thrown_away():
    harness = LoopHarness()
    collect = harness.source.collect

    def collect_and_switch_off():
        harness.loop.set_enabled(False)
        return collect()

    harness.source.collect = collect_and_switch_off
    harness.run(1)
    assert harness.frames == []
    assert harness.loop.status().state == "off"


def test_another_rate_starts_a_new_grid():
    harness = LoopHarness(rate_hz=10)
    harness.run(0.45)
    harness.loop.set_rate(5)
    harness.run(0.85)
    assert harness.source.beats == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.45, 0.65, 0.85, 1.05, 1.25])
    assert harness.loop.status().rate_hz == 5


def test_cpu_is_that_of_the_thread_over_the_last_five_seconds():
    harness = LoopHarness(cpu=0.002)
    assert harness.loop.status().cpu_percent is None
    harness.run(20)
    assert harness.loop.status().cpu_percent == pytest.approx(2.0)
    assert harness.loop.cpu_ns() == pytest.approx(200 * 2e6)
    harness.source.cpu = 0.004
    harness.run(7)
    assert harness.loop.status().cpu_percent == pytest.approx(4.0)


@pytest.mark.faults
def test_a_call_that_hangs_shows_as_lost_from_outside_and_stop_does_not_wait_for_it():
    class Clock(FakeClock):
        def wait(self, event, seconds):
            return event.wait(min(seconds, 5))

    clock, entered, release = Clock(), threading.Event(), threading.Event()
    source = Source(clock)
    collect = source.collect

    def hang():
        entered.set()
        release.wait(10)
        return collect()

    source.collect = hang
    frames = []
    loop = CollectorLoop(source, 10, clock, frames.append, lambda _: None)
    loop.start()
    assert entered.wait(5)
    assert loop.status().state == "starting"
    clock.advance(12)
    status = loop.status()
    assert (status.state, status.reason) == ("lost", "the call has not returned for 12 s")
    assert status.since_ms == clock.now_ms() - 12_000
    real = SystemClock()
    begun = real.mono_ns()
    loop.stop()
    loop.stop()
    assert real.mono_ns() - begun < 1e9
    release.set()
    loop._thread.join(5)
    assert not loop._thread.is_alive()
    assert (frames, source.closed) == ([], 1)


def test_a_thread_is_named_after_its_collector_beats_and_ends_within_a_moment():
    clock = SystemClock()
    source = Source(FakeClock())
    got = threading.Event()
    names = []

    def sink(_):
        names.append(threading.current_thread().name)
        got.set()

    loop = CollectorLoop(source, 50, clock, sink, lambda _: None)
    loop.start()
    assert got.wait(5)
    loop.stop()
    assert not loop._thread.is_alive()
    assert names[0] == "wfmon-source"
    assert source.closed == 1
