from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wfmon.collect.linux import LinuxMachine
from wfmon.collect.system import COLUMNS, FIRST, NO_DISK, NO_SENSOR, NO_SWAP, UNMOVED, SystemCollector
from wfmon.core.clock import FakeClock

DATA = Path(__file__).parents[2] / "data"
PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="reads a tree of /proc")


class SystemHarness:
    def __init__(self, tmp_path):
        self.proc, self.sys = tmp_path / "proc", tmp_path / "sys"
        shutil.copytree(DATA / "proc", self.proc)
        shutil.copytree(DATA / "sys", self.sys)
        self.clock = FakeClock()
        self.watched = set()
        self.gpu = {}
        self.collector = SystemCollector(
            self.clock, tmp_path, self.watched.__contains__, True, lambda: self.gpu,
            LinuxMachine(self.proc, self.sys, clock_ticks=100),
        )  # fmt: skip

    def beat(self, seconds=0.1):
        self.clock.advance(seconds)
        self.frame = self.collector.collect()
        return {str(s): v for s, v in zip(self.frame.layout.series, self.frame.values.tolist(), strict=True)}

    def write(self, name, text):
        (self.proc / name).write_text(text)  # the same file, in place: the collector holds it open

    def edit(self, name, *pairs):
        text = (self.proc / name).read_text()
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        self.write(name, text)


@pytest.fixture
def harness(tmp_path):
    harness = SystemHarness(tmp_path)
    yield harness
    harness.collector.close()


def test_the_first_beat_has_every_series_and_the_next_ones_only_the_fast_ones(harness):
    first = harness.beat()
    assert harness.frame.t_ms == 1_700_000_000_100
    assert list(first) == [
        "system.cpu_percent", 'system.cpu_core_percent{core="0"}', 'system.cpu_core_percent{core="1"}',
        "system.memory_used_bytes", "system.memory_available_bytes", "system.memory_percent", "system.swap_used_bytes",
        "system.swap_percent", "system.disk_read_bytes_per_second", "system.disk_write_bytes_per_second",
        "system.load_1m", "system.load_5m", "system.load_15m", "system.memory_total_bytes", "system.swap_total_bytes",
        "system.disk_free_bytes", "system.disk_total_bytes", "system.disk_free_percent",
        'system.temperature_celsius{sensor="coretemp Package id 0"}',
        'system.temperature_celsius{sensor="nvme Composite"}',
        'system.temperature_celsius{sensor="nvme Composite 2"}',
    ]  # fmt: skip
    full, fast = harness.frame.layout, set()
    for _ in range(8):
        values = harness.beat()
        fast.add(harness.frame.layout)
    assert len(fast) == 1
    assert list(values) == list(first)[:10]
    harness.beat()
    assert harness.frame.layout is full


def test_memory_swap_load_and_temperatures_are_the_kernels_numbers(harness):
    values = harness.beat()
    assert values["system.memory_total_bytes"] == 16_000_000 * 1024
    assert values["system.memory_available_bytes"] == 12_000_000 * 1024
    assert values["system.memory_used_bytes"] == 4_000_000 * 1024
    assert values["system.memory_percent"] == 25.0
    assert values["system.swap_total_bytes"] == 4_000_000 * 1024
    assert values["system.swap_used_bytes"] == 1_000_000 * 1024
    assert values["system.swap_percent"] == 25.0
    assert [values[f"system.load_{n}m"] for n in (1, 5, 15)] == [0.25, 1.5, 2.75]
    sensors = {k.partition('"')[2][:-2]: v for k, v in values.items() if "temperature" in k}
    assert sensors == {"coretemp Package id 0": 45.0, "nvme Composite": 38.85, "nvme Composite 2": 41.0}


def test_cpu_is_the_share_that_is_neither_idle_nor_waiting_for_a_disk(harness):
    first = harness.beat()
    assert first["system.cpu_percent"] != first["system.cpu_percent"]
    assert harness.frame.reasons["system.cpu_percent"] == FIRST
    # core 0: 3 user, 1 system, 5 idle, 1 iowait of 10; core 1: 10 idle of 10; guest time is within user time
    harness.edit("stat", ("cpu  1000 100 500 8000 300", "cpu  1003 100 501 8015 301"),
               ("cpu0 600 50 300 3800 200 20 30 10 30", "cpu0 603 50 301 3805 201 20 30 10 33"),
               ("cpu1 400 50 200 4200", "cpu1 400 50 200 4210"))  # fmt: skip
    values = harness.beat()
    assert values["system.cpu_percent"] == 20.0
    assert values['system.cpu_core_percent{core="0"}'] == 40.0
    assert values['system.cpu_core_percent{core="1"}'] == 0.0
    assert harness.frame.reasons == {}


