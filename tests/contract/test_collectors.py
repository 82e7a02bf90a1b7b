"""What every collector promises, over each of them and each of its sources."""

from __future__ import annotations

import shutil
import sys
from math import isnan
from pathlib import Path

import numpy as np
import pytest

from tests.kit.replayed import PROBES, ReplayNvml
from wfmon.collect.gpu import GpuCollector
from wfmon.collect.gpu_amd import AmdDriver
from wfmon.collect.gpu_nvml import NvmlDriver
from wfmon.collect.linux import LinuxMachine
from wfmon.collect.monitor import MonitorCollector, PortableProcess
from wfmon.collect.network import NetworkCollector
from wfmon.collect.portable import PortableMachine, PortableSockets
from wfmon.collect.sockets import LinuxSockets
from wfmon.collect.system import SystemCollector
from wfmon.collect.ux import UxInbox
from wfmon.core.catalogue import METRICS, WATCHED_TABLES
from wfmon.core.clock import FakeClock, SystemClock
from wfmon.core.types import Burst, Unavailable

DATA = Path(__file__).parents[1] / "data"
BEATS = 21
LINUX = sys.platform == "linux"


def of_system(machine):
    return lambda clock, folder, tables: SystemCollector(
        clock, folder, tables.__contains__, True, dict, machine(folder)
    )


def of_gpu(*names):
    def make(clock, folder, tables):
        nvml = NvmlDriver(ReplayNvml, folder / "pci") if "nvml" in names else NvmlDriver(no_library, folder / "pci")
        amd = AmdDriver(folder / "sys/class/drm" if "amd" in names else folder / "none")
        return GpuCollector(clock, tables.__contains__, lambda: True, (nvml, amd))

    return make


def of_network(sockets):
    return lambda clock, folder, tables: NetworkCollector(clock, tables.__contains__, sockets(folder))


def of_monitor(process):
    return lambda clock, folder, tables: MonitorCollector(clock, tables.__contains__, PROBES, process())


def no_library():
    raise Unavailable("No NVIDIA driver: libnvidia-ml not found.")


def proc_with_sockets(folder):
    (folder / "proc/self/fd").mkdir(parents=True, exist_ok=True)
    return LinuxSockets(folder / "proc")


MAKERS = {
    "system, this machine": of_system(lambda _: None),
    "system, a machine with everything": of_system(lambda folder: LinuxMachine(folder / "proc", folder / "sys")),
    "system, a container": of_system(lambda folder: LinuxMachine(folder / "proc", folder / "nothing")),
    "system, psutil": of_system(lambda _: PortableMachine()),
    "gpu, NVIDIA": of_gpu("nvml"),
    "gpu, AMD": of_gpu("amd"),
    "gpu, both": of_gpu("nvml", "amd"),
    "network, this machine": of_network(lambda _: None),
    "network, a tree of /proc": of_network(proc_with_sockets),
    "network, psutil": of_network(lambda _: PortableSockets()),
    "monitor, this process": of_monitor(lambda: None),
    "monitor, psutil": of_monitor(PortableProcess),
}


@pytest.fixture(params=MAKERS, ids=str)
def harness(request, tmp_path):
    shutil.copytree(DATA / "proc", tmp_path / "proc")
    shutil.copytree(DATA / "sys", tmp_path / "sys")
    (tmp_path / "pci").mkdir()
    clock, tables = FakeClock(), set()
    before = descriptors()
    collector = MAKERS[request.param](clock, tmp_path, tables)
    yield request.param, clock, tables, collector
    collector.close()
    assert descriptors() == before, "a handle was left open"


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir())) if LINUX else 0


def beat(clock, collector, seconds=0.1):
    clock.advance(seconds)
    return collector.collect()


def test_a_frame_has_a_value_for_each_series_and_each_series_once(harness):
    _, clock, _, collector = harness
    for _ in range(BEATS):
        frame = beat(clock, collector)
        assert frame.collector == collector.name
        assert frame.t_ms == clock.now_ms()
        assert frame.values.dtype == np.float64
        assert frame.values.shape == (len(frame.layout),)
        assert len(set(frame.layout.series)) == len(frame.layout)


