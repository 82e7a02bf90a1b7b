"""Retention: by age a tier and a table, and by size for the whole; in slices, so that the writer never stands."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from wfmon.store.seal import transaction
from wfmon.store.tiers import DAY_S, TIERS

CHUNKS, ROWS, PAGES = 64, 200, 64
"""What a slice takes at most."""
SPARE_PAGES = 1_000
"""Free pages that are kept for what is written next; more go back to the disk."""
TABLES = (("request", "started_ms"), ("annotation", "t_ms"), ("alert", "t_ms"))


@dataclass(frozen=True, slots=True)
class Keep:
    """How long and how much. ``tiers``: seconds, by number of the tier; ``tables``: seconds, by name."""

    tiers: tuple[int, ...]
    tables: dict[str, int]
    max_bytes: int

    @classmethod
    def of(cls, tier_days: Sequence[float], table_days: dict[str, float], max_bytes: int) -> Keep:
        """Make it of days."""
        return cls(
            tuple(round(days * DAY_S) for days in tier_days),
            {name: round(days * DAY_S) for name, days in table_days.items()},
            max_bytes,
        )


def retain(connection: sqlite3.Connection, keep: Keep, now_s: int, live: Sequence[int]) -> bool:
    """Delete a slice of what is past its time or too much; False when nothing is. Raises sqlite3.Error.

    ``live``: seals that no coarser tier has wholly taken in: what is theirs stays.
    """
    for tier, kept_s in zip(TIERS, keep.tiers, strict=True):
        if _old_chunks(connection, tier.number, now_s - kept_s - tier.chunk_s, live):
            return True
    for name, column in TABLES:
        if _old_rows(connection, name, column, (now_s - keep.tables[name]) * 1000):
            return True
    if used_bytes(connection) > keep.max_bytes:
        return _oldest_of_largest(connection, live) or _give_back(connection)
    return _give_back(connection)


def used_bytes(connection: sqlite3.Connection) -> int:
    """Bytes of the file that hold something."""
    size = _pragma(connection, "page_size")
    return size * (_pragma(connection, "page_count") - _pragma(connection, "freelist_count"))


def _old_chunks(connection: sqlite3.Connection, tier: int, before_s: int, live: Sequence[int]) -> bool:
    marks = ",".join("?" * len(live))
    rows = connection.execute(
        f"SELECT id FROM chunk WHERE tier = ? AND start_s <= ? AND seal NOT IN ({marks})"  # noqa: S608  placeholders
        " ORDER BY start_s LIMIT ?",
        (tier, before_s, *live, CHUNKS),
    ).fetchall()
    return _delete(connection, "chunk", "id", rows)


def _old_rows(connection: sqlite3.Connection, table: str, column: str, before_ms: int) -> bool:
    rows = connection.execute(
        f"SELECT rowid FROM {table} WHERE {column} < ? ORDER BY {column} LIMIT ?",  # noqa: S608  literals
        (before_ms, ROWS),
    ).fetchall()
    return _delete(connection, table, "rowid", rows)


def _oldest_of_largest(connection: sqlite3.Connection, live: Sequence[int]) -> bool:
    """Make room: the oldest chunks of the tier that takes most go first."""
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
    # It has rows without columns, of which execute() takes one: a page a call. A script runs to its end.
    connection.executescript(f"PRAGMA incremental_vacuum({min(PAGES, free - SPARE_PAGES)})")
    return True


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    return int(connection.execute(f"PRAGMA {name}").fetchone()[0])
