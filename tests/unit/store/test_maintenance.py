"""What is done to the file from outside: real files, and real damage."""

from __future__ import annotations

import shutil
import sqlite3
import stat
from contextlib import closing

import numpy as np
import pytest

from tests.kit.recorded_store import START_S, RecordedStore
from wfmon.core.clock import FakeClock
from wfmon.core.errors import Refused
from wfmon.core.types import Request
from wfmon.serve import instance
from wfmon.store import codec, database, maintenance
from wfmon.store.ballast import BALLAST
from wfmon.store.deletion import Before, Everything, Named, NoSuchSeries, Remains
from wfmon.store.retention import Keep
from wfmon.store.seal import Sealer
from wfmon.store.series_ids import Described
from wfmon.store.tiers import TIERS

MODEL, OTHER = "zebra-fish-7b-secret", "plain-3b"
METRIC = "model.ttft_ms"
DAY_S = 86_400
KEEP = Keep.of([1_000] * len(TIERS), {"request": 1_000, "annotation": 1_000, "alert": 1_000}, 10**12)


def text_of(model):
    return f'{METRIC}{{model="{model}",server="s"}}'


class Models(RecordedStore):
    """The past of two models, each with its distribution, and the machine's CPU."""

    def __init__(self, folder):
        super().__init__(folder, "cpu", keep=KEEP)
        for model in (MODEL, OTHER):
            self.described.append(Described(text_of(model), METRIC, "ms", "gauge", True))

    def live(self, seconds, *, cpu=5.0, zebra=120.0, plain=90.0, tick_s=1):
        """Let so many seconds pass, a tick of the writer every ``tick_s``; None: that one is silent."""
        for second in range(seconds):
            at = self.clock.now_ms()
            self._samples += [(at, i, v) for i, v in enumerate((cpu, zebra, plain)) if v is not None]
            self.clock.advance(1)
            if (second + 1) % tick_s == 0:
                self.writer.tick()

    def ask(self, name, model, *, at_ms=None):
        at_ms = self.clock.now_ms() if at_ms is None else at_ms
        self.writer.request(Request(name, model, "s", "hook", at_ms, "ok", at_ms + 500, output_tokens=3))
        self.writer._intake.rows._push(
            "INSERT INTO alert (t_ms, rule, state, severity, series, text) VALUES (?, 'slow', 'on', 'warning', ?, ?)",
            (at_ms, text_of(model), f"{model} is slow"),
        )
        self.writer.annotate("model", f"{model} answered {name}.", at_ms)

    def sleep_a_day(self):
        """All that was lived becomes chunks of every tier."""
        self.clock.advance(DAY_S + 3_600)
        self.writer.tick()
        self.writer.tidy_all()

    def end(self):
        self.writer.finish()
        return self.writer.path


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
    recorded.ask("old-plain-id", OTHER)
    recorded.live(5)
    recorded.sleep_a_day()
    recorded.ask("new-request-id", MODEL)
    recorded.ask("new-plain-id", OTHER)
    recorded.live(20)
    return recorded


def kept(path):
    """Every bucket of the file: {(tier or "journal", series, t_s): figures and bins}."""
    found = {}
    with database.reading(path) as connection:
        texts = dict(connection.execute("SELECT id, text FROM series").fetchall())
        for tier, number, start_s, data in connection.execute("SELECT tier, series, start_s, data FROM chunk"):
            buckets = codec.decode_chunk(data, start_s, TIERS[tier].step_s)
            for at, t_s in enumerate(buckets.t_s.tolist()):
                found[tier, texts[number], t_s] = figures(buckets, at)
        for t_s, data in connection.execute("SELECT t_s, data FROM journal"):
            second = codec.decode_second(t_s, data)
            for at, number in enumerate(second.ids.tolist()):
                found["journal", texts[number], t_s] = figures(second, at, number)
    return found


def figures(part, at, owner=None):
    mine = part.sketch.keys >> np.uint32(16) == (at if owner is None else owner)
    bins = part.sketch.keys[mine] & np.uint32(0xFFFF)
    return (*(column[at] for column in part.figures), tuple(bins.tolist()), tuple(part.sketch.counts[mine].tolist()))


