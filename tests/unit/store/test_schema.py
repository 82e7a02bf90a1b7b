from __future__ import annotations

import sqlite3
from importlib.resources import files

import pytest

from tests.kit.recorded_store import RecordedStore
from wfmon.store import database, migrate, schema


def rows(path, statement):
    connection = sqlite3.connect(path)
    try:
        return connection.execute(statement).fetchall()
    finally:
        connection.close()


def version(path):
    return rows(path, "PRAGMA user_version")[0][0]


@pytest.fixture
def path(tmp_path):
    """A file of this version, with a little in it, closed in order."""
    recorded = RecordedStore(tmp_path, "a")
    recorded.run(20, a=1.0)
    recorded.writer.finish()
    return recorded.writer.path


def write(path, *statements):
    connection = sqlite3.connect(path, isolation_level=None)
    for statement in statements:
        connection.execute(statement)
    connection.close()


def test_the_file_of_statements_is_what_the_tables_give():
    assert files("wfmon.store").joinpath("schema.sql").read_text("utf-8") == schema.sql()


def test_a_new_file_has_the_tables_the_version_and_our_mark(path):
    tables = {row[0] for row in rows(path, "SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert tables == {table.name for table in schema.metadata.sorted_tables} | {"sqlite_sequence"}
    assert version(path) == migrate.VERSION
    assert rows(path, "PRAGMA application_id") == [(0x77666D6E,)]
    assert rows(path, "PRAGMA journal_mode") == [("wal",)]
    assert rows(path, "PRAGMA auto_vacuum") == [(2,)]
    assert path.stat().st_mode & 0o777 == 0o600


def test_each_older_version_has_its_step():
    assert sorted(migrate.STEPS) == list(range(1, migrate.VERSION))


def test_an_older_file_goes_up_a_step_a_version(path, monkeypatch):
    monkeypatch.setattr(migrate, "VERSION", 3)
    monkeypatch.setitem(migrate.STEPS, 1, lambda c: c.execute("ALTER TABLE series ADD COLUMN colour TEXT"))
    monkeypatch.setitem(migrate.STEPS, 2, lambda c: c.execute("UPDATE series SET colour = 'red'"))
    monkeypatch.setattr(migrate.migrate, "__defaults__", (3,))
    database.open_writer(path).close()
    assert version(path) == 3
    assert rows(path, "SELECT text, colour FROM series") == [("a", "red")]
    assert rows(path, "SELECT count(*) FROM journal") == [(20,)]


def test_a_step_that_fails_leaves_the_version_before_it_whole(path, monkeypatch):
    def fails(connection):
        connection.execute("DELETE FROM journal")
        raise sqlite3.OperationalError("no room")

    monkeypatch.setattr(migrate, "VERSION", 3)
    monkeypatch.setitem(migrate.STEPS, 1, lambda c: c.execute("ALTER TABLE series ADD COLUMN colour TEXT"))
    monkeypatch.setitem(migrate.STEPS, 2, fails)
    monkeypatch.setattr(migrate.migrate, "__defaults__", (3,))
    with pytest.raises(sqlite3.OperationalError, match="no room"):
        database.open_writer(path)
    assert version(path) == 2
    assert rows(path, "SELECT colour, (SELECT count(*) FROM journal) FROM series") == [(None, 20)]
    monkeypatch.setitem(migrate.STEPS, 2, lambda c: c.execute("UPDATE series SET colour = 'red'"))
    database.open_writer(path).close()
    assert version(path) == 3


def test_a_transaction_that_sqlite_has_ended_itself_does_not_hide_why(path):
    connection = sqlite3.connect(path, isolation_level=None)

    def ended():
        connection.execute("ROLLBACK")  # as a full disk does
        raise sqlite3.OperationalError("database or disk is full")

    with pytest.raises(sqlite3.OperationalError, match="disk is full"):
        migrate._in_one(connection, 2, ended)
    connection.close()


def test_a_newer_file_is_refused_with_a_sentence_and_nothing_is_touched(path):
    write(path, "PRAGMA user_version = 99")
    before = path.read_bytes()
    with pytest.raises(
        database.NewerSchema, match=r"newer wfmon \(schema 99, this one knows 1\)\. Start the newer one"
    ):
        database.open_writer(path)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir() if each.name.startswith("wfmon.db") and each != path] == [
        "wfmon.db.ballast"
    ]


def test_the_writer_says_that_the_file_is_newer_and_leaves_it(path):
    write(path, "PRAGMA user_version = 99")
    before = path.read_bytes()
    recorded = RecordedStore(path.parent, "a")
    recorded.run(30, a=1.0)
    assert recorded.writer.status()["state"] == "newer"
    assert "Start the newer one" in recorded.writer.status()["reason"]
    assert path.read_bytes() == before


@pytest.mark.parametrize("statement", ["PRAGMA user_version = -5", "PRAGMA application_id = 7"])
def test_a_file_that_cannot_be_ours_is_told_as_foreign(path, statement):
    write(path, statement)
    with pytest.raises(database.NotOurs) as told:
        database.open_writer(path)
    assert told.value.what == "foreign"


def test_a_start_that_was_killed_before_its_tables_goes_on(tmp_path):
    path = tmp_path / "wfmon.db"
    write(path, "PRAGMA auto_vacuum = INCREMENTAL", f"PRAGMA application_id = {migrate.APPLICATION_ID}")
    database.open_writer(path).close()
    assert version(path) == 1
    assert rows(path, "SELECT count(*) FROM journal") == [(0,)]
