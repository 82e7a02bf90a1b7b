"""The form's version, and the steps from one to the next. docs/adr/0006-the-store.md says why a table of steps."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from importlib.resources import files

APPLICATION_ID = 0x77666D6E
"""``wfmn``: tells our files from others'."""
VERSION = 1
STEPS: dict[int, Callable[[sqlite3.Connection], None]] = {}
"""By the version they start from: what brings a file to the next one. Each runs in a transaction of its own."""


def create(connection: sqlite3.Connection) -> None:
    """Make all tables in an empty file."""
    statements = files("wfmon.store").joinpath("schema.sql").read_text("utf-8").splitlines()
    _in_one(connection, VERSION, lambda: [connection.execute(statement) for statement in statements])


def migrate(connection: sqlite3.Connection, version: int, to: int = VERSION) -> None:
    """Bring a file of an older version to ``to``, a step a transaction. Raises KeyError where a step is missing."""
    for number in range(version, to):
        step = STEPS[number]
        _in_one(connection, number + 1, lambda step=step: step(connection))  # type: ignore[misc]


def _in_one(connection: sqlite3.Connection, version: int, work: Callable[[], object]) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        work()
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:  # a full disk has ended it already
            connection.execute("ROLLBACK")
        raise
