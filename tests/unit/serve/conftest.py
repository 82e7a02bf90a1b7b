"""A server behind the guard, with fakes for what it asks of the monitor."""

from __future__ import annotations

from collections import Counter

import flask
import pytest

from tests.kit.services import FakeServices
from wfmon.collect.models.ingest.inbox import Ingest
from wfmon.core.clock import FakeClock
from wfmon.serve import Origin, install
from wfmon.serve.launch import Launcher
from wfmon.serve.token import Token
from wfmon.stream.messages import StreamClosed

PORT = 9445
SECRET = "T" * 43


class GuardedServer:
    """The whole edge but its listener: requests go through the guard as the listener would hand them on."""

    def __init__(self, folder, *, tls=False, port=PORT, ingest=None):
        self.folder = folder
        self.clock = FakeClock()
        self.token = Token(SECRET)
        self.origin = Origin("127.0.0.1", lambda: port, tls=tls)
        self.announced = []
        self.refused = Counter()
        self.ran = []
        self.launcher = Launcher(self.clock, folder, self.origin.url, self.announced.append)
        self.services = FakeServices()
        self.server = flask.Flask("server", static_folder=str(folder), static_url_path="/assets")
        self.server.before_request(lambda: self.ran.append(flask.request.path))
        for rule in ("/", "/<path:page>"):
            self.server.add_url_rule(rule, rule, lambda page="": f"page {page}")
        self.server.add_url_rule("/_dash-update-component", "update", lambda: "taken", methods=["POST"])
        self.server.add_url_rule("/broken", "/broken", lambda: 1 / 0)
        self.ingest = ingest or Ingest(self.clock, len, boot="boot")
        self.hooks = install(
            self.server, self.services, hub=FullHub(), ingest=self.ingest, token=self.token,
            launcher=self.launcher, origin=self.origin,
            script_hashes=lambda: [f"'sha256-after-{len(self.ran)}'"], clock=self.clock,
            on_refusal=lambda cause: self.refused.update([cause]),
        )  # fmt: skip

    def ask(self, target, method="GET", *, headers=None, signed_in=True, host=None, data=None, **environ):
        """Ask; ``headers`` replace those of a browser that is signed in, None takes one away."""
        given = {"Host": self.origin.authority() if host is None else host}
        if signed_in:
            given["Cookie"] = self.cookie
        if method == "POST":
            given["Origin"] = self.origin.url()
        given.update(headers or {})
        path, _, query = target.partition("?")
        env = {f"HTTP_{name.upper().replace('-', '_')}": value for name, value in given.items() if value is not None}
        client = self.server.test_client(use_cookies=False)
        return client.open(
            path or "/", method=method, query_string=query, data=data,
            environ_overrides={"HTTP_HOST": "", **env, "REQUEST_URI": target, "RAW_URI": target, **environ},
        )  # fmt: skip

    @property
    def cookie(self):
        return f"{self.origin.cookie_name()}={self.token.cookie()}"


class FullHub:
    """Takes no client: a request that reaches it was let in."""

    def open(self, *_args, **_more):
        raise StreamClosed("full", "Too many watch.")

    def client(self, name):
        del name


@pytest.fixture
def guarded(tmp_path):
    return GuardedServer(tmp_path)


@pytest.fixture
def guarded_at(tmp_path):
    """Make a guarded server with TLS or on another port."""
    return lambda **more: GuardedServer(tmp_path, **more)
