"""The database file: opening, creation, setting aside; the one writing connection, and read-only connections."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

from wfmon.core.errors import Unreadable
from wfmon.store import migrate
from wfmon.store.tiers import TIERS

NAME = "wfmon.db"
_MAGIC = b"SQLite format 3\0"
BUSY_S = 1.0
"""How long a statement waits for another program's lock."""
WRITER_CACHE_KB, READER_CACHE_KB = 1_000, 500
CHECKPOINT_PAGES = 250
"""WAL length at which a commit checkpoints it: that took 20 ms with the default of 1,000 pages, 9 ms with 250."""
_SIDES = ("-shm", "-wal", "-journal", "")
"""In the order in which they are moved: a new file next to an old WAL would use it as its own."""


class NewerSchema(Exception):
    """The file was written by a newer wfmon."""


class NotOurs(Exception):
    """The file is empty, damaged, or another program's. ``what``: empty, damaged or foreign."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


def is_corrupt(error: BaseException) -> bool:
    """Return whether SQLite reports that the file is damaged or not a database."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_full(error: BaseException) -> bool:
    """Return whether the disk is full. Some file systems report that as a write error."""
    code = getattr(error, "sqlite_errorcode", 0)
    return (code & 0xFF) == sqlite3.SQLITE_FULL or code in (sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)


def is_locked(error: BaseException) -> bool:
    """Return whether another program holds a lock on the file."""
    return (getattr(error, "sqlite_errorcode", 0) & 0xFF) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def set_aside(path: Path, what: str, now_ms: int) -> Path:
    """Rename an unusable file and its side files; return the new path."""
    stamp = datetime.fromtimestamp(now_ms / 1000, UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = path.with_name(f"{path.name}.{what}-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.{what}-{stamp}-{number}")
    for side in _SIDES:
        old = path.with_name(path.name + side)
        if old.exists():
            old.replace(aside.with_name(aside.name + side))
    return aside


def open_writer(path: Path) -> sqlite3.Connection:
    """Open the writing connection, creating or migrating the file. Autocommit: transactions are begun explicitly.

    Raises NotOurs, NewerSchema, sqlite3.Error, OSError.
    """
    begun = not path.exists()
    if not begun and path.stat().st_size == 0:
        raise NotOurs("empty")
    if begun:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_EXCL, 0o600))
    os.environ["SQLITE_TMPDIR"] = str(path.parent)  # VACUUM needs a temporary file: keep it in the data folder
    connection = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        _prepare(connection)
    except BaseException as error:
        connection.close()
        if begun:  # a full disk: the file is empty, and would later be set aside as such
            for side in _SIDES:
                path.with_name(path.name + side).unlink(missing_ok=True)
        if is_corrupt(error):
            # Only now: opening and closing an intact file would drop the locks of readers in this process.
            with path.open("rb") as file:
                ours = file.read(len(_MAGIC)) == _MAGIC
            raise NotOurs("damaged" if ours else "foreign") from error
        raise
    return connection


def _prepare(connection: sqlite3.Connection) -> None:
    made = connection.execute("PRAGMA page_count").fetchone()[0] == 0
    if made:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before WAL: afterwards it has no effect
    connection.execute(f"PRAGMA cache_size = -{WRITER_CACHE_KB}")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
    if made:
        connection.execute(f"PRAGMA application_id = {migrate.APPLICATION_ID}")
    elif connection.execute("PRAGMA application_id").fetchone()[0] != migrate.APPLICATION_ID:
        raise NotOurs("foreign")
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > migrate.VERSION:
        raise NewerSchema(
            f"The history was written by a newer wfmon (schema {version}, this one knows {migrate.VERSION}). "
            "Start the newer one, or move wfmon.db, wfmon.db-wal and wfmon.db-shm out of the data folder."
        )
    if version < 0 or (version and any(each not in migrate.STEPS for each in range(version, migrate.VERSION))):
        raise NotOurs("foreign")
    connection.execute("PRAGMA journal_mode = WAL")
    if version == 0:
        migrate.create(connection)
    else:
        migrate.migrate(connection, version)


def newest_second(connection: sqlite3.Connection) -> int | None:
    """Return the newest second (UTC) of the file, to the precision of its chunks; None if it is empty.

    Raises sqlite3.Error.
    """
    each = (f"SELECT max(start_s) + {tier.chunk_s} FROM chunk WHERE tier = {tier.number}" for tier in TIERS)  # noqa: S608
    newest = connection.execute(
        f"SELECT max(t_s) FROM (SELECT max(t_s) AS t_s FROM journal UNION ALL {' UNION ALL '.join(each)})"  # noqa: S608
    ).fetchone()[0]
    return None if newest is None else int(newest)


@contextmanager
def asking(path: Path) -> Iterator[sqlite3.Connection]:
    """Like ``reading``, for user queries: raises Unreadable on any error."""
    try:
        with reading(path) as connection:
            yield connection
    except (sqlite3.Error, OSError) as error:
        raise Unreadable(f"The history could not be read ({error}).", "Try again in a moment.") from error


@contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a read-only connection that sees one consistent state of the file. Raises sqlite3.Error.

    Opened for each query: that takes 0.3 ms, and holds no memory in between.
    """
    # Not mode=ro: a reader of a WAL may have to create its index.
    connection = sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=BUSY_S, isolation_level=None)
    try:
        connection.execute(f"PRAGMA cache_size = -{READER_CACHE_KB}")
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA wal_autocheckpoint = 0")  # only the writer does that
        connection.execute("BEGIN")
        yield connection
    finally:
        connection.close()
