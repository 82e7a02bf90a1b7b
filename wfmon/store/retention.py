"""Retention: by age per tier and table, and by total size; in slices, so that the writer never blocks for long."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from wfmon.store.seal import transaction
from wfmon.store.tiers import DAY_S, TIERS, Tier

CHUNKS, ROWS, PAGES = 64, 200, 64
"""Maximum size of a slice."""
SPARE_PAGES = 1_000
"""Free pages kept for later writes; more are returned to the disk."""
TABLES = (("request", "started_ms"), ("annotation", "t_ms"), ("alert", "t_ms"))


@dataclass(frozen=True, slots=True)
class Keep:
    """Retention limits. ``tiers``: seconds, by tier number; ``tables``: seconds, by name."""

    tiers: tuple[int, ...]
    tables: dict[str, int]
    max_bytes: int

    @classmethod
    def of(cls, tier_days: Sequence[float], table_days: dict[str, float], max_bytes: int) -> Keep:
        """Convert from days."""
        return cls(
            tuple(round(days * DAY_S) for days in tier_days),
            {name: round(days * DAY_S) for name, days in table_days.items()},
            max_bytes,
        )


class Due(NamedTuple):
    """Data past its retention. ``to_s``: the start of its newest part; None if nothing is due."""

    rows: int
    bytes: int
    to_s: int | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What ``retain`` would delete. ``tiers``: by age, by number; ``tables``: by name, bytes approximate.

    ``over``: by tier number, what would also be deleted for the total size; approximate.
    """

    tiers: tuple[Due, ...]
    tables: dict[str, Due]
    over: tuple[Due, ...]


def retain(connection: sqlite3.Connection, keep: Keep, now_s: int, live: Sequence[int]) -> bool:
    """Delete a slice of the data past its retention; False if there is none. Raises sqlite3.Error.

    ``live``: seals not yet completely folded into a coarser tier; their chunks are kept.
    """
    for tier in TIERS:
        if _old_chunks(connection, tier.number, _last_start_s(keep, tier, now_s), live):
            return True
    for name, column in TABLES:
        if _old_rows(connection, name, column, _first_ms(keep, name, now_s)):
            return True
    if used_bytes(connection) > keep.max_bytes:
        return _oldest_of_largest(connection, live) or _give_back(connection)
    return _give_back(connection)


