"""``python -m wfmon proxy`` as a user meets it: options, clients, the monitor, its end, and what it leaves behind."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import ollama
import openai
import psutil
import pytest

from tests.contract.test_command import Running as Monitor
from tests.kit.hook_receiver import Receiver
from tests.kit.proxied import (
    LAST,
    NDJSON,
    SSE,
    WAIT_S,
    Upstream,
    chunk,
    delta,
    dial,
    event,
    eventually,
    head,
    odd_pieces,
    post,
    read_until,
    says,
)
from wfmon.core.clock import SystemClock
from wfmon.core.settings import ProxySettings
from wfmon.proxy import running
from wfmon.proxy.supervise import ProxyProcess

ROOT = Path(__file__).resolve().parents[2]
CANARY = "canary-Grünspecht-7431"


class Started:
    """A proxy as a process, on a free port."""

    def __init__(self, server: Upstream, data: Path, *more: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "wfmon", "proxy", "--upstream", server.url, "--listen", "127.0.0.1:0",
             "--data", str(data), *more],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.said = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+) forwards to", self.said)
        assert found, (self.said, self.process.stderr.read())
        self.port = int(found[1])

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        code = self.process.wait(WAIT_S)
        self.process.stdout.close()
        self.process.stderr.close()
        return code


@contextlib.contextmanager
def started(server, data, *more):
    proxy = Started(server, data, *more)
    try:
        yield proxy
    finally:
        proxy.end(signal.SIGKILL)
        server.close()


def fails(*options: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "wfmon", *options], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done
    return done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--upstream", "http://192.168.1.5:11434"), "is not on this machine"),
        (("--upstream", "http://example.com"), "is not on this machine"),
        (("--upstream", "https://127.0.0.1:11434"), "plain HTTP"),
        (("--upstream", "http://127.0.0.1:11434/v1"), "end after its port"),
        (("--upstream", "http://127.0.0.1:99999"), "an invalid port"),
        (("--listen", "0.0.0.0:11500"), "is not on this machine"),
        (("--listen", "[::]:11500"), "is not on this machine"),
        (("--listen", "11500"), "a host and a port"),
        (("--listen", "127.0.0.1:11434"), "cannot forward to itself"),
        (("--logprobs", "21"), "use 0 to 20"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_exit_code_2(options, words):
    said = fails("proxy", *options)
    assert words in said
    assert said.count("\n") == 1


def test_a_port_in_use_is_one_sentence(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        said = fails("proxy", "--listen", f"127.0.0.1:{taken.getsockname()[1]}", "--data", str(tmp_path))
    assert "the port is in use" in said
    assert said.count("\n") == 1


def test_help_shows_examples_and_an_unknown_command_is_2():
    for words in (["--help"], ["proxy", "--help"]):
        done = subprocess.run(
            [sys.executable, "-m", "wfmon", *words], cwd=ROOT, capture_output=True, text=True, check=True
        )
        assert " -m wfmon proxy --upstream" in done.stdout
    assert "invalid choice" in fails("nonsense")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(tmp_path, number):
    with started(Upstream(), tmp_path) as proxy:
        assert proxy.end(number) == 0


USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
ANSWER = b"".join(
    [event(delta("Hel")), event(delta("lo")), event({**delta(), "choices": [], "usage": USAGE}), event(b"[DONE]")]
)
OLLAMAS = b"".join(
    json.dumps({"model": "m", "created_at": "2026-01-01T00:00:00Z", "message": {"role": "assistant", "content": text},
                "done": not text}).encode() + b"\n"
    for text in ("Hel", "lo", "")
)  # fmt: skip


def test_the_clients_of_openai_and_ollama_get_what_they_get_directly(tmp_path):
    server = Upstream(
        v1__chat__completions=says(head("200 OK", *SSE), *[chunk(p) for p in odd_pieces(ANSWER)], LAST),
        api__chat=says(head("200 OK", *NDJSON), *[chunk(p) for p in odd_pieces(OLLAMAS)], LAST),
    )
    with started(server, tmp_path) as proxy:
        answers = []
        for port in (proxy.port, server.port):
            with openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none") as client:
                stream = client.chat.completions.create(
                    model="m", messages=[{"role": "user", "content": "Hi"}], stream=True
                )
                chat = [each.model_dump() for each in stream]
            client = ollama.Client(host=f"http://127.0.0.1:{port}")
            said = client.chat(model="m", messages=[{"role": "user", "content": "Hi"}], stream=True)
            answers.append((chat, [each.model_dump() for each in said]))
            client._client.close()
        assert answers[0] == answers[1]
        assert [each["choices"][0]["delta"]["content"] for each in answers[0][0][:2]] == ["Hel", "lo"]
        assert len(answers[0][1]) == 3
        assert server.seen[0].body == server.seen[2].body


@contextlib.contextmanager
def supervised(server, data, **more):
    """The monitor's side, and an end of whatever process it left."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    settings = ProxySettings(enabled=True, upstream=server.url, listen=f"127.0.0.1:{port}", **more)
    proxy = ProxyProcess(SystemClock(), settings, data)
    proxy.start()
    pids = []
    try:
        yield proxy, pids
    finally:
        found = running.read(data)
        pids += [each for each in (found and found.pid, proxy.status()["pid"]) if each]
        proxy.close()
        for pid in set(pids):
            with contextlib.suppress(psutil.NoSuchProcess):
                if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                    os.kill(pid, signal.SIGKILL)
        server.close()


