"""Maintenance of the file from outside the monitor: info, check, backup, compaction, restore.

``info``, ``check`` and ``backup`` only read, so the monitor may run meanwhile. ``compact`` and ``restore`` require
``alone``; ``forget`` requires it too, except for the running writer on its own connection.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from wfmon.core import commands
from wfmon.core.answers.store import TierUsage
from wfmon.core.clock import Clock
from wfmon.core.errors import Refused
from wfmon.core.lock import try_lock
from wfmon.store import database, migrate
from wfmon.store.ballast import BALLAST
from wfmon.store.check import Checked as Checked  # noqa: PLC0414  one place to look for what can be done
from wfmon.store.check import check as check  # noqa: PLC0414
from wfmon.store.check import known as known  # noqa: PLC0414
from wfmon.store.check import tables
from wfmon.store.deletion import forget as forget  # noqa: PLC0414
from wfmon.store.deletion import preview as preview  # noqa: PLC0414
from wfmon.store.deletion import scrub
from wfmon.store.read import Reader

LOCK, SERVER = "lock", "server.json"
"""The monitor's lock in the data folder, and the file with its process id."""
TRIES, TRY_S = 5, 0.02
"""A check whether a monitor runs holds the lock for an instant, so locking is tried a few times."""
_ASIDE = ("replaced", "damaged", "empty", "part")
"""In names of copies that we may delete. Another program's file that was set aside is not ours."""
_SIDES = ("-wal", "-shm", "-journal")
_DISK = "Check the disk for errors, then try again."
_HEAD_BYTES, _ID_AT = 72, 68
_MAGIC = b"SQLite format 3\0"


@dataclass(frozen=True, slots=True)
class Info:
    """The contents of the file. Times are UTC milliseconds; ``series``: (text, bytes), largest first."""

    path: str
    version: int
    bytes: int
    wal_bytes: int
    free_bytes: int
    first_ms: int | None
    end_ms: int | None
    journal_seconds: int
    tiers: list[TierUsage]
    tables: dict[str, int]
    series: list[tuple[str, int]]
    copies: list[tuple[str, int]]
    """Other files of the data folder with a copy of the history, and their sizes in bytes."""


class Copied(NamedTuple):
    """A verified copy: its rows by table, and its size in bytes."""

    rows: dict[str, int]
    bytes: int


class Shrunk(NamedTuple):
    """Size of the file with its WAL, in bytes."""

    before: int
    after: int


