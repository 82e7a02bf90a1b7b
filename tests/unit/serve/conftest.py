"""A server behind the guard, with fakes for what it asks of the monitor."""

from __future__ import annotations

import sqlite3
from collections import Counter

import flask
import pytest

from wfmon.analyse.child import Failed
from wfmon.analyse.query import Refused as NoQuery
from wfmon.collect.models.ingest.inbox import Ingest
from wfmon.core.clock import FakeClock
from wfmon.core.types import CollectorStatus, Series
from wfmon.serve import Door, install
from wfmon.serve.launch import Launcher
from wfmon.serve.token import Token
from wfmon.store.deletion_job import Busy
from wfmon.store.deletion_job import Refused as NotForgotten
from wfmon.stream.messages import Refused

PORT = 9445
SECRET = "T" * 43


class House:
    """The whole edge but its listener: requests go through the guard as the listener would hand them on."""

    def __init__(self, folder, *, tls=False, port=PORT, ingest=None):
        self.folder = folder
        self.clock = FakeClock()
        self.token = Token(SECRET)
        self.door = Door("127.0.0.1", lambda: port, tls=tls)
        self.announced = []
        self.refused = Counter()
        self.ran = []
        self.launcher = Launcher(self.clock, folder, self.door.origin, self.announced.append)
        self.services = FakeServices()
        self.server = flask.Flask("house", static_folder=str(folder), static_url_path="/assets")
        self.server.before_request(lambda: self.ran.append(flask.request.path))
        for rule in ("/", "/<path:page>"):
            self.server.add_url_rule(rule, rule, lambda page="": f"page {page}")
        self.server.add_url_rule("/_dash-update-component", "update", lambda: "taken", methods=["POST"])
        self.server.add_url_rule("/broken", "/broken", lambda: 1 / 0)
        self.ingest = ingest or Ingest(self.clock, len, boot="boot")
        self.hooks = install(
            self.server, self.services, hub=FullHub(), ingest=self.ingest, token=self.token,
            launcher=self.launcher, door=self.door,
            script_hashes=lambda: [f"'sha256-after-{len(self.ran)}'"], clock=self.clock,
            on_refusal=lambda cause: self.refused.update([cause]),
        )  # fmt: skip

    def ask(self, target, method="GET", *, headers=None, signed_in=True, host=None, data=None, **environ):
        """Ask; ``headers`` replace those of a browser that is signed in, None takes one away."""
        given = {"Host": self.door.authority() if host is None else host}
        if signed_in:
            given["Cookie"] = self.cookie
        if method == "POST":
            given["Origin"] = self.door.origin()
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
        return f"{self.door.cookie_name()}={self.token.cookie()}"


class FullHub:
    """Takes no client: a request that reaches it was let in."""

    def open(self, *_args, **_more):
        raise Refused("full", "Too many watch.")

    def client(self, name):
        del name