def becomes(proxy, state):
    def now():
        proxy.each_second()
        return proxy.status()["state"] == state

    assert eventually(now), proxy.status()
    return proxy.status()


def alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_the_monitor_starts_it_says_so_and_starts_it_again(tmp_path):
    server = Upstream(x=says(head("200 OK", "Content-Length: 2") + b"ok"))
    with supervised(server, tmp_path) as (proxy, _):
        first = becomes(proxy, "running")
        assert (first["upstream"], first["reason"]) == (server.url, "")
        port = int(first["listen"].rpartition(":")[2])
        with dial(port) as sock:
            sock.sendall(post("/x", {}, port))
            assert read_until(sock, b"ok")
        assert stat.S_IMODE((tmp_path / running.FILE).stat().st_mode) == 0o600
        assert stat.S_IMODE((tmp_path / "logs" / running.LOG).stat().st_mode) == 0o600
        os.kill(first["pid"], signal.SIGKILL)
        failed = becomes(proxy, "failed")
        assert "signal 9" in failed["reason"]
        assert "Retry in 1 s" in failed["reason"]
        assert becomes(proxy, "running")["pid"] != first["pid"]


def test_one_that_outlived_the_monitor_is_adopted_and_drains_when_its_settings_change(tmp_path):
    server = Upstream()
    with supervised(server, tmp_path) as (proxy, pids):
        first = becomes(proxy, "running")
        pids.append(first["pid"])
        # The monitor is killed: nobody closes. The next one comes with the same settings.
        again = ProxyProcess(SystemClock(), proxy._settings, tmp_path)
        again.start()
        assert again.status() == first
        changed = ProxySettings(enabled=True, upstream=server.url, listen=proxy._settings.listen, logprobs=3)
        third = ProxyProcess(SystemClock(), changed, tmp_path)
        third.start()
        try:
            assert becomes(third, "running")["pid"] != first["pid"]
            pids.append(third.status()["pid"])
            assert running.read(tmp_path).logprobs == 3
            assert eventually(lambda: not alive(first["pid"]))
        finally:
            third.close()


def test_what_another_program_wrote_ends_no_process_and_is_said(tmp_path):
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    lock = running.Lock(tmp_path)
    proxy = ProxyProcess(SystemClock(), ProxySettings(enabled=True, listen="127.0.0.1:0"), tmp_path)
    try:
        for pid in (bystander.pid, os.getpid(), 0, -1, True):
            lock.publish(running.RunningProxy(pid, "x", "y", 0, "z", "0", 0))
            assert running.read(tmp_path) is None
            proxy.each_second()
            found = proxy.status()
            assert (found["state"], found["pid"]) == ("failed", None)
            assert "proxy.lock: stop it" in found["reason"]
        proxy.close()
        assert bystander.poll() is None
    finally:
        lock.close()
        bystander.kill()
        bystander.communicate()


