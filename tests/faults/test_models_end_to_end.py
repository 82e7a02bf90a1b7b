"""Real monitors, proxies and models in processes of their own, killed or held up while tokens flow.

The model's process is never ours to slow down: it counts what it gave, and that count is what the monitor must come to.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from tests.contract.test_command import Running
from tests.kit.proxied import LAST, SSE, Upstream, chunk, delta, dial, event, head, post, read_until

pytestmark = [pytest.mark.faults, pytest.mark.slow, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
WAIT_S = 60
CHAT = "/v1/chat/completions"
MODEL = """
import json, sys, threading, time
from wfmon.hook import observe, flush
from wfmon.hook.shared import shared

name, pause_s = sys.argv[1], float(sys.argv[2])
orders = {"given": 0, "may": float("inf"), "stop": False}
changed = threading.Condition()

def obey():
    for line in sys.stdin:
        with changed:
            orders.update(json.loads(line))
            changed.notify_all()
    with changed:
        orders["stop"] = True
        changed.notify_all()

def model():
    while True:
        with changed:
            while orders["given"] >= orders["may"] and not orders["stop"]:
                changed.wait()
            if orders["stop"]:
                return
            orders["given"] += 1
        time.sleep(pause_s)
        yield "x"

def say(**more):
    hook = shared.get()
    print(json.dumps({"got": got, "lost": hook.sender.lost, "connections": hook.sender.connections,
                      "errors": hook.errors, **more}), flush=True)

orders.update(json.loads(sys.argv[3]))
threading.Thread(target=obey, daemon=True).start()
got = 0
for token in observe(model(), model=name):
    got += 1
    if got % 5 == 0:
        say()
