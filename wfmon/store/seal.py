"""Sealing: journal to chunks, chunks to coarser chunks; a few series per transaction, so that writing is never held up.

A seal is one chunk's span of one tier, for all series. It begins with a row, is made slice by slice, and ends in one
transaction with the deletion of its input: after a kill it resumes where it was. Chunks are never modified: late data
for a sealed span (the clock went back) becomes another seal of that span, and readers join both.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from wfmon.store import codec
from wfmon.store.buckets import NONE, Buckets, Second, joined, of_series, picked
from wfmon.store.tiers import TIERS, Tier

SLICE = 20
"""Series per transaction."""
GROUP = 200
"""Series for which the journal is read at once: 300 seconds of 200 series are 1.3 MB."""
AHEAD_S = 3_600
"""A span this far in the future was written before the clock was set back: no more data will come, so it is due."""


class Seal(NamedTuple):
    """A row of the table."""

    id: int
    tier: int
    start_s: int
    upto: int


class Sealer:
    """Finds due seals and makes them, one slice per call. The writer's thread only."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._work: Iterator[None] | None = None
        self.unreadable = 0
        """Number of damaged blobs. Its reader may reset it."""
        step = TIERS[0].chunk_s
        rows = connection.execute("SELECT DISTINCT t_s / ? * ? FROM journal", (step, step))
        self._windows = {row[0] for row in rows}  # those of the journal
        self._live = [Seal(*row) for row in self._rows("done = 1 AND parent IS NULL")]

    @property
    def live(self) -> list[int]:
        """Ids of seals in progress or not completely folded into a coarser tier. Raises sqlite3.Error."""
        return [row[0] for row in self._connection.execute("SELECT id FROM seal ORDER BY id")]

    def journaled(self, t_s: int) -> None:
        """Record that a second was written to the journal."""
        self._windows.add(t_s // TIERS[0].chunk_s * TIERS[0].chunk_s)

    def advance(self, now_s: int) -> bool:
        """Do one slice of what is due, given all data before ``now_s``; False if none is due. Raises sqlite3.Error."""
        if self._work is None:
            self._work = self._next(now_s)
        if self._work is None:
            return False
        try:
            next(self._work)
        except StopIteration:
            self._work = None
        except BaseException:
            self._work = None  # resumed from the table, where it was
            raise
        return True

    def _rows(self, where: str) -> list[tuple[int, int, int, int]]:
        return self._connection.execute(
            f"SELECT id, tier, start_s, upto FROM seal WHERE {where} ORDER BY id"  # noqa: S608  a literal
        ).fetchall()

    def _next(self, now_s: int) -> Iterator[None] | None:
        for row in self._rows("done = 0"):
            return self._make(Seal(*row))
        for start_s in sorted(self._windows):
            if _is_due(TIERS[0], start_s, now_s):
                return self._begin(TIERS[0], start_s, [])
        for tier in TIERS[1:]:
            for start_s in sorted({self._span(tier, each) for each in self._live if each.tier == tier.number - 1}):
                if _is_due(tier, start_s, now_s):
                    children = [
                        each.id
                        for each in self._live
                        if each.tier == tier.number - 1 and self._span(tier, each) == start_s
                    ]
                    return self._begin(tier, start_s, children)
        return None

    @staticmethod
    def _span(tier: Tier, child: Seal) -> int:
        return child.start_s // tier.chunk_s * tier.chunk_s

    def _begin(self, tier: Tier, start_s: int, children: list[int]) -> Iterator[None]:
        with _transaction(self._connection) as cursor:
            upto = cursor.execute("SELECT max(seq) FROM journal").fetchone()[0] or 0 if tier.number == 0 else 0
            cursor.execute(
                "INSERT INTO seal (tier, start_s, upto, done) VALUES (?, ?, ?, 0)", (tier.number, start_s, upto)
            )
            made = Seal(cursor.lastrowid or 0, tier.number, start_s, upto)
            cursor.executemany("UPDATE seal SET parent = ? WHERE id = ?", [(made.id, child) for child in children])
        self._live = [each for each in self._live if each.id not in children]
        return self._make(made)

    def _make(self, seal: Seal) -> Iterator[None]:
        tier = TIERS[seal.tier]
        made = {row[0] for row in self._connection.execute(
            "SELECT series FROM chunk WHERE tier = ? AND start_s = ? AND seal = ?", (seal.tier, seal.start_s, seal.id)
        )}  # fmt: skip
        for part in self._from_journal(seal, made) if seal.tier == 0 else self._from_chunks(seal, tier, made):
            rows = []
            for number, buckets in part.items():
                data = codec.encode_chunk(buckets, seal.start_s, tier.step_s)
                rows.append((seal.tier, seal.start_s, number, seal.id, len(data), data))
            with _transaction(self._connection) as cursor:
                cursor.executemany(
                    "INSERT INTO chunk (tier, start_s, series, seal, bytes, data) VALUES (?, ?, ?, ?, ?, ?)", rows
                )
            yield
        with _transaction(self._connection) as cursor:
            cursor.execute("UPDATE seal SET done = 1 WHERE id = ?", (seal.id,))
            if seal.tier == 0:
                cursor.execute(
                    "DELETE FROM journal WHERE t_s >= ? AND t_s < ? AND seq <= ?",
                    (seal.start_s, seal.start_s + tier.chunk_s, seal.upto),
                )
                left = cursor.execute(
                    "SELECT 1 FROM journal WHERE t_s >= ? AND t_s < ? LIMIT 1",
                    (seal.start_s, seal.start_s + tier.chunk_s),
                ).fetchone()
            else:
                cursor.execute("DELETE FROM seal WHERE parent = ?", (seal.id,))
            if seal.tier == TIERS[-1].number:  # there is no coarser tier
                cursor.execute("DELETE FROM seal WHERE id = ?", (seal.id,))
        if seal.tier == 0 and left is None:
            self._windows.discard(seal.start_s)
        if seal.tier != TIERS[-1].number:
            self._live.append(seal)

    def _from_journal(self, seal: Seal, made: set[int]) -> Iterator[dict[int, Buckets]]:
        numbers = {number for each in self._journal(seal, count=True) for number in each.ids.tolist()}
        for group in _slices(sorted(numbers - made), GROUP):
            ids = np.array(group, np.uint16)
            found = of_series([picked(each, ids) for each in self._journal(seal)], ids)
            for part in _slices(list(found), SLICE):
                yield {number: joined([found[number]], 1) for number in part}

    def _journal(self, seal: Seal, *, count: bool = False) -> Iterator[Second]:
        """Yield the seconds of a seal one by one. A damaged one is skipped and counted."""
        rows = self._connection.execute(
            "SELECT t_s, data FROM journal WHERE t_s >= ? AND t_s < ? AND seq <= ? ORDER BY t_s, seq",
            (seal.start_s, seal.start_s + TIERS[0].chunk_s, seal.upto),
        )
        for t_s, data in rows:
            try:
                yield codec.decode_second(t_s, data)
            except codec.CorruptBlob:
                self.unreadable += count

    def _chunk(self, data: bytes, start_s: int, step_s: int) -> Buckets:
        try:
            return codec.decode_chunk(data, start_s, step_s)
        except codec.CorruptBlob:
            self.unreadable += 1
            return NONE

    def _from_chunks(self, seal: Seal, tier: Tier, made: set[int]) -> Iterator[dict[int, Buckets]]:
        below = TIERS[tier.number - 1]
        children = [row[0] for row in self._connection.execute("SELECT id FROM seal WHERE parent = ?", (seal.id,))]
        span = (below.number, seal.start_s, seal.start_s + tier.chunk_s)
        numbers = [row[0] for row in self._connection.execute(
            "SELECT DISTINCT series FROM chunk WHERE tier = ? AND start_s >= ? AND start_s < ?", span
        ) if row[0] not in made]  # fmt: skip
        statement = (
            "SELECT start_s, data FROM chunk WHERE tier = ? AND start_s >= ? AND start_s < ? AND series = ?"  # noqa: S608
            f" AND seal IN ({','.join('?' * len(children))}) ORDER BY start_s, seal"
        )
        for part in _slices(sorted(numbers), SLICE):
            found = {}
            for number in part:
                rows = self._connection.execute(statement, (*span, number, *children))
                buckets = joined([self._chunk(data, at, below.step_s) for at, data in rows], tier.step_s)
                if len(buckets):
                    found[number] = buckets
            yield found


def _is_due(tier: Tier, start_s: int, now_s: int) -> bool:
    """Return whether a chunk's span is past, or was left in the future by a clock that was set back."""
    return start_s + tier.chunk_s <= now_s or start_s > now_s + AHEAD_S


class _transaction:  # noqa: N801  reads as a keyword
    """A transaction that begins immediately, and is rolled back on an error."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> sqlite3.Cursor:
        self._connection.execute("BEGIN IMMEDIATE")
        return self._connection.cursor()

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            self._connection.execute("COMMIT" if kind is None else "ROLLBACK")
        except sqlite3.Error:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            if kind is None:
                raise


transaction = _transaction


def _slices(items: list[int], size: int) -> Iterator[list[int]]:
    for at in range(0, len(items), size):
        yield items[at : at + size]
