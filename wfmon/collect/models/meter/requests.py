"""One request: its state while it is open, and its record once it has ended. Never its text."""

from __future__ import annotations

from array import array
from typing import Any

from wfmon.collect.models.ingest.events import End, EventSource, Phase, Prompt, Start
from wfmon.collect.models.meter.entropy import Entropy
from wfmon.core.answers.models import RequestTicks
from wfmon.core.types import Request

STALL_MS = 400.0
LONGEST_US = 86_400_000_000
"""A longer span of a request means that a clock has jumped: the span is unknown."""
MAX_STALLS = 256
MAX_TICKS = 2_048
MAX_PHASES = 16
_NAN = float("nan")


class TokenTicks:
    """One tick per chunk; beyond the limit pairs are merged, and so are all later ones."""

    __slots__ = ("_filled", "entropy", "t_ms", "thinned", "tokens")

    def __init__(self) -> None:
        self.t_ms, self.tokens, self.entropy = array("f"), array("I"), array("f")
        self.thinned = 1
        """Chunks per tick."""
        self._filled = 0

    def add(self, t_ms: float, tokens: int, entropy: float) -> None:
        """Add a chunk: milliseconds since the start, its tokens, the entropy of its last one (NaN: unknown)."""
        if self._filled and self._filled < self.thinned:
            self.tokens[-1] += tokens
            if entropy == entropy:  # noqa: PLR0124  not NaN
                self.entropy[-1] = entropy
            self._filled += 1
            return
        if len(self.t_ms) >= MAX_TICKS:
            self._thin()
        self.t_ms.append(t_ms)
        self.tokens.append(tokens)
        self.entropy.append(entropy)
        self._filled = 1

    def _thin(self) -> None:
        """Merge ticks in pairs: the first instant, the sum of tokens, the later known entropy."""
        pairs = range(0, len(self.t_ms) - 1, 2)
        entropy = self.entropy
        self.entropy = array("f", (entropy[i + 1] if entropy[i + 1] == entropy[i + 1] else entropy[i] for i in pairs))
        self.tokens = array("I", (self.tokens[i] + self.tokens[i + 1] for i in pairs))
        self.t_ms = self.t_ms[::2]
        self.thinned *= 2

    def as_lists(self) -> RequestTicks:
        """Return the ticks as lists; an unknown entropy is None."""
        return {
            "t_ms": [round(each, 3) for each in self.t_ms],
            "tokens": list(self.tokens),
            "entropy_bits": [round(each, 4) if each == each else None for each in self.entropy],  # noqa: PLR0124  NaN
        }