def rows(path, statement):
    with database.reading(path) as connection:
        return connection.execute(statement).fetchall()


def is_anywhere(folder, word):
    """The files under a folder whose bytes hold a word."""
    return sorted(each.name for each in folder.rglob("*") if each.is_file() and word.encode() in each.read_bytes())


def forget(path, asked):
    with closing(database.open_writer(path)) as connection:
        return maintenance.forget(connection, asked)


# --- info


def test_info_tells_what_the_file_holds(lived):
    path = lived.writer.path
    (lived.folder / "elsewhere.db").write_bytes(b"not ours")
    maintenance.backup(path, lived.folder / "mine.db")
    found = maintenance.info(path)
    assert found.version == 1
    assert found.bytes == path.stat().st_size
    assert found.first_ms == START_S * 1_000
    assert found.end_ms == (lived.now_s - 3) * 1_000  # what is younger than three seconds is not written yet
    assert found.tables == {"request": 4, "annotation": 4, "alert": 4}
    assert [tier["name"] for tier in found.tiers if tier["chunks"]] == [tier.name for tier in TIERS]
    assert {text for text, _ in found.series} == {"cpu", text_of(MODEL), text_of(OTHER)}
    assert found.series[0][1] >= found.series[-1][1] > 0
    assert [name for name, _ in found.copies] == ["mine.db"]


def test_info_of_no_file_says_where_it_looked(tmp_path):
    with pytest.raises(Refused, match="--data DIR"):
        maintenance.info(tmp_path / "wfmon.db")


def test_info_of_another_programs_file_is_refused(tmp_path):
    path = tmp_path / "wfmon.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    with pytest.raises(database.NotOurs, match="foreign"):
        maintenance.info(path)


# --- check


def test_a_file_in_use_is_well(lived):
    found = maintenance.check(lived.writer.path)
    assert found.problems == ()
    assert found.seconds == 17  # what is younger than three seconds is not written yet
    assert found.chunks == rows(lived.writer.path, "SELECT count(*) FROM chunk")[0][0] > 15


def test_a_file_is_well_while_a_seal_is_in_the_making(recorded):
    recorded.live(310)
    recorded.writer._sealer = sealer = Sealer(recorded.writer._connection)
    assert sealer.advance(START_S + 600)
    assert maintenance.check(recorded.writer.path).problems == ()


DAMAGE = {
    "a chunk": ("UPDATE chunk SET data = x'0102' WHERE id = 1", "Chunk 1 of the tier 1s: a blob is damaged"),
    "a second": (
        "UPDATE journal SET data = x'01' WHERE seq = (SELECT max(seq) FROM journal)",
        "of the journal: a blob",
    ),
    "a form": ("UPDATE journal SET data = x'0900000000000000'", "version 9"),
    "a size": ("UPDATE chunk SET bytes = bytes + 1 WHERE id = 1", "Chunk 1 should have"),
    "a series": ("DELETE FROM series WHERE text = 'cpu'", "is of series 1, which is not in the table"),
    "a tier": ("UPDATE chunk SET tier = 9 WHERE id = 1", "Chunk 1 is of a tier 9"),
    "a start": ("UPDATE chunk SET start_s = start_s + 1 WHERE id = 1", "does not begin where its chunks do"),
    "an end": ("UPDATE chunk SET tier = 3 WHERE tier = 0 AND start_s % 86400 = 0", "has buckets past its end"),
    "a seal of nothing": ("UPDATE chunk SET seal = 10000 WHERE id = 1", "of a seal that was never begun"),
    "a seal's span": (
        "INSERT INTO seal (id, tier, start_s, upto, done) SELECT seal, 3, 0, 0, 1 FROM chunk WHERE id = 1",
        "is not of the span of its seal",
    ),
    "a seal's place": (
        "INSERT INTO seal (tier, start_s, upto, done) VALUES (1, 10, 0, 1)",
        "is of no span of any tier",
    ),
    "a parent": ("INSERT INTO seal (tier, start_s, upto, done, parent) VALUES (0, 0, 0, 1, 999)", "does not take it"),
    "a table": ("DROP TABLE alert", "The table alert lacks"),
    "a column": ("ALTER TABLE annotation DROP COLUMN kind", "The table annotation lacks kind"),
    "a newer form": ("PRAGMA user_version = 99", "a newer wfmon"),
    "no form": ("PRAGMA user_version = 0", "holds no tables"),
    "another program": ("PRAGMA application_id = 7", "not one of wfmon's"),
}


