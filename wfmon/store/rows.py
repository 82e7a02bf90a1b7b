"""A bounded queue of request and annotation rows waiting for the file; filled by any thread."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import Counter, deque
from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from wfmon.core.types import Request

MAX_ROWS = 5_000
"""Capacity in rows."""
_REQUEST = (
    "id", "started_ms", "ended_ms", "model", "server", "via", "status", "reason", "prompt_tokens", "cached_tokens",
    "output_tokens", "queue_ms", "load_ms", "prompt_ms", "ttft_ms", "duration_ms", "tokens_per_second",
    "time_per_output_token_ms", "entropy_bits", "entropy_k", "energy", "joules", "slow", "stalls", "causes",
)  # fmt: skip
_REFUSED = (
    sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, sqlite3.ProgrammingError,
    OverflowError, UnicodeError,
)  # fmt: skip
_MARKS = ", ".join("?" * len(_REQUEST))
_INSERT_REQUEST = f"INSERT OR REPLACE INTO request ({', '.join(_REQUEST)}) VALUES ({_MARKS})"  # noqa: S608  literals
_INSERT_ANNOTATION = "INSERT INTO annotation (t_ms, kind, text) VALUES (?, ?, ?)"

_BEGAN_AT = {_INSERT_REQUEST: _REQUEST.index("started_ms")}
"""By statement, the index of the instant among its values; otherwise it is the first."""

Row = tuple[str, tuple[Any, ...]]


class Rows:
    """Waiting rows in order of arrival. Counts "dropped_rows" in ``counts``. Any thread."""

    def __init__(self, counts: Counter[str]) -> None:
        self._lock = threading.Lock()
        self._waiting: deque[Row] = deque()
        self._since_ms = 0
        self._counts = counts

    def request(self, request: Request) -> None:
        """Queue a finished request."""
        figures = asdict(request)
        figures["stalls"] = json.dumps(request.stalls)
        figures["causes"] = json.dumps([cause._asdict() for cause in request.causes])
        self._push(_INSERT_REQUEST, tuple(figures[name] for name in _REQUEST))

    def annotation(self, t_ms: int, kind: str, text: str) -> None:
        """Queue an annotation: what happened at ``t_ms``, in one sentence."""
        self._push(_INSERT_ANNOTATION, (t_ms, kind, text))

    def waiting(self) -> list[Row]:
        """Return all waiting rows; they stay until ``done``."""
        with self._lock:
            return list(self._waiting)

    def done(self, count: int, refused: int) -> None:
        """Remove the oldest ``count``; ``refused`` of them were rejected by the file."""
        with self._lock:
            for _ in range(count):
                self._waiting.popleft()
            self._counts["dropped_rows"] += refused

    def forget(self, before_ms: int) -> None:
        """Drop rows of requests and events before an instant, those waiting and those still to come."""
        with self._lock:
            self._since_ms = max(self._since_ms, before_ms)
            self._waiting = deque(row for row in self._waiting if _instant(row) >= before_ms)

    def forget_notes(self, texts: Collection[str]) -> None:
        """Drop annotations of these series."""
        with self._lock:
            self._waiting = deque(row for row in self._waiting if _series_of(row) not in texts)

    def moved(self, step_ms: int) -> None:
        """Shift the instant after a clock step: new rows use the new time."""
        with self._lock:
            self._since_ms = max(0, self._since_ms + step_ms) if self._since_ms else 0

    def _push(self, statement: str, values: tuple[Any, ...]) -> None:
        with self._lock:
            if _instant((statement, values)) < self._since_ms:
                return
            if len(self._waiting) >= MAX_ROWS:
                self._counts["dropped_rows"] += 1
                return
            self._waiting.append((statement, values))


def _instant(row: Row) -> int:
    """Return when it began or happened, UTC milliseconds."""
    return int(row[1][_BEGAN_AT.get(row[0], 0)])


def _series_of(row: Row) -> str | None:
    """Return the series of an annotation, if it has one: then its second line is JSON."""
    if row[0] != _INSERT_ANNOTATION:
        return None
    try:
        found = json.loads(row[1][2].partition("\n")[2])
    except ValueError:
        return None
    return found.get("series") if isinstance(found, dict) else None


def insert(cursor: sqlite3.Cursor, rows: list[Row]) -> int:
    """Insert rows; return how many were rejected, which must not block the others. Raises sqlite3.Error."""
    refused = 0
    for statement, values in rows:
        try:
            cursor.execute(statement, values)
        except _REFUSED:  # a number past 64 bits, half a surrogate pair
            refused += 1
    return refused
