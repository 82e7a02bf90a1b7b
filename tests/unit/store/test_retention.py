from __future__ import annotations

import dataclasses

import pytest

from tests.kit.recorded_store import START_S, RecordedStore
from wfmon.store import retention as retention_module
from wfmon.store.retention import CHUNKS, PAGES, ROWS, SPARE_PAGES, Due, Keep, preview, retain, used_bytes
from wfmon.store.seal import transaction
from wfmon.store.tiers import TIERS

DAY = 86_400
TABLES = {"request": 30.0, "annotation": 14.0, "alert": 7.0}
KEEP = Keep.of([tier.keep_days for tier in TIERS], TABLES, 10**12)


@pytest.fixture
def recorded(tmp_path):
    made = RecordedStore(tmp_path)
    made.writer.finish()  # the file is the test's
    made.writer._opened = False
    return made


@pytest.fixture
def connection(recorded):
    from wfmon.store.database import open_writer

    opened = open_writer(recorded.writer.path)
    yield opened
    opened.close()


def chunk(connection, tier, start_s, *, series=1, seal=0, size=10):
    connection.execute(
        "INSERT INTO chunk (tier, start_s, series, seal, bytes, data) VALUES (?, ?, ?, ?, ?, zeroblob(?))",
        (tier, start_s, series, seal, size, size),
    )


def starts(connection, tier):
    return [row[0] for row in connection.execute("SELECT start_s FROM chunk WHERE tier = ? ORDER BY 1", (tier,))]


def annotate(connection, *times_s):
    with transaction(connection) as cursor:
        cursor.executemany(
            "INSERT INTO annotation (t_ms, kind, text) VALUES (?, 'start', '')", [(t_s * 1_000,) for t_s in times_s]
        )


def count(connection, table):
    return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def all_of_it(connection, keep, now_s, live=()):
    slices = 0
    while retain(connection, keep, now_s, live):
        slices += 1
    return slices


def test_days_become_seconds():
    assert KEEP.tiers == (21_600, 2 * DAY, 14 * DAY, 30 * DAY, 730 * DAY)
    assert KEEP.tables == {"request": 30 * DAY, "annotation": 14 * DAY, "alert": 7 * DAY}


@pytest.mark.parametrize("tier", TIERS, ids=lambda tier: tier.name)
def test_a_chunk_goes_when_its_last_bucket_is_past_its_tiers_time(connection, tier):
    for number in range(3):
        chunk(connection, tier.number, START_S + number * tier.chunk_s)
    last = START_S + 2 * tier.chunk_s + KEEP.tiers[tier.number]  # when the second one's end is just past
    all_of_it(connection, KEEP, last - 1)
    assert starts(connection, tier.number) == [START_S + tier.chunk_s, START_S + 2 * tier.chunk_s]
    all_of_it(connection, KEEP, last)
    assert starts(connection, tier.number) == [START_S + 2 * tier.chunk_s]


def test_each_table_has_its_own_time(connection):
    now_s = START_S + 100 * DAY
    for name, column in retention_module.TABLES:
        days = TABLES[name]
        others = [row[1] for row in connection.execute(f"PRAGMA table_info({name})") if row[3] and row[1] != "id"]
        for key, age_s in enumerate((days * DAY + 1, days * DAY, 5)):
            values = dict.fromkeys(others, 0) | {column: (now_s - age_s) * 1_000, "id": key}
            connection.execute(
                f"INSERT INTO {name} ({','.join(values)}) VALUES ({','.join('?' * len(values))})", list(values.values())
            )
    all_of_it(connection, KEEP, now_s)
    for name, column in retention_module.TABLES:
        kept = [row[0] for row in connection.execute(f"SELECT {column} FROM {name} ORDER BY 1")]
        assert kept == [(now_s - TABLES[name] * DAY) * 1_000, (now_s - 5) * 1_000]


def test_what_is_in_time_is_left_alone(connection):
    chunk(connection, 0, START_S)
    annotate(connection, START_S)
    assert not retain(connection, KEEP, START_S + 3_600, ())


def test_what_no_coarser_tier_has_taken_in_stays_however_old_and_however_much(connection):
    chunk(connection, 0, START_S, seal=7, size=100_000)
    chunk(connection, 0, START_S, seal=8, size=100_000)
    greedy = dataclasses.replace(KEEP, max_bytes=0)
    all_of_it(connection, greedy, START_S + 999 * DAY, live=[7])
    assert connection.execute("SELECT seal FROM chunk").fetchall() == [(7,)]


def test_a_tier_kept_for_no_time_at_all_still_reaches_the_coarser_one(tmp_path):
    keep = dataclasses.replace(KEEP, tiers=(0, 0, 0, 30 * DAY, 730 * DAY))
    recorded = RecordedStore(tmp_path, "a", keep=keep)
    recorded.run(3_700, tick_s=10, a=lambda t_s: float(t_s % 2))
    assert recorded.reader.first_of() == {1: START_S}
    assert set(recorded.means("a", START_S, START_S + 3_600, 1).values()) == {0.5}
    assert len(recorded.means("a", START_S, START_S + 3_600, 1)) == 360


def test_the_children_of_a_seal_in_the_making_stay(tmp_path):
    recorded = RecordedStore(tmp_path, *(f"s{number}" for number in range(45)))
    for name in [each.name for each in recorded.described]:
        for at in range(0, 3_600, 300):
            recorded.sample(name, 1.0, (START_S + at) * 1_000)
    recorded.clock.advance(3_600)
    recorded.writer.pull_to(recorded.now_s)
    recorded.writer.write()
    connection, sealer = recorded.writer._connection, recorded.writer._sealer
    while not connection.execute("SELECT 1 FROM chunk WHERE tier = 1").fetchone():
        assert sealer.advance(recorded.now_s)
    all_of_it(connection, dataclasses.replace(KEEP, max_bytes=0), START_S + 999 * DAY, sealer.live)
    while sealer.advance(recorded.now_s):
        pass
    assert [len(recorded.means(f"s{number}", START_S, START_S + 3_600, 1)) for number in (0, 44)] == [12, 12]


