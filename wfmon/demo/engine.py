"""Runs a request on a model: waits for a place, reads the prompt, generates tokens at the set rate."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from wfmon.core.clock import Clock
from wfmon.demo.ngram import NGram
from wfmon.demo.sampling import UNCHANGED, Drawn, Knobs, draw, shaped
from wfmon.demo.tokens import EOS, Vocabulary

PLACES = 4
"""Requests that a model processes at once; others wait in order."""
MAX_CONTEXT = 8_192
READ_SPEEDUP = 16
"""How many times faster a prompt is read than an answer is written: typical of a small model on a CPU."""
READ_BATCH = 32
POLL_S = 0.05
"""How often a request waiting for a place checks that its client is still connected."""


class ClientLeft(Exception):
    """The client disconnected."""


class Watch(Protocol):
    """Observer of a request's progress: the hook in the server, a list in tests. Calls must not block or raise."""

    def phase(self, name: Literal["queued", "prompt", "decode"]) -> None: ...

    def prompt(self, tokens: int) -> None: ...

    def token(self, drawn: Drawn) -> None: ...

    def end(self, status: Literal["ok", "aborted", "error"], reason: str, timing: Timing) -> None: ...


class DemoClient(Protocol):
    """The request's client."""

    def gone(self, seconds: float) -> bool:
        """Wait for this time; True at once if the client disconnects."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A validated request. ``top``: how many of the likeliest tokens to list."""

    prompt: tuple[int, ...]
    max_tokens: int = 256
    knobs: Knobs = UNCHANGED
    seed: int | None = None
    stop: tuple[str, ...] = ()
    top: int | None = None


@dataclass(slots=True)
class Timing:
    """Times of a request's events, nanoseconds of the monotonic clock; None: not yet."""

    came_ns: int
    began_ns: int | None = None
    read_ns: int | None = None
    ended_ns: int | None = None
    prompt_tokens: int = 0
    output_tokens: int = 0

    def spans_ms(self) -> tuple[float, float | None, float | None]:
        """Return the durations of queue, prompt and decode of an ended request; None for a phase it did not reach."""
        ended = self.came_ns if self.ended_ns is None else self.ended_ns
        if self.began_ns is None:
            return (ended - self.came_ns) / 1e6, None, None
        queue = (self.began_ns - self.came_ns) / 1e6
        if self.read_ns is None:
            return queue, (ended - self.began_ns) / 1e6, None
        return queue, (self.read_ns - self.began_ns) / 1e6, (ended - self.read_ns) / 1e6


@dataclass(frozen=True, slots=True)
class Step:
    """One token: the text that can be sent now ("" while it may be part of a stop string), and the draw."""

    text: str
    drawn: Drawn


@dataclass(slots=True)
class Generation:
    """The result of a request, complete at its end."""

    timing: Timing
    reason: str = ""
    """stop or length; "" until then."""
    rest: str = ""
    """Text held back for a stop string that did not follow."""


class Places:
    """A first-come, first-served semaphore. Any thread."""

    def __init__(self, count: int = PLACES) -> None:
        self._free = count
        self._waiting: deque[threading.Event] = deque()
        self._lock = threading.Lock()

    def acquire(self, check_client: Callable[[], None]) -> None:
        """Take a place, waiting for one if needed; ``check_client`` waits a while, and raises if the client left."""
        with self._lock:
            if self._free and not self._waiting:
                self._free -= 1
                return
            mine = threading.Event()
            self._waiting.append(mine)
        try:
            while not mine.is_set():
                check_client()
        except BaseException:
            with self._lock:
                given = mine.is_set()
                if not given:
                    self._waiting.remove(mine)
            if given:
                self.release()
            raise

    def release(self) -> None:
        """Pass the place to the longest waiting request."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().set()
            else:
                self._free += 1


@dataclass(slots=True)
class DemoModel:
    """A model with its limits. ``rate``: most tokens per second and request, 0 for no limit."""

    name: str
    ngram: NGram
    vocabulary: Vocabulary
    clock: Clock
    rate: float
    places: Places = field(default_factory=Places)

    def answer(self, request: GenerationRequest, client: DemoClient, watch: Watch, into: Generation) -> Iterator[Step]:
        """Yield the steps, each at its time. Raises ClientLeft. ``watch.end`` is always called, even on ``close``."""
        timing = into.timing
        timing.prompt_tokens = len(request.prompt)
        status: Literal["ok", "aborted", "error"] = "error"
        reason = "error"
        held = False
        try:
            watch.phase("queued")
            self.places.acquire(lambda: _check_client(client, POLL_S))
            held = True
            timing.began_ns = self.clock.mono_ns()
            watch.phase("prompt")
            watch.prompt(len(request.prompt))
            self._read(request, client, timing.began_ns)
            timing.read_ns = self.clock.mono_ns()
            watch.phase("decode")
            yield from self._write(request, client, watch, into, timing.read_ns)
            status, reason = "ok", into.reason
        except (ClientLeft, GeneratorExit, OSError):
            status, reason = "aborted", "client_gone"
            raise
        finally:
            timing.ended_ns = self.clock.mono_ns()
            if held:
                self.places.release()
            watch.end(status, reason, timing)

    def _read(self, request: GenerationRequest, client: DemoClient, began_ns: int) -> None:
        """Read the prompt: compute the score of each of its tokens."""
        for at in range(0, len(request.prompt), READ_BATCH):
            part = request.prompt[at : at + READ_BATCH]
            self.ngram.score(part, request.prompt[max(0, at - self.ngram.order) : at])
            self._hold(client, began_ns, (at + len(part)) / READ_SPEEDUP)

    def _write(
        self, request: GenerationRequest, client: DemoClient, watch: Watch, into: Generation, read_ns: int
    ) -> Iterator[Step]:
        random = np.random.default_rng(request.seed)
        timing, read = into.timing, list(request.prompt)
        cut = Cutter(request.stop)
        into.reason = "length"
        for number in range(1, request.max_tokens + 1):
            drawn = draw(shaped(self.ngram.distribution(read[-self.ngram.order :]), request.knobs), random)
            self._hold(client, read_ns, number)
            if drawn.token == EOS:  # has no text, and is not counted
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
        """Wait until this many tokens are allowed. The rate limit is deliberate; nothing else waits."""
        due_ns = since_ns + int(tokens / self.rate * 1e9) if self.rate > 0 else 0
        _check_client(client, max(0.0, (due_ns - self.clock.mono_ns()) / 1e9))


class Cutter:
    """Ends a text before a stop string, and holds back a possible start of one."""

    def __init__(self, stops: tuple[str, ...]) -> None:
        self._stops = stops
        self._held = ""
        self.done = False

    def feed(self, text: str) -> str:
        """Add text; return what is certainly before any stop string."""
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
        """Return what was held back."""
        out, self._held = self._held, ""
        return out


def _check_client(client: DemoClient, seconds: float) -> None:
    if client.gone(seconds):
        raise ClientLeft
