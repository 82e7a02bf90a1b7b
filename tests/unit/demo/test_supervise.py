"""The built-in model's process: it starts once, says where it is, and never outlives its monitor."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import psutil
import pytest

from wfmon.core.clock import SystemClock
from wfmon.core.settings import DemoSettings
from wfmon.demo.supervise import DemoProcess

ROOT = Path(__file__).parents[3]
PARENT = """
import sys, threading
from pathlib import Path
from wfmon.core.clock import SystemClock
from wfmon.core.settings import DemoSettings
from wfmon.demo.supervise import DemoProcess
demo = DemoProcess(SystemClock(), DemoSettings(port=0), Path(sys.argv[1]))
demo.command("start")
print(demo.command("wait")["pid"], flush=True)
threading.Event().wait()
"""


@pytest.fixture
def demo(tmp_path):
    made = DemoProcess(SystemClock(), DemoSettings(port=0, tokens_per_second=0.0), tmp_path / "data")
    yield made
    made.close()


def eventually(true):
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def gone(pid):
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_it_starts_once_answers_and_stops(demo, tmp_path):
    assert demo.command("")["state"] == demo.command("stop")["state"] == "off"
    first = demo.command("start")
    assert first["state"] in {"starting", "running"}
    assert demo.command("start")["pid"] == first["pid"]
    told = demo.command("wait")
    assert (told["state"], told["reason"], told["pid"]) == ("running", "", first["pid"])
    assert told["models"] == ["wfmon-demo-2gram", "wfmon-demo-4gram"]
    with urllib.request.urlopen(told["url"] + "/v1/models", timeout=10) as answer:
        assert [each["id"] for each in json.load(answer)["data"]] == told["models"]
    listening = {each.laddr.ip for each in psutil.Process(told["pid"]).net_connections() if each.status == "LISTEN"}
    assert listening == {"127.0.0.1"}
    assert [path.stat().st_mode & 0o777 for path in (tmp_path / "data").iterdir()] == [0o600]
    assert demo.command("stop") == {"state": "off", "reason": "", "pid": None, "url": "", "models": [], "rate": 0.0}
    assert gone(told["pid"])
    assert list((tmp_path / "data").iterdir()) == []


def test_a_port_in_use_is_said_and_another_one_taken(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        demo = DemoProcess(SystemClock(), DemoSettings(port=port, tokens_per_second=0.0), tmp_path)
        demo.command("start")
        told = demo.command("wait")
        demo.close()
    assert told["state"] == "running"
    assert told["reason"].startswith(f"port {port} is in use by another program")
    assert not told["url"].endswith(f":{port}")


def test_one_that_dies_is_told_as_failed_and_can_be_started_again(demo):
    demo.command("start")
    pid = demo.command("wait")["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: demo.command("")["state"] == "failed")
    assert demo.command("")["reason"] == "its process ended with exit code -9"
    demo.command("start")
    assert demo.command("wait")["state"] == "running"


def test_what_keeps_it_from_serving_is_told(demo, monkeypatch, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "numpy.py").write_text("raise ImportError('no numpy here')")
    monkeypatch.setattr("wfmon.__file__", str(linked(broken) / "wfmon" / "__init__.py"))
    demo.command("start")
    told = demo.command("wait")
    assert (told["state"], told["reason"]) == ("failed", "ImportError: no numpy here")


def linked(folder):
    """A folder that holds wfmon beside a numpy that cannot be imported."""
    (folder / "wfmon").symlink_to(ROOT / "wfmon")
    return folder


def test_after_close_nothing_starts(demo):
    demo.command("start")
    pid = demo.command("wait")["pid"]
    demo.close()
    assert gone(pid)
    demo.close()
    assert demo.command("start")["state"] == "off"


def test_it_ends_when_the_monitor_is_killed(tmp_path):
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    parent = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    with parent:
        pid = int(parent.stdout.readline())
        assert not gone(pid)
        parent.kill()
    eventually(lambda: gone(pid))


def test_nothing_is_started_by_import_or_construction(tmp_path):
    DemoProcess(SystemClock(), DemoSettings(), tmp_path / "none").close()
    assert not (tmp_path / "none").exists()
