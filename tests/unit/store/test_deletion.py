"""Forgetting while the monitor runs: what is gone, what stays, what comes, and how far it is."""

from __future__ import annotations

import json
import sqlite3
import threading

import pytest

from tests.kit.recorded_store import START_S
from tests.unit.store.test_maintenance import METRIC, MODEL, OTHER, Models, is_anywhere, rows, text_of
from wfmon.core.errors import Busy, Refused
from wfmon.core.types import Series
from wfmon.store import database, deletion, deletion_job, maintenance
from wfmon.store.deletion import Remains
from wfmon.store.deletion_job import WIPE_RETRY_S
from wfmon.store.series_ids import Described
from wfmon.store.writer import LAG_S

DAY_S = 86_400


@pytest.fixture
def recorded(tmp_path):
    made = Models(tmp_path)
    yield made
    made.writer.finish()


@pytest.fixture
def lived(recorded):
    """A day ago both models were asked, and just now; the file holds chunks of every tier and a journal."""
    recorded.live(320, tick_s=40)
    recorded.ask("old-request-id", MODEL)
    recorded.live(5)
    recorded.sleep_a_day()
    recorded.ask("new-request-id", MODEL)
    recorded.live(20)
    return recorded


def state(recorded):
    return recorded.writer.deletion.status()["state"]


def texts(recorded):
    return [row[0] for row in rows(recorded.writer.path, "SELECT text FROM series ORDER BY id")]


def seconds(recorded, text):
    """The seconds of a series that the file holds."""
    number = next((each.id for each in recorded.reader.series() if each.text == text), None)
    if number is None:
        return []
    found = recorded.reader.buckets([number], START_S, START_S + 10**6, deletion.TIERS[0])[number]
    return found.t_s.tolist()


def test_everything_is_gone_from_every_byte_and_what_is_measured_after_is_kept(lived):
    assert is_anywhere(lived.folder, MODEL)
    begun_s = lived.now_s
    assert lived.writer.deletion.request({"all": True})["state"] == "waiting"
    lived.live(1, zebra=None)
    told = lived.writer.deletion.status()
    assert (told["state"], told["can_stop"], told["reason"]) == ("done", False, "")
    assert told["gone"]["rows"] == {"request": 2, "annotation": 2, "alert": 2}
    assert set(told["gone"]["series"]) == {"cpu", text_of(MODEL), text_of(OTHER)}
    assert is_anywhere(lived.folder, MODEL) == is_anywhere(lived.folder, "-request-id") == []
    lived.live(20, zebra=None)
    assert seconds(lived, "cpu") == list(range(begun_s + 1, lived.now_s - LAG_S))
    assert texts(lived) == ["cpu", text_of(OTHER)]
    assert is_anywhere(lived.folder, MODEL) == []
    assert maintenance.check(lived.writer.path).problems == ()


def test_a_series_goes_and_comes_back_under_its_number_once_it_is_measured(lived):
    number = next(each.id for each in lived.reader.series() if each.text == text_of(MODEL))
    before = seconds(lived, text_of(OTHER))
    begun_s = lived.now_s
    lived.writer.deletion.request({"series": text_of(MODEL)})
    lived.live(5, zebra=None)
    assert texts(lived) == ["cpu", text_of(OTHER)]
    assert is_anywhere(lived.folder, f'model="{MODEL}"') == []
    lived.live(10)
    row = next(each for each in lived.reader.series() if each.text == text_of(MODEL))
    assert (row.id, row.first_s) == (number, begun_s + 5)
    assert seconds(lived, text_of(MODEL)) == list(range(begun_s + 5, lived.now_s - LAG_S))
    assert seconds(lived, text_of(OTHER)) == [*before, *range(before[-1] + 1, lived.now_s - LAG_S)]


def test_seconds_that_the_writer_has_not_taken_yet_are_forgotten_too(lived):
    """Of the series alone: the last three seconds of the others are written as ever."""
    begun_s = lived.now_s
    lived.writer.deletion.request({"series": METRIC})
    lived.live(10)
    assert seconds(lived, text_of(MODEL)) == list(range(begun_s + 1, lived.now_s - LAG_S))
    cpu = seconds(lived, "cpu")
    assert cpu[-13:] == list(range(begun_s - 6, lived.now_s - LAG_S))


