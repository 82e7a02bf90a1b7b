"""Forgetting: what was asked is deleted, and its bytes are gone from the file and its WAL.

Nothing smaller than a bucket can be cut, so what begins before an instant counts as older than it.
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
_TOLD = "substr(text, instr(text, char(10)) + 1)"
_OF = f"CASE WHEN json_valid({_TOLD}) THEN json_extract({_TOLD}, '$.series') END"
"""The series that an annotation is of, where it is of one: its second line is JSON then."""
_WIPE = "wipe"
"""A name in sqlite_sequence, SQLite's own table of numbers: something was deleted, and its bytes may still stand."""
Tell = Callable[[str, int, int], None]
"""``tell(stage, done, of)``: counting, deleting, committing, which is the last one. What it raises undoes all."""


_TellPart = Callable[[int, int], None]


class NoSuchSeries(LookupError):
    """No series of the file is called so; the message is one sentence for the user."""


class Remains(Exception):
    """What was asked is deleted, but its bytes may still stand in the file; the message is one sentence."""


class Before(NamedTuple):
    """All that began before an instant (UTC milliseconds)."""

    t_ms: int


class Named(NamedTuple):
    """One series by its text, ``name{label="v"}``, or all of a metric by its name."""

    text: str


class Everything(NamedTuple):
    """All there is."""


Asked = Before | Named | Everything


class Removed(NamedTuple):
    """Rows of a table, and about how many bytes they are."""

    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Tally:
    """What goes. ``removed``: by table; ``cut``: chunks and seconds that stay without a part; ``bytes``: of all.

    ``series``: those of which nothing is left; ``touched``: how many lose something.
    """

    removed: dict[str, Removed]
    cut: Removed
    series: tuple[str, ...]
    touched: int = 0

    @property
    def bytes(self) -> int:
        return self.cut.bytes + sum(each.bytes for each in self.removed.values())


class _Part(NamedTuple):
    """A chunk or second that loses a part. ``data`` is None where nothing is left; ``series``: of a chunk."""

    table: str
    key: int
    old: bytes
    data: bytes | None
    series: int = 0


@dataclass(slots=True)
class _Plan:
    """``whole``: (table, condition, values) of rows that go; ``series``: those of which nothing is left, by number.

    ``parts``: keys of what may lose a part (of chunks before an instant, of seconds for a name), cut when walked.
    """

    whole: list[tuple[str, str, tuple[int | str, ...]]]
    series: dict[int, str]
    parts: list[int] = field(default_factory=list)


def preview(connection: sqlite3.Connection, asked: Asked) -> Tally:
    """Tell what ``forget`` would delete; only reads. Raises NoSuchSeries, sqlite3.Error."""
    return _tally(connection, asked, _plan(connection, asked, _untold), _untold)


def find(connection: sqlite3.Connection, text: str) -> dict[int, str]:
    """Give the series of the file that a text means, by number. Raises NoSuchSeries, sqlite3.Error."""
    text = _canonical(text)
    rows = connection.execute("SELECT id, text FROM series WHERE text = ? OR name = ?", (text, text)).fetchall()
    if not rows:
        raise NoSuchSeries(_none_called(connection, text))
    return {number: found for number, found in rows}  # noqa: C416  rows are no pairs to the type checker


def forget(connection: sqlite3.Connection, asked: Asked) -> Tally:
    """Delete what was asked, all or nothing, then make the file anew so that no byte of it is left.

    ``connection`` is the only one that writes, in autocommit, in no transaction.
    Raises NoSuchSeries; sqlite3.Error, then nothing was deleted; Remains, then it was, but ``scrub`` failed.
    """
    tally = delete(connection, asked)
    try:
        scrub(connection)
    except sqlite3.Error as error:
        raise Remains(_unscrubbed(error)) from error
    return tally


def delete(connection: sqlite3.Connection, asked: Asked, tell: Tell = lambda *_: None) -> Tally:
    """Delete what was asked, all or nothing; ``scrub`` is due then, also after a crash: ``is_unscrubbed`` tells.

    The running writer writes what waits first; afterwards it makes a new Sealer (one in its work remembers seconds that
    are gone), and ``Numbers.forget`` brings the rows of series back that it still records.
    Raises NoSuchSeries, sqlite3.Error, what ``tell`` raises: then nothing was deleted.
    """
    with _securely(connection), transaction(connection) as cursor:
        plan = _plan(connection, asked, partial(tell, "counting"))
        tally = _tally(connection, asked, plan, partial(tell, "counting"))
        _carry_out(cursor, asked, plan, partial(tell, "deleting"))
        tell("committing", 0, 0)
    return tally


def scrub(connection: sqlite3.Connection) -> None:
    """Write the file anew from what it holds, empty its WAL. Raises sqlite3.Error, Remains when it is being read."""
    with _securely(connection):
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()  # should there be no room for the next step
        connection.execute("VACUUM")
    empty_wal(connection)