def test_a_core_whose_idle_time_falls_back_shows_no_negative_share(harness):
    harness.beat()
    harness.edit("stat", ("cpu0 600 50 300 3800 200", "cpu0 610 50 300 3800 195"))
    values = harness.beat()
    assert values['system.cpu_core_percent{core="0"}'] == 100.0
    assert values['system.cpu_core_percent{core="1"}'] != values['system.cpu_core_percent{core="1"}']
    assert harness.frame.reasons["system.cpu_core_percent"] == UNMOVED


def test_a_core_that_is_switched_off_leaves_and_the_rest_go_on(harness):
    harness.beat()
    text = (harness.proc / "stat").read_text()
    harness.write("stat", text.replace("cpu1 400 50 200 4200 100 20 30 10 0 0\n", ""))
    values = harness.beat()
    assert [k for k in values if "core" in k] == ['system.cpu_core_percent{core="0"}']
    assert harness.frame.reasons["system.cpu_percent"] == FIRST


def test_disks_are_whole_physical_ones_counted_once(harness):
    values = harness.beat()
    # sda and nvme0n1; not its hidden path, no partition, loop, dm or zram
    assert values["system.disk_read_bytes_per_second"] == (2000 + 100) * 512
    assert values["system.disk_write_bytes_per_second"] == (4000 + 200) * 512


def test_a_disk_that_is_unplugged_and_plugged_in_again_makes_no_jump(harness):
    harness.beat()
    text = (harness.proc / "diskstats").read_text()
    harness.write("diskstats", "".join(line for line in text.splitlines(keepends=True) if " sda" not in line))
    assert harness.beat()["system.disk_read_bytes_per_second"] == 2100 * 512
    harness.write("diskstats", text)
    assert harness.beat()["system.disk_read_bytes_per_second"] == 2100 * 512
    harness.edit("diskstats", ("sda 100 5 2000", "sda 101 5 2010"))
    assert harness.beat()["system.disk_read_bytes_per_second"] == 2110 * 512


def test_what_a_container_lacks_is_absent_with_a_reason(harness):
    shutil.rmtree(harness.sys)
    harness.edit(
        "meminfo", ("SwapTotal:       4000000", "SwapTotal:       0"), ("SwapFree:        3000000", "SwapFree: 0")
    )
    values = harness.beat()
    for name in (
        "system.swap_used_bytes",
        "system.swap_percent",
        "system.disk_read_bytes_per_second",
        "system.disk_write_bytes_per_second",
    ):
        assert values[name] != values[name]
    reasons = harness.frame.reasons
    assert reasons["system.swap_percent"] == reasons["system.swap_used_bytes"] == NO_SWAP
    assert reasons["system.disk_read_bytes_per_second"] == NO_DISK
    assert reasons["system.temperature_celsius"] == NO_SENSOR
    assert not any("temperature" in name for name in values)


def test_available_memory_above_all_memory_is_not_believed(harness):
    harness.edit("meminfo", ("MemAvailable:   12000000", "MemAvailable:   99000000"))
    assert harness.beat()["system.memory_percent"] == 87.5


def test_a_data_folder_that_is_gone_leaves_the_rest_standing(harness, tmp_path):
    harness.collector._data_dir = tmp_path / "gone"
    values = harness.beat()
    assert values["system.disk_free_bytes"] != values["system.disk_free_bytes"]
    assert "cannot be read" in harness.frame.reasons["system.disk_free_bytes"]
    assert values["system.memory_percent"] == 25.0


