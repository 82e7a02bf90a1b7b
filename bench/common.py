"""What the benchmarks share: a real monitor, a real Chromium, lean wire clients, and where results go."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import platform
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

import psutil

# A program is measured as it is from its second start on. Without compiled files it would be larger, and later.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "bench" / "results"
APP_PYTHON = ROOT / ".venv" / "bin" / "python"
CHROMIUM_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--window-size=1280,943",
    "--hide-scrollbars",
    "--mute-audio",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class App:
    """A monitor in a process of its own, on a free port, with a data folder that goes with it.

    ``load``: synthetic samples a second beside the real ones. ``history``: a wfmon.db that it finds, as a copy.
    """

    def __init__(self, *args: str, config: str = "", load: int = 0, history: Path | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="wfmon-bench-")
        self.data = Path(self._folder.name) / "data"
        if history is not None:
            self.data.mkdir(mode=0o700)
            shutil.copy(history, self.data / "wfmon.db")
        python = str(APP_PYTHON if APP_PYTHON.exists() else sys.executable)
        command = [python, str(ROOT / "app.py")]
        if load:
            command = [python, "-OO", str(ROOT / "bench" / "loaded.py"), str(load)]
        command += ["--no-browser", "--port", "0", "--data", str(self.data), *args]
        if config:
            path = Path(self._folder.name) / "config.yaml"
            path.write_text(config)
            command += ["--config", str(path)]
        self.log = open(Path(self._folder.name) / "output", "w+")  # noqa: SIM115  closed in close()
        self.started = time.monotonic()
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=self.log, stderr=self.log)
        self.info = self._ready()
        self.url: str = self.info["url"].rstrip("/")
        self.token = (self.data / "token").read_text().strip()
        self.ps = psutil.Process(self.process.pid)

    def _ready(self) -> dict:
        while time.monotonic() - self.started < 20:
            with contextlib.suppress(OSError, ValueError):
                return json.loads((self.data / "server.json").read_text())
            if self.process.poll() is not None:
                break
            time.sleep(0.02)
        self.log.seek(0)
        raise RuntimeError(f"the monitor did not start: {self.log.read()}")

    def ask(self, path: str, body: object = None) -> dict:
        """Ask the API with the token; give the JSON."""
        host = urlsplit(self.url)
        connection = http.client.HTTPConnection(host.hostname, host.port, timeout=10)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        try:
            if body is None:
                connection.request("GET", path, headers=headers)
            else:
                connection.request("POST", path, json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read()
            if answer.status >= 300:
                raise RuntimeError(f"{path}: {answer.status} {text[:300]!r}")
            return json.loads(text) if text else {}
        finally:
            connection.close()

    def launch_url(self) -> str:
        """A link that signs a browser in, once."""
        return self.ask("/api/v1/launch", {})["url"]

    def memory(self) -> dict:
        """RSS and PSS in bytes."""
        full = self.ps.memory_full_info()
        return {"rss": full.rss, "pss": getattr(full, "pss", None)}

    def cpu_s(self) -> float:
        """CPU seconds the process has used."""
        times = self.ps.cpu_times()
        return times.user + times.system

    def close(self) -> float:
        """Stop it with SIGTERM; give the seconds that it took."""
        begun = time.monotonic()
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
        took = time.monotonic() - begun
        self.log.close()
        self._folder.cleanup()
        return took


def chromium():
    """Start a headless Chromium with the flags of a machine without a GPU; give the selenium driver."""
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    for flag in CHROMIUM_FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for binary in ("/usr/bin/chromium", "/usr/bin/chromium-browser"):
        if Path(binary).exists():
            options.binary_location = binary
    return webdriver.Chrome(service=Service("/usr/bin/chromedriver"), options=options)


class WireClients:
    """Many WebSocket clients in one child process, which reads frames and counts them."""

    def __init__(self, app: App, count: int, rate_hz: int = 60) -> None:
        self.count = count
        self._child = None
        if count:
            command = [sys.executable, __file__, "clients", app.url, str(app.data / "token"), str(count), str(rate_hz)]
            self._child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self._say("count")  # returns once all are connected

    def _say(self, word: str) -> dict:
        self._child.stdin.write(word + "\n")
        self._child.stdin.flush()
        return json.loads(self._child.stdout.readline())

    def counts(self) -> dict:
        """Messages and bytes received so far, and clients still connected."""
        return self._say("count") if self._child else {"messages": 0, "bytes": 0, "open": 0}

    def close(self) -> None:
        """Close all connections."""
        if self._child:
            self._child.stdin.close()
            self._child.wait(10)


def open_client(url: str, token: str, rate_hz: int) -> socket.socket:
    """Connect to the stream and say hello; the socket does not block."""
    host = urlsplit(url)
    sock = socket.create_connection((host.hostname, host.port), 10)
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(
        f"GET /ws HTTP/1.1\r\nHost: {host.netloc}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
    )
    answer = b""
    while b"\r\n\r\n" not in answer:
        part = sock.recv(1)
        if not part:
            raise RuntimeError(f"refused: {answer!r}")
        answer += part
    if b" 101 " not in answer.split(b"\r\n")[0] + b" ":
        raise RuntimeError(f"refused: {answer!r}")
    say(sock, {"type": "hello", "version": 1, "rate_hz": rate_hz})
    sock.setblocking(False)
    return sock


def say(sock: socket.socket, message: dict) -> None:
    """Send one message of a client."""
    text, mask = json.dumps(message).encode(), os.urandom(4)
    length = bytes([0x80 | len(text)]) if len(text) < 126 else bytes([0xFE]) + len(text).to_bytes(2, "big")
    sock.sendall(b"\x81" + length + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(text)))


class _Reader:
    """Cuts one connection's bytes into WebSocket frames, counts them, and answers pings."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.buffer, self.messages, self.bytes = sock, bytearray(), 0, 0

    def read(self) -> bool:
        """Read what is there; False at the end."""
        part = self.sock.recv(65_536)
        if not part:
            return False
        self.bytes += len(part)
        self.buffer += part
        while len(self.buffer) >= 2:
            length, at = self.buffer[1] & 0x7F, 2
            if length == 126:
                length, at = int.from_bytes(self.buffer[2:4], "big"), 4
            elif length == 127:
                length, at = int.from_bytes(self.buffer[2:10], "big"), 10
            if len(self.buffer) < at + length:
                break
            opcode = self.buffer[0] & 0x0F
            if opcode == 9:
                body = bytes(self.buffer[at : at + length])
                self.sock.sendall(bytes([0x8A, 0x80 | len(body), 0, 0, 0, 0]) + body)
            elif opcode == 1:
                self.messages += 1
            del self.buffer[: at + length]
        return True


