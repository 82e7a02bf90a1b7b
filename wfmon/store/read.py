"""What is in the file, for whoever asks: each call sees one instant of it. Any thread."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np

from wfmon.core.answers.history import Annotation
from wfmon.core.answers.models import RequestRow
from wfmon.core.answers.store import Usage
from wfmon.store import codec
from wfmon.store.buckets import NONE, Buckets, Second, between, joined, of_series
from wfmon.store.database import asking
from wfmon.store.tiers import TIERS, Tier

FOREVER_S = 2**40
log = logging.getLogger(__name__)


class Known(NamedTuple):
    """A series of the file."""

    id: int
    text: str
    name: str
    unit: str
    kind: str
    first_s: int


class Reader:
    """Reads the file at ``path``. Raises Unreadable; an absent file has nothing in it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def series(self) -> list[Known]:
        """Every series that was ever kept, in order of their numbers."""
        rows = self._all("SELECT id, text, name, unit, kind, first_s FROM series ORDER BY id")
        return [Known(*row) for row in rows]

    def span(self) -> tuple[int, int] | None:
        """Give the first second (UTC) that is kept, and the one after the last; None while there is none.

        As exactly as the coarsest tier tells the first, and the finest that holds anything the last.
        """
        rows = self._all(
            "SELECT -1 AS tier, min(t_s), max(t_s) FROM journal"
            " UNION ALL SELECT tier, min(start_s), max(start_s) FROM chunk GROUP BY tier ORDER BY 1"
        )
        found = [(low, high + (TIERS[tier].chunk_s if tier >= 0 else 1)) for tier, low, high in rows if low is not None]
        return (min(low for low, _ in found), found[0][1]) if found else None

    def first_of(self) -> dict[int, int]:
        """Give the first second (UTC) that each tier has chunks of, by its number; tiers without any are left out."""
        # One look into the index a tier; GROUP BY would read all of it.
        each = (
            f"SELECT {tier.number}, min(start_s) FROM chunk WHERE tier = {tier.number}"  # noqa: S608  a literal
            for tier in TIERS
        )
        return {tier: at for tier, at in self._all(" UNION ALL ".join(each)) if at is not None}

    def buckets(self, ids: Sequence[int], from_s: int, to_s: int, tier: Tier) -> dict[int, Buckets]:
        """Give the buckets of ``tier`` that touch [from_s, to_s) of each series, whole; ``NONE`` where there are none.

        What that tier does not hold yet comes from the finer ones and from the journal.
        """
        parts = self.parts_before(ids, from_s, to_s, tier, journal_to_s=FOREVER_S)[1]
        return {number: joined(found, tier.step_s) for number, found in parts.items()}

    def parts_before(
        self, ids: Sequence[int], from_s: int, to_s: int, tier: Tier, *, journal_to_s: int, sketches: bool = True
    ) -> tuple[int, dict[int, list[Buckets]]]:
        """Give the same in the parts in which it is kept, to be ``joined`` in this order, and without the journal's
        seconds from ``journal_to_s`` on, for whoever has them in memory; without sketches it is faster.

        The first of both is the second before which all is in chunks: only what comes later may be taken from memory.
        """
        sealed_to_s, parts = 0, {number: list[Buckets]() for number in ids}
        if self._path.exists() and ids and to_s > from_s:
            from_s, to_s = from_s // tier.step_s * tier.step_s, -(-to_s // tier.step_s) * tier.step_s
            with asking(self._path) as connection:
                for number, buckets in _chunks(connection, ids, from_s, to_s, tier, sketches=sketches):
                    parts[number].append(buckets)
                sealed_to_s = _sealed_to(connection)
                fresh = _journal(connection, from_s, min(to_s, max(journal_to_s, sealed_to_s)))
            for number, buckets in of_series(fresh, np.array(ids, np.uint16)).items():
                parts[number].append(buckets)
        return sealed_to_s, parts

    def requests(self, from_ms: int, to_ms: int, *, limit: int = 5_000, model: str = "") -> Iterator[RequestRow]:
        """Give requests that began in [from, to), the newest first: the fields of ``core.types.Request``.

        One at a time: some thousands at once are ten megabytes.
        """
        if not self._path.exists():
            return
        which = " AND model = ?" if model else ""
        with asking(self._path) as connection:
            connection.row_factory = sqlite3.Row
            for row in connection.execute(
                f"SELECT * FROM request WHERE started_ms >= ? AND started_ms < ?{which}"  # noqa: S608  a literal
                " ORDER BY started_ms DESC LIMIT ?",
                (from_ms, to_ms, *([model] if model else []), limit),
            ):
                yield _request(row)

    def request(self, name: str) -> RequestRow:
        """Give one request. Raises KeyError."""
        rows = self._all("SELECT * FROM request WHERE id = ?", (name,))
        if not rows:
            raise KeyError(name)
        return _request(rows[0])

    def annotations(self, from_ms: int, to_ms: int, limit: int = 1_000) -> list[Annotation]:
        """Give {t_ms, kind, text} of what happened in [from, to), the newest at most, in order of time."""
        rows = self._all(
            "SELECT t_ms, kind, text FROM annotation WHERE t_ms >= ? AND t_ms < ? ORDER BY t_ms DESC, id DESC LIMIT ?",
            (from_ms, to_ms, limit),
        )
        return [{"t_ms": t_ms, "kind": kind, "text": text} for t_ms, kind, text in reversed(rows)]

    def usage(self) -> Usage:
        """Give {bytes, free_bytes, wal_bytes, tiers: [{...}], series: {text: bytes}, tables: {name: rows}}."""
        tiers = {row[0]: tuple(row) for row in self._all(
            "SELECT tier, count(*) AS chunks, sum(bytes) AS bytes, min(start_s) AS first_s FROM chunk GROUP BY tier"
        )}  # fmt: skip
        tables = self._all(
            "SELECT 'request', count(*) FROM request UNION ALL SELECT 'annotation', count(*) FROM annotation"
            " UNION ALL SELECT 'alert', count(*) FROM alert"
        )
        sizes = self._all(
            "SELECT text, coalesce(of.bytes, 0) FROM series LEFT JOIN"
            " (SELECT series, sum(bytes) AS bytes FROM chunk GROUP BY series) AS of ON of.series = id ORDER BY id"
        )
        pages = self._all("SELECT page_size, freelist_count FROM pragma_page_size, pragma_freelist_count")
        return {
            "bytes": _size(self._path),
            "free_bytes": pages[0][0] * pages[0][1] if pages else 0,
            "wal_bytes": _size(self._path.with_name(self._path.name + "-wal")),
            "tiers": [
                {
                    "tier": tier.number,
                    "name": tier.name,
                    "step_s": tier.step_s,
                    "chunks": row[1],
                    "bytes": row[2],
                    "first_s": row[3],
                }
                for tier in TIERS
                for row in [tiers.get(tier.number, (tier.number, 0, 0, None))]
            ],
            "series": {text: size for text, size in sizes},  # noqa: C416  rows are no pairs to the type checker
            "tables": {name: rows for name, rows in tables},  # noqa: C416
        }

    def _all(self, statement: str, values: tuple[Any, ...] = ()) -> list[sqlite3.Row]:
        if not self._path.exists():
            return []
        with asking(self._path) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(statement, values).fetchall()


