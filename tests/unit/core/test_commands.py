"""Commands that wfmon shows run as they stand, from any folder, whatever the paths are called."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from wfmon.core import commands

VENV = Path(sys.executable)


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
def test_a_command_of_the_package_runs_in_any_folder(tmp_path):
    shown = commands.wfmon("store", "--help")
    done = subprocess.run(["sh", "-c", shown], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert "forget" in done.stdout


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell")
def test_the_help_of_a_command_shows_examples_that_run_where_it_was_typed(tmp_path):
    shown = commands.wfmon("store", "--help")
    done = subprocess.run(["sh", "-c", shown], cwd=tmp_path, capture_output=True, text=True, check=True)
    [example] = [line for line in done.stdout.splitlines() if line.endswith("store info")]
    again = subprocess.run(
        ["sh", "-c", f"{example} --data {tmp_path}"], cwd=commands.ROOT, capture_output=True, text=True, check=False
    )
    assert "no history" in again.stderr


def test_paths_with_spaces_are_quoted(tmp_path, monkeypatch):
    folder = tmp_path / "my projects"
    (folder / ".venv" / "bin").mkdir(parents=True)
    (folder / "app.py").touch()
    monkeypatch.setattr(commands, "ROOT", folder)
    monkeypatch.setattr(sys, "executable", str(folder / ".venv/bin/python"))
    assert commands.app("--open", "--data", "/a b") == f"cd '{folder}' && .venv/bin/python app.py --open --data '/a b'"
    monkeypatch.setattr(sys, "executable", "/opt/my python/bin/python3")
    assert shlex.split(commands.app())[-2:] == ["/opt/my python/bin/python3", "app.py"]


def test_an_installed_package_needs_no_folder(tmp_path, monkeypatch):
    monkeypatch.setattr(commands, "ROOT", tmp_path)
    assert shlex.split(commands.wfmon("proxy")) == [sys.executable, "-m", "wfmon", "proxy"]


def test_what_was_typed_in_this_folder_is_shown_as_one_types_it_there(monkeypatch):
    monkeypatch.chdir(VENV.parents[2])
    assert commands.typed("app.py") == f"{VENV.relative_to(VENV.parents[2])} app.py"
    monkeypatch.chdir("/")
    assert commands.typed("app.py").endswith(" app.py")
