from __future__ import annotations

import json
import shutil
from math import isnan
from pathlib import Path

import pytest

from tests.kit.replayed import ReplayNvml
from wfmon.collect import gpu_nvml
from wfmon.collect.gpu import FAST, NOT_REPORTED, RETRY_LOST_S, SLOW, GpuCollector
from wfmon.collect.gpu_amd import AmdDriver
from wfmon.collect.gpu_nvml import NO_LIBRARY, NvmlDriver
from wfmon.collect.power import ASLEEP, LEFT_ALONE
from wfmon.core.clock import FakeClock
from wfmon.core.types import Unavailable

DATA = Path(__file__).parents[2] / "data"


def no_library():
    raise Unavailable(NO_LIBRARY)


class GpuHarness:
    def __init__(self, tmp_path, nvml=None, amd=False):
        self.nvml = nvml
        self.pci, self.drm = tmp_path / "pci", tmp_path / "drm"
        self.pci.mkdir()
        if amd:
            shutil.copytree(DATA / "sys/class/drm", self.drm)
        self.clock = FakeClock()
        self.someone, self.tables = True, set()
        drivers = (NvmlDriver(no_library if nvml is None else lambda: nvml, self.pci), AmdDriver(self.drm))
        self.collector = GpuCollector(self.clock, self.tables.__contains__, lambda: self.someone, drivers)

    def beat(self, seconds=0.1):
        self.clock.advance(seconds)
        self.frame = self.collector.collect()
        return {str(s): v for s, v in zip(self.frame.layout.series, self.frame.values.tolist(), strict=True)}

    def device(self, bus, status, control="auto"):
        power = self.pci / bus / "power"
        power.mkdir(parents=True, exist_ok=True)
        (self.pci / bus / "vendor").write_text("0x10de\n")
        (self.pci / bus / "class").write_text("0x030000\n")
        (power / "control").write_text(control)
        (power / "runtime_status").write_text(status)


def of(number, values):
    return {k.partition("{")[0]: v for k, v in values.items() if k.endswith(f'{{gpu="{number}"}}')}


def test_two_nvidia_cards_give_the_numbers_that_nvml_gives_in_our_units(tmp_path):
    harness = GpuHarness(tmp_path, ReplayNvml())
    values = harness.beat()
    assert of(0, values) == {
        "gpu.utilisation_percent": 37, "gpu.memory_used_bytes": 6e9, "gpu.memory_percent": pytest.approx(23.2944253),
        "gpu.temperature_celsius": 54, "gpu.power_watts": 213.45, "gpu.clock_mhz": 2520,
        "gpu.memory_total_bytes": 25757220864, "gpu.power_limit_watts": 450, "gpu.memory_clock_mhz": 10501,
        "gpu.fan_percent": 31,
    }  # fmt: skip
    second = of(1, values)
    assert second["gpu.memory_used_bytes"] == 504365056  # an old driver: the first version of the call
    assert second["gpu.power_watts"] == 34.72
    assert harness.collector.names() == ("NVIDIA GeForce RTX 4090", "NVIDIA A100-PCIE-40GB")
    harness.collector.close()


def test_what_a_card_does_not_report_is_absent_with_a_reason_and_the_rest_stands(tmp_path):
    harness = GpuHarness(tmp_path, ReplayNvml())
    values = harness.beat()
    absent = {name for name, value in values.items() if isnan(value)}
    assert absent == {'gpu.utilisation_percent{gpu="1"}', 'gpu.fan_percent{gpu="1"}'}
    assert harness.frame.reasons == dict.fromkeys(absent, NOT_REPORTED)


def test_slow_values_come_once_a_second_in_the_same_two_layouts(tmp_path):
    harness = GpuHarness(tmp_path, ReplayNvml())
    names = [len(harness.beat()) for _ in range(20)]
    assert names == [20, *[12] * 8, 20, *[12] * 9, 20]
    layouts = {harness.frame.layout for _ in range(20) if harness.beat()}
    assert {len(layout) for layout in layouts} == {2 * len(FAST), 2 * len(FAST + SLOW)}
    assert len(layouts) == 2


def test_the_memory_of_processes_is_asked_for_only_while_watched_and_counted_once_a_card(tmp_path):
    harness = GpuHarness(tmp_path, ReplayNvml())
    harness.beat()
    assert harness.collector.process_memory() == {}
    harness.tables.add("processes")
    harness.beat(1)
    # 77 computes and draws on card 0 (once), and computes on card 1; 90's memory is not told
    assert harness.collector.process_memory() == {77: 5_400_000_000, 90: 0, 1234: 300_000_000}
    harness.tables.clear()
    harness.beat(1)
    assert harness.collector.process_memory() == {}