def test_before_an_instant_what_is_newer_stays(lived):
    cut_ms = (lived.now_s - 10) * 1_000
    lived.writer.deletion.request({"before_ms": cut_ms})
    lived.live(1)
    assert state(lived) == "done"
    assert seconds(lived, "cpu")[0] == cut_ms // 1_000
    assert rows(lived.writer.path, "SELECT count(*) FROM request") == [(0,)]


def test_a_request_that_began_before_and_ends_after_is_forgotten_too(lived):
    begun_ms = lived.clock.now_ms()
    lived.writer.deletion.request({"all": True})
    lived.live(2)
    lived.ask("late-request-id", MODEL, at_ms=begun_ms - 5)
    lived.ask("fresh-request-id", MODEL)
    lived.live(3)
    assert rows(lived.writer.path, "SELECT id FROM request") == [("fresh-request-id",)]


def test_memory_is_told_since_when_it_counts(lived):
    since = lived.writer.deletion.since
    assert since(Series("cpu")) == 0
    lived.writer.deletion.request({"series": METRIC})
    lived.live(1)
    cut_ms = since(Series.parse(text_of(MODEL)))
    assert cut_ms == (lived.now_s) * 1_000
    assert since(Series("cpu")) == 0
    lived.writer.deletion.request({"all": True})
    lived.live(1)
    assert since(Series("cpu")) == cut_ms + 1_000
    lived.step(-100)
    lived.live(1)
    assert since(Series("cpu")) == cut_ms + 1_000 - 100_000


def test_after_the_clock_was_set_back_nothing_forgotten_comes_again(lived):
    lived.writer.deletion.request({"series": text_of(MODEL)})
    lived.live(1)
    lived.step(-3_600)
    lived.live(10, zebra=None)
    assert text_of(MODEL) not in texts(lived)


def test_a_preview_says_what_then_goes(lived):
    asked = {"before_ms": (START_S + 200) * 1_000}
    told = lived.writer.deletion.preview(asked)
    lived.writer.deletion.request(asked)
    lived.live(1)
    assert lived.writer.deletion.status()["gone"] == told
    assert (told["touched"], told["before_ms"]) == (3, asked["before_ms"])
    assert told["cut"] == 3 * 4  # of each series a chunk of each tier but the longest: it has one bucket, which goes


def test_a_preview_of_no_file_is_of_nothing(tmp_path):
    path = tmp_path / "absent" / "wfmon.db"
    told = deletion_job.DeletionJob(path, Models(tmp_path / "other").clock).preview({"all": True})
    assert (told["bytes"], told["parts"], told["copies"]) == (0, 0, [])


@pytest.mark.parametrize(
    ("what", "field"),
    [
        ({}, "before_ms"),
        ({"all": True, "series": "cpu"}, "before_ms"),
        ({"all": False}, "all"),
        ({"before_ms": True}, "before_ms"),
        ({"before_ms": -1}, "before_ms"),
        ({"before_ms": 10**15}, "before_ms"),
        ({"before_ms": "yesterday"}, "before_ms"),
        ({"series": ""}, "series"),
        ({"series": 5}, "series"),
        ({"series": "x" * 5_000}, "series"),
        ({"series": "nothing.like_it"}, "series"),
        ({"series": 'cpu{model="'}, "series"),
    ],
)
def test_what_cannot_be_asked_names_the_field_and_the_fix(lived, what, field):
    for ask in (lived.writer.deletion.preview, lived.writer.deletion.request):
        with pytest.raises(Refused) as error:
            ask(what)
        assert error.value.field == field
        assert error.value.fix
        assert "python -m" not in str(error.value)
    assert state(lived) == "none"


def test_one_thing_at_a_time(lived):
    lived.writer.deletion.request({"series": "cpu"})
    with pytest.raises(Busy):
        lived.writer.deletion.request({"all": True})
    lived.live(1)
    assert state(lived) == "done"
    lived.writer.deletion.request({"all": True})


def test_called_off_before_it_begins_nothing_is_deleted(lived):
    before = seconds(lived, "cpu")
    lived.writer.deletion.request({"all": True})
    assert lived.writer.deletion.cancel()
    assert not lived.writer.deletion.status()["can_stop"]
    lived.live(5)
    assert state(lived) == "called_off"
    assert seconds(lived, "cpu") == [*before, *range(before[-1] + 1, lived.now_s - LAG_S)]
    assert not lived.writer.deletion.cancel()


