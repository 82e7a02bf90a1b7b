"""Sources that break: a file gone, empty or garbled, a call that hangs, a driver in a mood."""

from __future__ import annotations

import shutil
import sys
import threading
from pathlib import Path

import pytest

from tests.kit.replayed import ReplayNvml
from wfmon.collect.gpu import GpuCollector
from wfmon.collect.gpu_amd import AmdDriver
from wfmon.collect.gpu_nvml import NvmlDriver
from wfmon.collect.linux import LinuxMachine
from wfmon.collect.loop import CollectorLoop
from wfmon.collect.network import NetworkCollector
from wfmon.collect.sockets import LinuxSockets
from wfmon.collect.system import SystemCollector
from wfmon.core.clock import FakeClock, SystemClock

DATA = Path(__file__).parents[1] / "data"
pytestmark = pytest.mark.faults


class CollectorHarness:
    """A system or network collector on a tree of /proc, in a loop that is turned by hand."""

    def __init__(self, folder, kind):
        self.proc = folder / "proc"
        shutil.copytree(DATA / "proc", self.proc)
        (self.proc / "self/fd").mkdir(parents=True)
        self.clock, self.frames, self.logged = FakeClock(), [], []
        if kind == "system":
            machine = LinuxMachine(self.proc, DATA / "sys")
            self.collector = SystemCollector(self.clock, folder, lambda _: True, True, dict, machine)
        else:
            self.collector = NetworkCollector(self.clock, lambda _: True, LinuxSockets(self.proc))
        self.loop = CollectorLoop(
            self.collector, 1, self.clock, self.frames.append, lambda _: None, log=lambda *a: self.logged.append(a)
        )

    def run(self, seconds):
        end = self.clock.mono_ns() + round(seconds * 1e9)
        while self.clock.mono_ns() < end:
            self.clock.advance(min(self.loop._turn(), (end - self.clock.mono_ns()) / 1e9))
        return self.loop.status().state


@pytest.mark.parametrize("damage", ["gone", "empty", "garbled"])
@pytest.mark.parametrize(
    ("kind", "file"),
    [(kind, file) for kind, files in {
        "system": ("stat", "meminfo", "diskstats", "loadavg", "1234/stat", "77/cmdline"),
        "network": ("net/dev", "net/tcp", "net/tcp6", "net/udp", "77/comm"),
    }.items() for file in files],
)  # fmt: skip
def test_a_damaged_file_never_ends_the_loop_and_it_recovers_when_the_file_is_whole_again(tmp_path, kind, file, damage):
    harness = CollectorHarness(tmp_path, kind)
    assert harness.run(3) == "running"
    path = harness.proc / file
    whole = path.read_bytes()
    harness.collector.close()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(b"" if damage == "empty" else b"\xff\x00 ( 12 zz\n" * 20)
    state = harness.run(5)
    assert state in {"running", "error"}
    assert (state == "error") == bool(harness.logged)
    path.write_bytes(whole)
    harness.collector.close()
    assert harness.run(30) == "running"
    harness.collector.close()


def test_a_call_into_the_driver_that_hangs_holds_up_nobody_else(tmp_path):
    clock, inside, release, beats = SystemClock(), threading.Event(), threading.Event(), threading.Semaphore(0)

    class Hanging(ReplayNvml):
        def nvmlDeviceGetPowerUsage(self, card):  # noqa: N802  NVML's own name
            inside.set()
            release.wait(20)
            return 1_000

    gpu = GpuCollector(clock, lambda _: True, lambda: True, (NvmlDriver(Hanging, tmp_path), AmdDriver(tmp_path)))
    machine = LinuxMachine(DATA / "proc", DATA / "sys")
    system = SystemCollector(clock, tmp_path, lambda _: True, True, gpu.process_memory, machine)
    stuck = CollectorLoop(gpu, 10, clock, lambda _: None, lambda _: None, hang_s=0.05)
    other = CollectorLoop(system, 50, clock, lambda _: beats.release(), lambda _: None)
    stuck.start()
    other.start()
    try:
        assert inside.wait(5)
        for _ in range(10):
            assert beats.acquire(timeout=5)
        assert stuck.status().state == "lost"
        assert stuck.status().reason.startswith("the call has not returned for")
        assert other.status().state == "running"
    finally:
        begun = clock.mono_ns()
        stuck.stop()
        other.stop()
        assert clock.mono_ns() - begun < 1_500_000_000
        release.set()
        stuck._thread.join(5)
    assert not stuck._thread.is_alive()


def test_a_driver_that_raises_what_it_should_not_is_an_error_and_works_again_later(tmp_path):
    nvml, clock, logged = ReplayNvml(), FakeClock(), []
    whole = nvml.devices[0]["nvmlDeviceGetPowerUsage"]
    nvml.devices[0]["nvmlDeviceGetPowerUsage"] = {"value": None}
    gpu = GpuCollector(clock, lambda _: True, lambda: True, (NvmlDriver(lambda: nvml, tmp_path), AmdDriver(tmp_path)))
    loop = CollectorLoop(gpu, 10, clock, lambda _: None, lambda _: None, log=lambda *a: logged.append(a))
    clock.advance(loop._turn())
    assert (loop.status().state, len(logged)) == ("error", 1)
    assert loop.status().reason.startswith("TypeError")
    nvml.devices[0]["nvmlDeviceGetPowerUsage"] = whole
    while loop.status().beats == 0:
        clock.advance(loop._turn())
    assert loop.status().state == "running"


def test_a_process_that_ends_while_it_is_looked_at_is_left_out(tmp_path):
    harness = CollectorHarness(tmp_path, "system")
    (harness.proc / "4000").mkdir()  # listed, and gone before its file is opened
    (harness.proc / "4001").mkdir()
    (harness.proc / "4001/stat").write_bytes(b"")  # gone between open and read
    assert harness.run(2) == "running"
    assert {row[1] for row in harness.frames[-1].tables["processes"].rows} == {77, 1234}
    harness.collector.close()


@pytest.mark.skipif(sys.platform != "linux", reason="counts in /proc")
def test_no_handle_is_lost_however_often_a_source_fails(tmp_path):
    harness = CollectorHarness(tmp_path, "system")
    before = len(list(Path("/proc/self/fd").iterdir()))
    (harness.proc / "meminfo").write_text("")
    for _ in range(100):
        harness.loop.set_enabled(True)
        harness.run(1)
        harness.loop.set_enabled(False)
        harness.run(1)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_sink_that_raises_is_counted_against_the_loop_and_told(tmp_path):
    clock, logged = FakeClock(), []

    def full(_):
        raise RuntimeError("no room")

    machine = LinuxMachine(DATA / "proc", DATA / "sys")
    system = SystemCollector(clock, tmp_path, lambda _: False, True, dict, machine)
    loop = CollectorLoop(system, 10, clock, full, lambda _: None, log=lambda *a: logged.append(a))
    loop._turn()
    assert (loop.status().state, loop.status().reason, len(logged)) == ("error", "RuntimeError: no room", 1)
    system.close()