def test_an_amd_card_gives_the_numbers_of_its_files_in_our_units(tmp_path):
    harness = GpuHarness(tmp_path, amd=True)
    assert of(0, harness.beat()) == {
        "gpu.utilisation_percent": 63, "gpu.memory_used_bytes": 6e9, "gpu.memory_percent": 25,
        "gpu.temperature_celsius": 61, "gpu.power_watts": 245, "gpu.clock_mhz": 2310, "gpu.memory_total_bytes": 24e9,
        "gpu.power_limit_watts": 327, "gpu.memory_clock_mhz": 1249, "gpu.fan_percent": 50,
    }  # fmt: skip
    assert harness.collector.names() == ("AMD Radeon RX 7900 XTX",)
    harness.collector.close()


def test_an_older_amd_card_is_read_from_power1_input_and_tells_what_it_lacks(tmp_path):
    harness = GpuHarness(tmp_path, amd=True)
    hwmon = harness.drm / "card1/device/hwmon/hwmon4"
    (hwmon / "power1_average").rename(hwmon / "power1_input")
    (hwmon / "fan1_max").unlink()
    (hwmon / "freq2_input").unlink()
    (harness.drm / "card1/device/gpu_busy_percent").write_text("")
    values = of(0, harness.beat())
    assert values["gpu.power_watts"] == 245
    assert harness.frame.reasons == {
        'gpu.utilisation_percent{gpu="0"}': "the driver's file holds no number",
        'gpu.fan_percent{gpu="0"}': "the card does not report its fan's maximum",
        'gpu.memory_clock_mhz{gpu="0"}': NOT_REPORTED,
    }


def test_amd_cards_are_numbered_after_nvidias(tmp_path):
    harness = GpuHarness(tmp_path, ReplayNvml(), amd=True)
    assert of(2, harness.beat())["gpu.utilisation_percent"] == 63
    assert len(harness.collector.names()) == 3


def test_without_a_card_the_reason_stands_in_words(tmp_path):
    harness = GpuHarness(tmp_path)
    with pytest.raises(Unavailable) as gone:
        harness.beat()
    assert gone.value.reason == f"No NVIDIA driver: libnvidia-ml not found. No AMD card under {harness.drm}."
    assert not gone.value.lost


@pytest.mark.parametrize(
    ("code", "words", "lost"),
    [
        (9, "installed but not loaded", False),
        (12, "libnvidia-ml not found", False),
        (18, "differ in version: restart", True),
        (4, "may not", False),
        (999, "NVML reports: code 999.", False),
    ],
)
def test_a_driver_that_does_not_start_is_told_in_words(tmp_path, code, words, lost):
    nvml = ReplayNvml()
    nvml.init_error = code
    with pytest.raises(Unavailable, match=words) as gone:
        GpuHarness(tmp_path, nvml).beat()
    assert gone.value.lost is lost


def test_one_lost_card_of_two_is_a_gap_with_a_reason_and_is_looked_for_again_after_a_minute(tmp_path):
    harness = GpuHarness(tmp_path, ReplayNvml())
    harness.beat()
    harness.nvml.broken[1] = 15
    values = harness.beat()
    assert of(0, values)["gpu.utilisation_percent"] == 37
    assert all(isnan(value) for value in of(1, values).values())
    assert "lost" in harness.frame.reasons['gpu.power_watts{gpu="1"}']
    with pytest.raises(Unavailable) as gone:
        harness.beat(RETRY_LOST_S)
    assert gone.value.lost
    harness.nvml.broken.clear()
    assert of(1, harness.beat())["gpu.power_watts"] == 34.72
    assert (harness.nvml.inits, harness.nvml.shutdowns) == (2, 1)


@pytest.mark.parametrize("code", [1, 15, 16, 18])
def test_when_every_card_is_lost_the_collector_is_and_the_next_call_opens_the_driver_anew(tmp_path, code):
    harness = GpuHarness(tmp_path, ReplayNvml())
    harness.beat()
    harness.nvml.broken = {0: code, 1: code}
    with pytest.raises(Unavailable) as gone:
        harness.beat()
    assert gone.value.lost
    harness.nvml.init_error = 9
    with pytest.raises(Unavailable, match="not loaded") as gone:
        harness.beat()
    assert gone.value.lost  # it ran before
    harness.nvml.broken, harness.nvml.init_error = {}, None
    assert of(0, harness.beat())["gpu.utilisation_percent"] == 37


def test_a_sleeping_nvidia_card_is_not_woken_while_nobody_watches_and_is_when_somebody_does(tmp_path):
    harness = GpuHarness(tmp_path, ReplayNvml())
    harness.device("0000:01:00.0", "suspended")
    harness.device("0000:41:00.0", "suspended")
    harness.someone = False
    values = harness.beat()
    assert (harness.nvml.inits, harness.nvml.asked) == (0, 0)
    assert all(isnan(value) for value in values.values())
    assert set(harness.frame.reasons.values()) == {ASLEEP}
    assert harness.collector.names() == ("NVIDIA card (asleep)",) * 2
    harness.someone = True
    assert of(0, harness.beat(1))["gpu.utilisation_percent"] == 37
    assert harness.collector.names()[0] == "NVIDIA GeForce RTX 4090"


