"""A harness for the meter: real ingest and meter, a fake clock, and a sender whose clock is its own."""

from __future__ import annotations

import math
import weakref

import orjson

from wfmon.collect.models.ingest.inbox import Ingest
from wfmon.collect.models.meter.meters import Meters
from wfmon.core.clock import FakeClock
from wfmon.core.types import Frame, Judgement, TokenBatch

AHEAD_US = 5_000_000
"""The senders' clocks are five seconds ahead of the monitor's."""


class Index:
    """An energy index that writes down what it is told."""

    def __init__(self):
        self.calls = []

    def started(self, now_ms):
        self.calls.append(("started", now_ms))

    def token(self, now_ms, tokens_per_second, certainty, interval_ms):
        self.calls.append(("token", now_ms, tokens_per_second, certainty, interval_ms))
        return 0.5

    def ended(self, now_ms):
        self.calls.append(("ended", now_ms))

    def at(self, now_ms):
        state = {"started": 1, "token": 2, "ended": 5}[self.calls[-1][0]] if self.calls else 0
        return (0.5 if state == 2 else 0.0), state


class Sender:
    """A connection that has said who it is; ``say`` heads every message with a beat."""

    def __init__(self, harness, ident="sender-0001", via="hook", name="prog", pid=4242, post=False, **more):
        self.harness = harness
        self.ident = ident
        self.lost = 0
        self.source = {"e": "source", "v": 1, "id": ident, "via": via, "name": name, "pid": pid, **more}
        self.connection = harness.ingest.open(post=post)
        self.say(first=True)

    @property
    def t(self):
        return self.harness.clock.mono_ns() // 1000 + AHEAD_US

    def say(self, *lines, first=False):
        head = [self.source] if first else []
        message = b"\n".join(
            orjson.dumps(line) for line in [*head, {"e": "beat", "t": self.t, "lost": self.lost}, *lines]
        )
        taken = self.connection.take(message)
        assert taken.refused == []
        return taken.events

    def again(self):
        """Come back on a new connection."""
        self.connection = self.harness.ingest.open()
        self.say(first=True)

    def start(self, r="r1", model="m", **more):
        self.say({"e": "start", "r": r, "t": self.t, "model": model, **more})

    def tokens(self, r="r1", back_ms=(0,), **more):
        return self.say({"e": "tokens", "r": r, "t": [self.t - round(ms * 1000) for ms in back_ms], **more})

    def end(self, r="r1", status="ok", **more):
        self.say({"e": "end", "r": r, "t": self.t, "status": status, **more})


class MeterHarness:
    def __init__(self, **options):
        self.clock = FakeClock()
        self.clock.advance(100)
        self.watts = None
        self.alive = True
        self.indices = []
        self.asked = []
        self.causes, self.slow = (), False
        options = {
            "energy": self._energy, "server_of": lambda pid, claimed: claimed, "power_watts": lambda: self.watts,
            "judge": self._why, "alive": lambda pid: self.alive,
        } | options  # fmt: skip
        self.meters = Meters(self.clock, **options)
        self.ingest = Ingest(self.clock, self.meters.put, boot="boot-1")
        self.told = weakref.WeakKeyDictionary()
        self.frame = None

    def _energy(self):
        self.indices.append(Index())
        return self.indices[-1]

    def _why(self, request):
        self.asked.append(request)
        return Judgement(bool(self.causes) or self.slow, self.causes)

    def sender(self, *args, **more):
        return Sender(self, *args, **more)

    def beat(self, seconds=0.0):
        """Let time pass and drain; gives (rows by series name: [(t_ms, value)], gauges by series text)."""
        self.clock.advance(seconds)
        rows, gauges = {}, {}
        self.frame = None
        for item in self.meters.drain():
            if isinstance(item, TokenBatch):
                for t_ms, values in zip(item.t_ms.tolist(), item.values.tolist(), strict=True):
                    for series, value in zip(item.layout.series, values, strict=True):
                        if not math.isnan(value):
                            rows.setdefault(short(series), []).append((t_ms - self.clock.now_ms(), value))
            else:
                assert isinstance(item, Frame)
                self.frame = item
                self.told[item.layout] = item.reasons
                for series, value in zip(item.layout.series, item.values.tolist(), strict=True):
                    gauges[short(series)] = value
                    assert not math.isnan(value) or str(series) in item.reasons
        return rows, gauges

    @property
    def reasons(self):
        """Why series are absent, as the ticker knows it: by layout, for as long as that is in use."""
        return {text: why for reasons in self.told.values() for text, why in reasons.items()}

    def second(self):
        return self.meters.each_second()

    @property
    def request(self):
        """The newest request."""
        return self.meters.requests(1)[0]

    def why_absent(self, name, model="m", server="prog"):
        return self.reasons.get(f'model.{name}{{model="{model}",server="{server}"}}')


def short(series):
    """A series' name, and its labels but for the one model of most tests."""
    labels = dict(series.labels)
    if (labels.pop("model"), labels.pop("server")) != ("m", "prog"):
        return str(series).removeprefix("model.")
    return series.name.removeprefix("model.") + "".join(f" {value}" for value in labels.values())