@pytest.mark.parametrize(("statement", "sentence"), DAMAGE.values(), ids=DAMAGE)
def test_check_names_what_is_wrong(lived, statement, sentence):
    path = lived.end()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)
    problems = maintenance.check(path).problems
    assert any(sentence in each for each in problems), problems


@pytest.mark.faults
def test_check_of_a_file_with_pages_of_noise_tells_what_sqlite_finds(lived):
    path = lived.end()
    with path.open("r+b") as file:
        file.seek(4_096 * 2)
        file.write(b"\xa5" * 4_096 * 6)
    assert maintenance.check(path).problems


@pytest.mark.faults
@pytest.mark.parametrize("content", [b"", b"SQLite format 3\0" + b"\xff" * 5_000, b"some words\n" * 500])
def test_check_of_what_is_no_database_is_no_accident(tmp_path, content):
    path = tmp_path / "wfmon.db"
    path.write_bytes(content)
    assert maintenance.check(path).problems


def test_check_stops_at_a_hundred_problems(lived):
    path = lived.end()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE chunk SET bytes = 0, data = x'00'")
        connection.execute(
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 200)"
            " INSERT INTO journal (t_s, data) SELECT x, x'00' FROM n"
        )
    problems = maintenance.check(path).problems
    assert len(problems) == 101
    assert "There are more" in problems[-1]


# --- backup


def test_a_backup_is_one_private_file_of_what_was_there_while_the_writer_goes_on(lived):
    path, to = lived.writer.path, lived.folder.parent / f"{lived.folder.name}-backup.db"
    before = kept(path)
    made = maintenance.backup(path, to)
    lived.live(10)
    assert kept(path).keys() > before.keys()
    assert stat.S_IMODE(to.stat().st_mode) == 0o600
    assert made.rows["request"] == 4
    assert made.bytes == to.stat().st_size
    assert [each.name for each in to.parent.glob(f"{to.name}*")] == [to.name]
    assert to.read_bytes()[18:20] == b"\x01\x01"  # no WAL is asked for: it can be read where nothing can be written
    assert kept(to) == before
    assert maintenance.check(to).problems == ()


def test_a_backup_does_not_replace_a_file_unless_told(lived, tmp_path):
    to = tmp_path / "there.db"
    to.write_text("mine")
    with pytest.raises(Refused, match="--force"):
        maintenance.backup(lived.writer.path, to)
    assert to.read_text() == "mine"
    to.with_name("there.db-wal").write_bytes(b"of the one before")  # SQLite would play it into the new one
    maintenance.backup(lived.writer.path, to, force=True)
    assert not to.with_name("there.db-wal").exists()
    assert kept(to) == kept(lived.writer.path)


def test_a_stray_wal_beside_a_backup_counts_as_there(lived, tmp_path):
    (tmp_path / "new.db-wal").write_bytes(b"x")
    with pytest.raises(Refused, match="--force"):
        maintenance.backup(lived.writer.path, tmp_path / "new.db")


@pytest.mark.parametrize("name", ["wfmon.db", "wfmon.db-wal", "link.db"])
def test_the_history_is_no_place_for_its_backup(lived, name):
    (lived.folder / "link.db").symlink_to(lived.writer.path)
    with pytest.raises(Refused, match="is the history itself"):
        maintenance.backup(lived.writer.path, lived.folder / name, force=True)


def test_a_folder_is_no_place_for_a_backup(lived, tmp_path):
    with pytest.raises(Refused, match="name a file in it"):
        maintenance.backup(lived.writer.path, tmp_path, force=True)


