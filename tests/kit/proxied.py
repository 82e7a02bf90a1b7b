"""A scripted model server on a real socket, a proxy before it in a thread, and clients that read raw bytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace

from wfmon.core.clock import SystemClock
from wfmon.proxy.address import listening, upstream
from wfmon.proxy.dialects import dialect_of
from wfmon.proxy.exchange import Exchange, ModelExchange
from wfmon.proxy.logprobs import LogprobsAsker
from wfmon.proxy.server import ProxyServer

WAIT_S = 20


def eventually(true, timeout: float = WAIT_S) -> bool:
    """Wait for something that another thread or process does and nobody announces."""
    deadline = time.monotonic() + timeout
    while not true() and time.monotonic() < deadline:
        time.sleep(0.005)
    return bool(true())


def head(status: str = "200 OK", *fields: str) -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", *fields, "", ""]).encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


LAST = b"0\r\n\r\n"
SSE = ("Content-Type: text/event-stream", "Transfer-Encoding: chunked")
NDJSON = ("Content-Type: application/x-ndjson", "Transfer-Encoding: chunked")


def event(document) -> bytes:
    return b"data: " + (document if isinstance(document, bytes) else json.dumps(document).encode()) + b"\n\n"


def delta(text: str | None = None, **more) -> dict:
    choice = {"index": 0, "delta": {} if text is None else {"content": text}, "finish_reason": None}
    return {
        "id": "c1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "tiny",
        "choices": [{**choice, **more}],
    }


def odd_pieces(data: bytes) -> list[bytes]:
    """The same bytes, cut where it hurts: 1, 2, 3, 5, 8, 13 ... bytes at a time."""
    pieces, at, a, b = [], 0, 1, 2
    while at < len(data):
        pieces.append(data[at : at + a])
        at, a, b = at + a, b, a + b if b < 90 else 1
    return pieces


class Seen:
    """One request as the server saw it."""

    def __init__(self, raw: bytes, body: bytes) -> None:
        self.raw = raw
        self.body = body
        line = raw.partition(b"\r\n")[0].decode("latin-1").split(" ")
        self.method, self.path = line[0], line[1]

    @property
    def json(self):
        return json.loads(self.body)


class Upstream:
    """Answers each path with what its script does: ``script(sock, seen)`` returns True to close the connection."""

    def __init__(self, **scripts: Callable[[socket.socket, Seen], object]) -> None:
        self.scripts = {"/" + name.replace("__", "/"): script for name, script in scripts.items()}
        self.seen: list[Seen] = []
        self.ended: list[str] = []
        """How each connection ended, as the server saw it: "eof" or "reset"."""
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self._listener.getsockname()[1]
        self._socks: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for sock in self._socks:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._socks.add(sock)
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _note(self, how: str, seen: Seen | None) -> None:
        if seen is not None:
            self.ended.append(how)

    def _serve(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        buffer = b""
        seen = None
        try:
            while True:
                while b"\r\n\r\n" not in buffer:
                    data = sock.recv(65_536)
                    if not data:
                        self._note("eof", seen)
                        return
                    buffer += data
                top, _, buffer = buffer.partition(b"\r\n\r\n")
                found = re.search(rb"(?i)content-length: *(\d+)", top)
                size = int(found[1]) if found else 0
                if re.search(rb"(?i)expect: *100-continue", top):
                    sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                chunked = re.search(rb"(?i)transfer-encoding: *chunked", top)
                while (b"\r\n0\r\n\r\n" not in b"\r\n" + buffer) if chunked else len(buffer) < size:
                    data = sock.recv(65_536)
                    if not data:
                        self._note("eof", seen)
                        return
                    buffer += data
                if chunked:
                    size = buffer.index(b"0\r\n\r\n") + 5
                body, buffer = buffer[:size], buffer[size:]
                seen = Seen(top, body)
                script = self.scripts.get(seen.path.partition("?")[0])
                if script is None:  # a monitor of this machine's that looks who listens
                    sock.sendall(head("404 Not Found", "Content-Length: 0"))
                    return
                self.seen.append(seen)
                if script(sock, seen):
                    return
        except OSError:
            self._note("reset", seen)
        finally:
            with self._lock:
                self._socks.discard(sock)
            sock.close()


def says(*pieces: bytes, close: bool = False):
    """A script that sends these pieces, each as a write of its own."""

    def script(sock: socket.socket, seen: Seen) -> bool:
        for piece in pieces:
            sock.sendall(piece)
        return close

    return script


class Heard:
    """What the measuring side told: a request is a namespace of model, started, chunks, end."""

    def __init__(self) -> None:
        self.requests: list[SimpleNamespace] = []
        self.counts: Counter[str] = Counter()

    def begin(self, head, t_us):
        dialect = dialect_of(head.first[0], head.first[1])
        return ModelExchange(dialect, t_us, _Emit(self.requests), self.counts) if dialect else Exchange()

    @property
    def ended(self) -> list[SimpleNamespace]:
        return [each for each in self.requests if each.end]

    def one(self) -> SimpleNamespace:
        """The one request, once it has ended."""
        assert eventually(lambda: len(self.ended) == 1)
        assert len(self.requests) == 1
        return self.requests[0]


class _Emit:
    def __init__(self, requests) -> None:
        self.mine = SimpleNamespace(model="", t_us=0, chunks=[], tops=[], times=[], end=None, figures={})
        self._requests = requests

    def start(self, t_us, model):
        assert not self.mine.model
        self.mine.model, self.mine.t_us = model, t_us
        self._requests.append(self.mine)

    def tokens(self, t_us, n, top):
        assert self.mine.model
        assert self.mine.end is None
        self.mine.times.append(t_us)
        self.mine.chunks.append(n)
        self.mine.tops.append(top)

    def end(self, t_us, status, reason, figures):
        assert self.mine.end is None
        self.mine.figures = {name: value for name, value in figures.items() if value is not None}
        self.mine.end = (status, reason)


class Proxy:
    """A proxy in a thread of this process. ``heard`` is what it told."""

    def __init__(self, port: int, logprobs: int = 0) -> None:
        self.heard = Heard()
        self.counts = self.heard.counts
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()

        async def serve() -> None:
            leads_to = upstream(f"127.0.0.1:{port}")
            asker = LogprobsAsker(logprobs, self.counts) if logprobs else None
            self.server = ProxyServer(SystemClock(), leads_to, self.counts, self.heard.begin, asker)
            await self.server.listen(listening("127.0.0.1:0"))
            self._asked, self._again = asyncio.Event(), asyncio.Event()
            ready.set()
            await self._asked.wait()
            await self.server.drain(self._again)

        def run() -> None:
            asyncio.set_event_loop(self._loop)
            self._loop.run_until_complete(serve())
            self._loop.run_until_complete(asyncio.sleep(0.01))
            self._loop.close()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        assert ready.wait(WAIT_S)
        self.port = self.server.port

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def ask_to_end(self) -> None:
        self._loop.call_soon_threadsafe(self._asked.set)

    def ended(self) -> bool:
        return not self._thread.is_alive()

    def close(self) -> None:
        if not self.ended():
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._asked.set)
                self._loop.call_soon_threadsafe(self._again.set)
        self._thread.join(WAIT_S)
        assert self.ended()


@contextlib.contextmanager
def before(server: Upstream, logprobs: int = 0) -> Iterator[Proxy]:
    proxy = Proxy(server.port, logprobs)
    try:
        yield proxy
    finally:
        proxy.close()
        server.close()


def dial(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)


def post(path: str, document, port: int = 0, *fields: str, version: str = "1.1") -> bytes:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    lines = [f"POST {path} HTTP/{version}", f"Host: 127.0.0.1:{port}", f"Content-Length: {len(body)}", *fields, "", ""]
    return "\r\n".join(lines).encode() + body


def read_until(sock: socket.socket, last: bytes) -> bytes:
    data = b""
    while not data.endswith(last):
        more = sock.recv(65_536)
        assert more, data
        data += more
    return data


def read_all(sock: socket.socket) -> bytes:
    parts = []
    while data := sock.recv(65_536):
        parts.append(data)
    return b"".join(parts)