@contextlib.contextmanager
def alone(folder: Path, clock: Clock) -> Iterator[None]:
    """Hold the data folder's lock, so that no monitor runs meanwhile. Raises Refused if one runs, OSError."""
    with os.fdopen(os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as lock:
        for _ in range(TRIES):
            if try_lock(lock):
                break
            clock.wait(threading.Event(), TRY_S)
        else:
            raise Refused(
                "folder",
                f"The monitor runs on {folder}{_process(folder)}: "
                "stop it with Ctrl-C where it was started, then run this again.",
            )
        yield


def there(path: Path) -> Path:
    """Return the path if the file exists. Raises Refused otherwise."""
    if not path.is_file():
        raise Refused(
            "file",
            f"There is no history at {path}: "
            "start the monitor, which makes one, or name its data folder with --data DIR.",
        )
    return path


def info(path: Path) -> Info:
    """Return what the file holds. Raises Refused, NotOurs, NewerSchema, sqlite3.Error."""
    with database.reading(there(path)) as connection:
        version = known(connection)
        seconds = int(connection.execute("SELECT count(*) FROM journal").fetchone()[0])
    reader = Reader(path)
    usage, span = reader.usage(), reader.span()
    sizes: dict[str, int] = usage["series"]
    return Info(
        path=str(path),
        version=version,
        bytes=usage["bytes"],
        wal_bytes=usage["wal_bytes"],
        free_bytes=usage["free_bytes"],
        first_ms=span[0] * 1_000 if span else None,
        end_ms=span[1] * 1_000 if span else None,
        journal_seconds=seconds,
        tiers=usage["tiers"],
        tables=usage["tables"],
        series=sorted(sizes.items(), key=lambda each: (-each[1], each[0])),
        copies=[(each.name, each.stat().st_size) for each in copies(path)],
    )


def copies(path: Path) -> list[Path]:
    """Return other files of the folder with a copy of the history: set aside, left over, or backups."""
    own = {path.name, BALLAST, *(path.name + side for side in _SIDES)}
    others = (each for each in path.parent.iterdir() if each.name not in own and each.is_file())
    return sorted(each for each in others if is_aside(path, each) or _is_ours(each))


def is_aside(path: Path, other: Path) -> bool:
    """Return whether a file next to ``path`` is a history that was set aside, or an unfinished copy."""
    return other.name.startswith(tuple(f"{path.name}.{word}-" for word in _ASIDE))


def forget_asides(path: Path) -> None:
    """Delete the copies that wfmon itself set aside or left over: part of deleting everything. Raises OSError."""
    for each in copies(path):
        if is_aside(path, each):
            each.unlink()


def backup(path: Path, to: Path, *, force: bool = False) -> Copied:
    """Copy the file to ``to`` (0600), even while the monitor writes; ``to`` is replaced only by a verified copy.

    Raises Refused, NotOurs, NewerSchema, sqlite3.Error, OSError.
    """
    there(path)
    if to.resolve() in {path.resolve(), *(path.resolve().with_name(path.name + side) for side in _SIDES)}:
        raise Refused("file", f"{to} is the history itself: name another file.")
    if to.is_dir():
        raise Refused("file", f"{to} is a folder: name a file in it.")
    beside = [to.with_name(to.name + side) for side in _SIDES]  # of an existing file
    if not force and any(each.exists() for each in (to, *beside)):
        raise Refused("file", f"{to} exists already: name another file, or replace it with --force.")
    with database.reading(path) as connection:
        restore = commands.wfmon("store", "restore", "FILE")
        made, rows = _copy(connection, path, to, f"Put an earlier backup in its place: {restore}")
    try:
        for each in beside:
            each.unlink(missing_ok=True)
        made.replace(to)
    finally:
        made.unlink(missing_ok=True)
    _settle(to.parent)
    return Copied(rows, to.stat().st_size)


def compact(path: Path) -> Shrunk:
    """Rewrite the file without its free space. Requires ``alone``.

    Raises Refused, NotOurs, NewerSchema, Remains, sqlite3.Error, OSError; the file then stays as it was.
    """
    before = _bytes(there(path))
    with contextlib.closing(database.open_writer(path)) as connection:
        scrub(connection)
    return Shrunk(before, _bytes(path))


def restore(path: Path, file: Path, now_ms: int) -> tuple[Copied, Path | None]:
    """Install a verified copy of ``file``; return its contents, and where the old file is kept. Requires ``alone``.

    Nothing is lost if a step fails: ``file`` is only read, and the old file is put back.
    Raises Refused, NotOurs, NewerSchema, sqlite3.Error, OSError.
    """
    if not file.is_file():
        raise Refused("file", f"There is no file {file}: name a backup.")
    if path.exists() and file.samefile(path):
        raise Refused("file", f"{file} is the history itself: name a backup.")
    with _reading_copy(file) as connection:
        made, rows = _copy(connection, file, path, "Name another backup.")
    aside = None
    try:
        if any(each.exists() for each in (path, *(path.with_name(path.name + side) for side in _SIDES))):
            _empty_wal(path)
            aside = database.set_aside(path, "replaced", now_ms)
        try:
            made.replace(path)
            _verify(path, rows)
        except BaseException:
            _put_back(path, aside)
            raise
    finally:
        made.unlink(missing_ok=True)
    _settle(path.parent)
    return Copied(rows, path.stat().st_size), aside


def _process(folder: Path) -> str:
    try:
        return f" (process {int(json.loads((folder / SERVER).read_text('utf-8'))['pid'])})"
    except (OSError, ValueError, TypeError, KeyError):
        return ""


def _is_ours(file: Path) -> bool:
    try:
        with file.open("rb") as opened:
            head = opened.read(_HEAD_BYTES)
    except OSError:
        return False
    return head.startswith(_MAGIC) and int.from_bytes(head[_ID_AT:_HEAD_BYTES], "big") == migrate.APPLICATION_ID


def _bytes(path: Path) -> int:
    sides = (path.with_name(path.name + side) for side in ("", "-wal"))
    return sum(each.stat().st_size for each in sides if each.exists())


@contextlib.contextmanager
def _reading_copy(file: Path) -> Iterator[sqlite3.Connection]:
    """Like ``database.reading``, but also for a complete file in a read-only folder."""
    if any(file.with_name(file.name + side).exists() for side in _SIDES):
        with database.reading(file) as connection:
            yield connection
        return
    with contextlib.closing(_connect_immutable(file)) as connection:
        connection.execute("BEGIN")
        yield connection


def _connect_immutable(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(file.resolve()))}?mode=ro&immutable=1", uri=True, isolation_level=None)


def _copy(source: sqlite3.Connection, named: Path, beside: Path, fix: str) -> tuple[Path, dict[str, int]]:
    """Copy ``source`` into a private, self-contained file next to ``beside``; verify both.

    Returns its path, and its rows by table. Raises Refused, NotOurs, NewerSchema, sqlite3.Error, OSError.
    """
    _sound(source, named, fix)
    rows = count(source)
    handle, name = tempfile.mkstemp(prefix=f"{beside.name}.part-", dir=beside.parent)
    os.close(handle)
    made = Path(name)
    try:
        with contextlib.closing(sqlite3.connect(made, isolation_level=None)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE").fetchall()  # otherwise reading it would require a WAL
        _verify(made, rows)
    except BaseException:
        for side in ("", *_SIDES):
            made.with_name(made.name + side).unlink(missing_ok=True)
        raise
    return made, rows


def count(connection: sqlite3.Connection) -> dict[str, int]:
    """Return the number of rows of each table. Raises sqlite3.Error."""
    return {
        table: int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608  our own names
        for table in tables()
    }


def _sound(connection: sqlite3.Connection, named: Path, fix: str) -> None:
    try:
        known(connection)
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        if not database.is_corrupt(error):
            raise
        found = str(error)
    if found != "ok":
        raise Refused("file", f"{named} is damaged ({' '.join(found.split())}), so it was not copied. {fix}")


def _verify(file: Path, rows: dict[str, int]) -> None:
    with contextlib.closing(_connect_immutable(file)) as connection:
        _sound(connection, file, _DISK)
        if count(connection) != rows:
            raise Refused("file", f"{file} differs from what was copied into it, so nothing was changed. {_DISK}")


def _empty_wal(path: Path) -> None:
    """Checkpoint the WAL that a killed monitor left, so that only one file has to be moved."""
    if _is_ours(path):
        with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def _put_back(path: Path, aside: Path | None) -> None:
    """Undo ``set_aside``; the file in its place is only a copy."""
    for side in ("", *_SIDES):
        here = path.with_name(path.name + side)
        here.unlink(missing_ok=True)
        if aside is not None and aside.with_name(aside.name + side).exists():
            aside.with_name(aside.name + side).replace(here)


def _settle(folder: Path) -> None:
    """Flush a rename to the disk, where the system supports it."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
