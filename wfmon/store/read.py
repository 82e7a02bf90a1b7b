"""Queries of the file: each call sees one consistent state of it. Any thread."""

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
    """Reads the file at ``path``. Methods raise Unreadable; a missing file counts as empty."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def series(self) -> list[Known]:
        """Return every series ever stored, ordered by number."""
        rows = self._all("SELECT id, text, name, unit, kind, first_s FROM series ORDER BY id")
        return [Known(*row) for row in rows]

    def span(self) -> tuple[int, int] | None:
        """Return the first stored second (UTC), and the one after the last; None if there is none.

        The first has the precision of the coarsest tier, the last that of the finest tier with data.
        """
        rows = self._all(
            "SELECT -1 AS tier, min(t_s), max(t_s) FROM journal"
            " UNION ALL SELECT tier, min(start_s), max(start_s) FROM chunk GROUP BY tier ORDER BY 1"
        )
        found = [(low, high + (TIERS[tier].chunk_s if tier >= 0 else 1)) for tier, low, high in rows if low is not None]
        return (min(low for low, _ in found), found[0][1]) if found else None

    def first_of(self) -> dict[int, int]:
        """Return the first second (UTC) of each tier's chunks, by its number; empty tiers are omitted."""
        # One index lookup per tier; GROUP BY would read the whole index.
        each = (
            f"SELECT {tier.number}, min(start_s) FROM chunk WHERE tier = {tier.number}"  # noqa: S608  a literal
            for tier in TIERS
        )
        return {tier: at for tier, at in self._all(" UNION ALL ".join(each)) if at is not None}

    def buckets(self, ids: Sequence[int], from_s: int, to_s: int, tier: Tier) -> dict[int, Buckets]:
        """Return each series' whole buckets of ``tier`` that overlap [from_s, to_s); ``NONE`` if there are none.

        Data not yet in that tier comes from the finer ones and from the journal.
        """
        parts = self.parts_before(ids, from_s, to_s, tier, journal_to_s=FOREVER_S)[1]
        return {number: joined(found, tier.step_s) for number, found in parts.items()}

    def parts_before(
        self, ids: Sequence[int], from_s: int, to_s: int, tier: Tier, *, journal_to_s: int, sketches: bool = True
    ) -> tuple[int, dict[int, list[Buckets]]]:
        """Return the same in parts, to be ``joined`` in this order, without the journal's seconds from ``journal_to_s``
        on, which the caller has in memory; faster without ``sketches``.

        First returned is the second before which everything is in chunks: only later data may be taken from memory.
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
        """Yield requests that began in [from, to), newest first: the fields of ``core.types.Request``.

        One at a time: thousands at once would take ten megabytes.
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
        """Return one request. Raises KeyError."""
        rows = self._all("SELECT * FROM request WHERE id = ?", (name,))
        if not rows:
            raise KeyError(name)
        return _request(rows[0])

    def annotations(self, from_ms: int, to_ms: int, limit: int = 1_000) -> list[Annotation]:
        """Return {t_ms, kind, text} of the newest ``limit`` annotations in [from, to), in time order."""
        rows = self._all(
            "SELECT t_ms, kind, text FROM annotation WHERE t_ms >= ? AND t_ms < ? ORDER BY t_ms DESC, id DESC LIMIT ?",
            (from_ms, to_ms, limit),
        )
        return [{"t_ms": t_ms, "kind": kind, "text": text} for t_ms, kind, text in reversed(rows)]

    def usage(self) -> Usage:
        """Return {bytes, free_bytes, wal_bytes, tiers: [{...}], series: {text: bytes}, tables: {name: rows}}."""
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
    """Return the chunks of the tier, and those of finer tiers not yet folded into a coarser one."""
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
    """Return the second before which everything is in chunks."""
    first = connection.execute("SELECT min(t_s) FROM journal").fetchone()[0]
    if first is not None:
        return int(first)
    last = connection.execute("SELECT max(start_s) FROM chunk WHERE tier = 0").fetchone()[0]
    return 0 if last is None else int(last) + TIERS[0].chunk_s


def _decoded(data: bytes, start_s: int, tier: Tier, *, sketches: bool) -> Buckets:
    try:
        return codec.decode_chunk(data, start_s, tier.step_s, sketches=sketches)
    except codec.CorruptBlob as error:
        log.warning("a part of the history starting at %d cannot be read: %s", start_s, error)
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