def empty_wal(connection: sqlite3.Connection) -> None:
    """Do the last step of ``scrub``. Raises sqlite3.Error, Remains when the file is being read."""
    if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
        raise Remains(
            "The rest of it is done, but another program reads the history, so its old bytes could not be wiped. "
            f"Close that program, then run: {commands.wfmon('store', 'compact')}"
        )
    if is_unscrubbed(connection):
        connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (_WIPE,))


def is_unscrubbed(connection: sqlite3.Connection) -> bool:
    """Tell whether bytes of what was deleted may still stand in the file. Raises sqlite3.Error."""
    return connection.execute("SELECT 1 FROM sqlite_sequence WHERE name = ?", (_WIPE,)).fetchone() is not None


@contextmanager
def _securely(connection: sqlite3.Connection) -> Iterator[None]:
    """Have SQLite write zeros over what is deleted."""
    before = connection.execute("PRAGMA secure_delete").fetchone()[0]
    connection.execute("PRAGMA secure_delete = ON").fetchall()
    try:
        yield
    finally:
        connection.execute(f"PRAGMA secure_delete = {int(before)}").fetchall()


def _unscrubbed(error: sqlite3.Error) -> str:
    why = "there is no room to write the file anew" if database.is_full(error) else str(error)
    compact = commands.wfmon("store", "compact")
    return f"It is deleted, but its bytes could not be wiped ({why}). Fix that, then run: {compact}"


def _plan(connection: sqlite3.Connection, asked: Asked, tell: _TellPart) -> _Plan:
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
    kept = _kept(connection, asked, plan, tell)
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
    """Give the first second of which all is kept."""
    return -(-asked.t_ms // 1_000)


def _keys(connection: sqlite3.Connection, statement: str, values: tuple[int, ...]) -> list[int]:
    return [row[0] for row in connection.execute(statement, values)]


def _kept(connection: sqlite3.Connection, asked: Before, plan: _Plan, tell: _TellPart) -> set[int]:
    """Give the numbers of series of which something is left."""
    from_s = _from_s(asked)
    kept = set(_keys(connection, "SELECT DISTINCT series FROM chunk WHERE start_s >= ?", (from_s,)))
    kept.update(part.series for part in _parts(connection, asked, plan, tell) if part.data is not None)
    for t_s, data in connection.execute("SELECT t_s, data FROM journal WHERE t_s >= ?", (from_s,)):
        try:
            kept.update(codec.decode_second(t_s, data).ids.tolist())
        except codec.CorruptBlob:
            continue  # nobody can read it: it keeps no series alive
    return kept


def _parts(connection: sqlite3.Connection, asked: Asked, plan: _Plan, tell: _TellPart) -> Iterator[_Part]:
    """Cut what loses a part, one at a time. What cannot be read goes as a whole."""
    for done, key in enumerate(plan.parts):
        tell(done, len(plan.parts))
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


def _tally(connection: sqlite3.Connection, asked: Asked, plan: _Plan, tell: _TellPart) -> Tally:
    removed = dict.fromkeys(_ALL, Removed(0, 0))
    del removed["seal"]
    for table, condition, values in plan.whole:
        if table != "seal":  # of no meaning to the one who asks
            _add(removed, table, *_weigh(connection, table, condition, values))
    cut, saved, touched = 0, 0, _touched(connection, plan)
    for part in _parts(connection, asked, plan, tell):
        if part.table == "chunk" and part.data != part.old:
            touched.add(part.series)
        if part.data is None:
            _add(removed, part.table, 1, len(part.old))
        elif part.data != part.old:
            cut, saved = cut + 1, saved + len(part.old) - len(part.data)
    _add(removed, "series", len(plan.series), sum(len(text) for text in plan.series.values()))
    return Tally(removed, Removed(cut, saved), tuple(plan.series.values()), len(touched))


def _touched(connection: sqlite3.Connection, plan: _Plan) -> set[int]:
    """Give the numbers of series that lose whole chunks, or all they have."""
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
    """Give the rows, and about how many bytes they are."""
    rows, total = connection.execute(
        f"SELECT count(*), {bytes_of(connection, table)} FROM {table} WHERE {condition}",  # noqa: S608  literals
        values,
    ).fetchone()
    return int(rows), int(total)


def _carry_out(cursor: sqlite3.Cursor, asked: Asked, plan: _Plan, tell: _TellPart) -> None:
    _mark(cursor, everything=isinstance(asked, Everything))
    for part in _parts(cursor.connection, asked, plan, tell):
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
    """Note that wiping is due, and the highest number of a series, which is given to no other one."""
    highest = highest_number(cursor.connection)
    cursor.execute("DELETE FROM sqlite_sequence WHERE name IN ('series', ?)", (_WIPE,))
    cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, 1)", (_WIPE,))
    if not everything:  # nothing is left that a number could be mistaken in
        cursor.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('series', ?)", (highest,))


def _untold(_done: int, _of: int) -> None:
    """Nobody asks how far it is."""
