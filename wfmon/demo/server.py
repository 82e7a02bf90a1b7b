"""The built-in model's server: HTTP/1.1 on 127.0.0.1 with OpenAI's and Ollama's APIs. No request is logged."""

from __future__ import annotations

import contextlib
import json
import re
import select
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

import wfmon
from wfmon.core.clock import Clock
from wfmon.demo import ollama, openai
from wfmon.demo.engine import ClientLeft, DemoModel, Generation, GenerationRequest, Step, Timing, Watch
from wfmon.demo.fields import BadRequest

HOST = "127.0.0.1"
NAMES = {"127.0.0.1", "localhost", "::1"}
"""Allowed names in a Host header: any other comes from a web page with a rebound DNS name."""
MAX_BODY = 1_000_000
MAX_CONNECTIONS = 64
SILENCE_S = 75
"""How long a keep-alive connection may be silent."""
Json = dict[str, Any]
NewWatch = Callable[[DemoModel, str, int], Watch]


class DemoServer(ThreadingHTTPServer):
    """The constructor binds; ``serve_forever`` answers until ``shutdown``. ``new_watch(host:port)`` returns the factory
    of a Watch for each request, from its id and arrival in ns. ``measured``: rows of /demo/measured.
    """

    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(
        self,
        port: int,
        models: Mapping[str, DemoModel],
        clock: Clock,
        new_watch: Callable[[str], NewWatch],
        measured: Callable[[], list[Json]],
    ) -> None:
        self.models = models
        self.clock = clock
        self.measured = measured
        self.ended = threading.Event()
        self.busy = 0
        """Number of requests being answered; guarded by ``busy_lock``."""
        self.busy_lock = threading.Lock()
        self._connections = threading.BoundedSemaphore(MAX_CONNECTIONS)
        self._count = 0
        super().__init__((HOST, port), Handler)
        self.new_watch = new_watch(f"{HOST}:{self.port}")

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def number(self) -> str:
        """Return a new request id."""
        with self.busy_lock:
            self._count += 1
            return f"{self.clock.now_ms():x}-{self._count}"

    def server_bind(self) -> None:
        """Bind without the base class's look-up of this machine's name."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.port

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401  like the base class
        if not self._connections.acquire(blocking=False):
            self.shutdown_request(request)  # closes the connection, so that it holds no thread
            return
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._connections.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Log nothing: the error is a client's connection, and a traceback could show its text."""


class ClientLine:
    """A client's connection while it waits for an answer."""

    def __init__(self, sock: socket.socket, clock: Clock, ended: threading.Event) -> None:
        self._sock = sock
        self._clock = clock
        self._ended = ended
        self._more = False
        """It has pipelined its next request, so a read can no longer detect that it closed."""

    def gone(self, seconds: float) -> bool:
        if not self._more:
            readable, _, _ = select.select([self._sock], [], [], seconds)
            if not readable:
                return self._ended.is_set()
            try:
                if not self._sock.recv(1, socket.MSG_PEEK):
                    return True
            except OSError:
                return True
            self._more = True
        return self._clock.wait(self._ended, seconds)


