"""Integrity check of the file: SQLite's own check, the tables, and every blob."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np

from wfmon.store import codec, database, migrate
from wfmon.store.tiers import TIERS

MOST = 100
"""Maximum number of problems reported."""


class Checked(NamedTuple):
    """The result. ``problems``: one sentence each, at most MOST plus one that says so; empty if the file is intact."""

    problems: tuple[str, ...]
    version: int
    seconds: int
    chunks: int


def check(path: Path) -> Checked:
    """Read the whole file and report its problems. Raises sqlite3.Error if it cannot be opened."""
    problems: list[str] = []
    version, seconds, chunks = 0, 0, 0
    try:
        with database.reading(path) as connection:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            problems += islice(_problems(connection), MOST + 1)
            if len(problems) > MOST:
                problems[MOST] = "There are more; only the first problems are shown."
            seconds, chunks = (
                int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608  literals
                for table in ("journal", "chunk")
            )
    except sqlite3.Error as error:
        if not problems and not database.is_corrupt(error):
            raise
        problems.append(f"The file cannot be read to its end: {error}.")
    return Checked(tuple(problems), version, seconds, chunks)


def known(connection: sqlite3.Connection) -> int:
    """Return the file's schema version. Raises NotOurs, NewerSchema, sqlite3.Error."""
    if connection.execute("PRAGMA application_id").fetchone()[0] != migrate.APPLICATION_ID:
        raise database.NotOurs("foreign")
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version == 0:
        raise database.NotOurs("empty")
    if version > migrate.VERSION:
        raise database.NewerSchema(
            f"The history was written by a newer wfmon (form {version}, this one knows {migrate.VERSION}). "
            "Use the newer one."
        )
    return version


@cache
def tables() -> dict[str, frozenset[str]]:
    """Return the columns of each table in a file of this version."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        migrate.create(connection)
        return _tables(connection)
    finally:
        connection.close()


def _tables(connection: sqlite3.Connection) -> dict[str, frozenset[str]]:
    names = [row[0] for row in connection.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY name"
    )]  # fmt: skip
    return {name: frozenset(row[1] for row in connection.execute(f"PRAGMA table_info({name})")) for name in names}


def _problems(connection: sqlite3.Connection) -> Iterator[str]:
    for (text,) in connection.execute(f"PRAGMA integrity_check({MOST})").fetchall():
        if text != "ok":
            yield f"SQLite finds: {' '.join(text.split())}."
    try:
        version = known(connection)
    except database.NotOurs as error:
        yield {"foreign": "The file is not one of wfmon's."}.get(error.what, "The file holds no tables.")
        return
    except database.NewerSchema as error:
        yield str(error)
        return
    if version == migrate.VERSION:
        found, short = _tables(connection), False
        for name, columns in tables().items():
            lacking = columns - found.get(name, frozenset())
            if lacking:
                short = True
                yield f"The table {name} lacks {', '.join(sorted(lacking))}."
        if short:
            return
    numbers = np.array([row[0] for row in connection.execute("SELECT id FROM series ORDER BY id")], np.int64)
    yield from _of_journal(connection, numbers)
    yield from _of_chunks(connection, numbers)
    yield from _of_seals(connection)


def _of_journal(connection: sqlite3.Connection, numbers: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Iterator[str]:
    for seq, t_s, data in connection.execute("SELECT seq, t_s, data FROM journal ORDER BY seq"):
        try:
            ids = codec.decode_second(t_s, data).ids
        except codec.CorruptBlob as error:
            yield f"Second {seq} of the journal: {error}."
            continue
        strange = ids[~np.isin(ids, numbers)]
        if len(strange):
            yield f"Second {seq} of the journal names series {strange[0]}, which is not in the table."


def _of_chunks(connection: sqlite3.Connection, numbers: np.ndarray[tuple[int], np.dtype[np.int64]]) -> Iterator[str]:
    known_numbers = set(numbers.tolist())
    rows = connection.execute("SELECT id, tier, start_s, series, bytes, data FROM chunk ORDER BY id")
    for key, number, start_s, series, size, data in rows:
        if not 0 <= number < len(TIERS):
            yield f"Chunk {key} is of a tier {number}, which does not exist."
            continue
        tier = TIERS[number]
        if start_s % tier.chunk_s:
            yield f"Chunk {key} of the tier {tier.name} does not begin where its chunks do."
        if series not in known_numbers:
            yield f"Chunk {key} is of series {series}, which is not in the table."
        if size != len(data):
            yield f"Chunk {key} should have {size} bytes and has {len(data)}."
        try:
            t_s = codec.decode_chunk(data, start_s, tier.step_s).t_s
        except codec.CorruptBlob as error:
            yield f"Chunk {key} of the tier {tier.name}: {error}."
            continue
        if len(t_s) and t_s[-1] >= start_s + tier.chunk_s:  # the codec has checked that they ascend
            yield f"Chunk {key} of the tier {tier.name} has buckets past its end."


def _of_seals(connection: sqlite3.Connection) -> Iterator[str]:
    seals = {row[0]: row for row in connection.execute("SELECT id, tier, start_s, done, parent FROM seal")}
    for key, number, start_s, done, parent in seals.values():
        if not 0 <= number < len(TIERS) or start_s % TIERS[number].chunk_s:
            yield f"Seal {key} is of no span of any tier."
        elif parent is not None:
            _, above, at, ended, _ = seals.get(parent, (0, -1, 0, 0, None))
            inside = above == number + 1 and at <= start_s < at + TIERS[above].chunk_s
            if not inside or ended or not done:
                yield f"Seal {key} is being taken into seal {parent}, which does not take it."
    for key, seal in connection.execute(
        "SELECT chunk.id, seal.id FROM chunk JOIN seal ON seal.id = chunk.seal"
        " WHERE seal.tier <> chunk.tier OR seal.start_s <> chunk.start_s"
    ):
        yield f"Chunk {key} is not of the span of its seal {seal}."
    last = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'seal'").fetchone()
    for (key,) in connection.execute("SELECT id FROM chunk WHERE seal > ?", (last[0] if last else 0,)):
        yield f"Chunk {key} is of a seal that was never begun."