def test_a_sensor_that_stops_answering_is_a_gap_and_one_without_hwmon_comes_from_thermal(harness):
    harness.beat()
    (harness.sys / "class/hwmon/hwmon0/temp1_input").write_text("")
    values = harness.beat(1)
    hot = 'system.temperature_celsius{sensor="coretemp Package id 0"}'
    assert values[hot] != values[hot]
    assert harness.frame.reasons["system.temperature_celsius"] == "the sensor does not answer"
    shutil.rmtree(harness.sys / "class/hwmon")
    zone = harness.sys / "class/thermal/thermal_zone0"
    zone.mkdir(parents=True)
    (zone / "type").write_text("x86_pkg_temp\n")
    (zone / "temp").write_text("52000\n")
    assert harness.beat(60)['system.temperature_celsius{sensor="x86_pkg_temp"}'] == 52.0


def test_processes_are_listed_only_while_watched_and_with_their_share_of_one_core(harness):
    harness.beat()
    assert harness.frame.tables == {}
    harness.watched.add("processes")
    harness.beat()
    assert harness.frame.tables == {}  # not within the same second
    harness.gpu = {77: 5_000}
    harness.beat(1)
    assert harness.frame.tables["processes"].columns == COLUMNS
    # no share before the second look: the largest in the card's memory stands first
    assert harness.frame.tables["processes"].rows == (
        ("llama-server-cuda", 77, None, 3000 * PAGE, 5_000),
        ("evil) name ", 1234, None, 2000 * PAGE, None),
    )
    harness.edit("1234/stat", (" 700 300 ", " 750 300 "))
    harness.beat(1)
    assert [(row[1], row[2]) for row in harness.frame.tables["processes"].rows] == [(1234, 50.0), (77, 0.0)]
    harness.watched.clear()
    harness.beat(1)
    assert harness.frame.tables == {}
    harness.watched.add("processes")
    harness.beat(1)
    assert {row[2] for row in harness.frame.tables["processes"].rows} == {None}  # no share of the time nobody watched


def test_a_process_that_reuses_a_pid_does_not_inherit_its_time(harness):
    harness.watched.add("processes")
    harness.beat(1)
    harness.edit("1234/stat", (" 700 300 ", " 900 300 "), (" 5000 123456789 ", " 9999 123456789 "))
    harness.beat(1)
    assert {row[1]: row[2] for row in harness.frame.tables["processes"].rows}[1234] is None


def test_the_switch_turns_the_list_of_processes_off(harness):
    harness.watched.add("processes")
    harness.collector.processes_enabled = False
    harness.beat(1)
    assert harness.frame.tables == {}


def test_a_name_with_control_characters_is_made_fit_to_show_and_ends_at_64_characters(harness):
    text = (harness.proc / "77/stat").read_text()
    harness.write("77/stat", text.replace("llama-server-cu", "a\x1b[31m\u202e" + "b" * 100))
    harness.watched.add("processes")
    harness.beat(1)
    names = {row[1]: row[0] for row in harness.frame.tables["processes"].rows}
    assert names[77] == "a\ufffd[31m\ufffd" + "b" * 57


def test_of_many_processes_the_ten_busiest_are_listed(harness):
    stat = (harness.proc / "77/stat").read_text()
    harness.watched.add("processes")
    for n in range(20):
        (harness.proc / str(3000 + n)).mkdir()
        harness.write(f"{3000 + n}/stat", stat.replace("77 (llama-server-cu)", f"{3000 + n} (p)"))
    harness.beat(1)
    for n in range(20):
        harness.edit(f"{3000 + n}/stat", (" 50 50 ", f" {50 + n} 50 "))
    harness.beat(1)
    assert [(row[1], row[2]) for row in harness.frame.tables["processes"].rows] == [
        (3019 - n, pytest.approx(19 - n)) for n in range(10)
    ]


def test_after_close_it_measures_again_from_a_first_reading(harness):
    harness.beat()
    harness.collector.close()
    harness.collector.close()
    harness.beat()
    assert harness.frame.reasons["system.cpu_percent"] == FIRST


@given(name=st.binary(max_size=15).filter(lambda name: b"\0" not in name))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_name_of_a_process_hides_its_numbers(tmp_path, name):
    folder = tmp_path / "5"
    folder.mkdir(exist_ok=True)
    stat = (DATA / "proc/77/stat").read_bytes()
    (folder / "stat").write_bytes(stat.replace(b"llama-server-cu", name))
    birth, cpu_s, rss, shown = LinuxMachine(tmp_path, tmp_path, clock_ticks=100).processes()[5]
    assert (birth, cpu_s, rss) == (b"900", 1.0, 3000 * PAGE)
    assert all(c.isprintable() for c in shown)
