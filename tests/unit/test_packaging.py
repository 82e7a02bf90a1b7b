"""The package installs into an empty environment, the environments' scripts say what is missing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel that `pip install .` makes, built from a copy so that the tree stays clean, with nothing fetched."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE", "requirements.txt"):
        shutil.copy(ROOT / name, source)
    for name in ("wfmon", "pages", "callbacks"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    out = tmp_path_factory.mktemp("wheel")
    run(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", out, source)
    return next(out.glob("wfmon-*.whl"))


def run(*command, **more):
    """Run to the end; what it printed, and its complaint as the failure's text."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, **more)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_an_empty_environment_imports_wfmon_with_the_standard_library_alone(wheel, tmp_path):
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    run(sys.executable, "-m", "pip", f"--python={python}", "install", "-q", "--no-index", wheel)

    found = json.loads(
        run(
            python,
            "-I",
            "-c",
            "import json, sys; before = set(sys.modules); import wfmon\n"
            "print(json.dumps([wfmon.__file__, sorted(set(sys.modules) - before - set(sys.stdlib_module_names))]))",
        )
    )
    place, new = found
    assert Path(place).is_relative_to(tmp_path / "venv")
    assert [name for name in new if name.partition(".")[0] not in {"wfmon", *sys.stdlib_module_names}] == []


@pytest.mark.slow
def test_the_wheel_holds_the_whole_of_wfmon_and_nothing_else(wheel):
    ours = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "wfmon").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == ours


@pytest.mark.slow
def test_the_package_requires_nothing_and_the_extra_app_is_requirements_txt(wheel):
    archive = zipfile.ZipFile(wheel)
    metadata = Parser().parsestr(
        archive.read(next(name for name in archive.namelist() if name.endswith("/METADATA"))).decode()
    )
    wanted = {row for row in (ROOT / "requirements.txt").read_text().splitlines() if row and not row.startswith("#")}
    required = [row.partition(";") for row in metadata.get_all("Requires-Dist")]
    assert {extra.strip() for _, _, extra in required} == {'extra == "app"'}
    assert {row.strip() for row, _, _ in required} == wanted
    assert metadata["License-Expression"] == "MIT"


def on_a_bare_machine(folder, script, *arguments, **programs):
    """Run one of scripts/ where the PATH holds these programs (name=shell text) and the barest tools."""
    for name, text in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o755)
    for tool in ("bash", "id", "sed"):
        (folder / tool).symlink_to(shutil.which(tool))
    environment = {**os.environ, "PATH": str(folder), "PYTHON": "python3"}
    command = ["bash", ROOT / "scripts" / script, *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


NO_ENSUREPIP = 'case "$2" in *ensurepip*) exit 1;; *%d*) echo 3.11;; esac'


@pytest.mark.parametrize(
    ("script", "programs", "sentence"),
    [
        pytest.param("python.sh", {}, "Python 3.11 or newer is needed", id="no Python"),
        pytest.param("python.sh", {"python3": "exit 1"}, "Python 3.11 or newer is needed", id="an old Python"),
        pytest.param("python.sh", {"python3": NO_ENSUREPIP}, "apt-get install python3-venv'", id="no ensurepip"),
        pytest.param("node.sh", {}, "apt-get install nodejs'", id="no Node"),
        pytest.param("node.sh", {"node": "echo v16.20.2"}, "apt-get install nodejs'", id="an old Node"),
        pytest.param("npm.sh", {}, "apt-get install npm'", id="no npm"),
        pytest.param("browser.sh", {"chromium": ""}, "Chromium and chromedriver: install", id="no driver"),
    ],
)
def test_a_machine_that_lacks_something_is_told_in_one_line_what_to_install(tmp_path, script, programs, sentence):
    done = on_a_bare_machine(tmp_path, script, **programs)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert sentence in done.stderr


def test_node_18_runs_the_tests(tmp_path):
    node = 'if [ "$1" = --version ]; then echo v18.19.0; else echo "$@"; fi'
    done = on_a_bare_machine(tmp_path, "node.sh", "x.test.mjs", node=node)
    assert (done.returncode, done.stdout) == (0, "--test x.test.mjs\n")