def test_by_size_the_oldest_of_what_takes_most_goes_first(connection):
    with transaction(connection):
        for at in range(200):
            chunk(connection, 2, START_S + at * 21_600, size=6_000)
            chunk(connection, 4, START_S + at * DAY, size=1_000)
    limit = used_bytes(connection) // 2
    all_of_it(connection, dataclasses.replace(KEEP, max_bytes=limit), START_S)
    assert limit - CHUNKS * 10_000 < used_bytes(connection) <= limit
    left = starts(connection, 2)
    assert 40 < len(left) < 110
    assert left == [START_S + at * 21_600 for at in range(200 - len(left), 200)]
    assert len(starts(connection, 4)) == 200


def test_with_nothing_to_delete_too_much_is_left_as_it_is(connection):
    annotate(connection, *([START_S] * 100))
    assert not retain(connection, dataclasses.replace(KEEP, max_bytes=0), START_S, ())


def test_space_is_given_back_to_the_disk_save_some_spare_pages(recorded, connection):
    with transaction(connection):
        for at in range(2_000):
            chunk(connection, 0, START_S + at * 300, size=8_000)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    before = recorded.writer.path.stat().st_size
    all_of_it(connection, KEEP, START_S + 99 * DAY)
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    after = recorded.writer.path.stat().st_size
    free = connection.execute("PRAGMA freelist_count").fetchone()[0]
    assert before > 16_000_000
    assert after < 4_500_000
    assert free == SPARE_PAGES
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_what_is_too_much_and_cannot_be_deleted_does_not_keep_free_pages_from_the_disk(connection):
    with transaction(connection):
        for at in range(700):
            chunk(connection, 0, START_S, series=at, size=8_000, seal=at % 7)
    all_of_it(connection, dataclasses.replace(KEEP, max_bytes=1), START_S + 99 * DAY, live=[3])
    assert len(starts(connection, 0)) == 100
    assert connection.execute("PRAGMA freelist_count").fetchone()[0] == SPARE_PAGES


def test_a_slice_takes_so_much_at_most(connection):
    with transaction(connection):
        for at in range(3 * CHUNKS):
            chunk(connection, 0, START_S, series=at, size=9_000)
    annotate(connection, *range(START_S, START_S + 2 * ROWS))
    sizes = []
    keep = dataclasses.replace(KEEP, tables=KEEP.tables)
    now_s = START_S + 99 * DAY
    before = (count(connection, "chunk"), count(connection, "annotation"))
    while retain(connection, keep, now_s, ()):
        after = (count(connection, "chunk"), count(connection, "annotation"))
        sizes.append((before[0] - after[0], before[1] - after[1]))
        before = after
    assert sizes == [(CHUNKS, 0)] * 3 + [(0, ROWS)] * 2


def test_a_slice_gives_so_many_pages_back_at_most(connection):
    with transaction(connection):
        for at in range(700):
            chunk(connection, 0, START_S, series=at, size=8_000)
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    counts = []
    while retain(connection, KEEP, START_S + 99 * DAY, ()):
        counts.append(connection.execute("PRAGMA page_count").fetchone()[0])
    falls = [one - other for one, other in zip([pages, *counts], counts, strict=False)]
    assert max(falls) == PAGES
    assert sum(falls) > 300


# --- what would go


def test_a_preview_only_reads_and_tells_rows_bytes_and_how_far_each_tier_is_cut(connection):
    for at in range(5):
        chunk(connection, 0, START_S + at * 300, size=100)
    chunk(connection, 1, START_S, seal=7, size=50)
    annotate(connection, START_S, START_S + DAY)
    before = connection.total_changes
    found = preview(connection, dataclasses.replace(KEEP, tiers=(600, *KEEP.tiers[1:])), START_S + 1_500)
    assert found.tiers == (Due(3, 300, START_S + 600), *[Due(0, 0, None)] * 4)
    assert found.over == (Due(0, 0, None),) * 5
    assert found.tables["annotation"] == Due(0, 0, None)
    assert preview(connection, KEEP, START_S + 14 * DAY + 1).tables["annotation"] == Due(1, 19, START_S)
    assert connection.total_changes == before


def test_a_preview_leaves_out_what_no_coarser_tier_has_taken_in(connection):
    connection.execute("INSERT INTO seal (id, tier, start_s, upto, done) VALUES (7, 0, ?, 0, 1)", (START_S,))
    chunk(connection, 0, START_S, seal=7)
    chunk(connection, 0, START_S, seal=8)
    assert preview(connection, KEEP, START_S + 99 * DAY).tiers[0].rows == 1


def test_by_size_a_preview_tells_about_what_goes(connection):
    with transaction(connection):
        for at in range(400):
            chunk(connection, 2, START_S + at * 21_600, size=6_000)
            chunk(connection, 4, START_S + at * DAY, size=1_000)
    keep = dataclasses.replace(KEEP, max_bytes=used_bytes(connection) // 2)
    told = preview(connection, keep, START_S)
    before = {tier: starts(connection, tier) for tier in (2, 4)}
    all_of_it(connection, keep, START_S)
    for tier, there in before.items():
        gone = set(there) - set(starts(connection, tier))
        assert told.over[tier].rows == pytest.approx(len(gone), abs=CHUNKS)
    assert told.over[2].to_s == pytest.approx(START_S + told.over[2].rows * 21_600, abs=21_600)
    assert sum(due.rows for due in told.tiers) == 0