@pytest.mark.parametrize("stage", ["counting", "deleting"])
def test_called_off_in_the_middle_nothing_is_deleted_and_none_of_what_is_measured_lost(lived, stage, monkeypatch):
    """Each part that is cut asks whether it was called off."""
    made, before = lived.writer.deletion, seconds(lived, "cpu")
    requests = rows(lived.writer.path, "SELECT * FROM request")
    seen = []
    real = made._progress

    def tell(word, done, of):
        seen.append((word, done, of))
        if (word, done) == (stage, 3):
            assert made.status()["can_stop"]
            assert made.cancel()
        real(word, done, of)

    monkeypatch.setattr(made, "_progress", tell)
    made.request({"before_ms": (START_S + 200) * 1_000})
    lived.live(8)
    assert (seen[-1][0], seen[-1][2]) == (stage, 15)  # that one was looked at too
    assert state(lived) == "called_off"
    assert seconds(lived, "cpu") == [*before, *range(before[-1] + 1, lived.now_s - LAG_S)]
    assert rows(lived.writer.path, "SELECT * FROM request") == requests


def test_called_off_in_the_middle_of_a_long_statement_it_is_broken_off(lived, monkeypatch):
    monkeypatch.setattr(deletion_job, "OPS", 1)
    made = lived.writer.deletion
    looks, real = [], made._is_cancelled

    def is_called_off():
        looks.append(1)
        if len(looks) == 400:
            made.cancel()
        return real()

    monkeypatch.setattr(made, "_is_cancelled", is_called_off)
    made.request({"all": True})
    lived.live(1)
    assert state(lived) == "called_off"
    assert len(looks) >= 400
    assert rows(lived.writer.path, "SELECT count(*) FROM request") == [(2,)]
    assert not lived.writer._connection.in_transaction


def test_once_it_is_deleted_it_cannot_be_called_off(lived, monkeypatch):
    made, answers = lived.writer.deletion, []
    monkeypatch.setattr(deletion_job, "scrub", lambda _: answers.append((made.cancel(), state(lived))))
    made.request({"all": True})
    lived.live(1)
    assert answers == [(False, "wiping")]


def test_what_is_measured_while_the_file_is_made_anew_is_kept(lived, monkeypatch):
    """Twenty seconds pass within one beat."""
    monkeypatch.setattr(deletion_job, "OPS", 10)
    real = deletion_job.scrub

    def slow(connection):
        for _ in range(20):
            lived._samples += [(lived.clock.now_ms(), i, 7.0) for i in range(3)]
            lived.clock.advance(1)
            connection.execute("SELECT count(*) FROM chunk AS a, chunk AS b").fetchone()
        assert lived.writer.depth > 10
        real(connection)

    monkeypatch.setattr(deletion_job, "scrub", slow)
    begun_s = lived.now_s
    lived.writer.deletion.request({"all": True})
    lived.live(10)
    assert seconds(lived, "cpu") == list(range(begun_s + 1, lived.now_s - LAG_S))
    assert (lived.writer.counts["lost"], lived.writer.counts["folded"]) == (0, 0)


def test_a_reader_that_keeps_the_old_bytes_is_told_and_they_are_wiped_when_it_lets_go(lived):
    lived.writer._connection.execute("PRAGMA busy_timeout = 0")
    with database.reading(lived.writer.path) as reader:
        reader.execute("SELECT count(*) FROM request").fetchall()
        lived.writer.deletion.request({"all": True})
        lived.live(1, zebra=None)
        told = lived.writer.deletion.status()
        assert told["state"] == "remains"
        assert "close that one" in told["reason"]
        assert is_anywhere(lived.folder, MODEL)
        lived.live(3, zebra=None)
    assert state(lived) == "remains"
    lived.live(int(WIPE_RETRY_S), zebra=None)
    assert (state(lived), lived.writer.deletion.status()["reason"]) == ("done", "")
    assert is_anywhere(lived.folder, MODEL) == []
    assert lived.writer.counts["lost"] == 0


def test_a_wiping_that_was_broken_off_is_done_at_the_next_start(lived, monkeypatch):
    lived.writer.write()
    deletion.delete(lived.writer._connection, deletion.Everything())
    lived.described = lived.described[:1]
    assert deletion.is_unscrubbed(lived.writer._connection)
    later = lived.killed()
    assert is_anywhere(lived.folder, MODEL) == []
    assert not deletion.is_unscrubbed(later.writer._connection)
    later.writer.finish()