flush(20)
say(ended=True, given=orders["given"])
"""


def until(ask, wait_s=WAIT_S):
    """Ask until the answer is true; gives it. A monitor that is not there yet has no answer."""
    deadline = time.monotonic() + wait_s
    while True:
        answer = None
        with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
            answer = ask()
        if answer:
            return answer
        assert time.monotonic() < deadline, f"not within {wait_s} s; the last answer was {answer!r}"
        time.sleep(0.05)


class Model:
    """A program under the hook that gives tokens until it is told to stop, and says how many its loop got."""

    def __init__(self, data, name, pause_s=0.005, **orders):
        self.process = subprocess.Popen(
            [sys.executable, "-c", MODEL, name, str(pause_s), json.dumps(orders)], cwd=ROOT, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={**os.environ, "WFMON_DATA": str(data), "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        self.said = {"got": 0, "lost": 0, "connections": 0}
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.said = json.loads(line)

    def order(self, **orders):
        self.process.stdin.write(json.dumps(orders) + "\n")
        self.process.stdin.flush()

    def end(self):
        """Let its loop end; gives its last words."""
        self.order(stop=True)
        assert self.process.wait(WAIT_S) == 0, self.process.stderr.read()
        self._reader.join(WAIT_S)
        assert self.process.stderr.read() == ""
        return self.said

    def close(self):
        self.process.kill()
        self.process.wait()
        self._reader.join(WAIT_S)
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            with contextlib.suppress(OSError):
                pipe.close()


class WatchedFolder:
    """One data folder: its monitors, one after the other, and the models beside them."""

    def __init__(self, folder):
        self.data = folder / "data"
        self.config = folder / "config.yaml"
        self.config.write_text("collect:\n  servers:\n    enabled: false\n")
        self.monitor = None
        self._models = []
        self._monitors = []

    def start(self):
        self.monitor = Running(self.data, "--config", str(self.config))
        self._monitors.append(self.monitor)

    def kill(self):
        """As a crash does: nobody is told, and server.json stays."""
        self.monitor.process.kill()
        self.monitor.process.wait()
        assert (self.data / "server.json").exists()

    def model(self, name, *args, **orders):
        self._models.append(Model(self.data, name, *args, **orders))
        return self._models[-1]

    def ask(self, path):
        status, body = self.monitor.get(f"/api/v1/{path}")
        assert status == 200, body
        return json.loads(body)

    def request(self, model):
        """The newest request of a model, or None."""
        return next((row for row in self.ask("requests")["requests"] if row["model"] == model), None)

    def shown(self, model):
        return next((row for row in self.ask("models")["models"] if row["model"] == model), None)

    def lost(self):
        """Events that hooks and proxies could not tell this monitor, as it tells."""
        return self.ask("health")["dropped"].get("model_lost_at_source", 0)

    def ended(self, model):
        return until(lambda: (row := self.request(model)) and row["status"] != "open" and row)

    def tokens(self, model, least):
        return until(lambda: (row := self.shown(model)) and row["tokens_total"] >= least and row)

    def close(self):
        for model in self._models:
            model.close()
        for monitor in self._monitors:
            monitor.process.kill()
            monitor.process.wait()
            monitor.process.stdout.close()


@pytest.fixture
def watched(tmp_path):
    watched = WatchedFolder(tmp_path)
    watched.start()
    yield watched
    watched.close()


def test_a_model_never_notices_that_its_monitor_was_killed_and_the_next_one_says_what_was_lost(watched):
    model = watched.model("steady")
    watched.tokens("steady", 20)
    first = watched.request("steady")
    assert first["status"] == "open"
    watched.kill()
    until(lambda: model.said["lost"] > 0)
    got = model.said["got"]
    until(lambda: model.said["got"] > got + 50)  # it goes on as before
    watched.start()
    until(lambda: model.said["connections"] == 2)
    watched.tokens("steady", 20)
    said = model.end()
    row = watched.ended("steady")
    assert said["ended"]
    assert said["got"] == said["given"]
    assert said["errors"] <= 20  # connections that failed, each once
    assert until(watched.lost) == said["lost"] > 0
    assert row["status"] == "ok"
    assert row["output_tokens"] == said["got"]  # the hook's own count, over the gap
    assert row["ttft_ms"] is None  # this monitor did not see the first token
    assert abs(row["started_ms"] - first["started_ms"]) < 1_000
    assert watched.shown("steady")["tokens_total"] == said["got"]
    code, _, output = watched.monitor.stop()
    assert code == 0
    assert "Traceback" not in output


def test_three_kills_in_a_row_are_as_one(watched):
    model = watched.model("often")
    for times in (1, 2, 3):
        watched.tokens("often", 10)
        watched.kill()
        until(lambda: model.said["lost"] > 0)
        watched.start()
        until(lambda times=times: model.said["connections"] == times + 1)
    watched.tokens("often", 10)
    said = model.end()
    assert watched.ended("often")["output_tokens"] == said["got"] == said["given"]


def test_a_model_whose_process_is_killed_ends_its_request_as_aborted_and_others_go_on(watched):
    victim, other = watched.model("victim"), watched.model("other")
    watched.tokens("victim", 20)
    watched.tokens("other", 20)
    victim.process.kill()
    row = watched.ended("victim")
    assert row["status"] == "aborted"
    assert row["output_tokens"] >= 20
    assert watched.request("other")["status"] == "open"
    said = other.end()
    assert watched.ended("other")["output_tokens"] == said["got"]


def test_a_runtime_that_hangs_is_told_as_a_stall_and_holds_up_nobody(watched):
    hung = watched.model("hung", 0.02, may=40)
    watched.tokens("hung", 40)
    until(lambda: watched.shown("hung")["state"] == "stalling")
    other = watched.model("lively")
    watched.tokens("lively", 50)
    assert watched.request("hung")["status"] == "open"
    assert watched.shown("hung")["requests_active"] == 1
    assert watched.shown("hung")["tokens_per_second"] == 0
    hung.order(may=1e9)
    watched.tokens("hung", 60)
    until(lambda: watched.shown("hung")["state"] in {"flowing", "saturated"})
    assert hung.end()["got"] == watched.ended("hung")["output_tokens"]
    row = watched.request("hung")
    assert row["status"] == "ok"
    one = watched.ask(f"requests/{row['id']}")
    assert max(gap_ms for _, gap_ms in one["stalls"]) > 1_000
    other.end()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.fixture
def behind(tmp_path):
    """A folder whose monitor runs a proxy before a scripted server: (watched, server, pids of proxies)."""
    steps = threading.Semaphore(0)
    sent = []

    def script(sock, seen):
        sock.sendall(head("200 OK", *SSE))
        while steps.acquire(timeout=WAIT_S):
            if len(sent) == TOKENS:
                sock.sendall(chunk(event(b"[DONE]")) + LAST)
                return
            sock.sendall(chunk(event(delta(f"t{len(sent)}"))))
            sent.append(1)

    server = Upstream(v1__chat__completions=script)
    server.steps, server.sent = steps, sent
    watched = WatchedFolder(tmp_path)
    watched.config.write_text(
        "collect:\n  servers:\n    enabled: false\n"
        f"proxy:\n  enabled: true\n  upstream: {server.url}\n  listen: 127.0.0.1:{free_port()}\n"
    )
    pids = []
    watched.start()
    yield watched, server, pids
    watched.close()
    for pid in filter(alive, pids):
        os.kill(pid, signal.SIGKILL)
    server.close()


TOKENS = 60


def running(watched):
    """The proxy as the monitor tells of it, once it runs."""
    return until(lambda: (told := watched.ask("proxy"))["state"] == "running" and told)


def test_a_stream_through_the_proxy_outlives_its_monitor_and_the_next_one_adopts_the_proxy(behind):
    watched, server, pids = behind
    first = running(watched)
    pids.append(first["pid"])
    port = int(first["listen"].rpartition(":")[2])
    with dial(port) as sock:
        sock.settimeout(WAIT_S)
        sock.sendall(post(CHAT, {"model": "m", "stream": True}, port))
        server.steps.release(20)
        watched.tokens("m", 20)
        watched.kill()
        server.steps.release(20)
        received = read_until_holds(sock, b'"t39"')
        assert alive(first["pid"])
        watched.start()
        assert running(watched)["pid"] == first["pid"]
        # Its request is told anew; the tokens of the meantime are lost to the monitor and to nobody else.
        until(lambda: (row := watched.request("m")) and row["status"] == "open")
        server.steps.release(21)
        received += read_until(sock, LAST)
    assert received.count(b'"content"') == TOKENS
    row = watched.ended("m")
    assert (row["status"], row["via"], row["output_tokens"]) == ("ok", "proxy", TOKENS)
    assert row["ttft_ms"] is None
    assert 0 < until(watched.lost) <= 20
    code, _, output = watched.monitor.stop()
    assert code == 0
    assert "Traceback" not in output
    until(lambda: not alive(first["pid"]))  # an ordered stop drains it


def read_until_holds(sock, word):
    data = b""
    while word not in data:
        more = sock.recv(65_536)
        assert more, data
        data += more
    return data


def test_a_model_server_killed_mid_stream_ends_the_request_that_the_proxy_tells_as_aborted(watched, tmp_path):
    with demo(tmp_path / "unseen") as (server, at), proxy_before(at, watched.data) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
        ask = {"model": "wfmon-demo-2gram", "prompt": "A token is", "max_tokens": 4_000, "stream": True}
        connection.request("POST", "/v1/completions", json.dumps(ask))
        answer = connection.getresponse()
        assert answer.status == 200
        watched.tokens("wfmon-demo-2gram", 3)
        server.kill()
        with pytest.raises((http.client.HTTPException, ConnectionError)):
            answer.read()
        connection.close()
        row = watched.ended("wfmon-demo-2gram")
    assert (row["status"], row["via"], row["server"]) == ("aborted", "proxy", at)
    assert row["output_tokens"] >= 3


@contextlib.contextmanager
def demo(data):
    """The built-in model's server, seen by no monitor; gives its process and host:port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "wfmon.demo", "--port", "0", "--rate", "20", "--data", str(data)], cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process, process.stdout.readline().strip().rpartition("//")[2]
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextlib.contextmanager
def proxy_before(at, data):
    process = subprocess.Popen(
        [sys.executable, "-m", "wfmon", "proxy", "--upstream", f"http://{at}", "--listen", "127.0.0.1:0",
         "--data", str(data)],
        cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield int(process.stdout.readline().partition(" forwards")[0].rpartition(":")[2])
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
