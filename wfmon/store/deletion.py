"""Permanent deletion of data from the file, down to its bytes in the file and its WAL.

Buckets cannot be split, so a bucket that begins before an instant counts as older.
"""

from __future__ import annotations

import difflib
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import numpy as np

from wfmon.core import commands
from wfmon.core.sketch import Sketch
from wfmon.core.types import Series
from wfmon.store import codec, database
from wfmon.store.buckets import Second, between
from wfmon.store.retention import TABLES, bytes_of
from wfmon.store.seal import transaction
from wfmon.store.series_ids import highest_number
from wfmon.store.tiers import TIERS

_ALL = ("journal", "chunk", "seal", *(name for name, _ in TABLES), "series")
_SECOND_LINE = "substr(text, instr(text, char(10)) + 1)"
_OF = f"CASE WHEN json_valid({_SECOND_LINE}) THEN json_extract({_SECOND_LINE}, '$.series') END"
"""The series of an annotation, if it has one: then its second line is JSON."""
_WIPE = "wipe"
"""A marker in sqlite_sequence: something was deleted, and its bytes may still be in the file."""
Progress = Callable[[str, int, int], None]
"""``progress(stage, done, of)``: counting, deleting, committing (the last). If it raises, everything is rolled back."""


_PartProgress = Callable[[int, int], None]


class NoSuchSeries(LookupError):
    """No series of the file has this name; the message is one sentence for the user."""


class Remains(Exception):
    """The data is deleted, but its bytes may still be in the file; the message is one sentence."""


class Before(NamedTuple):
    """Everything that began before an instant (UTC milliseconds)."""

    t_ms: int


class Named(NamedTuple):
    """One series by its text, ``name{label="v"}``, or all series of a metric by its name."""

    text: str


class Everything(NamedTuple):
    """Everything."""


Asked = Before | Named | Everything


class Removed(NamedTuple):
    """Rows of a table, and their approximate size in bytes."""

    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Tally:
    """What a deletion removes. ``removed``: by table; ``cut``: chunks and seconds that lose a part; ``bytes``: total.

    ``series``: those with nothing left; ``touched``: how many lose something.
    """

    removed: dict[str, Removed]
    cut: Removed
    series: tuple[str, ...]
    touched: int = 0

    @property
    def bytes(self) -> int:
        return self.cut.bytes + sum(each.bytes for each in self.removed.values())


class _Part(NamedTuple):
    """A chunk or second that loses a part. ``data`` is None if nothing is left; ``series``: of a chunk."""

    table: str
    key: int
    old: bytes
    data: bytes | None
    series: int = 0


@dataclass(slots=True)
class _Plan:
    """``whole``: (table, condition, values) of rows to delete; ``series``: those with nothing left, by number.

    ``parts``: keys of rows that may lose a part (chunks for an instant, seconds for a name), cut while iterating.
    """

    whole: list[tuple[str, str, tuple[int | str, ...]]]
    series: dict[int, str]
    parts: list[int] = field(default_factory=list)


def preview(connection: sqlite3.Connection, asked: Asked) -> Tally:
    """Return what ``forget`` would delete; read-only. Raises NoSuchSeries, sqlite3.Error."""
    return _tally(connection, asked, _plan(connection, asked, _ignore_progress), _ignore_progress)


def find(connection: sqlite3.Connection, text: str) -> dict[int, str]:
    """Return the file's series that a text names, by number. Raises NoSuchSeries, sqlite3.Error."""
    text = _canonical(text)
    rows = connection.execute("SELECT id, text FROM series WHERE text = ? OR name = ?", (text, text)).fetchall()
    if not rows:
        raise NoSuchSeries(_none_called(connection, text))
    return {number: found for number, found in rows}  # noqa: C416  rows are no pairs to the type checker


