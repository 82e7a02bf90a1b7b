from __future__ import annotations

import dataclasses
import math
import os
import sys
import threading

import pytest

from tests.kit.replayed import NAN, PROBES
from wfmon.collect.monitor import (
    COLUMNS,
    FIRST,
    NOT_REPORTED,
    NOT_YET,
    LinuxProcess,
    MonitorCollector,
    PortableProcess,
    group,
)
from wfmon.core.clock import FakeClock, SystemClock


class Process:
    def __init__(self):
        self.cpu, self.pss, self.threads = 1.0, 44e6, {threading.get_native_id(): 0.5, 999_999_991: 0.5}
        self.pss_asked = 0

    def cpu_s(self):
        return self.cpu

    def rss_bytes(self):
        return 55e6

    def pss_bytes(self):
        self.pss_asked += 1
        return self.pss

    def descriptors(self):
        return 21.0

    def threads_cpu_s(self):
        return dict(self.threads)

    def close(self):
        pass


class MonitorCollectorHarness:
    def __init__(self):
        self.clock, self.process, self.tables, self.spent = FakeClock(), Process(), set(), 0
        probes = dataclasses.replace(PROBES, collectors_cpu_ns=lambda: self.spent)
        self.collector = MonitorCollector(self.clock, self.tables.__contains__, probes, self.process)

    def beat(self, seconds=1.0):
        self.clock.advance(seconds)
        self.frame = self.collector.collect()
        return {
            str(s).removeprefix("monitor."): v
            for s, v in zip(self.frame.layout.series, self.frame.values.tolist(), strict=True)
        }


def test_every_probe_appears_under_its_metric():
    harness = MonitorCollectorHarness()
    values = harness.beat()
    assert {name: value for name, value in values.items() if name not in ("cpu_percent", "collectors_cpu_percent")} == {
        "rss_bytes": 55e6, "threads": 2, "file_descriptors": 21, "pss_bytes": 44e6, "samples_per_second": 12_000,
        "clients": 6, "clients_slowed": 1, "series": 88, "cache_bytes": 5_000, "cache_seconds": 299.5,
        "tick_late_ms": 1.25, "tick_work_ms": 2.5, "encode_us": pytest.approx(NAN, nan_ok=True),
        'samples_dropped_total{cause="late"}': 3, 'samples_dropped_total{cause="out_of_range"}': 1,
        'beats_skipped_total{thread="wfmon-gpu"}': 7, 'errors_total{component="ticker"}': 2,
        'requests_refused_total{cause="host"}': 5, 'clients_closed_total{cause="stalled"}': 2,
        'queue_depth{queue="ticker"}': 4, 'queue_capacity{queue="ticker"}': 512,
    }  # fmt: skip
    assert harness.frame.reasons == {
        "monitor.cpu_percent": FIRST, "monitor.collectors_cpu_percent": FIRST, "monitor.encode_us": NOT_YET
    }  # fmt: skip


def test_cpu_is_of_one_core_over_the_time_since_the_last_beat():
    harness = MonitorCollectorHarness()
    harness.beat()
    harness.process.cpu += 0.05
    harness.spent += 20_000_000
    harness.process.threads = {threading.get_native_id(): 0.54, 999_999_992: 0.01}  # one thread died, one was born
    values = harness.beat(2)
    assert values["cpu_percent"] == pytest.approx(2.5)
    assert values["collectors_cpu_percent"] == pytest.approx(1.0)
    assert values['thread_cpu_percent{thread="MainThread"}'] == pytest.approx(2.0)
    assert values['thread_cpu_percent{thread="native"}'] == pytest.approx(0.5)


def test_the_proportional_memory_is_asked_for_every_ten_seconds_and_left_out_between():
    harness = MonitorCollectorHarness()
    has = ["pss_bytes" in harness.beat() for _ in range(21)]
    assert [n for n, one in enumerate(has) if one] == [0, 10, 20]
    assert harness.process.pss_asked == 3
    harness.process.pss = NAN
    harness.beat(10)
    assert harness.frame.reasons["monitor.pss_bytes"] == NOT_REPORTED


def test_the_layout_stays_while_its_series_do():
    harness = MonitorCollectorHarness()
    harness.beat()
    harness.beat()
    layout = harness.frame.layout
    harness.beat()
    assert harness.frame.layout is layout


def test_the_table_of_threads_is_made_while_watched_busiest_first():
    harness = MonitorCollectorHarness()
    harness.beat()
    assert harness.frame.tables == {}
    harness.tables.add("threads")
    harness.process.threads[999_999_991] += 0.1
    harness.beat()
    table = harness.frame.tables["threads"]
    assert table.columns == COLUMNS
    assert [(row[0], row[2]) for row in table.rows] == [("native", pytest.approx(10.0)), ("MainThread", 0.0)]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("wfmon-system", "wfmon-system"),
        ("wfmon-ws-12", "wfmon-ws"),
        ("wfmon-h2-stream", "wfmon-h2-stream"),
        ("Thread-7 (serve)", "Thread"),
        ("ThreadPoolExecutor-0_3", "ThreadPoolExecutor-0"),
        (None, "native"),
        ("", "unnamed"),
    ],
)
def test_threads_that_differ_by_a_number_share_a_series(name, label):
    assert group(name) == label


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(LinuxProcess, marks=pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")),
        PortableProcess,
    ],
)
def test_this_very_process_is_measured_truly(make):
    process, clock = make(), SystemClock()
    begun_cpu, begun = process.cpu_s(), clock.thread_cpu_ns()
    mine = threading.get_native_id()
    before = process.threads_cpu_s()
    while clock.thread_cpu_ns() - begun < 100_000_000:
        sum(range(1000))
    assert 0.08 <= process.cpu_s() - begun_cpu < 5
    if mine in before:
        assert 0.08 <= process.threads_cpu_s()[mine] - before[mine] < 5
    assert 10e6 < process.rss_bytes() < 2e9
    pss = process.pss_bytes()
    assert math.isnan(pss) or 5e6 < pss <= process.rss_bytes() * 1.2
    descriptors = process.descriptors()
    one = os.open(os.devnull, os.O_RDONLY)
    try:
        assert process.descriptors() == descriptors + 1
    finally:
        os.close(one)
        process.close()