def test_what_the_proxy_says_of_itself_follows_no_link(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    for name in ("proxy.new", "proxy.json"):
        (tmp_path / name).symlink_to(precious)
    lock = running.Lock(tmp_path)
    lock.publish(running.RunningProxy(1, "x", "y", 0, "z", "0", 0))
    lock.close()
    assert precious.read_text() == "mine"


def test_switched_off_an_old_one_drains_and_none_is_started(tmp_path):
    server = Upstream()
    with supervised(server, tmp_path) as (proxy, pids):
        pids.append(becomes(proxy, "running")["pid"])
        off = ProxyProcess(SystemClock(), ProxySettings(), tmp_path)
        off.start()
        assert becomes(off, "off")["pid"] is None
        assert eventually(lambda: not alive(pids[0]))


def test_close_does_not_wait_and_a_stream_still_ends(tmp_path):
    release = threading.Event()

    def script(sock, seen):
        sock.sendall(head("200 OK", *SSE) + chunk(event(delta("a"))))
        assert release.wait(WAIT_S)
        sock.sendall(LAST)

    server = Upstream(v1__chat__completions=script)
    with supervised(server, tmp_path) as (proxy, pids):
        status = becomes(proxy, "running")
        pids.append(status["pid"])
        port = int(status["listen"].rpartition(":")[2])
        with dial(port) as sock:
            sock.sendall(post("/v1/chat/completions", {"model": "m"}, port))
            read_until(sock, b"\n\n\r\n")
            proxy.close()
            assert eventually(lambda: not running.held(tmp_path))  # the next one may start
            assert alive(status["pid"])
            release.set()
            assert read_until(sock, LAST)
        assert eventually(lambda: not alive(status["pid"]))
        assert not (tmp_path / running.FILE).exists()


def test_a_port_in_use_is_told_by_the_supervisor(tmp_path):
    server = Upstream()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listen = f"127.0.0.1:{taken.getsockname()[1]}"
        proxy = ProxyProcess(
            SystemClock(), ProxySettings(enabled=True, upstream=server.url, listen=listen), tmp_path
        )  # fmt: skip
        proxy.start()
        assert proxy.status()["state"] == "starting"
        assert "the port is in use" in becomes(proxy, "failed")["reason"]
        proxy.close()
    server.close()


def rows_of(monitor, path):
    status, body = monitor.get(f"/api/v1/{path}")
    assert status == 200
    return json.loads(body)[path]


def test_the_monitor_shows_what_passes_and_when_it_is_killed_the_stream_goes_on(tmp_path):
    go_on = threading.Event()

    def script(sock, seen):
        sock.sendall(head("200 OK", *SSE))
        for part in ("a", "b"):
            sock.sendall(chunk(event(delta(part))))
        if seen.json["model"] == "waits":
            assert go_on.wait(WAIT_S)
        sock.sendall(chunk(event({"choices": [], "usage": USAGE}) + event(b"[DONE]")) + LAST)

    server = Upstream(v1__chat__completions=script)
    monitor = Monitor(tmp_path / "data")
    try:
        with started(server, tmp_path / "data") as proxy, dial(proxy.port) as sock:
            sock.sendall(post("/v1/chat/completions", {"model": "m"}, proxy.port))
            read_until(sock, LAST)
            assert eventually(lambda: [row["status"] for row in rows_of(monitor, "requests")] == ["ok"])
            row = rows_of(monitor, "requests")[0]
            assert {name: row[name] for name in ("model", "server", "via", "prompt_tokens", "output_tokens")} == {
                "model": "m", "server": f"127.0.0.1:{server.port}", "via": "proxy", "prompt_tokens": 3,
                "output_tokens": 2,
            }  # fmt: skip
            assert row["ttft_ms"] is not None
            assert eventually(lambda: [row["model"] for row in rows_of(monitor, "models")] == ["m"])
            sock.sendall(post("/v1/chat/completions", {"model": "waits"}, proxy.port))
            assert eventually(lambda: len(server.seen) == 2)
            monitor.process.kill()
            monitor.process.wait()
            go_on.set()
            assert read_until(sock, LAST).count(b'"delta"') == 2
            assert proxy.process.poll() is None
    finally:
        monitor.process.kill()
        monitor.process.wait()
        monitor.process.stdout.close()


def test_no_text_of_what_passes_is_left_anywhere(tmp_path):
    monitor = Receiver(tmp_path)
    answer = b"".join([event(delta(CANARY)), event({"choices": CANARY}), b"data: {" + CANARY.encode() + b"\n\n"])
    server = Upstream(v1__chat__completions=says(head("200 OK", *SSE), chunk(answer), LAST))
    with supervised(server, tmp_path, logprobs=3) as (proxy, pids):
        status = becomes(proxy, "running")
        pids.append(status["pid"])
        port = int(status["listen"].rpartition(":")[2])
        for body in ({"model": "m", "messages": [{"content": CANARY}]}, f'{{"{CANARY}'.encode()):
            with dial(port) as sock:
                sock.sendall(post("/v1/chat/completions", body, port))
                read_until(sock, LAST)
        with dial(port) as sock:
            sock.sendall(f"{CANARY}\r\n\r\n".encode())
            read_until(sock, b"}")
        assert eventually(lambda: [each["e"] for each in monitor.lines_ if each["e"] == "end"] == ["end"] * 2)
        assert {each["via"] for each in monitor.lines_ if each["e"] == "source"} == {"proxy"}
        assert CANARY not in json.dumps(monitor.lines_, ensure_ascii=False)
        monitor.close()
        os.kill(status["pid"], signal.SIGTERM)
        assert eventually(lambda: not alive(status["pid"]))
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert any(path.name == running.LOG for path in files)
        for path in files:
            assert CANARY.encode() not in path.read_bytes()
            assert CANARY not in path.read_text("utf-8").encode().decode("unicode_escape")
