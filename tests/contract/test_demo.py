"""`python app.py --demo` in a real process: both models are seen through the hook, and the numbers agree."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import psutil
import pytest

ROOT = Path(__file__).parents[2]
WAIT_S = 60
CANARY = "zirkoniumpapagei"
MODELS = {"wfmon-demo-2gram", "wfmon-demo-4gram"}


class Running:
    """A monitor with the built-in model, in processes of their own."""

    def __init__(self, data):
        self.data = data
        config = data.parent / "config.yaml"
        config.write_text("demo:\n  port: 0\n  tokens_per_second: 80\n")
        self.process = subprocess.Popen(
            [
                sys.executable, "app.py", "--no-browser", "--port", "0", "--data", str(data), "--config", str(config),
                "--demo",
            ],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        self.info = self.until(lambda: json.loads((data / "server.json").read_text()))
        self.demo = self.until(lambda: json.loads((data / "demo.json").read_text()))
        self.at = urlsplit(self.info["url"])
        self.token = (data / "token").read_text().strip()

    def until(self, give):
        deadline = time.monotonic() + WAIT_S
        while True:
            with contextlib.suppress(FileNotFoundError, ValueError):
                if found := give():
                    return found
            assert time.monotonic() < deadline
            assert self.process.poll() is None, self.process.stdout.read()
            time.sleep(0.05)

    def get(self, path):
        connection = http.client.HTTPConnection(self.at.hostname, self.at.port, timeout=10)
        connection.request("GET", path, headers={"Authorization": f"Bearer {self.token}"})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        assert answer.status == 200, body
        return body

    def measured(self):
        with urllib.request.urlopen(self.demo["url"] + "/demo/measured", timeout=10) as answer:
            return json.load(answer)["requests"]

    def post(self, path, **body):
        request = urllib.request.Request(self.demo["url"] + path, json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=WAIT_S) as answer:
            return answer.read().decode()


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    monitor = Running(tmp_path_factory.mktemp("demo") / "data")
    yield monitor
    monitor.process.send_signal(signal.SIGTERM)
    said, _ = monitor.process.communicate(timeout=20)
    assert monitor.process.returncode == 0
    assert "Traceback" not in said
    assert CANARY not in said
    assert not (monitor.data / "demo.json").exists()


def rows(body):
    """The rows of an answer, whatever its envelope is called."""
    found = json.loads(body)
    return found if isinstance(found, list) else next(each for each in found.values() if isinstance(each, list))


def test_both_models_are_seen_through_the_hook(running):
    server = running.demo["url"].removeprefix("http://")

    def seen():
        told = rows(running.get("/api/v1/models"))
        found = {row["model"]: row for row in told if row["server"] == server}  # not of another one on this machine
        return found if set(found) >= MODELS and all(found[name]["tokens_total"] for name in MODELS) else None

    found = running.until(seen)
    for name in MODELS:
        assert found[name]["via"] == "hook"
        assert found[name]["pid"] == running.demo["pid"]
        assert found[name]["runtime"] == "built-in n-gram model"
        assert found[name]["vocab_size"] > 2_000


def test_the_monitors_numbers_agree_with_what_the_client_measured(running):
    def pairs():
        told = rows(running.get("/api/v1/requests"))
        found = []
        for mine in running.measured():
            found += [(mine, row) for row in told if row["id"].endswith("-" + mine["id"]) and row["status"] == "ok"]
        return found if {mine["model"] for mine, _ in found} == MODELS and len(found) >= 3 else None

    found = running.until(pairs)
    for name in ("ttft_ms", "duration_ms"):  # one may be off where a busy machine lets the client wait
        assert median(abs(theirs[name] - mine[name]) for mine, theirs in found) < 50
    speeds = [theirs["tokens_per_second"] / mine["tokens_per_second"] for mine, theirs in found if mine["tokens"] > 20]
    assert median(speeds or [1.0]) == pytest.approx(1.0, abs=0.1)
    for mine, theirs in found:
        assert (theirs["prompt_tokens"], theirs["output_tokens"]) == (mine["prompt_tokens"], mine["tokens"])
        assert 0 < theirs["entropy_bits"] < 11


def test_text_reaches_no_file_and_no_answer_of_the_monitor(running):
    user = [{"role": "user", "content": f"{CANARY}?"}]
    for path, more in (
        ("/v1/completions", {"prompt": f"The {CANARY} said: a token is", "stream": True, "max_tokens": 5}),
        ("/v1/chat/completions", {"messages": user, "stream": True, "logprobs": True, "max_tokens": 5}),
        ("/api/generate", {"prompt": f"{CANARY} and", "stream": False, "options": {"num_predict": 5}}),
        ("/api/chat", {"messages": user, "options": {"num_predict": 5}}),
    ):
        assert running.post(path, model="wfmon-demo-4gram", **more)
    question = {"prompt": "Printing arrived here in the year of", "temperature": 0, "max_tokens": 9}
    answer = running.post("/v1/completions", model="wfmon-demo-4gram", **question)
    written = json.loads(answer)["choices"][0]["text"].strip()
    assert len(written.split()) >= 4
    with pytest.raises(urllib.error.HTTPError):
        running.post("/v1/completions", model=CANARY, prompt=CANARY)
    told = [running.get(path) for path in ("/api/v1/requests", "/api/v1/models", "/api/v1/servers", "/api/v1/latest")]
    files = [path.read_bytes() for path in running.data.rglob("*") if path.is_file()]
    assert len(files) >= 4
    for data in [*told, *files]:
        assert CANARY.encode() not in data
        assert written.encode() not in data


def test_when_the_monitor_is_killed_the_model_ends_with_it(tmp_path):
    monitor = Running(tmp_path / "data")
    child = psutil.Process(monitor.demo["pid"])
    assert child.ppid() == monitor.process.pid
    os.kill(monitor.process.pid, signal.SIGKILL)
    monitor.process.communicate(timeout=20)
    deadline = time.monotonic() + WAIT_S
    while child.is_running() and child.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.02)