def preview(connection: sqlite3.Connection, keep: Keep, now_s: int) -> Preview:
    """Return what ``retain`` would delete with these limits; read-only. Raises sqlite3.Error."""
    live = [row[0] for row in connection.execute("SELECT id FROM seal")]
    tiers = tuple(_due_chunks(connection, tier, _last_start_s(keep, tier, now_s), live) for tier in TIERS)
    tables = {}
    for name, column in TABLES:
        rows, size, to_ms = connection.execute(
            f"SELECT count(*), {bytes_of(connection, name)}, max({column}) FROM {name} WHERE {column} < ?",  # noqa: S608
            (_first_ms(keep, name, now_s),),
        ).fetchone()
        tables[name] = Due(rows, size, None if to_ms is None else to_ms // 1000)
    return Preview(tiers, tables, _over(connection, keep, now_s, live, sum(due.bytes for due in tiers)))


def _over(connection: sqlite3.Connection, keep: Keep, now_s: int, live: Sequence[int], going: int) -> tuple[Due, ...]:
    """Simulate ``_oldest_of_largest``, by start instead of by slice; each chunk byte frees its share of pages."""
    marks = ",".join("?" * len(live))
    rest = (
        f"SELECT start_s, count(*), sum(bytes) FROM chunk WHERE tier = ? AND start_s > ? AND seal NOT IN ({marks})"  # noqa: S608
        " GROUP BY start_s ORDER BY start_s DESC"
    )
    waiting = [
        connection.execute(rest, (tier.number, _last_start_s(keep, tier, now_s), *live)).fetchall() for tier in TIERS
    ]
    sizes = [sum(size for _, _, size in rows) for rows in waiting]
    whole = connection.execute("SELECT coalesce(sum(bytes), 0) FROM chunk").fetchone()[0]
    share = used_bytes(connection) / whole if whole else 1.0
    excess = used_bytes(connection) - going * share - keep.max_bytes
    over = [Due(0, 0, None) for _ in TIERS]
    while excess > 0 and any(waiting):
        largest = max((number for number in range(len(TIERS)) if waiting[number]), key=sizes.__getitem__)
        start_s, rows, size = waiting[largest].pop()
        over[largest] = Due(over[largest].rows + rows, over[largest].bytes + size, start_s)
        sizes[largest] -= size
        excess -= size * share
    return tuple(over)


def _last_start_s(keep: Keep, tier: Tier, now_s: int) -> int:
    """Return the start of the last chunk whose last bucket is past its retention."""
    return now_s - keep.tiers[tier.number] - tier.chunk_s


def _first_ms(keep: Keep, table: str, now_s: int) -> int:
    """Return the first instant that a table keeps."""
    return (now_s - keep.tables[table]) * 1000


def _old(tier: int, before_s: int, live: Sequence[int]) -> tuple[str, tuple[int, ...]]:
    """Return the SQL condition of deletable chunks: they begin by ``before_s``, and are folded into a coarser tier."""
    marks = ",".join("?" * len(live))
    return f"tier = ? AND start_s <= ? AND seal NOT IN ({marks})", (tier, before_s, *live)


def _due_chunks(connection: sqlite3.Connection, tier: Tier, before_s: int, live: Sequence[int]) -> Due:
    condition, values = _old(tier.number, before_s, live)
    return Due(*connection.execute(
        f"SELECT count(*), coalesce(sum(bytes), 0), max(start_s) FROM chunk WHERE {condition}", values,  # noqa: S608
    ).fetchone())  # fmt: skip


def bytes_of(connection: sqlite3.Connection, table: str) -> str:
    """Return the SQL expression of the approximate bytes of rows: of chunks and seconds their data, of others their
    text.
    """
    size = {"chunk": "bytes", "journal": "length(data)"}.get(table)
    if size is None:
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        size = " + ".join(f"coalesce(length({column}), 0)" for column in columns)
    return f"coalesce(sum({size}), 0)"


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return the bytes of the file in use."""
    size = _pragma(connection, "page_size")
    return size * (_pragma(connection, "page_count") - _pragma(connection, "freelist_count"))


def _old_chunks(connection: sqlite3.Connection, tier: int, before_s: int, live: Sequence[int]) -> bool:
    condition, values = _old(tier, before_s, live)
    rows = connection.execute(
        f"SELECT id FROM chunk WHERE {condition} ORDER BY start_s LIMIT ?",  # noqa: S608  placeholders
        (*values, CHUNKS),
    ).fetchall()
    return _delete(connection, "chunk", "id", rows)


def _old_rows(connection: sqlite3.Connection, table: str, column: str, before_ms: int) -> bool:
    rows = connection.execute(
        f"SELECT rowid FROM {table} WHERE {column} < ? ORDER BY {column} LIMIT ?",  # noqa: S608  literals
        (before_ms, ROWS),
    ).fetchall()
    return _delete(connection, table, "rowid", rows)


def _oldest_of_largest(connection: sqlite3.Connection, live: Sequence[int]) -> bool:
    """Delete the oldest chunks of the largest tier first, to reduce the size."""
    sizes = connection.execute("SELECT tier, sum(bytes) FROM chunk GROUP BY tier ORDER BY 2 DESC").fetchall()
    return any(_old_chunks(connection, tier, 2**62, live) for tier, _ in sizes)


def _delete(connection: sqlite3.Connection, table: str, key: str, rows: list[tuple[int]]) -> bool:
    if not rows:
        return False
    with transaction(connection) as cursor:
        cursor.executemany(f"DELETE FROM {table} WHERE {key} = ?", rows)  # noqa: S608  literals
    return True


def _give_back(connection: sqlite3.Connection) -> bool:
    free = _pragma(connection, "freelist_count")
    if free <= SPARE_PAGES:
        return False
    # It returns rows without columns, of which execute() takes one: one page per call. A script runs to the end.
    connection.executescript(f"PRAGMA incremental_vacuum({min(PAGES, free - SPARE_PAGES)})")
    return True


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