def _chunks(
    connection: sqlite3.Connection, ids: Sequence[int], from_s: int, to_s: int, tier: Tier, *, sketches: bool
) -> list[tuple[int, Buckets]]:
    """Give what chunks hold: those of the tier, and of finer ones what no coarser one has taken in."""
    seals = connection.execute("SELECT id, tier, done FROM seal").fetchall()
    making = {number for number, _, done in seals if not done}
    found = []
    for each in TIERS[: tier.number + 1]:
        statement = (
            f"SELECT series, start_s, seal, data FROM chunk WHERE tier = ? AND series IN ({_marks(ids)})"  # noqa: S608
            " AND start_s > ? AND start_s < ?"
        )
        values = [each.number, *ids, from_s - each.chunk_s, to_s]
        if each.number != tier.number:
            live = [number for number, of, done in seals if done and of == each.number]
            if not live:
                continue
            statement += f" AND seal IN ({_marks(live)})"
            values += live
        for number, start_s, seal, data in connection.execute(statement + " ORDER BY start_s, seal", values):
            if seal not in making:
                found.append((number, between(_decoded(data, start_s, each, sketches=sketches), from_s, to_s)))
    return found


def _sealed_to(connection: sqlite3.Connection) -> int:
    """Give the second before which all is in chunks."""
    first = connection.execute("SELECT min(t_s) FROM journal").fetchone()[0]
    if first is not None:
        return int(first)
    last = connection.execute("SELECT max(start_s) FROM chunk WHERE tier = 0").fetchone()[0]
    return 0 if last is None else int(last) + TIERS[0].chunk_s


def _decoded(data: bytes, start_s: int, tier: Tier, *, sketches: bool) -> Buckets:
    try:
        return codec.decode_chunk(data, start_s, tier.step_s, sketches=sketches)
    except codec.CorruptBlob as error:
        log.warning("a part of the history from %d on cannot be read: %s", start_s, error)
        return NONE


def _journal(connection: sqlite3.Connection, from_s: int, to_s: int) -> list[Second]:
    found = []
    rows = connection.execute("SELECT t_s, data FROM journal WHERE t_s >= ? AND t_s < ? ORDER BY seq", (from_s, to_s))
    for t_s, data in rows:
        try:
            found.append(codec.decode_second(t_s, data))
        except codec.CorruptBlob:
            continue  # the sealer counts it
    return found


def _request(row: sqlite3.Row) -> RequestRow:
    found = dict(row)
    found["stalls"] = json.loads(found["stalls"])
    found["causes"] = json.loads(found["causes"])
    found["slow"] = None if found["slow"] is None else bool(found["slow"])
    return cast("RequestRow", found)


def _marks(values: Sequence[int]) -> str:
    return ",".join("?" * len(values))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
