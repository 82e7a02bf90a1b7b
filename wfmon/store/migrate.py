"""The schema version, and the migration steps. docs/adr/0006-the-store.md explains the table of steps."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from importlib.resources import files

APPLICATION_ID = 0x77666D6E
"""``wfmn``: identifies our files."""
VERSION = 1
STEPS: dict[int, Callable[[sqlite3.Connection], None]] = {}
"""Migrations to the next version, by the version they start from. Each runs in its own transaction."""


def create(connection: sqlite3.Connection) -> None:
    """Create all tables in an empty file."""
    statements = files("wfmon.store").joinpath("schema.sql").read_text("utf-8").splitlines()
    _in_one(connection, VERSION, lambda: [connection.execute(statement) for statement in statements])


def migrate(connection: sqlite3.Connection, version: int, to: int = VERSION) -> None:
    """Migrate an older file to version ``to``, one transaction per step. Raises KeyError if a step is missing."""
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
