from __future__ import annotations

import sqlite3
import tracemalloc

import numpy as np
import pytest

from tests.unit.store.house import START_S, House
from wfmon.store import codec
from wfmon.store.seal import GROUP, SLICE, Sealer, transaction
from wfmon.store.tiers import TIERS

HOUR, DAY = 3_600, 86_400


def journal(house, from_s, seconds, *, step_s=1, ids=(1,), value=lambda t_s, number: float(t_s % 1_000 + number)):
    """Put seconds into the file as the writer does, without its clock."""
    from wfmon.store.buckets import seconds_of

    numbers = np.array(ids, np.uint16)
    distributions = np.zeros(65_536, bool)
    distributions[2] = True
    connection = house.writer._connection
    with transaction(connection) as cursor:
        for t_s in range(from_s, from_s + seconds, step_s):
            values = np.array([value(t_s, number) for number in ids], np.float32)
            (second,) = seconds_of(numbers, np.full(len(ids), t_s * 1_000, np.int64), values, distributions)
            cursor.execute("INSERT INTO journal (t_s, data) VALUES (?, ?)", (second.t_s, codec.encode_second(second)))
            house.writer._sealer.journaled(t_s)


def seal_all(house, now_s):
    while house.writer._sealer.advance(now_s):
        pass


def count(house, what="journal", where="1"):
    return house.writer._connection.execute(f"SELECT count(*) FROM {what} WHERE {where}").fetchone()[0]


def found(house, from_s, to_s, tier=0, number=1):
    buckets = house.reader.buckets([number], from_s, to_s, TIERS[tier])[number]
    return list(zip((buckets.t_s - START_S).tolist(), buckets.figures.samples.tolist(),
                    buckets.figures.mean.tolist(), buckets.figures.low.tolist(), buckets.figures.high.tolist(),
                    buckets.figures.last.tolist(), strict=True))  # fmt: skip


@pytest.fixture
def house(tmp_path):
    return House(tmp_path)


def test_a_chunk_is_sealed_when_its_span_is_past(house):
    journal(house, START_S, 300)
    assert not house.writer._sealer.advance(START_S + 299)
    seal_all(house, START_S + 300)
    assert count(house) == 0
    assert count(house, "chunk", "tier = 0") == 1
    assert found(house, START_S, START_S + 300)[7] == (7, 1, *[float((START_S + 7) % 1_000 + 1)] * 4)


def test_what_is_not_past_stays_in_the_journal(house):
    journal(house, START_S, 450)
    seal_all(house, START_S + 450)
    assert count(house) == 150
    assert len(found(house, START_S, START_S + 450)) == 450


def test_each_tier_is_made_of_the_one_below_with_the_numbers_of_its_samples(house):
    journal(house, START_S, DAY, step_s=10, value=lambda t_s, _: float(t_s - START_S))
    seal_all(house, START_S + DAY)
    assert [count(house, "chunk", f"tier = {tier.number}") for tier in TIERS] == [288, 24, 4, 1, 1]
    assert count(house) == count(house, "seal") == 0
    for tier in TIERS[1:]:
        per, end = tier.step_s // 10, tier.step_s - 10
        rows = found(house, START_S, START_S + DAY, tier.number)
        assert len(rows) == DAY // tier.step_s
        for t_s, samples, mean, low, high, last in rows:
            assert (samples, low, high, last) == (per, t_s, t_s + end, t_s + end)
            assert mean == pytest.approx(t_s + end / 2, rel=1e-6)


def test_a_chunk_of_two_thousand_series_takes_no_more_memory_than_one_group_of_them(house):
    journal(house, START_S, 300, step_s=5, ids=range(1, 2_001))  # 60 rows, all of them decoded are 2.6 MB
    tracemalloc.start()
    try:
        seal_all(house, START_S + 300)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000
    assert count(house, "chunk", "tier = 0") == 2_000
    assert len(found(house, START_S, START_S + 300, number=1_999)) == 60


def test_distributions_go_up_through_all_tiers(house):
    journal(house, START_S, DAY, step_s=60, ids=(2,), value=lambda t_s, _: 10.0 if t_s % 120 else 1_000.0)
    seal_all(house, START_S + DAY)
    for tier in TIERS:
        buckets = house.reader.buckets([2], START_S, START_S + DAY, tier)[2]
        assert buckets.sketch.counts.sum() == DAY // 60
    hour = buckets.sketch.quantiles(np.arange(24, dtype=np.uint16), (0.25, 0.75))
    assert hour[:, 0] == pytest.approx(10, rel=0.02)
    assert hour[:, 1] == pytest.approx(1_000, rel=0.02)


