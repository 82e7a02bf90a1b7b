"""A server behind the guard, with fakes for what it asks of the monitor."""

from __future__ import annotations

from collections import Counter

import flask
import pytest

from wfmon.collect.models.ingest.inbox import Ingest
from wfmon.core.clock import FakeClock
from wfmon.core.errors import Busy, Failed, NotSaved, Refused, Unknown, Unreadable
from wfmon.core.types import CollectorStatus, Series
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


class FakeLive:
    """Two series, one of them absent; one collector."""

    def __init__(self):
        self.switched = {}
        self.rows = [
            {"id": 0, "name": "system.cpu_percent", "labels": {}, "unit": "%", "kind": "gauge", "t_ms": 5,
             "value": 12.5},
            {"id": 1, "name": "system.swap_used_bytes", "labels": {}, "unit": "B", "kind": "gauge", "t_ms": 5,
             "value": None},
        ]  # fmt: skip

    def health(self):
        return {"status": "ok", "stream": {"late_ms": float("nan")}}

    def collectors(self):
        return [CollectorStatus("system", "running" if self.switched.get("system", True) else "off")]

    def series(self):
        return [{key: row[key] for key in ("id", "name", "unit", "kind", "labels")} for row in self.rows]

    def latest(self):
        return {"now_ms": 7, "series": self.rows}

    def window(self, *, series, span_s):
        try:
            Series.parse(series)
        except ValueError as error:
            raise Refused("series", f"{error}.", "Write it as /api/v1/series does.") from None
        if series != "system.cpu_percent":
            raise Unknown("series", "series", "No such series was seen since the start.", "GET /api/v1/series.")
        return {"series": series, "unit": "%", "span_s": span_s, "count": 2, "mean": 12.5}

    def windows(self, *, span_s):
        if span_s not in (1, 10, 300):
            raise Refused("window", "Windows of all series span 1, 10, 300 seconds.", "Give window=1.")
        return {"now_ms": 7, "series": []}


class FakeModels:
    """A model, many requests, a server that wants a key."""

    def __init__(self, said):
        self._said = said

    def models(self):
        return [{"model": "tiny", "server": "127.0.0.1:11434", "energy": 0.5, "ttft_ms": float("nan")}]

    def requests(self, *, limit):
        return [{"id": f"r{number}", "ttft_ms": None} for number in range(min(limit, 60))]

    def request(self, *, request_id):
        if request_id != "a:1.b-c_d":
            raise Unknown("request", "id", "No such request is kept.", "GET /api/v1/requests lists those that are.")
        return {"id": request_id, "ticks": {"t_ms": [1.5], "tokens": [1], "entropy_bits": [None]}}

    def servers(self):
        return [{"server": "127.0.0.1:11434", "state": "needs_key"}]

    def proxy(self):
        return {"state": "off", "reason": "", "pid": None, "listen": "", "upstream": ""}

    def demo(self, *, command=""):
        self._said.append(command)
        return {"state": "running" if command == "start" else "off", "reason": "", "pid": None}


class FakeHistory:
    """Answers any span, and remembers what it was asked."""

    def __init__(self, said):
        self._said = said

    def series(self):
        return [{"series": "system.cpu_percent", "name": "system.cpu_percent", "distribution": False}]

    def query(self, *, series, from_ms, to_ms, points, fn):
        self._said.append((series, from_ms, to_ms, points, fn))
        if not series:
            raise Refused("series", "No series was named.", "Give series=.")
        return {"series": [{"series": name, "points": [[from_ms, float("nan"), 1.5, 2.0]]} for name in series]}

    def statistics(self, *, query):
        self._said.append(query)
        if not query.series:
            raise Refused("series", "No series was named.", "Give series=.")
        return {"series": query.series, "span": {"mean": 1.5, "p95": None}}

    def annotations(self, *, from_ms, to_ms):
        return [{"t_ms": from_ms, "kind": "start", "text": "The monitor started."}]

    def requests(self, *, from_ms, to_ms, limit, model=""):
        self._said.append((from_ms, to_ms, limit, model))
        return [{"id": "a"}]


class FakeInsights:
    """No findings, and one series that is unusual."""

    def report(self, *, days, zone):
        if days < 1:
            raise Refused("days", "The analysis was asked for no days.", "Give days= from 1 to 90, and offset=.")
        if days > 80:
            raise Failed("The analysis failed: no.")
        return {"findings": [], "said": [days, str(zone)]}

    def unusual(self):
        return {"state": "judging", "now": [{"series": "system.cpu_percent", "z": 6.5}]}

    def past_unusual(self, *, from_ms, to_ms):
        return [{"series": "system.cpu_percent", "since_ms": from_ms, "until_ms": to_ms}]


class FakeStore:
    """A file that records, may be full, and may be at a deletion."""

    def __init__(self, said):
        self._said = said
        self.recording = True
        self.disk_full = False
        self.deletion_state = "none"

    def status(self):
        return {"state": "recording" if self.recording else "off"}

    def record(self, *, enabled):
        if self.disk_full:
            raise NotSaved(OSError(28, "No space left on device"))
        self.recording = enabled

    def deletion(self):
        return {"state": self.deletion_state}

    def preview_deletion(self, *, what):
        if set(what) != {"all"}:
            raise Refused("before_ms", "It is not said what to forget.", "Send one of them.")
        return {"parts": 5}

    def delete(self, *, what):
        if self.deletion_state == "deleting":
            raise Busy("Something is being forgotten at the moment.", "Wait until it is done.")
        if self.disk_full:
            raise Unreadable("The history could not be read (disk I/O error).", "Try again in a moment.")
        self._said.append(what)
        self.deletion_state = "waiting"
        return self.deletion()

    def cancel_deletion(self):
        return self.deletion_state == "deleting"

    def retention(self):
        return [{"name": "store.keep_1s_days", "value": 0.25}]

    def preview_retention(self, *, changes):
        if "store.keep_1s_days" not in changes:
            raise Refused("store.max_bytes", "store.max_bytes must be more.", "Give more.")
        return {"shorter": list(changes)}

    def change_retention(self, *, changes):
        self.preview_retention(changes=changes)
        if self.disk_full:
            raise NotSaved(OSError(28, "No space left on device"))
        self._said.append(changes)
        return self.retention()


class FakeSettings:
    """One setting, one collector."""

    def __init__(self, live):
        self._live = live
        self.cache_seconds = 300

    def table(self):
        return [{"name": "window.cache_seconds", "value": self.cache_seconds, "default": 300, "origin": "default",
                 "restart": True}]  # fmt: skip

    def switch_collector(self, *, name, enabled):
        if name != "system":
            raise Unknown("collector", "name", "There is no such collector.", "GET /api/v1/collectors lists them.")
        self._live.switched[name] = enabled


class FakeServices:
    """What a running monitor would say. ``said``: what it was asked, in order."""

    def __init__(self):
        self.said = []
        self.live = FakeLive()
        self.models = FakeModels(self.said)
        self.history = FakeHistory(self.said)
        self.insights = FakeInsights()
        self.store = FakeStore(self.said)
        self.settings = FakeSettings(self.live)


@pytest.fixture
def guarded(tmp_path):
    return GuardedServer(tmp_path)


@pytest.fixture
def guarded_at(tmp_path):
    """Make a guarded server with TLS or on another port."""
    return lambda **more: GuardedServer(tmp_path, **more)