def test_its_layouts_stay_the_same_objects_from_beat_to_beat(harness):
    _, clock, _, collector = harness
    beat(clock, collector)  # a first beat has less to tell
    layouts = [beat(clock, collector).layout for _ in range(BEATS)]
    assert len({id(layout) for layout in layouts}) <= 2


def test_every_series_is_the_catalogues_with_its_labels_and_its_collector(harness):
    _, clock, _, collector = harness
    for _ in range(2):
        for series in beat(clock, collector).layout.series:
            metric = METRICS[series.name]
            assert metric.collector == collector.name
            assert tuple(key for key, _ in series.labels) == tuple(sorted(metric.labels))
            assert all(value for _, value in series.labels)


def test_every_value_is_possible_or_absent_with_a_reason_in_words(harness):
    _, clock, _, collector = harness
    for _ in range(BEATS):
        frame = beat(clock, collector)
        for series, value in zip(frame.layout.series, frame.values.tolist(), strict=True):
            metric = METRICS[series.name]
            if isnan(value):
                reason = frame.reasons.get(str(series)) or frame.reasons.get(series.name)
                assert reason, f"{series} is absent without a reason"
                assert reason.isprintable()
                assert len(reason) <= 120
            else:
                assert metric.low is None or value >= metric.low
                assert metric.high is None or value <= metric.high


def test_tables_are_made_only_while_watched_and_have_as_many_cells_as_columns(harness):
    _, clock, tables, collector = harness
    assert all(not beat(clock, collector, 1).tables for _ in range(2))
    tables.update(WATCHED_TABLES)
    made = {name for _ in range(2) for name in beat(clock, collector, 1).tables}
    assert made == {"system": {"processes"}, "network": {"listeners"}, "monitor": {"threads"}}.get(
        collector.name, set()
    )
    for name, table in beat(clock, collector, 1).tables.items():
        assert name in WATCHED_TABLES
        assert table.rows
        for row in table.rows:
            assert len(row) == len(table.columns)
            assert all(cell is None or isinstance(cell, str | int | float) for cell in row)


def test_close_may_come_twice_and_a_later_beat_measures_again(harness):
    _, clock, _, collector = harness
    first = beat(clock, collector).layout.series
    collector.close()
    collector.close()
    assert set(beat(clock, collector).layout.series) <= set(first)


def test_a_beat_costs_little(harness, record_property):
    name, clock, tables, collector = harness
    tables.update(WATCHED_TABLES)
    beat(clock, collector, 1)
    real = SystemClock()
    begun = real.thread_cpu_ns()
    for _ in range(10):
        beat(clock, collector, 1)
    mean_us = (real.thread_cpu_ns() - begun) / 10_000
    record_property("microseconds_a_beat", round(mean_us))
    # Ten times what is usual here: a beat that reads every process or descriptor anew in Python objects is found out.
    assert mean_us < (200_000 if "psutil" in name else 50_000)


def test_without_a_card_the_gpu_collector_is_absent_and_says_why(tmp_path):
    collector = of_gpu()(FakeClock(), tmp_path, set())
    with pytest.raises(Unavailable, match="No NVIDIA driver") as gone:
        collector.collect()
    assert not gone.value.lost


def test_every_metric_of_the_catalogue_is_measured_by_its_collector(tmp_path):
    shutil.copytree(DATA / "proc", tmp_path / "proc")
    shutil.copytree(DATA / "sys", tmp_path / "sys")
    measured = set()
    for name in ("system, a machine with everything", "gpu, both", "network, a tree of /proc", "monitor, this process"):
        clock = FakeClock()
        collector = MAKERS[name](clock, tmp_path, set())
        measured |= {series.name for _ in range(2) for series in beat(clock, collector).layout.series}
        collector.close()
    clock = FakeClock()
    inbox = UxInbox(clock, lambda: ("overview",))
    report = {"type": "ux", "page": "overview", "t0": clock.now_ms() - 50, "intervals": [16.7], "work": [5.0]}
    inbox.push(report, "a")
    for item in inbox.drain():
        measured |= {item.series.name} if isinstance(item, Burst) else {series.name for series in item.layout.series}
    areas = {"system", "gpu", "network", "monitor", "ux"}
    assert measured == {metric.name for metric in METRICS.values() if metric.collector in areas}