class OpenRequest:
    """A request from its start to its end. The ticker's thread only, under the meters' lock.

    Durations come from the source's own clock (``t_us``); only ``started_ms`` is of the wall.
    """

    __slots__ = (
        "_broken", "_first_tokens", "_partial", "_seen", "alone", "begun_us", "cached_tokens", "energy_sum",
        "energy_times", "entropy_k", "entropy_sum", "entropy_times", "first_us", "from_us", "heard_us", "id", "joules",
        "last_us", "model", "output_tokens", "phases", "prompt_tokens", "request", "server", "source", "stalls",
        "started_ms", "t_us", "ticks", "ttft_ms", "vocab", "vocab_size",
    )  # fmt: skip

    def __init__(self, name: str, start: Start, model: str, server: str, started_ms: int, now_us: float) -> None:
        self.id = name
        self.request = start.request
        self.source: EventSource = start.source
        self.model = model
        self.server = server
        self.started_ms = started_ms
        self.t_us = start.t_us
        self.heard_us = self.begun_us = now_us
        """When its last and its first event arrived, by the monitor's clock."""
        self.prompt_tokens = start.prompt_tokens
        self.cached_tokens: int | None = None
        self.vocab = start.vocab
        self.vocab_size = start.vocab_size
        self.phases: list[tuple[str, int]] = []
        self.output_tokens = 0
        self.first_us: int | None = None
        self.from_us: int | None = None
        self.last_us: int | None = None
        self._first_tokens = 0
        self.ttft_ms: float | None = None
        self._broken = False  # the next interval includes unobserved time
        self._partial = start.again  # partly unobserved: no mean over the whole request
        self._seen = (start.source.lost, start.source.joined)
        self.energy_sum, self.energy_times = 0.0, 0
        self.entropy_sum, self.entropy_times, self.entropy_k = 0.0, 0, _NAN
        self.stalls: list[tuple[float, float]] = []
        self.ticks: TokenTicks | None = TokenTicks()
        self.alone = True
        self.joules: float | None = None

    def again(self) -> None:
        """Record that its source was away: what happened meanwhile was not observed."""
        self._broken = self._partial = True

    def chunk(self, t_us: int, tokens: int) -> float | None:
        """Add a chunk; return the milliseconds since the previous one, None if there is none or time is missing."""
        seen = (self.source.lost, self.source.joined)
        if seen != self._seen:  # it dropped events, or was away
            self._seen = seen
            self.again()
        last_us, self.last_us = self.last_us, t_us
        self.output_tokens += tokens
        if self.first_us is None:
            self.first_us, self._first_tokens = t_us, tokens
            if not self._partial and 0 <= t_us - self.t_us <= LONGEST_US:
                self.ttft_ms = (t_us - self.t_us) / 1_000
        if last_us is None or self._broken or not 0 <= t_us - last_us <= LONGEST_US:
            self._partial |= last_us is not None
            self._broken = False
            return None
        gap_ms = (t_us - last_us) / 1_000
        if gap_ms > STALL_MS * tokens and len(self.stalls) < MAX_STALLS:
            self.stalls.append(((last_us - self.t_us) / 1_000, gap_ms))
        return gap_ms

    def note(self, t_us: int, tokens: int, entropy: Entropy | None) -> None:
        """Record the tick of a chunk, and its entropy."""
        bits = _NAN
        if entropy is not None:
            bits = entropy.bits
            self.entropy_sum += bits
            self.entropy_times += 1
            self.entropy_k = entropy.k
        if self.ticks is not None:
            self.ticks.add((t_us - self.t_us) / 1_000, tokens, bits)

    def phase(self, event: Phase) -> None:
        """Record the beginning of a phase."""
        if len(self.phases) < MAX_PHASES:
            self.phases.append((event.name, event.t_us))

    def prompt(self, event: Prompt) -> None:
        """Record the number of prompt tokens."""
        self.prompt_tokens = event.tokens
        self.cached_tokens = event.cached if event.cached is not None else self.cached_tokens

    def phase_ms(self, name: str, end_us: int | None) -> float | None:
        """Return a phase's duration, up to the next one, the first token or the end; None if it never began."""
        if not self.phases:
            return None
        total, found = 0.0, False
        ends = [t_us for _, t_us in self.phases[1:]]
        last = self.first_us if self.first_us is not None else end_us
        for (each, t_us), until_us in zip(self.phases, [*ends, last], strict=True):
            if each == name and until_us is not None and 0 <= until_us - t_us <= LONGEST_US:
                total, found = total + (until_us - t_us) / 1_000, True
        return total if found else None

    def record(self, end: End | None = None, status: str | None = None, ended_ms: int | None = None) -> Request:
        """Return its record: ended by ``end`` or with ``status``, else still open."""
        end_us = None if end is None else end.t_us
        decode_ms = None if end is None else end.decode_ms
        output = self.output_tokens
        if end is not None and end.output_tokens is not None:
            output = end.output_tokens
        per_token_ms = self._per_token_ms(output, decode_ms)
        return Request(
            id=self.id,
            model=self.model,
            server=self.server,
            via=self.source.via,
            started_ms=self.started_ms,
            status=status or (end.status if end is not None else "open"),  # type: ignore[arg-type]
            ended_ms=ended_ms,
            prompt_tokens=_first(end and end.prompt_tokens, self.prompt_tokens),
            cached_tokens=_first(end and end.cached_tokens, self.cached_tokens),
            output_tokens=output,
            queue_ms=_first(end and end.queue_ms, self.phase_ms("queued", end_us)),
            load_ms=_first(end and end.load_ms, self.phase_ms("loading", end_us)),
            prompt_ms=_first(end and end.prompt_ms, self.phase_ms("prompt", end_us)),
            ttft_ms=self.ttft_ms,
            duration_ms=None
            if end_us is None or not 0 <= end_us - self.t_us <= LONGEST_US
            else (end_us - self.t_us) / 1_000,
            tokens_per_second=1_000 / per_token_ms if per_token_ms else None,
            time_per_output_token_ms=per_token_ms,
            entropy_bits=self.entropy_sum / self.entropy_times if self.entropy_times else None,
            entropy_k=int(self.entropy_k) if self.entropy_times and self.entropy_k == self.entropy_k else None,
            energy=self.energy_sum / self.energy_times if self.energy_times else None,
            joules=self.joules if end is not None and self.alone else None,
            stalls=tuple(self.stalls),
            reason="" if end is None else end.reason,
        )

    def _per_token_ms(self, output: int, decode_ms: float | None) -> float | None:
        """Return the mean time per output token after the first chunk; the runtime's own if partly unobserved."""
        after = self.output_tokens - self._first_tokens
        if not self._partial and after > 0 and self.first_us is not None and self.last_us is not None:
            span_us = self.last_us - self.first_us
            if span_us > 0:
                return span_us / 1_000 / after
        if decode_ms and output > 1:
            return decode_ms / (output - 1)
        return None


def _first(*values: Any) -> Any:  # noqa: ANN401  numbers of either kind
    """Return the first value that is not None."""
    return next((value for value in values if value is not None), None)