@pytest.mark.faults
def test_a_copy_that_is_not_equal_replaces_nothing_and_leaves_nothing(lived, tmp_path, monkeypatch):
    to = tmp_path / "there.db"
    to.write_text("mine")
    real, seen = maintenance.count, []
    monkeypatch.setattr(maintenance, "count", lambda c: seen.append(1) or {**real(c), "alert": len(seen)})
    before = sorted(tmp_path.iterdir())
    with pytest.raises(Refused, match="differs from what was copied"):
        maintenance.backup(lived.writer.path, to, force=True)
    assert to.read_text() == "mine"
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.faults
def test_of_a_damaged_history_there_is_no_backup(lived, tmp_path):
    path = lived.end()
    with path.open("r+b") as file:
        file.seek(4_096 * 2)
        file.write(b"\xa5" * 4_096 * 6)
    with pytest.raises(Refused, match=r"is damaged .* store restore FILE"):
        maintenance.backup(path, tmp_path / "new.db")
    assert not (tmp_path / "new.db").exists()


# --- compact


def test_compact_gives_free_room_back_and_keeps_all(lived):
    path = lived.end()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE filler AS SELECT randomblob(2000000) AS x")
        connection.execute("DROP TABLE filler")
    before = kept(path)
    shrunk = maintenance.compact(path)
    assert shrunk.before - shrunk.after > 1_900_000
    assert shrunk.after == path.stat().st_size
    assert kept(path) == before
    assert rows(path, "PRAGMA auto_vacuum") == [(2,)]


def test_compact_while_somebody_reads_says_so(lived):
    path = lived.end()
    with database.reading(path) as reader:
        reader.execute("SELECT count(*) FROM chunk").fetchall()
        with pytest.raises(Remains, match="another program reads"):
            maintenance.compact(path)


# --- the lock


def test_the_lock_is_the_monitors_own():
    assert (maintenance.LOCK, maintenance.SERVER) == (instance.LOCK, instance.SERVER)


def test_alone_is_refused_while_a_monitor_runs_and_keeps_one_from_starting(tmp_path):
    folder = tmp_path / "data"
    running = instance.Instance(folder, FakeClock())
    running.publish(url="http://127.0.0.1:1", ca_file="", boot="b", started_ms=0)
    with pytest.raises(Refused, match=r"process \d+\): stop it"), maintenance.alone(folder, FakeClock()):
        pass
    running.close()
    with maintenance.alone(folder, FakeClock()), pytest.raises(instance.AlreadyRunning):
        instance.Instance(folder, FakeClock())
    instance.Instance(folder, FakeClock()).close()


# --- restore


@pytest.fixture
def backed_up(lived, tmp_path_factory):
    """A history that went on after its backup, closed: (path, backup, what the backup holds)."""
    file = tmp_path_factory.mktemp("elsewhere") / "backup.db"
    maintenance.backup(lived.writer.path, file)
    held = kept(file)
    lived.live(30)
    return lived.end(), file, held


def test_restore_puts_a_backup_in_place_and_keeps_the_one_before(backed_up):
    path, file, held = backed_up
    before, bytes_of_file = kept(path), file.read_bytes()
    made, aside = maintenance.restore(path, file, START_S * 1_000)
    assert aside.name.startswith("wfmon.db.replaced-2023")
    assert made.rows["request"] == 4
    assert kept(path) == held
    assert kept(aside) == before
    assert file.read_bytes() == bytes_of_file
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    again, _ = maintenance.restore(path, aside, START_S * 1_000)
    assert kept(path) == before
    assert again.rows["journal"] == made.rows["journal"] + 33  # the three that were waiting, and thirty


