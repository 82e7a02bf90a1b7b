"""What becomes of a forgetting when the monitor is killed in it, the disk is full, or a torrent of samples comes."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from tests.faults.test_store_faults import checked, fill, small_disk
from tests.kit import closing
from tests.kit.recorded_store import KEEP, START_S, RecordedStore
from wfmon.core.clock import FakeClock, SystemClock
from wfmon.store import deletion, maintenance
from wfmon.store.deletion_job import WIPE_RETRY_S
from wfmon.store.intake import Pulled, SampleSource
from wfmon.store.read import Reader
from wfmon.store.series_ids import Described
from wfmon.store.tiers import TIERS
from wfmon.store.writer import Writer

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]
CANARY = "canary-model-7b"
DYING = """
import os, signal, sys
from pathlib import Path
from tests.kit.recorded_store import RecordedStore
from wfmon.core.clock import FakeClock
from wfmon.store import deletion_job

deletion_job.OPS = 20  # more moments to be killed at
folder, now_s, name, at = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4])
looks = 0

class Dying(deletion_job.DeletionJob):
    def _interrupt_once(self, wanted):
        global looks
        looks += 1
        if looks == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._interrupt_once(wanted)

recorded = RecordedStore(folder, "a", name, clock=FakeClock(now_s * 1000))
recorded.writer.deletion.__class__ = Dying
recorded.described = recorded.described[:1]
recorded.writer.deletion.request({"series": name})
recorded.clock.advance(1)
recorded.writer.tick()
print(looks)
"""


def grown(folder):
    recorded = RecordedStore(folder, "a", f"{CANARY}_ms", *(f"s{n}" for n in range(30)))
    for _ in range(40):
        for at in range(0, 300, 5):
            for each in recorded.described:
                recorded.sample(each.name, float(at), recorded.clock.now_ms() + at * 1_000)
        recorded.clock.advance(300)
        recorded.writer.tick()
    recorded.writer.tidy_all()
    recorded.writer.finish()
    return recorded.now_s


def counts(path):
    """The chunks of the canary, and of the others."""
    of = f"SELECT count(*) FROM chunk JOIN series ON series = series.id WHERE (text = '{CANARY}_ms') = ?"
    connection = sqlite3.connect(path)
    try:
        return [connection.execute(of, (mine,)).fetchone()[0] for mine in (1, 0)]
    finally:
        connection.close()


def holds(folder, word):
    return sorted(each.name for each in folder.iterdir() if word.encode() in each.read_bytes())


def forget_in_a_child(folder, now_s, at):
    """Kill it at so many looks of SQLite's, 0: never; gives how many there were."""
    done = subprocess.run(
        [sys.executable, "-c", DYING, folder, str(now_s), f"{CANARY}_ms", str(at)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return int(done.stdout or 0)


def test_killed_at_any_moment_all_or_nothing_is_gone_and_a_wiping_is_made_up_for(tmp_path):
    folder, ends = tmp_path / "grown", []
    now_s = grown(folder)
    original, before = (folder / "wfmon.db").read_bytes(), counts(folder / "wfmon.db")
    looks = forget_in_a_child(folder, now_s, 0)
    assert looks > 100
    for part in range(1, 13):
        here = tmp_path / str(part)
        here.mkdir()
        (here / "wfmon.db").write_bytes(original)
        assert forget_in_a_child(here, now_s, looks * part // 13) == 0
        later = RecordedStore(here, "a", clock=FakeClock((now_s + 60) * 1_000))
        assert later.writer.trouble is None
        assert checked(here / "wfmon.db") == [("ok",)]
        found = counts(here / "wfmon.db")
        assert found[0] == 0 or found[0] >= before[0]  # what was in the journal may be sealed by then
        assert found[1] >= before[1]
        ends.append(found[0] == 0)
        if ends[-1]:
            assert holds(here, CANARY) == []
            assert not deletion.is_unscrubbed(later.writer._connection)
        later.writer.finish()
    assert ends == sorted(ends)
    assert set(ends) == {True, False}


def test_on_a_full_disk_nothing_is_deleted_and_with_room_it_is(tmp_path):
    with small_disk(tmp_path / "disk") as folder:
        recorded = RecordedStore(folder, "a", f"{CANARY}_ms")
        recorded.run(30, **{"a": 1.0, f"{CANARY}_ms": 2.0})
        recorded.writer._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        fill(folder / "filler")
        recorded.run(10, a=1.0)
        recorded.writer.deletion.request({"all": True})
        recorded.run(1, a=1.0)
        told = recorded.writer.deletion.status()
        assert told["state"] == "failed"
        assert told["reason"].startswith("Nothing was deleted. The disk of the data folder is full")
        (folder / "filler").unlink()
        recorded.run(10, a=1.0)
        assert f"{CANARY}_ms" in [each.text for each in recorded.reader.series()]
        recorded.writer.deletion.request({"all": True})
        recorded.run(1, a=1.0)
        assert recorded.writer.deletion.status()["state"] == "done"
        assert holds(folder, CANARY) == []
        recorded.writer.finish()


def test_with_room_to_delete_and_none_to_make_the_file_anew_it_is_wiped_when_there_is(tmp_path):
    """The file may not grow: what VACUUM writes does not fit, what DELETE frees does."""
    recorded = RecordedStore(tmp_path, "a", f"{CANARY}_ms")
    recorded.run(700, **{"a": 1.0, f"{CANARY}_ms": 2.0})
    recorded.described = recorded.described[:1]
    broken = sqlite3.OperationalError("database or disk is full")
    broken.sqlite_errorcode = sqlite3.SQLITE_FULL
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("wfmon.store.deletion_job.scrub", lambda _: (_ for _ in ()).throw(broken))
        recorded.writer.deletion.request({"series": f"{CANARY}_ms"})
        recorded.run(1, a=1.0)
        assert recorded.writer.deletion.status()["state"] == "remains"
        assert recorded.writer.trouble is None
    before = recorded.writer.counts["seconds"]
    recorded.run(int(WIPE_RETRY_S) + 1, a=1.0)
    assert recorded.writer.deletion.status()["state"] == "done"
    assert recorded.writer.counts["seconds"] - before == int(WIPE_RETRY_S) + 1
    assert holds(tmp_path, CANARY) == []
    assert maintenance.check(recorded.writer.path).problems == ()
    recorded.writer.finish()


class Torrent:
    """Ten thousand samples a second of a hundred series, by the clock: each has its second as its value."""

    RATE, SERIES = 100, 100

    def described(self, since):
        return [Described(f"s{number}", f"s{number}", "", "gauge", False) for number in range(self.SERIES)][since:]

    def pull(self, from_ms, to_ms):
        step = 1_000 // self.RATE
        t_ms = np.arange(-(-from_ms // step) * step, to_ms, step, np.int64)
        ids = np.repeat(np.arange(self.SERIES, dtype=np.uint16), len(t_ms))
        t_ms = np.tile(t_ms, self.SERIES)
        return Pulled(ids, t_ms, (t_ms // 1_000 % 1_000).astype(np.float32))


def test_ten_thousand_samples_a_second_go_on_through_three_forgettings_and_none_is_lost(tmp_path):
    """The writer's own thread, and the machine's clock."""
    torrent = Torrent()
    grown(tmp_path)
    clock = SystemClock()
    writer = Writer(tmp_path, clock, SampleSource(torrent.pull, torrent.described), lambda: KEEP)
    closing.later(writer.close)
    reader, turn = Reader(writer.path), threading.Event()

    def until(ask, tries=600):
        for _ in range(tries):
            if ask():
                return
            clock.wait(turn, 0.05)
        raise AssertionError(writer.status(), writer.deletion.status())

    writer.start()
    try:
        for asked in ({"series": "s1"}, {"before_ms": START_S * 1_000 + 5_000}, {"series": "s2"}):
            until(lambda: writer.counts["seconds"] > 1)
            writer.deletion.request(asked)
            until(lambda: writer.deletion.status()["state"] == "done")
        from_s = writer.written_to_ms // 1_000
        until(lambda: writer.written_to_ms // 1_000 > from_s + 4)
    finally:
        writer.close()
    assert (writer.counts["lost"], writer.counts["folded"], writer.counts["unreadable"]) == (0, 0, 0)
    numbers = {each.text: each for each in reader.series()}
    found = reader.buckets([numbers["s0"].id, numbers["s1"].id], 0, 2**40, TIERS[0])
    whole = found[numbers["s0"].id]
    ours = whole.t_s > clock.now_ms() // 1_000 - 3_600
    seconds, samples = whole.t_s[ours], whole.figures.samples[ours]
    assert np.diff(seconds).tolist() == [1] * (len(seconds) - 1)
    assert set(samples[1:-1].tolist()) == {torrent.RATE}
    assert found[numbers["s1"].id].t_s.min() >= numbers["s1"].first_s
    assert maintenance.check(writer.path).problems == ()
