"""Events become lines of the form that docs/ingest.md describes. Pure: no socket, no clock. The sender's thread alone.

What follows ``(kind, record, t_us)`` in an event: START nothing; PROMPT nothing (the record has it); PHASE its name;
TOKENS ``n, entropy, k, top, hashes, key``; END ``status, reason, figures``, figures being a dict of the form's fields.
"""

# ruff: noqa: ANN401 - chunks, scores and streams are of any make
from __future__ import annotations

import json
import math
import re

from wfmon.hook.inbox import END, PHASE, PROMPT, TOKENS, Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

VERSION = 1
PHASES = frozenset({"queued", "loading", "prompt", "decode"})
COUNTS = ("prompt_tokens", "cached_tokens", "output_tokens")
DURATIONS = ("queue_ms", "load_ms", "prompt_ms", "decode_ms")
MAX_TOP = 100
LINE_ENTRIES = 2_000
LINE_BYTES = 60_000
"""A line of tokens ends at about so many bytes, so that any message holds it."""
MAX_TOKENS = 1_000_000_000
MAX_CHUNK_TOKENS = 100_000
MAX_VOCABULARY = 10_000_000
MAX_MS = 86_400_000
LEAST_LOG = -1e5
MOST_MASS = 1.05
"""Probabilities that sum to more are those of no distribution."""
_RUNTIME = re.compile(r"[^A-Za-z0-9_.+ -]+")
_SERVER = re.compile(r"(?:[A-Za-z0-9._-]{1,100}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}")
_VOCAB = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


class Teller:
    """Knows which requests are open and what the monitor knows of them."""

    def __init__(self) -> None:
        self.open: dict[str, Record] = {}
        self.key = b""
        """The key of this connection; hashes made under another are of no use."""

    def connected(self) -> list[str]:
        """A new connection: what must be said of the requests that are open."""
        for record in self.open.values():
            record.lost = record.lost or record.told
            record.told = False
        lines: list[str] = []
        for record in self.open.values():
            lines += self._known(record)
        return lines

    def lines(self, events: Iterable[tuple[Any, ...]]) -> list[str]:
        """Give the lines of a batch: the tokens of one request merged, everything in its order."""
        out: list[str] = []
        waiting: dict[str, _Columns] = {}
        for event in events:
            kind, record, t_us = event[:3]
            if record.done:
                continue
            if kind == TOKENS:
                if record.lost or not record.told:
                    out += _flush(waiting, record)
                    out += self._known(record)
                columns = waiting.get(record.id) or _Columns(record.id)
                if count := columns.add(t_us, event[3:], self.key):
                    waiting[record.id] = columns
                    record.sent += count
                if columns.full:
                    out += _flush(waiting, record)
                continue
            out += _flush(waiting, record)
            if kind == END:
                out += self._known(record)
                out.append(_end(record, t_us, *event[3:]))
                self._forget(record)
            else:
                known = self._known(record)
                out += known
                if kind == PROMPT and (not known or record.cached_tokens is not None):  # else the start said it
                    out += _prompt(record, t_us)
                elif kind == PHASE and event[3] in PHASES:
                    out.append(_line(e="phase", r=record.id, t=t_us, name=event[3]))
        for columns in waiting.values():
            out.append(columns.line())
        return out

    def drop(self, events: Iterable[tuple[Any, ...]]) -> int:
        """Nobody listens: keep in mind what is open, give the count of what is lost."""
        lost = 0
        for event in events:
            kind, record = event[:2]
            if record.done:
                continue
            if kind == END:
                self._forget(record)
                lost += 1
                continue
            self.open[record.id] = record
            if kind in {TOKENS, PHASE}:
                record.lost = True
                lost += 1
        return lost

    def sweep(self) -> list[tuple[Any, ...]]:
        """Give the ends for which the queue had no room. Call it after the queue was taken whole."""
        return [record.ended for record in list(self.open.values()) if record.ended is not None]

    def _known(self, record: Record) -> list[str]:
        """Give the start, where the monitor does not know the request, or must not trust the interval before now."""
        if record.told and not record.lost:
            return []
        said: dict[str, Any] = {"e": "start", "r": record.id, "t": record.t_us, "model": clean(record.model)}
        if _SERVER.fullmatch(record.server):
            said["server"] = record.server
        if (count := _count(record.prompt_tokens)) is not None:
            said["prompt_tokens"] = count
        if _VOCAB.fullmatch(record.vocab):
            said["vocab"] = record.vocab
        if (count := _count(record.vocab_size, MAX_VOCABULARY)) and count > 1:
            said["vocab_size"] = count
        if record.lost:
            said["again"] = True
        record.told, record.lost = True, False
        self.open[record.id] = record
        return [_line(**said)]

    def _forget(self, record: Record) -> None:
        record.done = True
        self.open.pop(record.id, None)


