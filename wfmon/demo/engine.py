"""A request's way through a model: wait for a place, read the prompt, write tokens at the pace. Text in, steps out."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from wfmon.core.clock import Clock
from wfmon.demo.ngram import NGram
from wfmon.demo.sampling import AS_IT_IS, Drawn, Knobs, draw, shaped
from wfmon.demo.tokens import EOS, Vocabulary

PLACES = 4
"""Requests that a model works on at once; more wait in their order."""
MAX_CONTEXT = 8_192
READS_FASTER = 16
"""A prompt is read so many times as fast as an answer is written: about what a small model does on a processor."""
READ_AT_ONCE = 32
LOOK_S = 0.05
"""How often one that waits for a place looks whether its client is still there."""


class ClientLeft(Exception):
    """The client went away."""


class Watch(Protocol):
    """Who is told how a request fares; the hook in the server, a list in tests. Calls must not block or raise."""

    def phase(self, name: Literal["queued", "prompt", "decode"]) -> None: ...

    def prompt(self, tokens: int) -> None: ...

    def token(self, drawn: Drawn) -> None: ...

    def end(self, status: Literal["ok", "aborted", "error"], reason: str, timing: Timing) -> None: ...


class DemoClient(Protocol):
    """Who asked."""

    def gone(self, seconds: float) -> bool:
        """Wait so long at most; True at once when the client has left."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request, read and checked. ``top``: how many of the likeliest tokens the client wants."""

    prompt: tuple[int, ...]
    max_tokens: int = 256
    knobs: Knobs = AS_IT_IS
    seed: int | None = None
    stop: tuple[str, ...] = ()
    top: int | None = None


@dataclass(slots=True)
class Timing:
    """When what happened, nanoseconds of the monotonic clock; None is not yet."""

    came_ns: int
    began_ns: int | None = None
    read_ns: int | None = None
    ended_ns: int | None = None
    prompt_tokens: int = 0
    output_tokens: int = 0

    def spans_ms(self) -> tuple[float, float | None, float | None]:
        """Give queue, prompt and decode of a request that has ended; None is what it never came to."""
        ended = self.came_ns if self.ended_ns is None else self.ended_ns
        if self.began_ns is None:
            return (ended - self.came_ns) / 1e6, None, None
        queue = (self.began_ns - self.came_ns) / 1e6
        if self.read_ns is None:
            return queue, (ended - self.began_ns) / 1e6, None
        return queue, (self.read_ns - self.began_ns) / 1e6, (ended - self.read_ns) / 1e6


@dataclass(frozen=True, slots=True)
class Step:
    """One token: what the client may have of the text by now ("" while a stop string may be coming), and its draw."""

    text: str
    drawn: Drawn


@dataclass(slots=True)
class Generation:
    """What is known when a request has ended."""

    timing: Timing
    reason: str = ""
    """stop or length; "" until then."""
    rest: str = ""
    """Text that was held back for a stop string that did not come."""


class Places:
    """First come, first served. Any thread."""

    def __init__(self, count: int = PLACES) -> None:
        self._free = count
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    def take(self, still_there: Callable[[], None]) -> None:
        """Take a place, or wait for one; ``still_there`` raises when it is not worth waiting any more."""
        with self._lock:
            if self._free and not self._waiting:
                self._free -= 1
                return
            mine = threading.Event()
            self._waiting.append(mine)
        try:
            while not mine.is_set():
                still_there()
        except BaseException:
            with self._lock:
                given = mine.is_set()
                if not given:
                    self._waiting.remove(mine)
            if given:
                self.give()
            raise

    def give(self) -> None:
        """Give the place to the one that has waited longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1


@dataclass(slots=True)
class DemoModel:
    """A model that answers. ``rate``: tokens a second and request at most, 0 without limit."""

    name: str
    ngram: NGram
    vocabulary: Vocabulary
    clock: Clock
    rate: float
    places: Places = field(default_factory=Places)

    def answer(self, ask: Ask, client: DemoClient, watch: Watch, into: Generation) -> Iterator[Step]:
        """Give the steps, each at its time. Raises ClientLeft; ``watch`` always hears of the end, as of ``close``."""
        timing = into.timing
        timing.prompt_tokens = len(ask.prompt)
        status: Literal["ok", "aborted", "error"] = "error"
        reason = "error"
        held = False
        try:
            watch.phase("queued")
            self.places.take(lambda: _must_stay(client, LOOK_S))
            held = True
            timing.began_ns = self.clock.mono_ns()
            watch.phase("prompt")
            watch.prompt(len(ask.prompt))
            self._read(ask, client, timing.began_ns)
            timing.read_ns = self.clock.mono_ns()
            watch.phase("decode")
            yield from self._write(ask, client, watch, into, timing.read_ns)
            status, reason = "ok", into.reason
        except (ClientLeft, GeneratorExit, OSError):
            status, reason = "aborted", "client_gone"
            raise
        finally:
            timing.ended_ns = self.clock.mono_ns()
            if held:
                self.places.give()
            watch.end(status, reason, timing)

    def _read(self, ask: Ask, client: DemoClient, began_ns: int) -> None:
        """Score the prompt, token by token: that is what reading it means."""
        for at in range(0, len(ask.prompt), READ_AT_ONCE):
            part = ask.prompt[at : at + READ_AT_ONCE]
            self.ngram.score(part, ask.prompt[max(0, at - self.ngram.order) : at])
            self._hold(client, began_ns, (at + len(part)) / READS_FASTER)

    def _write(self, ask: Ask, client: DemoClient, watch: Watch, into: Generation, read_ns: int) -> Iterator[Step]:
        random = np.random.default_rng(ask.seed)
        timing, read = into.timing, list(ask.prompt)
        cut = Cutter(ask.stop)
        into.reason = "length"
        for number in range(1, ask.max_tokens + 1):
            drawn = draw(shaped(self.ngram.distribution(read[-self.ngram.order :]), ask.knobs), random)
            self._hold(client, read_ns, number)
            if drawn.token == EOS:  # no text of its own, and not counted
                into.reason = "stop"
                break
            timing.output_tokens = number
            watch.token(drawn)
            read.append(drawn.token)
            yield Step(cut.feed(self.vocabulary.text(drawn.token)), drawn)
            if cut.done:
                into.reason = "stop"
                return
        into.rest = cut.rest()

    def _hold(self, client: DemoClient, since_ns: int, tokens: float) -> None:
        """Wait until so many tokens may be out. The limit is deliberate; nothing else waits."""
        due_ns = since_ns + int(tokens / self.rate * 1e9) if self.rate > 0 else 0
        _must_stay(client, max(0.0, (due_ns - self.clock.mono_ns()) / 1e9))


class Cutter:
    """Ends a text before a stop string, and holds back what may be the start of one."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._held = ""
        self.done = False

    def feed(self, text: str) -> str:
        """Take more of the text; gives what is sure to stand before any stop string."""
        self._held += text
        found = [at for at in (self._held.find(stop) for stop in self._stops) if at >= 0]
        if found:
            self.done = True
            out, self._held = self._held[: min(found)], ""
            return out
        keep = max(
            (size for stop in self._stops for size in range(1, len(stop)) if self._held.endswith(stop[:size])),
            default=0,
        )
        at = len(self._held) - keep
        out, self._held = self._held[:at], self._held[at:]
        return out

    def rest(self) -> str:
        """Give what was held back."""
        out, self._held = self._held, ""
        return out


def _must_stay(client: DemoClient, seconds: float) -> None:
    if client.gone(seconds):
        raise ClientLeft
