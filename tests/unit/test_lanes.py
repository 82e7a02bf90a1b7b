"""`make test` runs each test once, in one of its lanes, and fails when a lane does."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def lanes(tmp_path):
    spec = importlib.util.spec_from_file_location("lanes", ROOT / "scripts/lanes.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["lanes"] = module
    spec.loader.exec_module(module)
    module.LOGS, module.CACHE = tmp_path / "logs", tmp_path / "cache"
    module.LOGS.mkdir()
    yield module
    del sys.modules["lanes"]


def test_every_folder_of_tests_is_in_a_lane(lanes):
    folders = {
        f"tests/{path.parent.relative_to(ROOT / 'tests').parts[0]}" for path in ROOT.glob("tests/*/**/test_*.py")
    }
    parallel = (lanes.COMPUTING, lanes.WAITING, *lanes.PAGES)
    ran = {each for lane in parallel for each in lane.arguments if each.startswith("tests/") and "." not in each}
    assert ran == folders - {"tests/runtimes"}


def test_the_browsers_tests_are_in_one_of_its_two_lanes_each(lanes):
    first, second = ({each for each in lane.arguments if "browser" in each} for lane in lanes.PAGES)
    assert first == set(lanes.FIRST_PAGES)
    assert second == {"tests/browser", *(f"--ignore={each}" for each in first)}
    assert all((ROOT / each).is_file() for each in first)


def test_only_the_browsers_tests_wait_for_an_idle_machine(lanes):
    marked = {path for path in ROOT.glob("tests/**/test_*.py") if "pytest.mark." + "alone" in path.read_text("utf-8")}
    assert marked
    assert {path.parent for path in marked} == {ROOT / "tests/browser"}


@pytest.mark.parametrize(
    "argument", ["-k", "-kname", "-m", "-s", "--lf", "--pdb", "tests/unit", "tests/unit/test_lanes.py::x"]
)
def test_arguments_that_choose_tests_make_one_run(lanes, argument):
    assert lanes.chooses(argument)


@pytest.mark.parametrize("argument", ["-x", "-v", "--hypothesis-profile=explore", "--durations=9", "--maxfail=1"])
def test_other_arguments_go_to_every_lane(lanes, argument):
    assert not lanes.chooses(argument)


def test_a_lane_that_fails_is_shown_without_its_slowest_tests_and_its_failure_is_kept(lanes, tmp_path, capfd):
    (tmp_path / "test_good.py").write_text("def test_good(): pass\n")
    (tmp_path / "test_bad.py").write_text("import time\ndef test_bad():\n    time.sleep(0.3)\n    assert False\n")
    made = [lanes.Lane(name, (str(tmp_path / f"test_{name}.py"), "-p", "no:dash")) for name in ("good", "bad")]
    assert lanes.run(made, []) == [0, 1]
    printed = capfd.readouterr().out
    assert "1 passed" in printed
    assert "1 failed" in printed
    assert "slowest" not in printed
    assert "slowest 40 durations" in made[1].log.read_text()
    assert lanes.keep_failed(made) == 1
    assert [name.partition("::")[2] for name in json.loads((lanes.CACHE / "v/cache/lastfailed").read_text())] == [
        "test_bad"
    ]