class FakeServices:
    """What a running monitor would say."""

    def __init__(self):
        self.switched = {}
        self.said = []
        self.rows = [
            {"id": 0, "name": "system.cpu_percent", "labels": {}, "unit": "%", "kind": "gauge", "t_ms": 5,
             "value": 12.5},
            {"id": 1, "name": "system.swap_used_bytes", "labels": {}, "unit": "B", "kind": "gauge", "t_ms": 5,
             "value": None},
        ]  # fmt: skip
        self.cache_seconds = 300
        self.recording = True
        self.disk_full = False
        self.forgetting_state = "none"

    def health(self):
        return {"status": "ok", "stream": {"late_ms": float("nan")}}

    def series(self):
        return [{key: row[key] for key in ("id", "name", "unit", "kind", "labels")} for row in self.rows]

    def latest(self):
        return {"now_ms": 7, "series": self.rows}

    def window(self, text, span_s):
        if str(Series.parse(text)) != "system.cpu_percent":
            raise KeyError(text)
        return {"series": text, "unit": "%", "span_s": span_s, "count": 2, "mean": 12.5}

    def windows(self, span_s):
        if span_s not in (1, 10, 300):
            raise ValueError("Windows of all series span 1, 10, 300 seconds")
        return {"now_ms": 7, "series": []}

    def collectors(self):
        return [CollectorStatus("system", "running" if self.switched.get("system", True) else "off")]

    def switch(self, name, enabled):
        if name != "system":
            raise KeyError(name)
        self.switched[name] = enabled

    def models(self):
        return [{"model": "tiny", "server": "127.0.0.1:11434", "energy": 0.5, "ttft_ms": float("nan")}]

    def requests(self, limit):
        return [{"id": f"r{number}", "ttft_ms": None} for number in range(min(limit, 60))]

    def request(self, name):
        if name != "a:1.b-c_d":
            raise KeyError(name)
        return {"id": name, "ticks": {"t_ms": [1.5], "tokens": [1], "entropy_bits": [None]}}

    def servers(self):
        return [{"server": "127.0.0.1:11434", "state": "needs_key"}]

    def demo(self, what):
        self.said.append(what)
        return {"state": "running" if what == "start" else "off", "reason": "", "pid": None}

    def proxy(self):
        return {"state": "off", "reason": "", "pid": None, "listen": "", "upstream": ""}

    def kept_series(self):
        return [{"series": "system.cpu_percent", "name": "system.cpu_percent", "distribution": False}]

    def query(self, series, from_ms, to_ms, points, fn):
        self.said.append((series, from_ms, to_ms, points, fn))
        if not series:
            raise NoQuery("series", "No series was named.", "Give series=.")
        return {"series": [{"series": name, "points": [[from_ms, float("nan"), 1.5, 2.0]]} for name in series]}

    def statistics(self, asked):
        self.said.append(asked)
        if not asked.series:
            raise NoQuery("series", "No series was named.", "Give series=.")
        return {"series": asked.series, "span": {"mean": 1.5, "p95": None}}

    def annotations(self, from_ms, to_ms):
        return [{"t_ms": from_ms, "kind": "start", "text": "The monitor started."}]

    def unusual(self):
        return {"state": "judging", "now": [{"series": "system.cpu_percent", "z": 6.5}]}

    def was_unusual(self, from_ms, to_ms):
        return [{"series": "system.cpu_percent", "since_ms": from_ms, "until_ms": to_ms}]

    def past_requests(self, from_ms, to_ms, limit, model):
        self.said.append((from_ms, to_ms, limit, model))
        return [{"id": "a"}]

    def insights(self, days, offset_s):
        if days < 1:
            raise ValueError("days")
        if days > 80:
            raise Failed("The analysis failed: no.")
        return {"findings": [], "said": [days, offset_s]}

    def store(self):
        return {"state": "recording" if self.recording else "off"}

    def record(self, enabled):
        if self.disk_full:
            raise OSError(28, "No space left on device")
        self.recording = enabled

    def forgetting(self):
        return {"state": self.forgetting_state}

    def forget_preview(self, what):
        if set(what) != {"all"}:
            raise NotForgotten("before_ms", "It is not said what to forget.", "Send one of them.")
        return {"parts": 5}

    def forget(self, what):
        if self.forgetting_state == "deleting":
            raise Busy("Something is being forgotten at the moment.")
        if self.disk_full:
            raise sqlite3.OperationalError("disk I/O error")
        self.said.append(what)
        self.forgetting_state = "waiting"
        return self.forgetting()

    def call_off(self):
        return self.forgetting_state == "deleting"

    def retention(self):
        return [{"name": "store.keep_1s_days", "value": 0.25}]

    def retain_preview(self, changes):
        if "store.keep_1s_days" not in changes:
            raise NotForgotten("store.max_bytes", "store.max_bytes must be more.", "Give more.")
        return {"shorter": list(changes)}

    def retain(self, changes):
        self.retain_preview(changes)
        if self.disk_full:
            raise OSError(28, "No space left on device")
        self.said.append(changes)
        return self.retention()

    def settings(self):
        return [{"name": "window.cache_seconds", "value": self.cache_seconds, "default": 300, "origin": "default",
                 "restart": True}]  # fmt: skip


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


@pytest.fixture
def house_at(tmp_path):
    """Make a house with TLS or on another port."""
    return lambda **more: House(tmp_path, **more)