def test_while_the_file_cannot_be_written_nothing_is_deleted_and_the_reason_is_said(lived):
    lived.writer._connection.execute("PRAGMA busy_timeout = 0")
    other = sqlite3.connect(lived.writer.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    lived.writer.deletion.request({"all": True})
    lived.live(1)
    other.execute("ROLLBACK")
    other.close()
    told = lived.writer.deletion.status()
    assert told["state"] == "failed"
    assert told["reason"].startswith("Nothing was deleted. Another program has locked the history")
    assert rows(lived.writer.path, "SELECT count(*) FROM request") == [(2,)]


@pytest.mark.parametrize(
    ("error", "words"), [(sqlite3.SQLITE_FULL, "Free some space"), (sqlite3.SQLITE_BUSY, "Close it")]
)
def test_a_deletion_that_fails_says_what_helps(lived, monkeypatch, error, words):
    def fails(*_):
        raised = sqlite3.OperationalError("no")
        raised.sqlite_errorcode = error
        raise raised

    monkeypatch.setattr(deletion_job, "delete", fails)
    lived.writer.deletion.request({"all": True})
    lived.live(1)
    told = lived.writer.deletion.status()
    assert told["state"] == "failed"
    assert told["reason"].startswith("Nothing was deleted")
    assert words in told["reason"]
    assert lived.writer.trouble is None


def test_a_disk_without_room_to_make_the_file_anew_is_told_and_it_is_done_later(lived, monkeypatch):
    real, tries = deletion_job.scrub, []

    def full(connection):
        tries.append(1)
        if len(tries) == 1:
            raised = sqlite3.OperationalError("full")
            raised.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise raised
        real(connection)

    monkeypatch.setattr(deletion_job, "scrub", full)
    lived.writer.deletion.request({"all": True})
    lived.live(1, zebra=None)
    assert "free twice the history" in lived.writer.deletion.status()["reason"]
    lived.live(int(WIPE_RETRY_S) + 1, zebra=None)
    assert state(lived) == "done"
    assert is_anywhere(lived.folder, MODEL) == []


def test_while_recording_is_off_it_is_forgotten_all_the_same(lived):
    lived.writer.set_enabled(False)
    lived.writer.deletion.request({"all": True})
    lived.live(5)
    assert state(lived) == "done"
    assert is_anywhere(lived.folder, MODEL) == []
    assert rows(lived.writer.path, "SELECT count(*) FROM journal") == [(0,)]


def test_the_number_of_a_forgotten_series_is_given_to_no_other(lived):
    highest = max(each.id for each in lived.reader.series())
    gone = next(each.text for each in lived.reader.series() if each.id == highest)
    lived.writer.deletion.request({"series": gone})
    lived.live(1, zebra=None, plain=None)
    lived.described = [each for each in lived.described if each.text != gone]
    later = lived.killed()
    later._samples = []
    later.add("new")
    later.run(5, new=1.0)
    assert later.number("new") == highest + 1
    later.writer.finish()


def test_everything_includes_what_was_set_aside_and_the_rest_is_named(lived):
    (lived.folder / "wfmon.db.damaged-1").write_bytes(lived.writer.path.read_bytes())
    maintenance.backup(lived.writer.path, lived.folder / "mine.db")
    assert [each["name"] for each in lived.writer.deletion.preview({"all": True})["copies"]] == ["mine.db"]
    lived.writer.deletion.request({"all": True})
    lived.live(1)
    assert not (lived.folder / "wfmon.db.damaged-1").exists()
    assert [each["name"] for each in lived.writer.deletion.status()["gone"]["copies"]] == ["mine.db"]


def test_a_monitor_that_stops_undoes_what_is_not_deleted_for_good(lived, monkeypatch):
    made = lived.writer.deletion
    real = made._progress
    monkeypatch.setattr(made, "_progress", lambda *given: (made.close(), real(*given)))
    made.request({"all": True})
    lived.live(1)
    assert state(lived) == "called_off"
    assert rows(lived.writer.path, "SELECT count(*) FROM request") == [(2,)]


def test_ten_threads_that_ask_at_once_are_served_one(lived):
    gate, answers = threading.Barrier(10), []

    def ask():
        gate.wait()
        try:
            answers.append(lived.writer.deletion.request({"series": "cpu"})["state"])
        except Busy:
            answers.append("busy")

    threads = [threading.Thread(target=ask) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == ["busy"] * 9 + ["waiting"]


def test_what_is_asked_while_an_earlier_one_is_wiped_is_done_too(lived, monkeypatch):
    lived.writer._connection.execute("PRAGMA busy_timeout = 0")
    with database.reading(lived.writer.path) as reader:
        reader.execute("SELECT count(*) FROM request").fetchall()
        lived.writer.deletion.request({"series": text_of(MODEL)})
        lived.live(1, zebra=None)
    assert state(lived) == "remains"
    real = deletion_job.empty_wal
    monkeypatch.setattr(
        deletion_job, "empty_wal", lambda c: (lived.writer.deletion.request({"series": "cpu"}), real(c))
    )
    while state(lived) == "remains":
        lived.live(1, cpu=None, zebra=None)
    assert state(lived) == "waiting"
    monkeypatch.undo()
    lived.live(1, cpu=None, zebra=None)
    assert state(lived) == "done"
    assert texts(lived) == [text_of(OTHER)]


def test_notes_that_are_of_a_series_go_with_it_and_others_stay(lived):
    for text in (text_of(MODEL), text_of(OTHER)):
        lived.writer.annotate("anomaly", "It was unusual.\n" + json.dumps({"series": text, "z": 7}))
    lived.writer.annotate("anomaly", "Half of a note.\n{")
    lived.writer.annotate("collector", json.dumps([text_of(MODEL)]))
    lived.live(5)
    asked = {"series": text_of(MODEL)}
    assert lived.writer.deletion.preview(asked)["rows"]["annotation"] == 1
    lived.writer.deletion.request(asked)
    lived.live(5)
    assert lived.writer.deletion.status()["gone"]["rows"]["annotation"] == 1
    kept = rows(lived.writer.path, "SELECT text FROM annotation WHERE kind IN ('anomaly', 'collector') ORDER BY id")
    assert [text.partition("\n")[0] for (text,) in kept] == [
        "It was unusual.", "Half of a note.", json.dumps([text_of(MODEL)])
    ]  # fmt: skip
    lived.writer.deletion.request({"series": METRIC})
    lived.live(5)
    assert rows(lived.writer.path, "SELECT count(*) FROM annotation WHERE text LIKE 'It was unusual.%'") == [(0,)]


def test_whoever_remembers_what_the_file_held_is_told_once_it_is_gone(lived):
    heard = []
    lived.writer.on_deleted.append(lambda: heard.append(state(lived)))
    lived.live(5)
    assert heard == []
    lived.writer.deletion.request({"series": METRIC})
    lived.live(5)
    assert heard == ["wiping"]


def test_while_recording_is_off_forgetting_writes_no_name_of_what_is_seen_meanwhile(lived):
    lived.writer.set_enabled(False)
    lived.described.append(Described('model.ttft_ms{model="seen-while-off"}', METRIC, "ms", "event", True))
    lived.live(2)
    lived.writer.deletion.request({"series": "cpu"})
    lived.live(5)
    assert state(lived) == "done"
    assert is_anywhere(lived.folder, "seen-while-off") == []
    lived.writer.set_enabled(True)
    lived.live(10)
    assert is_anywhere(lived.folder, "seen-while-off") == []  # it was not measured since
    assert lived.writer.deletion.status()["gone"]["series"] == ["cpu"]


def test_a_request_that_comes_late_and_began_before_is_not_taken_whoever_looked_first(lived):
    lived.writer.deletion.request({"all": True})
    lived.live(1)
    lived.ask("late-request-id", MODEL, at_ms=(lived.now_s - 30) * 1_000)
    lived.ask("new-enough-id", MODEL)
    lived.live(5)
    assert [each["id"] for each in lived.reader.requests(0, 10**15)] == ["new-enough-id"]
    assert is_anywhere(lived.folder, "late-request-id") == []


def test_what_remains_of_a_file_that_is_gone_is_not_promised_to_be_wiped(lived, monkeypatch):
    def busy(_connection):
        raise Remains("Somebody reads it.")

    monkeypatch.setattr(deletion_job, "scrub", busy)
    lived.writer.deletion.request({"all": True})
    lived.live(2)
    assert state(lived) == "remains"
    for side in ("", "-wal", "-shm"):
        lived.writer.path.with_name(f"wfmon.db{side}").unlink(missing_ok=True)
    lived.live(3)
    assert state(lived) == "done"
