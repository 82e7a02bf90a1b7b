"""The beat that carries samples."""

from __future__ import annotations

import numpy as np
import pytest

from wfmon.core.clock import FakeClock
from wfmon.core.types import Batch, Burst, ClockStep, Frame, Layout, Series, Table
from wfmon.ticker import INBOX_FRAMES, Stages, Ticker

CPU = Layout((Series("system.cpu_percent"),))
BAD = -1.0
SLOW = Layout((Series("system.temperature_celsius"),))


def batch_of(values, ids=(0,)):
    count = len(values)
    return Batch(np.zeros(count, np.int64), np.array(ids, np.int32), np.array(values, float), np.ones(count, bool))


class Recorder:
    """Stages that remember what reached them, in order."""

    def __init__(self):
        self.seen = []
        self.pushed = []
        self.now = {"system": "running"}
        self.fail = False

    def step(self, frame):
        if self.fail or frame.values[0] == BAD:
            raise RuntimeError("a bad frame")
        return batch_of(frame.values)

    def stages(self):
        def note(kind):
            return lambda *args: self.seen.append((kind, *args))

        return Stages(
            drain=lambda: [self.pushed.pop() for _ in range(len(self.pushed))],
            step=self.step,
            burst=lambda burst: batch_of(burst.values, [1] * len(burst.values)),
            tokens=lambda batch: batch_of(batch.values[:, 0]),
            gaps=lambda name: (self.seen.append(("gaps", name)), batch_of([np.nan]))[1],
            stalled=lambda: (self.seen.append(("stalled",)), batch_of([np.nan]))[1],
            append=note("append"),
            publish=note("publish"),
            table=note("table"),
            clock_step=note("clock"),
            absent=note("absent"),
            states=lambda: dict(self.now),
            each_second=note("second"),
            watched=lambda: True,
            on_error=note("error"),
        )

    def kinds(self):
        return [row[0] for row in self.seen]

    def of(self, kind):
        return [row[1:] for row in self.seen if row[0] == kind]


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def stages():
    return Recorder()


@pytest.fixture
def ticker(clock, stages):
    return Ticker(clock, stages.stages())


def frame(value=1.0, layout=CPU, **more):
    return Frame("system", 1_000, layout, np.array([value]), **more)


def test_every_frame_reaches_the_window_before_one_publish_a_beat(ticker, stages):
    ticker.put(frame(1.0))
    ticker.put(frame(2.0))
    stages.pushed.append(Burst("ux", Series("ux.frame_time_ms"), np.zeros(3, np.int64), np.ones(3)))
    ticker.tick()
    assert [kind for kind in stages.kinds() if kind != "second"] == ["append", "append", "append", "publish"]
    assert [len(batch) for batch in stages.of("publish")[0][0]] == [1, 1, 3]
    assert ticker.samples == 5


def test_a_beat_with_nothing_new_still_publishes_an_empty_tick(ticker, stages, clock):
    ticker.tick()
    assert stages.of("publish") == [([], clock.now_ms())]


def test_a_full_inbox_drops_the_new_frame_and_counts_its_samples(ticker):
    for _ in range(INBOX_FRAMES + 2):
        ticker.put(frame())
    assert ticker.depth == INBOX_FRAMES
    assert ticker.dropped == {"inbox_full": 2}


def test_a_collector_that_stops_running_leaves_a_gap_once(ticker, stages):
    ticker.tick()
    stages.now = {"system": "lost"}
    ticker.tick()
    ticker.tick()
    assert stages.of("gaps") == [("system",)]


def test_a_pause_of_the_monitor_itself_is_a_gap_after_what_was_measured_before_it(ticker, stages, clock):
    ticker.tick()
    clock.advance(2.9)
    ticker.tick()
    assert stages.of("stalled") == []
    ticker.put(Frame("system", clock.now_ms(), CPU, np.array([1.0])))
    clock.advance(26)
    ticker.put(Frame("system", clock.now_ms(), CPU, np.array([2.0])))
    ticker.tick()
    told = [row[0].values.tolist() for row in stages.of("append")]
    assert [str(values) for values in told] == ["[1.0]", "[nan]", "[2.0]"]
    clock.advance(0.1)
    ticker.tick()
    assert len(stages.of("stalled")) == 1


def test_reasons_are_told_when_they_change_and_taken_back_when_the_value_returns(ticker, stages):
    why = {"system.cpu_percent": "no /proc/stat"}
    for reasons in (why, why, {}):
        ticker.put(frame(reasons=reasons))
        ticker.tick()
    assert stages.of("absent") == [(why,), ({},)]


def test_reasons_of_a_slow_layout_outlive_the_fast_frames_between(ticker, stages):
    why = {"system.temperature_celsius": "no sensors"}
    ticker.put(frame(layout=SLOW, reasons=why))
    ticker.put(frame())
    ticker.tick()
    assert stages.of("absent") == [(why,)]


def test_the_reasons_of_a_collector_go_with_it(ticker, stages):
    ticker.put(frame(reasons={"system.cpu_percent": "no /proc/stat"}))
    ticker.tick()
    stages.now = {"system": "off"}
    ticker.tick()
    assert stages.of("absent")[-1] == ({},)


def test_tables_go_to_the_stream_with_their_time(ticker, stages):
    table = Table(("pid",), ((1,),))
    ticker.put(frame(tables={"processes": table}))
    ticker.tick()
    assert stages.of("table") == [("processes", table, 1_000)]


def test_a_clock_step_is_told_within_a_second_and_before_that_seconds_samples(ticker, stages, clock):
    ticker.tick()
    clock.step(-3_600)
    clock.advance(1.0)
    ticker.put(frame())
    stages.seen.clear()
    ticker.tick()
    assert stages.kinds() == ["clock", "second", "append", "publish"]
    assert stages.of("clock")[0][0] == ClockStep(clock.now_ms() - 1_000, -3_600_000, "step")


def test_a_bad_beat_is_counted_and_the_thread_goes_on(stages, clock):
    ticker = Ticker(clock, stages.stages())
    stages.fail = True
    beats = iter(range(4))
    wait = clock.wait

    def three_beats(event, seconds):
        ticker.put(frame())
        if next(beats) == 3:
            event.set()
        return wait(event, seconds)

    clock.wait = three_beats
    ticker.start()
    ticker._thread.join(5)
    assert ticker.errors == 3
    assert [str(error) for (error,) in stages.of("error")] == ["a bad frame"] * 3


def test_a_bad_frame_is_counted_and_those_beside_it_go_on(ticker, stages):
    for value in (1.0, BAD, 2.0):
        ticker.put(frame(value))
    ticker.tick()
    assert [batch.values.tolist() for batch in stages.of("publish")[0][0]] == [[1.0], [2.0]]
    assert (ticker.errors, ticker.dropped) == (1, {"error": 1})


def test_stop_may_be_called_twice_and_before_start(ticker):
    ticker.stop()
    ticker.stop()