def test_a_day_without_anything_makes_no_chunks(house):
    seal_all(house, START_S + DAY)
    assert count(house, "chunk") == count(house, "seal") == 0


def test_a_slice_is_one_transaction_of_a_few_series(house):
    journal(house, START_S, 300, step_s=30, ids=range(1, 2 * SLICE + 2))
    sizes = []
    while house.writer._sealer.advance(START_S + 300):
        sizes.append(count(house, "chunk"))
    assert sizes[:4] == [SLICE, 2 * SLICE, 2 * SLICE + 1, 2 * SLICE + 1]


def test_more_series_than_are_read_at_once_are_all_sealed(house):
    numbers = range(1, GROUP + 6)
    journal(house, START_S, 300, step_s=100, ids=numbers)
    seal_all(house, START_S + 300)
    assert count(house, "chunk") == GROUP + 5
    assert all(found(house, START_S, START_S + 300, number=each)[0][2] == START_S % 1_000 + each for each in numbers)


SERIES = tuple(range(1, 2 * SLICE + 6))


def all_of(house):
    """Everything that is there, in every tier, of some series."""
    return [
        found(house, START_S, START_S + 2 * HOUR, tier, number)
        for tier in (0, 1, 2)
        for number in (SERIES[0], SERIES[SLICE], SERIES[-1])
    ]


def test_killed_between_any_two_slices_it_goes_on_and_nothing_is_lost_or_doubled(tmp_path):
    (tmp_path / "whole").mkdir()
    whole = House(tmp_path / "whole")
    journal(whole, START_S, HOUR, step_s=60, ids=SERIES)
    truth = all_of(whole)
    steps = 0
    while whole.writer._sealer.advance(START_S + HOUR):
        steps += 1
        whole.writer._sealer = Sealer(whole.writer._connection)  # all that was in memory is gone
        assert all_of(whole) == truth  # and whoever reads sees each bucket once, at every moment
    assert steps > 12 * 4
    assert [count(whole, "chunk", f"tier = {tier}") for tier in (0, 1, 2)] == [12 * len(SERIES), len(SERIES), 0]
    assert count(whole) == 0