class Handler(BaseHTTPRequestHandler):
    """One connection."""

    server: DemoServer
    protocol_version = "HTTP/1.1"
    server_version = "wfmon-demo"
    sys_version = ""
    timeout = SILENCE_S
    disable_nagle_algorithm = True
    came_ns = 0
    """When the request's first line arrived."""

    def parse_request(self) -> bool:
        self.came_ns = self.server.clock.mono_ns()
        return super().parse_request()

    def log_message(self, *_: object) -> None:
        """Log nothing: a request line is the client's private data."""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_HEAD(self) -> None:
        self._answer("HEAD")

    def do_POST(self) -> None:
        self._answer("POST")

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:  # noqa: ARG002
        """Answer what the base class refuses (a bad request line, an unknown method) in OpenAI's error format."""
        self.close_connection = True
        with contextlib.suppress(OSError):
            self._send(int(code), openai.error(BadRequest(int(code), "This request is not supported.")))

    def _answer(self, method: str) -> None:
        path = urlsplit(self.path).path
        try:
            body = self._body() if method == "POST" else b""
            self._check()
            self._route("GET" if method == "HEAD" else method, path, body)
        except BadRequest as refused:
            self._refuse(refused, path)
        except (OSError, ClientLeft):
            self.close_connection = True

    def _check(self) -> None:
        """Refuse web pages of other sites and rebound DNS names."""
        if _name("//" + self.headers.get("Host", "")) not in NAMES:
            raise BadRequest(403, "The Host header must name this machine: 127.0.0.1 or localhost.")
        origin = self.headers.get("Origin")
        if origin is not None and _name(origin) not in NAMES:
            raise BadRequest(403, "Web pages of other sites are not answered.")

    def _body(self) -> bytes:
        length, *others = self.headers.get_all("Content-Length", [""])
        if others or not re.fullmatch(r"[0-9]{1,15}", length) or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            raise BadRequest(411, "The request needs one Content-Length and no Transfer-Encoding.")
        if int(length) > MAX_BODY:
            self.close_connection = True
            raise BadRequest(413, f"The request is larger than {MAX_BODY} bytes.")
        return self.rfile.read(int(length))

    def _route(self, method: str, path: str, body: bytes) -> None:
        server = self.server
        if method == "GET":
            if path.startswith("/v1/models/"):
                listed = openai.models({(model := self._model(path.removeprefix("/v1/models/"))).name: model}, 0)
                return self._send(200, listed["data"][0])
            found: dict[str, Callable[[], Json]] = {
                "/": lambda: {"what": "wfmon's built-in n-gram model", "models": list(server.models)},
                "/health": lambda: {"status": "ok"},
                "/v1/models": lambda: openai.models(server.models, 0),
                "/api/version": lambda: {"version": f"{wfmon.__version__}-wfmon-demo"},
                "/api/tags": lambda: ollama.tags(server.models, server.clock),
                "/api/ps": lambda: ollama.running(server.models),
                "/demo/measured": lambda: {"requests": server.measured()},
            }
            if path in found:
                return self._send(200, found[path]())
        elif path in {"/v1/chat/completions", "/v1/completions"}:
            return self._openai(_parsed(body), chat=path == "/v1/chat/completions")
        elif path in {"/api/chat", "/api/generate"}:
            return self._ollama(_parsed(body), chat=path == "/api/chat")
        elif path == "/api/show":
            shown = _parsed(body)
            return self._send(200, ollama.show(self._model(shown.get("model") or shown.get("name")), server.clock))
        raise BadRequest(404, "There is no such route.", None, "not_found")

    def _openai(self, body: Json, *, chat: bool) -> None:
        model = self._model(body.get("model"))
        wanted = (openai.chat if chat else openai.completion)(body, model.vocabulary)
        number = self.server.number()
        writer = openai.OpenAiWriter(wanted, model, number, self.server.clock.now_ms() // 1000)
        answer = Generation(Timing(self.came_ns))
        steps = self._steps(model, wanted.generation, number, answer)
        if not wanted.stream:
            return self._send(200, writer.whole(steps, answer), number)
        return self._stream(
            number, "text/event-stream",
            (b"data: " + (event.encode() if isinstance(event, str) else _json(event)) + b"\n\n"
             for event in writer.events(steps, answer)),
            steps,
        )  # fmt: skip

    def _ollama(self, body: Json, *, chat: bool) -> None:
        model = self._model(body.get("model"))
        wanted = ollama.parse(body, model, chat=chat)
        writer = ollama.OllamaWriter(wanted, model, self.server.clock)
        if wanted.load:
            return self._send(200, writer.loaded())
        number = self.server.number()
        answer = Generation(Timing(self.came_ns))
        steps = self._steps(model, wanted.generation, number, answer)
        if not wanted.stream:
            return self._send(200, writer.whole(steps, answer), number)
        lines = (_json(line) + b"\n" for line in writer.events(steps, answer))
        return self._stream(number, "application/x-ndjson", lines, steps)

    def _steps(self, model: DemoModel, request: GenerationRequest, number: str, answer: Generation) -> Iterator[Step]:
        client = ClientLine(self.connection, self.server.clock, self.server.ended)
        watch = self.server.new_watch(model, number, self.came_ns)
        with self.server.busy_lock:
            self.server.busy += 1
        try:
            yield from model.answer(request, client, watch, answer)
        finally:
            with self.server.busy_lock:
                self.server.busy -= 1

    def _stream(self, number: str, kind: str, parts: Iterator[bytes], steps: Iterator[Step]) -> None:
        """Send each part as one chunk when it arrives. The head is sent with the first."""
        try:
            head = self._head(200, kind, number, {"Transfer-Encoding": "chunked", "Cache-Control": "no-cache"})
            for part in parts:
                self.wfile.write(head + b"%x\r\n%b\r\n" % (len(part), part))
                head = b""
            self.wfile.write(b"0\r\n\r\n")
        finally:
            steps.close()  # type: ignore[attr-defined]  # a generator: ends now after an abort, not at garbage collection

    def _send(self, status: int, body: Json, number: str = "") -> None:
        data = _json(body)
        head = self._head(status, "application/json", number, {"Content-Length": str(len(data))})
        self.wfile.write(head if self.command == "HEAD" else head + data)

    def _head(self, status: int, kind: str, number: str, more: Mapping[str, str]) -> bytes:
        """Return the head as bytes, to be sent together with the start of the body."""
        close = {"Connection": "close"} if self.close_connection else {}
        named = {"X-Request-Id": number} if number else {}
        rows = {
            "Server": self.server_version, "Content-Type": kind, "X-Content-Type-Options": "nosniff", **named, **more,
            **close,
        }  # fmt: skip
        lines = "".join(f"{name}: {text}\r\n" for name, text in rows.items())
        return f"HTTP/1.1 {status} {self.responses.get(status, ('',))[0]}\r\n{lines}\r\n".encode("latin-1")

    def _refuse(self, refused: BadRequest, path: str) -> None:
        body = {"error": refused.sentence} if path.startswith("/api/") else openai.error(refused)
        try:
            self._send(refused.status, body)
        except OSError:
            self.close_connection = True

    def _model(self, name: object) -> DemoModel:
        found = self.server.models.get(name.removesuffix(":latest")) if isinstance(name, str) else None
        if found is None:
            there = ", ".join(self.server.models)
            raise BadRequest(404, f"There is no such model; available are {there}.", "model", "model_not_found")
        return found


def _name(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _parsed(body: bytes) -> Json:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise BadRequest(400, "The body is not JSON.") from None
    if not isinstance(found, dict):
        raise BadRequest(400, "The body must be a JSON object.")
    return found


def _json(body: Json) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