def test_an_idle_card_is_left_alone_until_it_sleeps_and_nvml_is_shut_down_for_it(tmp_path):
    harness = GpuHarness(tmp_path, ReplayNvml())
    del harness.nvml.devices[1]
    harness.device("0000:01:00.0", "active")
    harness.someone = False
    for _ in range(15):
        assert of(0, harness.beat(1))["gpu.utilisation_percent"] == 37  # at work: read on
    harness.nvml.devices[0]["nvmlDeviceGetUtilizationRates"] = {"value": {"gpu": 0, "memory": 0}}
    harness.beat(1)
    for _ in range(9):
        assert of(0, harness.beat(1))["gpu.utilisation_percent"] == 0
    asked = harness.nvml.asked
    harness.beat(1)
    assert set(harness.frame.reasons.values()) == {LEFT_ALONE}
    assert (harness.nvml.asked, harness.nvml.shutdowns) == (asked, 1)
    harness.device("0000:01:00.0", "suspended")
    harness.beat(100)
    assert set(harness.frame.reasons.values()) == {ASLEEP}
    harness.device("0000:01:00.0", "active")  # a program woke it
    assert of(0, harness.beat(1))["gpu.utilisation_percent"] == 0
    assert harness.nvml.inits == 2
    harness.beat(9)
    assert harness.frame.reasons == {}
    harness.beat(1)
    assert set(harness.frame.reasons.values()) == {LEFT_ALONE}  # it did nothing since, and may sleep again


def test_an_idle_card_that_does_not_fall_asleep_is_read_on(tmp_path):
    harness = GpuHarness(tmp_path, amd=True)
    (harness.drm / "card1/device/gpu_busy_percent").write_text("0\n")
    harness.someone = False
    seen = [bool(harness.frame.reasons) for _ in range(60) if harness.beat(1)]
    assert seen == [False] * 10 + [True] * 20 + [False] * 30


def test_a_card_that_the_kernel_may_not_switch_off_never_rests(tmp_path):
    harness = GpuHarness(tmp_path, amd=True)
    (harness.drm / "card1/device/power/control").write_text("on\n")
    (harness.drm / "card1/device/gpu_busy_percent").write_text("0\n")
    harness.someone = False
    assert not any(harness.frame.reasons for _ in range(60) if harness.beat(1))


def test_an_amd_card_whose_folder_is_gone_is_lost(tmp_path):
    harness = GpuHarness(tmp_path, amd=True)
    harness.beat()
    harness.collector._drivers[1]._cards[0].close()
    shutil.rmtree(harness.drm)
    with pytest.raises(Unavailable, match="lost") as gone:
        harness.beat()
    assert gone.value.lost


def test_close_shuts_nvml_down_once_and_a_later_beat_starts_it_again(tmp_path):
    harness = GpuHarness(tmp_path, ReplayNvml())
    harness.beat()
    harness.collector.close()
    harness.collector.close()
    assert (harness.nvml.inits, harness.nvml.shutdowns) == (1, 1)
    harness.beat()
    assert harness.nvml.inits == 2


def test_the_missing_library_is_found_out_without_importing_pynvml(monkeypatch):
    def missing(_):
        raise OSError

    monkeypatch.setattr(gpu_nvml.sys, "platform", "linux")
    monkeypatch.setattr(gpu_nvml.ctypes, "CDLL", missing)
    with pytest.raises(Unavailable, match="libnvidia-ml not found"):
        gpu_nvml.load_pynvml()


def test_every_replay_says_where_it_comes_from_and_answers_every_call_that_is_asked():
    from scripts import capture_nvml

    keys = {f"{name}({given[0]})" if given else name for name, given in capture_nvml.CALLS}
    files = list((DATA / "nvml").glob("*.json"))
    assert files
    for file in files:
        replay = json.loads(file.read_text("utf-8"))
        assert replay["source"].startswith(("captured, driver", "from documentation, not captured"))
        assert all(device.keys() == keys for device in replay["devices"])


def test_a_capture_of_a_card_is_replayed_as_the_card_itself(tmp_path, monkeypatch):
    from scripts import capture_nvml

    card = ReplayNvml()
    monkeypatch.setattr(capture_nvml, "pynvml", card)
    capture_nvml.main(str(tmp_path / "capture.json"))
    captured = json.loads((tmp_path / "capture.json").read_text("utf-8"))
    assert captured["source"] == "captured, driver 580.00"
    assert captured["devices"] == card.devices
    assert (card.inits, card.shutdowns) == (1, 1)
