from __future__ import annotations

import pytest

from wfmon.collect.power import on_battery


def supply(root, name, **files):
    (root / name).mkdir(parents=True)
    for file, text in files.items():
        (root / name / file).write_text(text + "\n")


@pytest.mark.parametrize(
    ("online", "status", "expected"),
    [("0", "Discharging", True), ("1", "Charging", False), ("1", "Discharging", False), ("0", "Full", False)],
)
def test_a_laptop_runs_on_battery_when_it_discharges_and_is_not_plugged_in(tmp_path, online, status, expected):
    supply(tmp_path, "AC", type="Mains", online=online)
    supply(tmp_path, "BAT0", type="Battery", status=status)
    assert on_battery(tmp_path) is expected


def test_a_mouse_that_discharges_is_no_battery_of_the_machine(tmp_path):
    supply(tmp_path, "hidpp_battery_0", type="Battery", status="Discharging", scope="Device")
    assert on_battery(tmp_path) is False


def test_a_machine_without_supplies_runs_on_mains(tmp_path):
    assert on_battery(tmp_path) is False