def test_restore_into_an_empty_folder(backed_up, tmp_path_factory):
    _, file, held = backed_up
    path = tmp_path_factory.mktemp("fresh") / "wfmon.db"
    assert maintenance.restore(path, file, 0)[1] is None
    assert kept(path) == held
    with closing(database.open_writer(path)) as connection:  # a monitor goes on with it
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_restore_after_a_kill_keeps_what_stood_in_the_wal(lived, tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("killed")
    file = tmp_path_factory.mktemp("elsewhere") / "backup.db"
    maintenance.backup(lived.writer.path, file)
    lived.live(30)
    for each in lived.folder.glob("wfmon.db*"):
        shutil.copy(each, folder)  # as a kill leaves it
    real, moved = database.set_aside, []

    def set_aside(path, what, now_ms):
        moved.extend(each.name for each in folder.glob("wfmon.db-*") if each.stat().st_size)
        return real(path, what, now_ms)

    monkeypatch.setattr(database, "set_aside", set_aside)
    _, aside = maintenance.restore(folder / "wfmon.db", file, 0)
    assert moved == []  # one file is all there is to move: a second kill cannot part it from its WAL
    assert kept(aside) == kept(lived.writer.path)
    assert maintenance.check(folder / "wfmon.db").problems == ()


def test_a_wal_without_its_file_does_not_get_into_what_is_restored(backed_up):
    path, file, held = backed_up
    path.unlink()
    path.with_name("wfmon.db-wal").write_bytes(b"stale")
    _, aside = maintenance.restore(path, file, 0)
    assert kept(path) == held
    assert aside.with_name(aside.name + "-wal").read_bytes() == b"stale"


def test_restore_takes_a_file_that_lies_where_nothing_can_be_written(backed_up):
    path, file, held = backed_up
    file.chmod(0o400)
    file.parent.chmod(0o500)
    maintenance.restore(path, file, 0)
    file.parent.chmod(0o700)
    assert kept(path) == held
    assert [each.name for each in file.parent.iterdir()] == ["backup.db"]


@pytest.mark.parametrize("kind", ["nothing", "words", "foreign", "noise", "newer", "itself"])
def test_what_is_no_backup_is_refused_and_the_history_stays(backed_up, kind):
    path, file, _ = backed_up
    if kind == "nothing":
        file.unlink()
    elif kind == "words":
        file.write_text("some words\n" * 1_000)
    elif kind == "itself":
        file = path
    elif kind == "noise":
        content = bytearray(file.read_bytes())
        content[8_192:40_960] = b"\xa5" * 32_768
        file.write_bytes(content)
    else:
        with closing(sqlite3.connect(file, isolation_level=None)) as connection:
            connection.execute("PRAGMA user_version = 99" if kind == "newer" else "PRAGMA application_id = 7")
    before = {each.name: each.read_bytes() for each in path.parent.iterdir()}
    with pytest.raises((Refused, database.NotOurs, database.NewerSchema, sqlite3.DatabaseError)):
        maintenance.restore(path, file, 0)
    assert {each.name: each.read_bytes() for each in path.parent.iterdir()} == before


def nth(real, n, error):
    """A function that fails the n-th time."""
    seen = []

    def call(*args):
        seen.append(args)
        if len(seen) == n:
            raise error
        return real(*args)

    return call


@pytest.mark.faults
@pytest.mark.parametrize(
    ("what", "n"), [("_sound", 1), ("_verify", 1), ("set_aside", 1), ("_verify", 2), ("_sound", 3)]
)
def test_whatever_step_of_a_restore_fails_nothing_is_lost(backed_up, monkeypatch, what, n):
    path, file, _ = backed_up
    before, bytes_of_file = kept(path), file.read_bytes()
    place = database if what == "set_aside" else maintenance
    monkeypatch.setattr(place, what, nth(getattr(place, what), n, OSError(5, "Input/output error")))
    with pytest.raises(OSError):
        maintenance.restore(path, file, 0)
    assert kept(path) == before
    assert file.read_bytes() == bytes_of_file
    assert {each.name for each in path.parent.iterdir()} == {"wfmon.db", BALLAST}


# --- forget


def test_forgetting_everything_leaves_no_byte_of_it(lived):
    path = lived.end()
    assert is_anywhere(lived.folder, MODEL)
    assert is_anywhere(lived.folder, "old-request-id")
    tally = forget(path, Everything())
    assert tally.removed["request"].rows == 4
    assert set(tally.series) == {"cpu", text_of(MODEL), text_of(OTHER)}
    assert is_anywhere(lived.folder, MODEL) == is_anywhere(lived.folder, "-request-id") == []
    assert {name: n for name, n in maintenance.info(path).tables.items() if n} == {}
    assert kept(path) == {}
    assert maintenance.check(path).problems == ()


def test_the_running_writer_forgets_on_its_own_connection_while_others_look(lived):
    path = lived.writer.path
    lived.writer.write()
    assert is_anywhere(lived.folder, MODEL)
    before = rows(path, "PRAGMA secure_delete")
    maintenance.forget(lived.writer._connection, Everything())
    assert is_anywhere(lived.folder, MODEL) == is_anywhere(lived.folder, "-request-id") == []
    assert rows(path, "PRAGMA secure_delete") == before
    lived.writer._sealer = Sealer(lived.writer._connection)
    lived.described = lived.described[:1]  # the models are not there any more
    lived.killed().run(320, cpu=5.0)
    assert maintenance.check(path).problems == ()
    assert is_anywhere(lived.folder, MODEL) == []


def test_before_an_instant_all_that_is_older_goes_and_no_byte_of_it_is_left(lived):
    lived.live(5, zebra=None)
    path = lived.end()
    tally = forget(path, Before((START_S + DAY_S) * 1_000))
    assert {t_s for _, _, t_s in kept(path)} == set(range(START_S + DAY_S + 3_925, START_S + DAY_S + 3_950))
    assert is_anywhere(lived.folder, "old-request-id") == is_anywhere(lived.folder, "old-plain-id") == []
    assert [row[0] for row in rows(path, "SELECT id FROM request ORDER BY id")] == ["new-plain-id", "new-request-id"]
    assert tally.removed["request"].rows == tally.removed["annotation"].rows == tally.removed["alert"].rows == 2
    assert tally.series == ()
    assert rows(path, "SELECT DISTINCT first_s FROM series") == [(START_S + DAY_S,)]


def test_a_series_of_which_nothing_is_left_goes_with_its_name(recorded):
    recorded.live(320)
    recorded.ask("old-request-id", MODEL)
    recorded.live(5)
    recorded.sleep_a_day()
    recorded.live(20, zebra=None)
    path = recorded.end()
    assert is_anywhere(recorded.folder, MODEL)
    tally = forget(path, Before(recorded.clock.now_ms() - 15_000))
    assert tally.series == (text_of(MODEL),)
    assert is_anywhere(recorded.folder, MODEL) == is_anywhere(recorded.folder, "old-request-id") == []
    assert [row[0] for row in rows(path, "SELECT text FROM series ORDER BY text")] == ["cpu", text_of(OTHER)]


@pytest.mark.parametrize("after_ms", [-1, 0, 1, 7_000, 100_000, 100_500, 299_999, 300_000, 310_000, 10**9])
def test_before_cuts_every_tier_at_the_buckets_that_begin_later(lived, after_ms):
    """A chunk that straddles the instant stays without its older buckets, and the others keep figures and bins."""
    path, t_ms = lived.end(), START_S * 1_000 + after_ms
    before = kept(path)
    asked = Before(t_ms)
    with database.reading(path) as connection:
        told = maintenance.preview(connection, asked)
    assert forget(path, asked) == told
    assert kept(path) == {key: each for key, each in before.items() if key[2] * 1_000 >= t_ms}
    assert maintenance.check(path).problems == ()
    with database.reading(path) as connection:
        assert {name: n.rows for name, n in maintenance.preview(connection, asked).removed.items() if n.rows} == {}


@pytest.mark.parametrize("text", [text_of(MODEL), METRIC, "cpu", f'{METRIC}{{server="s",model="{MODEL}"}}'])
def test_a_series_goes_from_chunks_and_seconds_and_the_others_stay(lived, text):
    path = lived.end()
    before = kept(path)
    gone = {text_of(MODEL), text_of(OTHER)} if text == METRIC else {"cpu"} if text == "cpu" else {text_of(MODEL)}
    with database.reading(path) as connection:
        told = maintenance.preview(connection, Named(text))
    tally = forget(path, Named(text))
    assert tally == told
    assert set(tally.series) == gone
    assert kept(path) == {key: each for key, each in before.items() if key[1] not in gone}
    assert set(rows(path, "SELECT text FROM series")) == {("cpu",), (text_of(MODEL),), (text_of(OTHER),)} - {
        (each,) for each in gone
    }
    assert tally.removed["alert"].rows == (0 if text == "cpu" else 2 * len(gone))
    assert tally.cut.rows == rows(path, "SELECT count(*) FROM journal")[0][0]
    assert maintenance.check(path).problems == ()


def test_a_forgotten_series_leaves_no_byte_of_its_name(recorded):
    recorded.live(320)
    path = recorded.end()
    assert is_anywhere(recorded.folder, MODEL)
    forget(path, Named(text_of(MODEL)))
    assert is_anywhere(recorded.folder, MODEL) == []
    assert is_anywhere(recorded.folder, OTHER) == ["wfmon.db"]


def test_a_second_of_a_forgotten_series_alone_goes(recorded):
    recorded.live(20, cpu=None, plain=None)
    path = recorded.end()
    tally = forget(path, Named(METRIC))
    assert (tally.removed["journal"].rows, tally.cut.rows) == (20, 0)
    assert rows(path, "SELECT count(*) FROM journal") == [(0,)]


def test_a_name_that_is_none_tells_what_is_near(lived):
    with database.reading(lived.writer.path) as connection:
        with pytest.raises(NoSuchSeries, match=r"no series model\.tfft_ms\. Similar names: model\.ttft_ms"):
            maintenance.preview(connection, Named("model.tfft_ms"))
        with pytest.raises(NoSuchSeries, match=r'name\{label="value"\}'):
            maintenance.preview(connection, Named("model.ttft_ms{model=x"))
        with pytest.raises(NoSuchSeries, match=r"no series \?\."):
            maintenance.preview(connection, Named("?"))


def test_a_second_that_cannot_be_read_may_hold_the_series_and_goes(lived):
    path = lived.end()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE journal SET data = x'0102' WHERE seq = (SELECT max(seq) FROM journal)")
    assert len(maintenance.check(path).problems) == 1
    assert forget(path, Named("cpu")).removed["journal"].rows == 1
    assert maintenance.check(path).problems == ()


def test_a_chunk_that_cannot_be_read_and_begins_before_goes(lived):
    path = lived.end()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE chunk SET data = x'0102', bytes = 2 WHERE tier IN (0, 4)")
    forget(path, Before((START_S + 10) * 1_000))
    left = dict(rows(path, "SELECT tier, count(*) FROM chunk WHERE bytes = 2 GROUP BY tier"))
    assert left == {0: 3}  # the five minutes after: all of it is newer
    assert len(maintenance.check(path).problems) == 3


def test_when_a_reader_keeps_the_wal_it_is_said_and_a_later_compact_wipes_it(lived):
    path = lived.end()
    with database.reading(path) as reader:
        reader.execute("SELECT count(*) FROM request").fetchall()
        with pytest.raises(Remains, match="store compact"):
            forget(path, Everything())
    maintenance.compact(path)
    assert is_anywhere(lived.folder, MODEL) == []


@pytest.mark.faults
def test_a_forgetting_that_fails_forgets_nothing(lived):
    path = lived.end()
    before = kept(path)
    with closing(database.open_writer(path)) as connection:
        connection.execute("CREATE TEMP TRIGGER full BEFORE DELETE ON series BEGIN SELECT raise(ABORT, 'full'); END")
        with pytest.raises(sqlite3.IntegrityError):
            maintenance.forget(connection, Everything())
    assert kept(path) == before
    assert rows(path, "SELECT count(*) FROM request") == [(4,)]


def test_a_preview_changes_nothing_and_wants_no_writer(lived):
    path = lived.writer.path
    before = kept(path), rows(path, "SELECT * FROM request")
    for asked in (Everything(), Before(lived.clock.now_ms()), Named("cpu")):
        with database.reading(path) as connection:
            assert maintenance.preview(connection, asked).bytes > 0
    assert (kept(path), rows(path, "SELECT * FROM request")) == before


def test_everything_includes_what_was_set_aside_but_no_backup_and_no_strangers_file(backed_up):
    path, file, _ = backed_up
    maintenance.restore(path, file, 0)
    shutil.copy(file, path.parent / "my-own.db")
    shutil.copy(file, path.parent / "wfmon.db.bak")
    (path.parent / "wfmon.db.foreign-1").write_text("theirs")
    assert [each.name.partition("-")[0] for each in maintenance.copies(path)] == [
        "my",
        "wfmon.db.bak",
        "wfmon.db.replaced",
    ]
    maintenance.forget_asides(path)
    assert sorted(each.name for each in path.parent.iterdir()) == [
        "my-own.db", "wfmon.db", "wfmon.db.bak", BALLAST, "wfmon.db.foreign-1",
    ]  # fmt: skip
