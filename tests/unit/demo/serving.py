"""The built-in model's server in this process, on a free port, with a list in the hook's place."""

from __future__ import annotations

import contextlib
import threading

from wfmon.core.clock import SystemClock
from wfmon.demo.library import train
from wfmon.demo.server import DemoServer


class Told(list):
    """What one request told."""

    def phase(self, name):
        self.append(("phase", name))

    def prompt(self, tokens):
        self.append(("prompt", tokens))

    def token(self, drawn):
        self.append(("token", drawn))

    def end(self, status, reason, timing):
        self.append(("end", status, reason, timing))
        self.ended.set()

    def __init__(self):
        self.ended = threading.Event()


@contextlib.contextmanager
def serving(rate=0.0):
    """Give the server, with ``told``: a Told a request, in their order."""
    clock = SystemClock()
    told = []

    def request(model, number, came_ns):
        told.append(Told())
        return told[-1]

    server = DemoServer(0, train(clock, rate), clock, lambda address: request, list)
    server.told = told
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        thread.join(10)
        server.server_close()