class _Columns:
    """Chunks of one request on their way into one line."""

    def __init__(self, request: str) -> None:
        self._request = request
        self._t: list[int] = []
        self._n: list[int] = []
        self._columns: dict[str, list[Any]] = {name: [] for name in ("entropy", "k", "top", "hash")}
        self._bytes = 0

    @property
    def full(self) -> bool:
        return len(self._t) >= LINE_ENTRIES or self._bytes > LINE_BYTES

    def add(self, t_us: int, facts: tuple[Any, ...], key: bytes) -> int:
        """Add a chunk, ``facts`` as in an event; give its tokens."""
        n, entropy, k, top, hashes, made_under = facts
        count = 1 if n == 1 else _count(n, MAX_CHUNK_TOKENS)
        if not count:
            return 0
        bits = _bits(entropy)
        pairs = _top(top, hashes if made_under == key and key else None)
        # Two threads may tell of one request: between a look at the clock and the queue another may come first.
        self._t.append(max(t_us, self._t[-1]) if self._t else t_us)
        self._n.append(count)
        columns = self._columns
        columns["entropy"].append(bits)
        columns["k"].append((_count(k, MAX_VOCABULARY) or None) if bits is not None else None)
        columns["top"].append([lp for lp, _ in pairs] or None)
        columns["hash"].append([h for _, h in pairs] if pairs and pairs[0][1] is not None else None)
        self._bytes += 40 + 28 * len(pairs)
        return count

    def line(self) -> str:
        said: dict[str, Any] = {"e": "tokens", "r": self._request, "t": self._t}
        if any(n != 1 for n in self._n):
            said["n"] = self._n
        told = {name: values for name, values in self._columns.items() if any(value is not None for value in values)}
        return _line(**said, **told)


def messages(lines: Iterable[str], head: str, limit: int) -> Iterator[tuple[bytes, int]]:
    """Pack lines into messages of at most ``limit`` bytes, each headed by ``head``; with each, how many lines."""
    packed, size = [head.encode()], len(head) + 1
    for line in lines:
        data = line.encode()
        if size + len(data) + 1 > limit and len(packed) > 1:
            yield b"\n".join(packed), len(packed) - 1
            packed, size = [head.encode()], len(head) + 1
        packed.append(data)
        size += len(data) + 1
    yield b"\n".join(packed), len(packed) - 1


def source(id_: str, via: str, name: str, runtime: str, pid: int, server: str) -> str:
    """Give the first line of a connection."""
    said: dict[str, Any] = {"e": "source", "v": VERSION, "id": id_, "via": via, "name": clean(name), "pid": pid}
    if runtime:
        said["runtime"] = _RUNTIME.sub(" ", runtime)[:64].strip()
    if _SERVER.fullmatch(server):
        said["server"] = server
    return _line(**said)


def beat(t_us: int, lost: int) -> str:
    """Give the line that heads each message: the clock at sending, and what was lost so far."""
    return _line(e="beat", t=t_us, lost=lost)


def clean(text: str) -> str:
    """Give a name of at most 120 printable characters."""
    return "".join(c for c in str(text)[:240] if c.isprintable()).strip()[:120] or "unnamed"


def _flush(waiting: dict[str, _Columns], record: Record) -> list[str]:
    columns = waiting.pop(record.id, None)
    return [] if columns is None else [columns.line()]


def _prompt(record: Record, t_us: int) -> list[str]:
    tokens = _count(record.prompt_tokens)
    if tokens is None:
        return []
    cached = _count(record.cached_tokens)
    said: dict[str, Any] = {} if cached is None else {"cached": min(cached, tokens)}
    return [_line(e="prompt", r=record.id, t=t_us, tokens=tokens, **said)]


def _end(record: Record, t_us: int, status: str, reason: str, figures: dict[str, Any]) -> str:
    said: dict[str, Any] = {"e": "end", "r": record.id, "t": t_us, "status": status}
    if reason := re.sub(r"[^a-z0-9_]+", "_", str(reason).lower())[:32].strip("_"):
        said["reason"] = reason
    for name in COUNTS:
        if (count := _count(figures.get(name))) is not None:
            said[name] = count
    if "output_tokens" not in said and record.sent != record.tokens and (count := _count(record.tokens)) is not None:
        said["output_tokens"] = count
    for name in DURATIONS:
        value = _number(figures.get(name))
        if value is not None and 0 <= value <= MAX_MS:
            said[name] = round(value, 3)
    return _line(**said)


def _top(top: Any, hashes: Any) -> list[tuple[float, int | None]]:
    """Log-probabilities falling, each with its token's hash where all have one."""
    if not top:
        return []
    marks = hashes if hashes is not None and len(hashes) == len(top) else [None] * len(top)
    values = [_number(value) for value in top]
    pairs = [
        (round(min(0.0, value), 5), mark)
        for value, mark in zip(values, marks, strict=True)
        if value is not None and LEAST_LOG <= value <= 1
    ]
    if sum(math.exp(value) for value, _ in pairs) > MOST_MASS:
        return []
    return sorted(pairs, key=lambda pair: -pair[0])[:MAX_TOP]


def _bits(value: Any) -> float | None:
    bits = _number(value)
    return round(bits, 5) if bits is not None and 0 <= bits <= 64 else None


def _number(value: Any) -> float | None:
    """Give a float of whatever make of number; None for none, and for what is not finite."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _count(value: Any, most: int = MAX_TOKENS) -> int | None:
    try:
        count = int(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return count if 0 <= count <= most else None


def _line(**said: Any) -> str:
    return json.dumps(said, separators=(",", ":"), allow_nan=False)