def forget(connection: sqlite3.Connection, asked: Asked) -> Tally:
    """Delete atomically, then rewrite the file so that no byte of the data is left.

    ``connection``: the writing one, in autocommit, outside a transaction. Raises NoSuchSeries or sqlite3.Error if
    nothing was deleted; Remains if it was, but ``scrub`` failed.
    """
    tally = delete(connection, asked)
    try:
        scrub(connection)
    except sqlite3.Error as error:
        raise Remains(_unscrubbed(error)) from error
    return tally


def delete(connection: sqlite3.Connection, asked: Asked, progress: Progress = lambda *_: None) -> Tally:
    """Delete atomically; afterwards ``scrub`` is due, also after a crash: see ``is_unscrubbed``.

    The running writer first writes what waits; afterwards it creates a new Sealer (an old one may remember deleted
    seconds), and ``SeriesIds.forget`` restores the rows of series that it still records.
    Raises NoSuchSeries, sqlite3.Error, or what ``progress`` raises: then nothing was deleted.
    """
    with _securely(connection), transaction(connection) as cursor:
        plan = _plan(connection, asked, partial(progress, "counting"))
        tally = _tally(connection, asked, plan, partial(progress, "counting"))
        _carry_out(cursor, asked, plan, partial(progress, "deleting"))
        progress("committing", 0, 0)
    return tally


def scrub(connection: sqlite3.Connection) -> None:
    """Rewrite the file and empty its WAL. Raises sqlite3.Error, Remains while it is being read."""
    with _securely(connection):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # in case there is no room for the next step
        connection.execute("VACUUM")
    empty_wal(connection)


def empty_wal(connection: sqlite3.Connection) -> None:
    """Do the last step of ``scrub``: empty the WAL. Raises sqlite3.Error, Remains while the file is being read."""
    if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        raise Remains(
            "The deletion is done, but another program reads the history, so its old bytes could not be wiped. "
            f"Close that program, then run: {commands.wfmon('store', 'compact')}"
        )
    if is_unscrubbed(connection):
        connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (_WIPE,))


def is_unscrubbed(connection: sqlite3.Connection) -> bool:
    """Return whether bytes of deleted data may still be in the file. Raises sqlite3.Error."""
    return connection.execute("SELECT 1 FROM sqlite_sequence WHERE name = ?", (_WIPE,)).fetchone() is not None


@contextmanager
def _securely(connection: sqlite3.Connection) -> Iterator[None]:
    """Let SQLite overwrite deleted content with zeros."""
    before = connection.execute("PRAGMA secure_delete").fetchone()[0]
    connection.execute("PRAGMA secure_delete = ON").fetchall()
    try:
        yield
    finally:
        connection.execute(f"PRAGMA secure_delete = {int(before)}").fetchall()


def _unscrubbed(error: sqlite3.Error) -> str:
    why = "there is no room to rewrite the file" if database.is_full(error) else str(error)
    compact = commands.wfmon("store", "compact")
    return f"It is deleted, but its bytes could not be wiped ({why}). Fix that, then run: {compact}"


def _plan(connection: sqlite3.Connection, asked: Asked, progress: _PartProgress) -> _Plan:
    if isinstance(asked, Named):
        return _plan_named(connection, asked.text)
    every = {number: text for number, text in connection.execute("SELECT id, text FROM series")}  # noqa: C416  no pairs
    if isinstance(asked, Everything):
        return _Plan([(table, "1", ()) for table in _ALL if table != "series"], every)
    from_s = _from_s(asked)
    plan = _Plan([("journal", "t_s < ?", (from_s,))], {})
    for tier in TIERS:
        whole = ("tier = ? AND start_s <= ?", (tier.number, from_s - tier.chunk_s))
        plan.whole += [("chunk", *whole), ("seal", *whole)]
        plan.parts += _keys(
            connection, "SELECT id FROM chunk WHERE tier = ? AND start_s > ? AND start_s < ?",
            (tier.number, from_s - tier.chunk_s, from_s),
        )  # fmt: skip
    plan.whole += [(table, f"{column} < ?", (asked.t_ms,)) for table, column in TABLES]
    kept = _kept(connection, asked, plan, progress)
    plan.series = {number: text for number, text in every.items() if number not in kept}
    return plan