def test_an_error_in_a_slice_leaves_no_transaction_and_the_next_one_goes_on(house, monkeypatch):
    journal(house, START_S, 300, step_s=60, ids=SERIES)
    truth = all_of(house)
    sealer, encode, calls = house.writer._sealer, codec.encode_chunk, 0

    def every_third_fails(*args):
        nonlocal calls
        calls += 1
        if calls % (3 * SLICE // 2) == 0:
            raise sqlite3.OperationalError("no room")
        return encode(*args)

    monkeypatch.setattr(codec, "encode_chunk", every_third_fails)
    errors = 0
    for _ in range(30):
        try:
            sealer.advance(START_S + 300)
        except sqlite3.OperationalError:
            errors += 1
        assert not house.writer._connection.in_transaction
        assert all_of(house) == truth
    assert errors
    assert count(house) == 0


def test_a_slice_that_the_disk_refuses_is_undone_whole(house):
    journal(house, START_S, 300, step_s=60, ids=SERIES)
    house.writer._connection.execute(
        f"CREATE TEMP TRIGGER full BEFORE INSERT ON chunk WHEN new.series = {SLICE // 2}"
        " BEGIN SELECT raise(ROLLBACK, 'full'); END"
    )
    with pytest.raises(sqlite3.IntegrityError):
        house.writer._sealer.advance(START_S + 300)
    assert not house.writer._connection.in_transaction
    assert count(house, "chunk") == 0
    house.writer._connection.execute("DROP TRIGGER full")
    seal_all(house, START_S + 300)
    assert count(house, "chunk") == len(SERIES)


def test_seconds_that_come_while_a_seal_is_made_wait_for_a_further_one(house):
    journal(house, START_S, 150, ids=SERIES)
    sealer = house.writer._sealer
    sealer.advance(START_S + 300)
    journal(house, START_S + 150, 150, ids=SERIES)
    assert len(found(house, START_S, START_S + 300)) == 300
    seal_all(house, START_S + 300)
    assert count(house) == 0
    assert count(house, "chunk", "tier = 0") == 2 * len(SERIES)
    assert [row[1] for row in found(house, START_S, START_S + 300)] == [1] * 300


def test_a_clock_set_back_puts_further_seals_into_the_same_span_and_both_are_read(house):
    journal(house, START_S, HOUR, step_s=10, value=lambda *_: 2.0)
    seal_all(house, START_S + HOUR)
    journal(house, START_S + 5, HOUR, step_s=10, value=lambda *_: 6.0)
    seal_all(house, START_S + 2 * HOUR)
    assert count(house, "chunk", "tier = 1") == 2
    assert [row[1:] for row in found(house, START_S, START_S + HOUR, 1)] == [(2, 4.0, 2.0, 6.0, 6.0)] * 360
    seal_all(house, START_S + 6 * HOUR)
    assert [row[1:4] for row in found(house, START_S, START_S + HOUR, 2)] == [(12, 4.0, 2.0)] * 60


def test_a_second_that_was_written_twice_is_one_bucket(house):
    journal(house, START_S, 10, value=lambda *_: 1.0)
    journal(house, START_S, 10, value=lambda *_: 3.0)
    seal_all(house, START_S + 300)
    assert [row[1:] for row in found(house, START_S, START_S + 300)] == [(2, 2.0, 1.0, 3.0, 3.0)] * 10


def test_what_a_clock_that_was_set_back_left_in_the_future_is_sealed_at_once(house):
    later = START_S + 30 * DAY
    journal(house, later, 600)
    seal_all(house, START_S + 10)
    assert count(house) == 0
    assert len(found(house, later, later + 600)) == 600
    assert count(house, "seal") == 0


def test_what_lies_within_an_hour_ahead_waits_for_its_time(house):
    journal(house, START_S + 1_800, 60)
    seal_all(house, START_S)
    assert count(house) == 60


def test_a_damaged_second_is_lost_alone_and_counted_once(house):
    journal(house, START_S, 300, ids=range(1, GROUP + 6))
    house.writer._connection.execute("UPDATE journal SET data = x'01ff' WHERE t_s = ?", (START_S + 7,))
    seal_all(house, START_S + 300)
    assert count(house) == 0
    assert len(found(house, START_S, START_S + 300)) == 299
    assert house.writer._sealer.unreadable == 1


@pytest.mark.parametrize("rubbish", ["x''", "x'01ff'", "'text'", "zeroblob(400)"])
def test_a_damaged_chunk_is_lost_alone_and_sealing_goes_on(house, rubbish):
    journal(house, START_S, HOUR, step_s=10, ids=(1, 2))
    seal_all(house, START_S + 1_800)
    house.writer._connection.execute(
        f"UPDATE chunk SET data = {rubbish} WHERE series = 1 AND start_s = ?", (START_S + 600,)
    )
    seal_all(house, START_S + HOUR)
    assert house.writer._sealer.unreadable == 1
    assert len(found(house, START_S, START_S + HOUR, 1, 1)) == 330
    assert len(found(house, START_S, START_S + HOUR, 1, 2)) == 360


def test_a_journal_of_damaged_seconds_alone_is_sealed_away(house):
    journal(house, START_S, 10)
    house.writer._connection.execute("UPDATE journal SET data = x'00'")
    seal_all(house, START_S + 300)
    assert count(house) == count(house, "chunk") == 0
    assert house.writer._sealer.unreadable == 10


def test_an_empty_second_and_one_of_gaps_do_no_harm(house):
    journal(house, START_S, 20, value=lambda *_: float("nan"))
    from wfmon.core.sketch import EMPTY
    from wfmon.store.buckets import NONE, Second

    empty = codec.encode_second(Second(START_S, np.zeros(0, np.uint16), NONE.figures, EMPTY))
    house.writer._connection.execute("INSERT INTO journal (t_s, data) VALUES (?, ?)", (START_S + 50, empty))
    seal_all(house, START_S + HOUR)
    for tier, n in ((0, 20), (1, 2)):
        buckets = house.reader.buckets([1], START_S, START_S + HOUR, TIERS[tier])[1]
        assert buckets.figures.samples.tolist() == [0] * n
        assert np.isnan(buckets.figures.mean).all()


@pytest.mark.parametrize("number", [1, 65_535])
def test_the_first_and_the_last_number_are_sealed_like_others(house, number):
    journal(house, START_S, 300, ids=(number,))
    seal_all(house, START_S + HOUR)
    assert len(found(house, START_S, START_S + HOUR, 1, number)) == 30


def test_live_are_the_seals_in_the_making_and_those_not_wholly_taken_in(house):
    sealer = house.writer._sealer
    journal(house, START_S, HOUR, step_s=10, ids=SERIES)
    seal_all(house, START_S + HOUR - 1)
    assert len(sealer.live) == 11
    while len(sealer.live) < 13:  # the twelfth, and the one of the coarser tier that is begun
        sealer.advance(START_S + HOUR)
    sealer.advance(START_S + HOUR)
    assert len(sealer.live) == 13
    seal_all(house, START_S + HOUR)
    assert len(sealer.live) == 1
