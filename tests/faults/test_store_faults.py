"""What becomes of the history when its writer is killed, its file damaged, locked, removed, or its disk full."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from itertools import product
from pathlib import Path

import pytest

from tests.kit.recorded_store import KEEP, START_S, RecordedStore
from wfmon.core.clock import FakeClock
from wfmon.store import database
from wfmon.store.backlog import WAITING
from wfmon.store.ballast import BALLAST, BALLAST_BYTES
from wfmon.store.retention import Keep
from wfmon.store.tiers import TIERS
from wfmon.store.trouble import RETRY_S
from wfmon.store.writer import SLICES

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]
NURSERY = """
import os, sys
from tests.kit.recorded_store import RecordedStore
from wfmon.core.clock import FakeClock
from wfmon.store import seal

seal.SLICE = 1  # more moments to be killed at

def write(folder, begin_s):
    recorded = RecordedStore(folder, "a", "b", "c_ms", clock=FakeClock(begin_s * 1000))
    while True:
        recorded.run(1, a=1.0, b=2.0, c_ms=3.0)
        os.write(1, b"%d\\n" % (recorded.writer.written_to_ms // 1000))  # all before it is acknowledged

from pathlib import Path
for line in sys.stdin:
    folder, begin_s = line.split()
    child = os.fork()
    if child == 0:
        try:
            write(Path(folder), int(begin_s))
        finally:
            os._exit(1)
    os.write(1, b"born %d\\n" % child)
    os.waitpid(child, 0)
    os.write(1, b"gone\\n")
"""


def checked(path):
    """Give what integrity_check says; the file is left as it is but for its WAL's index."""
    connection = sqlite3.connect(path)
    try:
        return connection.execute("PRAGMA integrity_check").fetchall()
    finally:
        connection.close()


def samples(recorded, name="a", from_s=START_S, to_s=START_S + 10**6):
    found = recorded.buckets(name, from_s, to_s)
    return dict(zip(found.t_s.tolist(), found.figures.samples.tolist(), strict=True))


def warnings(caplog):
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def texts(recorded):
    return [each["text"] for each in recorded.reader.annotations(0, 10**15)]


def test_killed_in_mid_write_fifty_times_no_acknowledged_second_is_lost_and_none_doubled(tmp_path):
    dice = random.Random(1)
    nursery = subprocess.Popen(
        [sys.executable, "-c", NURSERY], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    begin_s, acknowledged = START_S, []
    try:
        for _ in range(50):
            nursery.stdin.write(f"{tmp_path} {begin_s}\n")
            wanted, child, to_s, lines = dice.randint(1, 200), 0, begin_s, 0
            while lines < wanted or not child:
                line = nursery.stdout.readline().split()
                if line[0] == "born":
                    child = int(line[1])
                else:
                    to_s, lines = int(line[0]), lines + 1
            os.kill(child, signal.SIGKILL)
            while (line := nursery.stdout.readline().strip()) != "gone":
                to_s = int(line)
            acknowledged.append((begin_s, to_s))
            begin_s = to_s + dice.randint(5, 20)
            assert checked(tmp_path / "wfmon.db") == [("ok",)]
    finally:
        nursery.stdin.close()
        nursery.wait(10)
        nursery.stdout.close()
    assert sum(to_s - from_s for from_s, to_s in acknowledged) > 3_000
    recorded = RecordedStore(tmp_path, "a", "b", "c_ms")
    for name in ("a", "b", "c_ms"):
        found = samples(recorded, name)
        assert set(found.values()) == {1}
        for from_s, to_s in acknowledged:
            assert all(t_s in found for t_s in range(from_s, to_s))
        tens = recorded.buckets(name, START_S, START_S + 10**6, 1)
        assert tens.figures.samples.sum() == len(found)
    recorded.writer.finish()
    assert not list(tmp_path.glob("wfmon.db.damaged*"))


class Torn:
    """A file whose first part is in the database and whose last is in the WAL alone, copied as often as wanted."""

    FROM_S = START_S + 250  # before a chunk's edge

    def __init__(self, folder):
        (folder / "whole").mkdir()
        recorded = RecordedStore(folder / "whole", "a", "c_ms", clock=FakeClock(self.FROM_S * 1_000))
        recorded.run(40, a=1.0, c_ms=2.0)
        self.safe = 37
        connection = recorded.writer._connection
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        recorded.run(80, a=1.0, c_ms=2.0)  # a chunk is sealed on the way
        self.all = 117
        self.clock = recorded.clock
        self.db = recorded.writer.path.read_bytes()
        self.wal = recorded.writer.path.with_name("wfmon.db-wal").read_bytes()
        recorded.writer.finish()
        self._folder = folder
        self._number = 0

    def seconds(self, wal):
        """Open with this WAL and give how many seconds from the start are there; each of them once, and no other."""
        self._number += 1
        folder = self._folder / str(self._number)
        folder.mkdir()
        (folder / "wfmon.db").write_bytes(self.db)
        (folder / "wfmon.db-wal").write_bytes(wal)
        (folder / BALLAST).touch()
        recorded = RecordedStore(folder, "a", "c_ms", clock=self.clock)
        assert recorded.writer.trouble is None
        assert recorded.writer.notice == ""
        assert recorded.writer._connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found = [samples(recorded, "a"), samples(recorded, "c_ms")]
        recorded.writer._connection.execute("PRAGMA synchronous = OFF")  # this copy is thrown away
        recorded.writer.finish()
        shutil.rmtree(folder)
        assert found[0] == found[1] == dict.fromkeys(range(self.FROM_S, self.FROM_S + len(found[0])), 1)
        assert self.safe <= len(found[0]) <= self.all
        return len(found[0])


def test_a_wal_torn_at_any_frame_loses_whole_trailing_transactions_at_most(tmp_path):
    torn = Torn(tmp_path)
    frame = 24 + int.from_bytes(torn.wal[8:12], "big")
    ends = range(32, len(torn.wal) + 1, frame)
    assert len(ends) > 80
    found = [torn.seconds(torn.wal[:end]) for end in [0, 16, *ends]]
    assert found == sorted(found)
    assert set(found) == set(range(torn.safe, torn.all + 1))


def test_a_wal_torn_or_garbled_anywhere_loses_no_more_than_what_comes_after(tmp_path):
    torn = Torn(tmp_path)
    whole = [torn.seconds(torn.wal[:end]) for end in range(0, len(torn.wal), 50_000)]
    dice = random.Random(2)
    for number in range(200):
        at = dice.randrange(len(torn.wal))
        if number % 2:
            found = torn.seconds(torn.wal[:at])
        else:
            garbled = bytes(byte ^ 0xFF for byte in torn.wal[at : at + 16])
            found = torn.seconds(torn.wal[:at] + garbled + torn.wal[at + 16 :])
        assert found >= whole[at // 50_000]


@contextlib.contextmanager
def small_disk(folder):
    """A disk of 12 MB, that only root can have."""
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", folder], capture_output=True, text=True, check=False
    )
    if made.returncode:
        pytest.skip(f"no small disk can be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(path):
    """Write until there is no room, not even for a byte."""
    with path.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        for size in (65_536, 4_096, 1):
            with contextlib.suppress(OSError):
                while file.write(bytes(size)):
                    pass


def test_on_a_full_disk_samples_wait_and_fold_and_it_resumes_by_itself(tmp_path, caplog):
    with small_disk(tmp_path / "disk") as folder:
        recorded = RecordedStore(folder, "a", "c_ms")
        recorded.run(30, a=1.0, c_ms=2.0)
        ballast, filler = folder / BALLAST, folder / "filler"
        assert ballast.stat().st_size == BALLAST_BYTES
        recorded.writer._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        fill(filler)
        recorded.run(200, a=1.0, c_ms=2.0)
        assert recorded.writer.status()["state"] == "full"
        assert "is full: recording waits" in recorded.writer.status()["reason"]
        assert not ballast.exists()
        assert recorded.writer.depth <= WAITING
        assert recorded.writer.counts["folded"] > 100
        assert len(warnings(caplog)) == 1
        filler.unlink()
        recorded.run(int(RETRY_S) + 5, a=1.0, c_ms=2.0)
        assert recorded.writer.status()["state"] == "recording"
        assert ballast.stat().st_size == BALLAST_BYTES
        seconds = 230 + int(RETRY_S) + 5 - 3
        assert sum(samples(recorded, "a").values()) == sum(samples(recorded, "c_ms").values()) == seconds
        (text,) = texts(recorded)
        assert text.startswith("Recording waited for 2")
        assert text.endswith(" s. The disk of the data folder is full: recording waits until there is space again.")
        assert len(warnings(caplog)) == 1
        assert checked(recorded.writer.path) == [("ok",)]
        recorded.writer.finish()


def test_on_a_disk_that_stays_nearly_full_it_does_not_come_and_go(tmp_path, caplog):
    with small_disk(tmp_path / "disk") as folder:
        recorded = RecordedStore(folder, "a")
        recorded.run(10, a=1.0)
        recorded.writer._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        fill(folder / "filler")
        recorded.run(600, a=1.0)
        assert recorded.writer.status()["state"] == "full"
        assert len(warnings(caplog)) == 1
        recorded.writer.finish()


def test_started_on_a_full_disk_it_waits_and_begins_when_there_is_room(tmp_path, caplog):
    with small_disk(tmp_path / "disk") as folder:
        filler = folder / "filler"
        fill(filler)
        recorded = RecordedStore(folder, "a")
        recorded.run(60, a=1.0)
        assert recorded.writer.status()["state"] == "full"
        filler.unlink()
        recorded.run(int(RETRY_S) + 5, a=1.0)
        assert recorded.writer.status()["state"] == "recording"
        assert sum(samples(recorded).values()) == 60 + int(RETRY_S) + 5 - 3
        assert len(warnings(caplog)) == 1
        recorded.writer.finish()


def test_a_file_that_must_not_grow_waits_as_on_a_full_disk_and_loses_nothing(tmp_path, caplog):
    recorded = RecordedStore(tmp_path, "a")
    recorded.run(20, a=1.0)
    connection = recorded.writer._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages}")
    recorded.run(100, a=1.0)
    assert recorded.writer.status()["state"] == "full"
    assert not (tmp_path / BALLAST).exists()
    connection.execute("PRAGMA max_page_count = 1000000")
    recorded.run(int(RETRY_S) + 3, a=1.0)
    assert recorded.writer.status()["state"] == "recording"
    assert (tmp_path / BALLAST).exists()
    assert sum(samples(recorded).values()) == 120 + int(RETRY_S)
    assert len(warnings(caplog)) == 1


def foreign(path):
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE poem (line TEXT)")
    connection.execute("INSERT INTO poem VALUES ('so much depends')")
    connection.commit()
    connection.close()


def grown(path):
    recorded = RecordedStore(path.parent, "a")
    recorded.run(700, a=1.0)
    recorded.writer.finish()


def garbled(path):
    grown(path)
    data = bytearray(path.read_bytes())
    for at in range(4_096, len(data)):
        data[at] ^= 0x5A
    path.write_bytes(data)


def cut(path):
    grown(path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def headless(path):
    grown(path)
    data = bytearray(path.read_bytes())
    data[16:60] = bytes(44)
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("what", "make"),
    [
        ("empty", lambda path: path.touch()),
        ("foreign", lambda path: path.write_text("Dear diary, today I monitored a model.\n" * 50)),
        ("foreign", lambda path: path.write_bytes(b"SQL")),
        ("foreign", foreign),
        ("damaged", lambda path: path.write_bytes(b"SQLite format 3\0" + os.urandom(9_000))),
        ("damaged", garbled),
        ("damaged", cut),
        ("damaged", headless),
    ],
    ids=["empty", "a text", "three letters", "another program's", "rubbish", "garbled", "cut off", "without a head"],
)
def test_a_file_that_cannot_be_used_is_set_aside_with_its_date_and_a_new_one_begun(tmp_path, caplog, what, make):
    path = tmp_path / "wfmon.db"
    make(path)
    before = path.read_bytes()
    recorded = RecordedStore(tmp_path, "a")
    recorded.run(700, a=1.0)
    aside = tmp_path / recorded.writer.notice.split("kept as ")[1].split(",")[0]
    assert aside.name.startswith(f"wfmon.db.{what}-20231114T00")
    assert aside.read_bytes()[: len(before)] == before
    assert recorded.writer.status()["notice"] == recorded.writer.notice
    assert recorded.writer.status()["state"] == "recording"
    assert sum(samples(recorded).values()) > 600
    assert texts(recorded) == warnings(caplog) == [recorded.writer.notice]
    assert checked(path) == [("ok",)]
    recorded.writer.finish()


def test_another_programs_file_is_still_whole_where_it_was_put(tmp_path):
    foreign(tmp_path / "wfmon.db")
    RecordedStore(tmp_path).writer.finish()
    (aside,) = tmp_path.glob("wfmon.db.foreign-*")
    connection = sqlite3.connect(aside)
    assert connection.execute("SELECT line FROM poem").fetchall() == [("so much depends",)]
    connection.close()


def test_two_set_aside_in_one_second_are_both_kept(tmp_path):
    path = tmp_path / "wfmon.db"
    for text in ("one", "two", "three"):
        path.write_text(text)
        database.set_aside(path, "foreign", START_S * 1_000)
    assert sorted(each.read_text() for each in tmp_path.iterdir()) == ["one", "three", "two"]


def test_damage_that_shows_itself_while_it_runs_keeps_the_numbers_of_series(tmp_path):
    recorded = RecordedStore(tmp_path, "old", "a")
    recorded.run(700, old=9.0, a=1.0)
    numbers = {each.text: each.id for each in recorded.reader.series()}
    recorded.writer._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    data = bytearray(recorded.writer.path.read_bytes())
    data[4_096:] = bytes(len(data) - 4_096)
    with recorded.writer.path.open("r+b") as file:
        file.write(data)
    recorded.writer._connection.execute("PRAGMA shrink_memory")  # or it goes on with what it remembers
    recorded.run(300, a=2.0)
    assert "damaged" in recorded.writer.notice
    assert {each.text: each.id for each in recorded.reader.series()} == numbers
    assert set(recorded.means("a", START_S + 703, START_S + 10_000).values()) == {2.0}
    assert len(samples(recorded)) > 290
    assert checked(recorded.writer.path) == [("ok",)]
    recorded.writer.finish()


LOCKER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
for statement in sys.argv[2:]:
    connection.execute(statement).fetchall()
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
"""


@contextlib.contextmanager
def held(path, *statements):
    """Another process that holds the file."""
    locker = subprocess.Popen(
        [sys.executable, "-c", LOCKER, path, *statements], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert locker.stdout.readline() == "held\n"
    try:
        yield
    finally:
        locker.communicate("let go\n", timeout=10)
    assert locker.returncode == 0


def test_a_file_that_another_program_holds_is_waited_for_and_nothing_is_lost(tmp_path, caplog):
    recorded = RecordedStore(tmp_path, "a")
    recorded.run(10, a=1.0)
    recorded.writer._connection.execute("PRAGMA busy_timeout = 10")
    with held(recorded.writer.path, "BEGIN EXCLUSIVE"):
        recorded.run(50, a=1.0)
        assert recorded.writer.status()["state"] == "locked"
        assert "Another program has locked the history" in recorded.writer.status()["reason"]
        assert len(samples(recorded)) == 7  # whoever reads is not held up
    recorded.run(int(RETRY_S) + 3, a=1.0)
    assert recorded.writer.status()["state"] == "recording"
    assert samples(recorded) == dict.fromkeys(range(START_S, START_S + 60 + int(RETRY_S)), 1)
    assert len(warnings(caplog)) == len(texts(recorded)) == 1
    assert recorded.writer.notice == ""
    recorded.writer.finish()


@pytest.mark.parametrize("statements", [
    ["PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE"],
    ["PRAGMA journal_mode = DELETE", "BEGIN EXCLUSIVE"],
], ids=["for itself alone", "in another mode"])  # fmt: skip
def test_a_file_that_is_held_already_at_the_start_is_waited_for(tmp_path, monkeypatch, statements):
    monkeypatch.setattr(database, "BUSY_S", 0.01)
    grown(tmp_path / "wfmon.db")
    with held(tmp_path / "wfmon.db", *statements):
        recorded = RecordedStore(tmp_path, "a")
        recorded.run(20, a=1.0)
        assert recorded.writer.status()["state"] == "locked"
        assert recorded.writer.notice == ""
    recorded.run(int(RETRY_S) + 3, a=1.0)
    assert recorded.writer.status()["state"] == "recording"
    assert recorded.writer.notice == ""
    assert sum(samples(recorded, "a").values()) == 700 + 20 + int(RETRY_S)
    recorded.writer.finish()


def test_while_much_is_written_and_read_old_data_goes_in_time_and_new_stays(tmp_path):
    limit = 200_000
    keep = Keep(KEEP.tiers, KEEP.tables, limit)
    names = [f"s{number}" for number in range(8)]
    recorded = RecordedStore(tmp_path, *names, keep=keep)
    stop, wrong = threading.Event(), []

    def read():
        while not stop.is_set():
            try:
                found = recorded.reader.buckets([1], START_S, START_S + 10**6, TIERS[0])[1].figures.samples.tolist()
            except sqlite3.Error as error:
                wrong.append(error)
            else:
                wrong.extend(each for each in found if each != 1)

    reader = threading.Thread(target=read)
    reader.start()
    slices, advance = [], recorded.writer._sealer.advance
    recorded.writer._sealer.advance = lambda now_s: (slices.append(now_s), advance(now_s))[1]
    for _ in range(150):
        for at, (n, name) in product(range(recorded.now_s, recorded.now_s + 30), enumerate(names)):
            recorded.sample(name, (at * 7_919 + n * 104_729) % 9_973 / 7, at * 1_000)
        recorded.clock.advance(30)
        recorded.writer.tick()
    stop.set()
    reader.join()
    assert not wrong
    assert max(slices.count(each) for each in set(slices)) <= SLICES
    assert START_S < recorded.reader.first_of()[0] <= START_S + 3_600  # what no coarser tier has taken in stays
    assert recorded.reader.first_of()[1] == START_S
    assert len(samples(recorded, "s7", recorded.now_s - 290)) == 287
    assert checked(recorded.writer.path) == [("ok",)]
    recorded.writer.finish()


@pytest.mark.parametrize("only_the_file", [True, False], ids=["the file", "the folder"])
def test_when_it_is_removed_in_use_a_new_file_is_begun_with_the_same_numbers(tmp_path, caplog, only_the_file):
    folder = tmp_path / "data"
    folder.mkdir()
    recorded = RecordedStore(folder, "old", "a")
    recorded.run(20, old=1.0)
    recorded.run(20, a=1.0)
    numbers = {each.text: each.id for each in recorded.reader.series()}
    if only_the_file:
        recorded.writer.path.unlink()
    else:
        shutil.rmtree(folder)
    recorded.run(20, a=2.0)
    assert {each.text: each.id for each in recorded.reader.series()} == numbers
    assert len(samples(recorded)) == 20
    assert recorded.writer.notice == "The history file was removed while in use; a new one was created."
    assert texts(recorded) == warnings(caplog) == [recorded.writer.notice]
    assert recorded.writer.path.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o077 == 0 or only_the_file
    assert recorded.writer.status()["state"] == "recording"
    recorded.writer.finish()


def test_removed_while_it_waits_it_is_begun_anew_and_what_waited_is_in_it(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    recorded = RecordedStore(folder, "a")
    recorded.run(20, a=1.0)
    recorded.writer._connection.execute("PRAGMA busy_timeout = 10")
    with held(recorded.writer.path, "BEGIN EXCLUSIVE"):
        recorded.run(20, a=1.0)
        shutil.rmtree(folder)
        recorded.run(20, a=1.0)
    recorded.run(10, a=1.0)
    assert min(samples(recorded)) == START_S + 17
    assert sum(samples(recorded).values()) == 50
    recorded.writer.finish()


def test_a_newer_file_is_refused_while_samples_stay_bounded(tmp_path):
    grown(tmp_path / "wfmon.db")
    connection = sqlite3.connect(tmp_path / "wfmon.db")
    connection.execute("PRAGMA user_version = 7")
    connection.close()
    before = (tmp_path / "wfmon.db").read_bytes()
    recorded = RecordedStore(tmp_path, "a")
    recorded.run(500, a=1.0)
    assert recorded.writer.status()["state"] == "newer"
    assert recorded.writer.depth == 0
    assert (tmp_path / "wfmon.db").read_bytes() == before
    recorded.writer.finish()
