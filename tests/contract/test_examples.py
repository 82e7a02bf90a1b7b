"""Each example of docs/hook.md, run as a user runs it, beside a real monitor: the monitor tells what it showed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.contract.test_command import WAIT_S, Running

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
DOC = ROOT / "docs" / "hook.md"
BLOCK = re.compile(r"<!-- example: (\S+) -->\n```(\w+)\n(.*?)```\n", re.DOTALL)


class Told:
    """What the monitor tells of requests, once there is one of a model (and of a server) that has ended."""

    def __init__(self, monitor):
        self.monitor = monitor

    def get(self, path):
        status, body = self.monitor.get(path)
        assert status == 200, body
        return json.loads(body)

    def request(self, model, count=1, server=None):
        deadline = time.monotonic() + WAIT_S
        while True:
            rows = self.get("/api/v1/requests")["requests"]
            found = [row for row in rows if row["model"] == model and row["status"] != "open"]
            found = [row for row in found if server in (None, row["server"])]
            if len(found) >= count:
                return found
            assert time.monotonic() < deadline, rows
            time.sleep(0.05)

    def model(self, name):
        return next(row for row in self.get("/api/v1/models")["models"] if row["model"] == name)


def run(name, data, **env):
    command = [sys.executable, str(EXAMPLES / name)] if name.endswith(".py") else [str(EXAMPLES / name)]
    done = subprocess.run(
        command, cwd=data.parent, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "WFMON_DATA": str(data), "PYTHONPATH": str(ROOT), **env},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    monitor = Running(tmp_path_factory.mktemp("examples") / "data")
    yield Told(monitor)
    monitor.stop()
    monitor.process.stdout.close()


def test_a_plain_iterator(told):
    done = run("plain_iterator.py", told.monitor.data)
    assert (done.stdout, done.stderr) == ("You said: hello, how are you today? \n", "")
    [row] = told.request("my-model")
    assert (row["output_tokens"], row["status"], row["via"]) == (7, "ok", "hook")
    assert row["server"] == "plain_iterator.py"
    assert row["ttft_ms"] >= 30
    assert row["duration_ms"] >= 210
    assert row["entropy_bits"] is None
    assert told.model("my-model")["entropy_reason"]


def test_an_async_stream(told):
    assert run("async_stream.py", told.monitor.data).stdout == "You said: hello, how are you today? \n"
    [row] = told.request("my-async-model")
    assert (row["output_tokens"], row["status"]) == (7, "ok")


def test_a_with_block(told):
    run("with_block.py", told.monitor.data)
    rows = told.request("my-own-loop", 2)
    assert {(row["prompt_tokens"], row["output_tokens"]) for row in rows} == {(12, 20)}
    exact, band = rows[1], rows[0]
    assert 0.5 <= exact["entropy_bits"] <= 4.0
    assert exact["entropy_k"] == 32_000
    assert band["entropy_k"] == 3


@pytest.mark.skipif(not Path("/proc/uptime").exists(), reason="the example takes Linux's clock")
def test_any_language(told):
    answer = json.loads(run("any_language.sh", told.monitor.data).stdout)
    assert answer["refused"] == []
    [row] = told.request("my-shell-model")
    assert (row["prompt_tokens"], row["output_tokens"], row["ttft_ms"]) == (12, 4, 300.0)


def test_examples_run_without_a_monitor_as_well(tmp_path):
    done = run("plain_iterator.py", tmp_path / "nothing")
    assert (done.stdout, done.stderr) == ("You said: hello, how are you today? \n", "")


def shown(text):
    """The example as the manual shows it: without its docstring, and without what only the linter reads."""
    text = re.sub(r'\A"""(.*?)"""\n+', "", text, flags=re.DOTALL)
    text = re.sub(r"\n*# ruff: noqa.*\n", "\n", text)
    return re.sub(r"  # noqa: \S+", "", text)


def test_every_example_stands_in_the_manual_as_it_is_run():
    blocks = {name: code for name, _, code in BLOCK.findall(DOC.read_text("utf-8"))}
    files = {path.name: shown(path.read_text("utf-8")) for path in EXAMPLES.iterdir() if path.suffix in {".py", ".sh"}}
    assert blocks.keys() == files.keys()
    for name, code in files.items():
        assert blocks[name] == code, name
    assert DOC.read_text("utf-8").count("```python") == sum(name.endswith(".py") for name in files)
