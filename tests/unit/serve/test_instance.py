"""One monitor a data folder."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import wfmon
from wfmon.core.clock import FakeClock
from wfmon.serve import instance as module
from wfmon.serve.instance import AlreadyRunning, FolderError, Instance, RunningMonitor, prepare, read_running

SAID = {"url": "http://127.0.0.1:9445/", "ca_file": "/ca.pem", "boot": "b00t", "started_ms": 7}


@pytest.fixture
def clock():
    return FakeClock()


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_the_folder_is_made_for_its_owner_alone(tmp_path, clock):
    folder = tmp_path / "deep" / "data"
    Instance(folder, clock).close()
    assert mode(folder) == 0o700
    assert mode(folder / "lock") == 0o600


@pytest.mark.parametrize("holds", [[], ["lock", "token"]])
def test_an_empty_folder_or_one_of_ours_is_closed_to_others(tmp_path, holds):
    for name in holds:
        (tmp_path / name).touch()
    tmp_path.chmod(0o755)
    prepare(tmp_path)
    assert mode(tmp_path) == 0o700


def test_a_folder_with_other_files_that_others_may_read_is_left_as_it_is(tmp_path):
    (tmp_path / "thesis.odt").touch()
    tmp_path.chmod(0o755)
    with pytest.raises(FolderError, match="holds other files and is open to other users"):
        prepare(tmp_path)
    assert mode(tmp_path) == 0o755


def test_a_private_folder_with_other_files_will_do(tmp_path):
    (tmp_path / "thesis.odt").touch()
    tmp_path.chmod(0o700)
    prepare(tmp_path)


def test_a_path_that_is_no_folder_is_refused_with_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(FolderError, match=f"^The data folder {path} cannot be used"):
            prepare(path)


def test_a_folder_of_another_user_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(module.os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(FolderError, match="belongs to another user"):
        prepare(tmp_path)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path, clock):
    (tmp_path / "lock").mkdir()  # as root, permissions alone would not stop us
    with pytest.raises(FolderError, match="cannot be used"):
        Instance(tmp_path, clock)


def test_a_second_monitor_on_the_folder_is_told_where_the_first_one_is(tmp_path, clock):
    first = Instance(tmp_path, clock)
    with pytest.raises(AlreadyRunning) as before:
        Instance(tmp_path, clock)
    assert before.value.running is None
    first.publish(**SAID)
    with pytest.raises(AlreadyRunning, match=rf"at http://127.0.0.1:9445/ \(process {os.getpid()}\)") as told:
        Instance(tmp_path, clock)
    assert told.value.running == RunningMonitor(**SAID, pid=os.getpid(), version=wfmon.__version__)
    assert read_running(tmp_path) == told.value.running, "the attempt took nothing away"
    first.close()
    Instance(tmp_path, clock).close()


def test_what_is_published_is_private_whole_and_taken_back(tmp_path, clock):
    first = Instance(tmp_path, clock)
    first.publish(**SAID)
    path = tmp_path / "server.json"
    assert mode(path) == 0o600
    assert json.loads(path.read_text()) == {**SAID, "pid": os.getpid(), "version": wfmon.__version__}
    first.close()
    first.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock"]
    assert read_running(tmp_path) is None


def test_nobody_runs_where_there_is_nothing(tmp_path):
    assert read_running(tmp_path) is None
    assert read_running(tmp_path / "nowhere") is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"url": 1}', "\xff"])
def test_a_broken_server_file_is_no_monitor(tmp_path, clock, text):
    first = Instance(tmp_path, clock)
    (tmp_path / "server.json").write_bytes(text.encode("latin-1"))
    assert read_running(tmp_path) is None
    first.close()


def test_a_look_at_the_folder_does_not_stop_a_start(tmp_path, clock):
    """Whoever looks holds the lock for an instant: the start asks again."""
    Instance(tmp_path, clock).close()
    look = open(tmp_path / "lock", "rb")  # noqa: SIM115  closed by the wait below
    assert module.try_lock(look, shared=True)
    clock.wait = lambda _event, _seconds: look.close()
    Instance(tmp_path, clock).close()


def test_two_looks_do_not_disturb_one_another(tmp_path, clock):
    Instance(tmp_path, clock).close()
    with open(tmp_path / "lock", "rb") as look:
        assert module.try_lock(look, shared=True)
        assert read_running(tmp_path) is None


HOLD = """
import pathlib, sys
from wfmon.core.clock import SystemClock
from wfmon.serve.instance import Instance
held = Instance(pathlib.Path(sys.argv[1]), SystemClock())
held.publish(url="http://127.0.0.1:1/", ca_file="", boot="b", started_ms=1)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.mark.faults
def test_a_killed_monitor_leaves_no_lock_and_its_server_file_is_stale(tmp_path, clock):
    root = Path(__file__).parents[3]
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"held\n"
        assert read_running(tmp_path).pid == other.pid
        with pytest.raises(AlreadyRunning, match=f"process {other.pid}"):
            Instance(tmp_path, clock)
        other.kill()
    assert (tmp_path / "server.json").exists()
    assert read_running(tmp_path) is None
    second = Instance(tmp_path, clock)
    assert not (tmp_path / "server.json").exists()
    second.close()
