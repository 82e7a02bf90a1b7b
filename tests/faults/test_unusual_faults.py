"""What becomes of the watch over the unusual when the file of the history is held, gone, or garbled."""

from __future__ import annotations

import sqlite3

import pytest

from tests.unit.analyse.test_unusual import Lived
from wfmon.store import database

pytestmark = pytest.mark.faults


@pytest.fixture
def week(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "BUSY_S", 0.01)
    lived = Lived(tmp_path / "data", 7)
    lived.recorded.writer.finish()
    return lived


def watch_on(lived, minutes=3):
    """Let minutes pass without the writer; gives what the watch tells."""
    for _ in range(minutes * 60):
        lived.clock.advance(1)
        lived.watch.tick()
    return lived.watch.status()


def test_while_another_program_holds_the_file_nothing_is_judged_and_then_it_goes_on(week):
    holder = sqlite3.connect(week.recorded.writer.path, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    told = watch_on(week)
    assert (told["state"], told["judged"]) == ("waiting", 0)
    assert "The history could not be read (database is locked)" in told["reason"]
    holder.close()
    assert watch_on(week)["state"] == "judging"


def test_a_file_that_is_removed_is_no_history_and_what_is_known_holds_for_the_hour(week):
    assert watch_on(week)["state"] == "judging"
    week.recorded.writer.path.unlink()
    assert watch_on(week, 10)["state"] == "judging"
    told = watch_on(week, 90)
    assert (told["state"], told["now"]) == ("waiting", [])
    assert "has 0" in told["reason"]


def test_a_file_that_is_none_is_a_sentence_and_ends_no_thread(week):
    week.recorded.writer.path.write_bytes(b"no database" * 1_000)
    told = watch_on(week, 5)
    assert (told["state"], told["now"]) == ("waiting", [])
    assert "The history could not be read (file is not a database)" in told["reason"]