def _plan_named(connection: sqlite3.Connection, text: str) -> _Plan:
    numbers, text = find(connection, text), _canonical(text)
    plan = _Plan([("chunk", f"series IN ({','.join(map(str, numbers))})", ())], numbers)
    names = (text, len(text) + 1, f"{text}{{")
    for table, of in (("alert", "series"), ("annotation", _OF)):
        plan.whole.append((table, f"{of} = ? OR substr({of}, 1, ?) = ?", names))
    plan.parts = _keys(connection, "SELECT seq FROM journal ORDER BY seq", ())
    return plan


def _canonical(text: str) -> str:
    try:
        return str(Series.parse(text))
    except ValueError as error:
        raise NoSuchSeries(f'A series reads name{{label="value"}}: {error}.') from None


def _none_called(connection: sqlite3.Connection, text: str) -> str:
    known = {each for row in connection.execute("SELECT text, name FROM series") for each in row}
    near = difflib.get_close_matches(text, known, 3, 0.5)
    hint = f" Similar names: {', '.join(near)}." if near else ""
    return f"The history has no series {text}.{hint}"


def _from_s(asked: Before) -> int:
    """Return the first second that is kept completely."""
    return -(-asked.t_ms // 1_000)


def _keys(connection: sqlite3.Connection, statement: str, values: tuple[int, ...]) -> list[int]:
    return [row[0] for row in connection.execute(statement, values)]


def _kept(connection: sqlite3.Connection, asked: Before, plan: _Plan, progress: _PartProgress) -> set[int]:
    """Return the numbers of series with something left."""
    from_s = _from_s(asked)
    kept = set(_keys(connection, "SELECT DISTINCT series FROM chunk WHERE start_s >= ?", (from_s,)))
    kept.update(part.series for part in _parts(connection, asked, plan, progress) if part.data is not None)
    for t_s, data in connection.execute("SELECT t_s, data FROM journal WHERE t_s >= ?", (from_s,)):
        try:
            kept.update(codec.decode_second(t_s, data).ids.tolist())
        except codec.CorruptBlob:
            continue  # unreadable: it keeps no series
    return kept


def _parts(connection: sqlite3.Connection, asked: Asked, plan: _Plan, progress: _PartProgress) -> Iterator[_Part]:
    """Yield the rows that lose a part, one at a time. Unreadable ones are deleted as a whole."""
    for done, key in enumerate(plan.parts):
        progress(done, len(plan.parts))
        if isinstance(asked, Before):
            yield _cut_chunk(connection, key, _from_s(asked))
        else:
            yield _cut_second(connection, key, plan.series)


def _cut_chunk(connection: sqlite3.Connection, key: int, from_s: int) -> _Part:
    number, tier, start_s, data = connection.execute(
        "SELECT series, tier, start_s, data FROM chunk WHERE id = ?", (key,)
    ).fetchone()
    step_s = TIERS[tier].step_s
    try:
        buckets = codec.decode_chunk(data, start_s, step_s)
    except codec.CorruptBlob:
        return _Part("chunk", key, data, None, number)
    left = between(buckets, from_s, 2**62)
    if len(left) == len(buckets):
        return _Part("chunk", key, data, data, number)
    return _Part("chunk", key, data, codec.encode_chunk(left, start_s, step_s) if len(left) else None, number)


def _cut_second(connection: sqlite3.Connection, key: int, series: dict[int, str]) -> _Part:
    t_s, data = connection.execute("SELECT t_s, data FROM journal WHERE seq = ?", (key,)).fetchone()
    try:
        second = codec.decode_second(t_s, data)
    except codec.CorruptBlob:
        return _Part("journal", key, data, None)
    numbers = np.array(list(series), np.uint16)
    stays = ~np.isin(second.ids, numbers)
    if stays.all():
        return _Part("journal", key, data, data)
    if not stays.any():
        return _Part("journal", key, data, None)
    whole = second.sketch
    mine = ~np.isin(whole.keys >> np.uint32(16), numbers)
    sketch = Sketch(whole.keys[mine], whole.counts[mine], whole.halvings)
    left = Second(t_s, second.ids[stays], second.figures.at(stays), sketch)
    return _Part("journal", key, data, codec.encode_second(left))


def _tally(connection: sqlite3.Connection, asked: Asked, plan: _Plan, progress: _PartProgress) -> Tally:
    removed = dict.fromkeys(_ALL, Removed(0, 0))
    del removed["seal"]
    for table, condition, values in plan.whole:
        if table != "seal":  # internal: means nothing to the user
            _add(removed, table, *_weigh(connection, table, condition, values))
    cut, saved, touched = 0, 0, _touched(connection, plan)
    for part in _parts(connection, asked, plan, progress):
        if part.table == "chunk" and part.data != part.old:
            touched.add(part.series)
        if part.data is None:
            _add(removed, part.table, 1, len(part.old))
        elif part.data != part.old:
            cut, saved = cut + 1, saved + len(part.old) - len(part.data)
    _add(removed, "series", len(plan.series), sum(len(text) for text in plan.series.values()))
    return Tally(removed, Removed(cut, saved), tuple(plan.series.values()), len(touched))


def _touched(connection: sqlite3.Connection, plan: _Plan) -> set[int]:
    """Return the numbers of series that lose whole chunks or everything."""
    found = set(plan.series)
    for table, condition, values in plan.whole:
        if table == "chunk":
            rows = connection.execute(f"SELECT DISTINCT series FROM chunk WHERE {condition}", values)  # noqa: S608
            found.update(row[0] for row in rows)
    return found


def _add(removed: dict[str, Removed], table: str, rows: int, size: int) -> None:
    removed[table] = Removed(removed[table].rows + rows, removed[table].bytes + size)


def _weigh(
    connection: sqlite3.Connection, table: str, condition: str, values: tuple[int | str, ...]
) -> tuple[int, int]:
    """Return the number of rows, and their approximate size in bytes."""
    rows, total = connection.execute(
        f"SELECT count(*), {bytes_of(connection, table)} FROM {table} WHERE {condition}",  # noqa: S608  literals
        values,
    ).fetchone()
    return int(rows), int(total)


def _carry_out(cursor: sqlite3.Cursor, asked: Asked, plan: _Plan, progress: _PartProgress) -> None:
    _mark(cursor, everything=isinstance(asked, Everything))
    for part in _parts(cursor.connection, asked, plan, progress):
        key = {"chunk": "id", "journal": "seq"}[part.table]
        if part.data is None:
            cursor.execute(f"DELETE FROM {part.table} WHERE {key} = ?", (part.key,))  # noqa: S608  literals
        elif part.data == part.old:
            continue
        elif part.table == "chunk":
            cursor.execute("UPDATE chunk SET data = ?, bytes = ? WHERE id = ?", (part.data, len(part.data), part.key))
        else:
            cursor.execute("UPDATE journal SET data = ? WHERE seq = ?", (part.data, part.key))
    for table, condition, values in plan.whole:
        cursor.execute(f"DELETE FROM {table} WHERE {condition}", values)  # noqa: S608  literals
    cursor.executemany("DELETE FROM series WHERE id = ?", [(number,) for number in plan.series])
    if isinstance(asked, Before):
        cursor.execute("UPDATE series SET first_s = ? WHERE first_s < ?", (_from_s(asked), _from_s(asked)))


def _mark(cursor: sqlite3.Cursor, *, everything: bool) -> None:
    """Record that wiping is due, and the highest series number, so that numbers are never reused."""
    highest = highest_number(cursor.connection)
    cursor.execute("DELETE FROM sqlite_sequence WHERE name IN ('series', ?)", (_WIPE,))
    cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, 1)", (_WIPE,))
    if not everything:  # nothing is left that could refer to a number
        cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('series', ?)", (highest,))


def _ignore_progress(_done: int, _of: int) -> None:
    """Ignore progress."""