def _clients(url: str, token_file: str, count: str, rate_hz: str) -> None:
    token = Path(token_file).read_text().strip()
    readers = [_Reader(open_client(url, token, int(rate_hz))) for _ in range(int(count))]
    selector = selectors.DefaultSelector()
    for reader in readers:
        selector.register(reader.sock, selectors.EVENT_READ, reader)
    selector.register(sys.stdin, selectors.EVENT_READ, None)
    alive = len(readers)
    while True:
        for key, _ in selector.select():
            if key.data is None:
                if not sys.stdin.readline():
                    return
                total = {"messages": sum(r.messages for r in readers), "bytes": sum(r.bytes for r in readers)}
                print(json.dumps({**total, "open": alive}), flush=True)
            elif not key.data.read():
                selector.unregister(key.fileobj)
                alive -= 1


def log_errors(data: Path) -> list[str]:
    """The messages of the log's errors."""
    lines = [json.loads(line) for path in (data / "logs").glob("*") for line in path.read_text().splitlines()]
    return [line["message"] for line in lines if line["level"] in ("error", "critical")]


def percentile(values: list[float], q: float) -> float | None:
    """The q-th percentile (0..100) by linear interpolation, None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    at = (len(ordered) - 1) * q / 100
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def machine() -> dict:
    """What a reader needs to weigh the numbers; no names."""
    model = next((line.split(":", 1)[1].strip() for line in _cpuinfo() if line.startswith("model name")), "")
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"), "system": platform.system(),
        "python": platform.python_version(), "cpu": model or platform.machine(), "cores": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
    }  # fmt: skip


def _cpuinfo() -> list[str]:
    with contextlib.suppress(OSError):
        return Path("/proc/cpuinfo").read_text().splitlines()
    return []


def save(name: str, result: dict) -> Path:
    """Keep the raw numbers in bench/results."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}-{datetime.now(UTC):%Y-%m-%d}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    return path


if __name__ == "__main__" and sys.argv[1:2] == ["clients"]:
    _clients(*sys.argv[2:])
