"""Encodes events as lines of docs/ingest.md. Pure: no socket, no clock. Sender's thread only.

An event is ``(kind, record, t_us)`` and: for START and PROMPT nothing more (the record has it); for PHASE its name; for
TOKENS ``n, entropy, k, top, hashes, key``; for END ``status, reason, figures``, a dict of the line's fields.
"""

# ruff: noqa: ANN401 - chunks, scores and streams may have any type
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
"""A line of tokens ends at about this size, so that it fits into any message."""
MAX_TOKENS = 1_000_000_000
MAX_CHUNK_TOKENS = 100_000
MAX_VOCABULARY = 10_000_000
MAX_MS = 86_400_000
LEAST_LOG = -1e5
MOST_MASS = 1.05
"""Probabilities with a larger sum are not a distribution."""
_RUNTIME = re.compile(r"[^A-Za-z0-9_.+ -]+")
_SERVER = re.compile(r"(?:[A-Za-z0-9._-]{1,100}|\[[0-9A-Fa-f:.]{2,45}\]):[0-9]{1,5}")
_VOCAB = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


class LineEncoder:
    """Tracks the open requests and what the monitor knows about them."""

    def __init__(self) -> None:
        self.open: dict[str, Record] = {}
        self.key = b""
        """The connection's key; hashes made with another key are not sent."""

    def connected(self) -> list[str]:
        """Return the lines that announce the open requests on a new connection."""
        for record in self.open.values():
            record.lost = record.lost or record.announced
            record.announced = False
        lines: list[str] = []
        for record in self.open.values():
            lines += self._announce(record)
        return lines

    def lines(self, events: Iterable[tuple[Any, ...]]) -> list[str]:
        """Return the lines of a batch, in order, with consecutive tokens of a request merged."""
        out: list[str] = []
        waiting: dict[str, _Columns] = {}
        for event in events:
            kind, record, t_us = event[:3]
            if record.done:
                continue
            if kind == TOKENS:
                if record.lost or not record.announced:
                    out += _flush(waiting, record)
                    out += self._announce(record)
                columns = waiting.get(record.id) or _Columns(record.id)
                if count := columns.add(t_us, event[3:], self.key):
                    waiting[record.id] = columns
                    record.sent += count
                if columns.full:
                    out += _flush(waiting, record)
                continue
            out += _flush(waiting, record)
            if kind == END:
                out += self._announce(record)
                out.append(_end(record, t_us, *event[3:]))
                self._forget(record)
            else:
                known = self._announce(record)
                out += known
                if kind == PROMPT and (not known or record.cached_tokens is not None):  # else the start line has it
                    out += _prompt(record, t_us)
                elif kind == PHASE and event[3] in PHASES:
                    out.append(_line(e="phase", r=record.id, t=t_us, name=event[3]))
        for columns in waiting.values():
            out.append(columns.line())
        return out

    def drop(self, events: Iterable[tuple[Any, ...]]) -> int:
        """Drop events without a connection: update the open requests, return the number of lost events."""
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
        """Return END events for which the queue had no room. Call it after the queue was emptied."""
        return [record.ended for record in list(self.open.values()) if record.ended is not None]

    def _announce(self, record: Record) -> list[str]:
        """Return the start line if the monitor does not know the request, or must ignore the interval before now."""
        if record.announced and not record.lost:
            return []
        fields: dict[str, Any] = {"e": "start", "r": record.id, "t": record.t_us, "model": clean(record.model)}
        if _SERVER.fullmatch(record.server):
            fields["server"] = record.server
        if (count := _count(record.prompt_tokens)) is not None:
            fields["prompt_tokens"] = count
        if _VOCAB.fullmatch(record.vocab):
            fields["vocab"] = record.vocab
        if (count := _count(record.vocab_size, MAX_VOCABULARY)) and count > 1:
            fields["vocab_size"] = count
        if record.lost:
            fields["again"] = True
        record.announced, record.lost = True, False
        self.open[record.id] = record
        return [_line(**fields)]

    def _forget(self, record: Record) -> None:
        record.done = True
        self.open.pop(record.id, None)


class _Columns:
    """Merges chunks of one request into one line."""

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
        """Add a chunk, ``facts`` as in an event; return its token count."""
        n, entropy, k, top, hashes, made_under = facts
        count = 1 if n == 1 else _count(n, MAX_CHUNK_TOKENS)
        if not count:
            return 0
        bits = _bits(entropy)
        pairs = _top(top, hashes if made_under == key and key else None)
        # Two threads may report on one request: events can be queued in another order than their timestamps.
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
        fields: dict[str, Any] = {"e": "tokens", "r": self._request, "t": self._t}
        if any(n != 1 for n in self._n):
            fields["n"] = self._n
        columns = {name: values for name, values in self._columns.items() if any(value is not None for value in values)}
        return _line(**fields, **columns)


def messages(lines: Iterable[str], head: str, limit: int) -> Iterator[tuple[bytes, int]]:
    """Pack lines into messages of at most ``limit`` bytes, each beginning with ``head``. Yields (message, lines)."""
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
    """Return the first line of a connection."""
    fields: dict[str, Any] = {"e": "source", "v": VERSION, "id": id_, "via": via, "name": clean(name), "pid": pid}
    if runtime:
        fields["runtime"] = _RUNTIME.sub(" ", runtime)[:64].strip()
    if _SERVER.fullmatch(server):
        fields["server"] = server
    return _line(**fields)


def beat(t_us: int, lost: int) -> str:
    """Return the first line of each message: the clock at sending, and the events lost so far."""
    return _line(e="beat", t=t_us, lost=lost)


def clean(text: str) -> str:
    """Return a name with at most 120 printable characters."""
    return "".join(c for c in str(text)[:240] if c.isprintable()).strip()[:120] or "unnamed"


def _flush(waiting: dict[str, _Columns], record: Record) -> list[str]:
    columns = waiting.pop(record.id, None)
    return [] if columns is None else [columns.line()]


def _prompt(record: Record, t_us: int) -> list[str]:
    tokens = _count(record.prompt_tokens)
    if tokens is None:
        return []
    cached = _count(record.cached_tokens)
    fields: dict[str, Any] = {} if cached is None else {"cached": min(cached, tokens)}
    return [_line(e="prompt", r=record.id, t=t_us, tokens=tokens, **fields)]


def _end(record: Record, t_us: int, status: str, reason: str, figures: dict[str, Any]) -> str:
    fields: dict[str, Any] = {"e": "end", "r": record.id, "t": t_us, "status": status}
    if reason := re.sub(r"[^a-z0-9_]+", "_", str(reason).lower())[:32].strip("_"):
        fields["reason"] = reason
    for name in COUNTS:
        if (count := _count(figures.get(name))) is not None:
            fields[name] = count
    if "output_tokens" not in fields and record.sent != record.tokens and (count := _count(record.tokens)) is not None:
        fields["output_tokens"] = count
    for name in DURATIONS:
        value = _number(figures.get(name))
        if value is not None and 0 <= value <= MAX_MS:
            fields[name] = round(value, 3)
    return _line(**fields)


def _top(top: Any, hashes: Any) -> list[tuple[float, int | None]]:
    """Return descending log-probabilities, each with its token's hash if all have one."""
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
    """Convert any kind of number to float; None if it is not a finite number."""
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


def _line(**fields: Any) -> str:
    return json.dumps(fields, separators=(",", ":"), allow_nan=False)
