"""A monitor as the hook sees it: a data folder, a lock, and a WebSocket that another's code speaks (wsproto)."""

from __future__ import annotations

import contextlib
import fcntl
import json
import socket
import threading
import time

import simple_websocket

from tests.kit.serving import DAEMON

TOKEN = "t" * 43
KEY = "00112233445566778899aabbccddeeff"
WAIT_S = 60.0


class Receiver:
    """Listens, writes server.json, and keeps every line it is sent. ``heads``: what each handshake said."""

    def __init__(self, folder, *, boot="b1", greeting=None, reads=True, ssl_context=None, ca_file=""):
        self.folder = folder
        self.greeting = greeting or {
            "type": "hello", "version": 1, "boot": boot, "key": KEY, "max_bytes": 262_144,
        }  # fmt: skip
        self.reads = reads
        self.heads = []
        self.messages = []
        self.closes = []
        self.lines_ = []
        self.came = threading.Condition()
        self.sockets = []
        self._ssl = ssl_context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "token").write_text(TOKEN)
        self._lock = (folder / "lock").open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        scheme = "https" if ssl_context else "http"
        (folder / "server.json").write_text(
            json.dumps({"url": f"{scheme}://127.0.0.1:{self.port}", "pid": 1, "ca_file": ca_file})
        )
        self.threads = []
        self._start(self._accept)

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self.sockets.append(sock)
                self._start(self._serve, sock)

    def _start(self, target, *args):
        thread = threading.Thread(target=target, args=args, daemon=True)
        self.threads.append(thread)
        thread.start()

    def _serve(self, sock):
        with contextlib.suppress(OSError, simple_websocket.ConnectionClosed):
            self._speak(sock)

    def _speak(self, sock):
        if self._ssl:
            sock = self._ssl.wrap_socket(sock, server_side=True)
            self.sockets.append(sock)
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            piece = sock.recv(1)
            if not piece:
                return
            head += piece
        line, *fields = head.decode().strip().split("\r\n")
        if not line.startswith("GET /api/v1/hook "):  # another monitor of this machine looks what we are
            sock.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return
        environ = {"REQUEST_METHOD": "GET", "PATH_INFO": line.split()[1], "werkzeug.socket": sock}
        environ |= {
            "HTTP_" + name.upper().replace("-", "_"): value for name, value in (f.split(": ", 1) for f in fields)
        }
        with self.came:
            self.heads.append(environ)
            self.came.notify_all()
        web = simple_websocket.Server.accept(environ, thread_class=DAEMON, max_message_size=1 << 20)
        web.send(json.dumps(self.greeting))
        while self.reads:
            try:
                data = web.receive()
            except simple_websocket.ConnectionClosed as closed:
                with self.came:
                    self.closes.append(closed.reason)
                    self.came.notify_all()
                return
            with self.came:
                self.messages.append(data)
                self.lines_ += [json.loads(text) for text in data.split("\n")]
                self.came.notify_all()

    def wait(self, true, seconds=WAIT_S):
        """Wait until ``true(lines)`` is so, and give the lines."""
        with self.came:
            assert self.came.wait_for(lambda: true(self.lines_), seconds), self.lines_[-20:]
            return list(self.lines_)

    def lines(self, kind, request=None):
        with self.came:
            return [x for x in self.lines_ if x["e"] == kind and (request is None or x.get("r") == request)]

    def ended(self, count=1):
        """Wait for so many ends; give all lines but the beats."""
        lines = self.wait(lambda lines: sum(x["e"] == "end" for x in lines) >= count)
        return [x for x in lines if x["e"] != "beat"]

    def close(self, *, leave=False):
        """End as a killed monitor does; ``leave``: server.json stays, as after SIGKILL."""
        for sock in (self._listener, *self.sockets):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(WAIT_S)
        for sock in (self._listener, *self.sockets):
            sock.close()
        if not leave:
            (self.folder / "server.json").unlink(missing_ok=True)
        self._lock.close()


def wait_until(true, seconds=WAIT_S):
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not true():
        assert time.monotonic() < deadline
        pause.wait(0.01)
