"""A hub behind the real listener, a beat given by hand, and clients that hold every message against the schema."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from pathlib import Path

import flask
import jsonschema
import numpy as np
import simple_websocket

import wfmon.stream
from tests.kit.serving import DAEMON
from wfmon.core.clock import SystemClock
from wfmon.core.registry import Registry
from wfmon.core.types import Batch, Series
from wfmon.serve.limits import Limits
from wfmon.serve.listener import Listener
from wfmon.serve.routes.stream import install_live
from wfmon.stream.hub import Hub

TOKEN = "the token"
SCHEMA = json.loads((Path(wfmon.stream.__file__).parent / "protocol.schema.json").read_text())
FROM_SERVER = jsonschema.Draft202012Validator({**SCHEMA, "anyOf": [{"$ref": "#/$defs/from_server"}]})
FROM_CLIENT = jsonschema.Draft202012Validator({**SCHEMA, "anyOf": [{"$ref": "#/$defs/from_client"}]})

CPU = Series("system.cpu_percent")  # priority 0
SWAP = Series("system.swap_percent")  # priority 1
LOAD = Series("system.load_1m")  # priority 2


class Grid:
    """A snapshot as the window gives it."""

    def __init__(self, columns, t0_ms=1_000, step_ms=100):
        self.t0_ms, self.step_ms = t0_ms, step_ms
        self.columns = {number: np.asarray(values, np.float32) for number, values in columns.items()}


def batch(registry, values, t_ms, *, changed=True):
    """Make one instant of some series: {Series: value}."""
    count = len(values)
    ids = np.array([registry.id(series) for series in values], np.int32)
    return Batch(np.full(count, t_ms, np.int64), ids, np.array([*values.values()], float), np.full(count, changed))


def make_hub(registry, clock, **more):
    settings = {
        "snapshot": lambda: Grid({}), "rate_hz": 60, "mailbox_frames": 60, "stall_seconds": 3.0, "max_clients": 64,
        "push_ux": lambda fields, client: None, "check_token": lambda token: token == TOKEN, "boot": "boot-1",
    }  # fmt: skip
    return Hub(registry, clock, **{**settings, **more})


class StreamServer:
    """A hub on real sockets. ``tick`` publishes; nothing happens by itself unless ``beat`` was called."""

    def __init__(self, *, limits=None, **more):
        self.clock = SystemClock()
        self.registry = Registry()
        self.errors = []
        self.hub = make_hub(self.registry, self.clock, **more)
        self.server = flask.Flask("streaming")
        self.bearer = False
        install_live(self.server, self.hub, lambda token: token == TOKEN, lambda: self.bearer, self._failed)
        self.listener = Listener(
            self.server.wsgi_app, "127.0.0.1", 0, clock=self.clock, on_error=self._failed, limits=limits or Limits()
        )
        self.listener.start()
        self._stop = threading.Event()
        self._beat = None
        self._clients = []

    @property
    def port(self):
        return self.listener.port

    def _failed(self, where, error):
        self.errors.append((where, error))

    def tick(self, values=None):
        now_ms = self.clock.now_ms()
        self.hub.publish([batch(self.registry, values, now_ms)] if values else [], now_ms)

    def beat(self, values=lambda n: {CPU: n}, hz=60):
        """Publish from a thread of its own until the server closes."""

        def run():
            n = 0
            while not self._stop.wait(1 / hz):
                n += 1
                self.tick(values(n))

        self._beat = threading.Thread(target=run, daemon=True)
        self._beat.start()

    def stop_beat(self):
        self._stop.set()
        if self._beat:
            self._beat.join()

    def websocket(self, hello=True, **more):
        client = WebSocketClient(self.port)
        self._clients.append(client)
        if hello:
            client.say("hello", version=1, token=TOKEN, **more)
            client.until("state", lambda m: "client" in m)
        return client

    def sse(self, path="/sse", **headers):
        client = SseClient(self.port, path, headers)
        self._clients.append(client)
        return client

    def close(self):
        self.stop_beat()
        self.hub.close()
        for client in self._clients:
            client.close()
        self.listener.stop()
        assert self.errors == []


class _Heard:
    """Messages in the order in which they came."""

    def __init__(self):
        self.heard = []

    def next(self, timeout=3.0):
        text = self._text(timeout)
        message = json.loads(text)
        FROM_SERVER.validate(message)
        self.heard.append(message)
        return message

    def until(self, kind, accept=lambda message: True, timeout=3.0):
        """Read on to the next message of a type."""
        while True:
            message = self.next(timeout)
            if message["type"] == kind and accept(message):
                return message

    def frames(self, count):
        return [self.until("frame") for _ in range(count)]

    def of(self, kind):
        return [message for message in self.heard if message["type"] == kind]


class _Gate:
    """A client's socket that stops reading while it is shut."""

    def __init__(self, line):
        self._line = line
        self._line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768)
        self.open = threading.Event()

    def recv(self, size):
        self.open.wait()
        return self._line.recv(size)

    def __getattr__(self, name):
        return getattr(self._line, name)


class _Client(simple_websocket.Client):
    """The library's client loses what comes together with the answer to its handshake, and a refusal does."""

    def handshake(self):
        super().handshake()
        self._handle_events()
        self.connected = True  # what came is read first, a closing frame or not


class WebSocketClient(_Heard):
    def __init__(self, port):
        super().__init__()
        self.ws = _Client(f"ws://127.0.0.1:{port}/ws", thread_class=DAEMON)

    def pause(self):
        """Read no more, after what is being read now."""
        self.ws.sock = _Gate(self.ws.sock)

    def resume(self):
        self.ws.sock.open.set()

    def say(self, kind, **fields):
        message = {"type": kind, **fields}
        FROM_CLIENT.validate(message)
        self.ws.send(json.dumps(message))

    def send(self, data):
        self.ws.send(data)

    def _text(self, timeout):
        text = self.ws.receive(timeout)
        if text is None:
            raise TimeoutError("the stream is silent")
        return text

    def ends(self, timeout=3.0):
        """Read to the end; give the close code and the reason."""
        try:
            while True:
                self.next(timeout)
        except simple_websocket.ConnectionClosed as closed:
            return closed.reason, closed.message

    def close(self):
        with contextlib.suppress(simple_websocket.ConnectionClosed, OSError):
            self.ws.close()
        self.ws.sock.close()


class SseClient(_Heard):
    def __init__(self, port, path, headers):
        super().__init__()
        self.socket = socket.create_connection(("127.0.0.1", port), 5)
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{port}", *(f"{k}: {v}" for k, v in headers.items())]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())
        self._file = self.socket.makefile("rb")
        self.status = int(self._file.readline().split()[1])
        self.headers = {}
        while line := self._file.readline().strip():
            name, _, value = line.decode().partition(": ")
            self.headers[name.lower()] = value
        self._rest = b""
        self.last_id = None

    def event(self):
        """One event's fields, over the chunks of the transfer."""
        while b"\n\n" not in self._rest:
            size = int(self._file.readline(), 16)
            self._rest += self._file.read(size)
            self._file.readline()
            if not size:
                raise EOFError
        one, _, self._rest = self._rest.partition(b"\n\n")
        fields = dict(line.split(": ", 1) for line in one.decode().split("\n"))
        self.last_id = fields.get("id", self.last_id)
        return fields

    def _text(self, timeout):
        self.socket.settimeout(timeout)
        while "data" not in (fields := self.event()):
            pass
        return fields["data"]

    def close(self):
        self._file.close()
        self.socket.close()
