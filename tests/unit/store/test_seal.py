from __future__ import annotations

import sqlite3
import tracemalloc

import numpy as np
import pytest

from tests.kit.recorded_store import START_S, RecordedStore
from wfmon.store import codec
from wfmon.store.seal import GROUP, SLICE, Sealer, transaction
from wfmon.store.tiers import TIERS

HOUR, DAY = 3_600, 86_400


def journal(recorded, from_s, seconds, *, step_s=1, ids=(1,), value=lambda t_s, number: float(t_s % 1_000 + number)):
    """Put seconds into the file as the writer does, without its clock."""
    from wfmon.store.buckets import seconds_of

    numbers = np.array(ids, np.uint16)
    distributions = np.zeros(65_536, bool)
    distributions[2] = True
    connection = recorded.writer._connection
    with transaction(connection) as cursor:
        for t_s in range(from_s, from_s + seconds, step_s):
            values = np.array([value(t_s, number) for number in ids], np.float32)
            (second,) = seconds_of(numbers, np.full(len(ids), t_s * 1_000, np.int64), values, distributions)
            cursor.execute("INSERT INTO journal (t_s, data) VALUES (?, ?)", (second.t_s, codec.encode_second(second)))
            recorded.writer._sealer.journaled(t_s)


def seal_all(recorded, now_s):
    while recorded.writer._sealer.advance(now_s):
        pass


def count(recorded, what="journal", where="1"):
    return recorded.writer._connection.execute(f"SELECT count(*) FROM {what} WHERE {where}").fetchone()[0]


def found(recorded, from_s, to_s, tier=0, number=1):
    buckets = recorded.reader.buckets([number], from_s, to_s, TIERS[tier])[number]
    return list(zip((buckets.t_s - START_S).tolist(), buckets.figures.samples.tolist(),
                    buckets.figures.mean.tolist(), buckets.figures.low.tolist(), buckets.figures.high.tolist(),
                    buckets.figures.last.tolist(), strict=True))  # fmt: skip


@pytest.fixture
def recorded(tmp_path):
    return RecordedStore(tmp_path)


def test_a_chunk_is_sealed_when_its_span_is_past(recorded):
    journal(recorded, START_S, 300)
    assert not recorded.writer._sealer.advance(START_S + 299)
    seal_all(recorded, START_S + 300)
    assert count(recorded) == 0
    assert count(recorded, "chunk", "tier = 0") == 1
    assert found(recorded, START_S, START_S + 300)[7] == (7, 1, *[float((START_S + 7) % 1_000 + 1)] * 4)


def test_what_is_not_past_stays_in_the_journal(recorded):
    journal(recorded, START_S, 450)
    seal_all(recorded, START_S + 450)
    assert count(recorded) == 150
    assert len(found(recorded, START_S, START_S + 450)) == 450


def test_each_tier_is_made_of_the_one_below_with_the_numbers_of_its_samples(recorded):
    journal(recorded, START_S, DAY, step_s=10, value=lambda t_s, _: float(t_s - START_S))
    seal_all(recorded, START_S + DAY)
    assert [count(recorded, "chunk", f"tier = {tier.number}") for tier in TIERS] == [288, 24, 4, 1, 1]
    assert count(recorded) == count(recorded, "seal") == 0
    for tier in TIERS[1:]:
        per, end = tier.step_s // 10, tier.step_s - 10
        rows = found(recorded, START_S, START_S + DAY, tier.number)
        assert len(rows) == DAY // tier.step_s
        for t_s, samples, mean, low, high, last in rows:
            assert (samples, low, high, last) == (per, t_s, t_s + end, t_s + end)
            assert mean == pytest.approx(t_s + end / 2, rel=1e-6)


def test_a_chunk_of_two_thousand_series_takes_no_more_memory_than_one_group_of_them(recorded):
    journal(recorded, START_S, 300, step_s=5, ids=range(1, 2_001))  # 60 rows, all of them decoded are 2.6 MB
    tracemalloc.start()
    try:
        seal_all(recorded, START_S + 300)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2_000_000
    assert count(recorded, "chunk", "tier = 0") == 2_000
    assert len(found(recorded, START_S, START_S + 300, number=1_999)) == 60


def test_distributions_go_up_through_all_tiers(recorded):
    journal(recorded, START_S, DAY, step_s=60, ids=(2,), value=lambda t_s, _: 10.0 if t_s % 120 else 1_000.0)
    seal_all(recorded, START_S + DAY)
    for tier in TIERS:
        buckets = recorded.reader.buckets([2], START_S, START_S + DAY, tier)[2]
        assert buckets.sketch.counts.sum() == DAY // 60
    hour = buckets.sketch.quantiles(np.arange(24, dtype=np.uint16), (0.25, 0.75))
    assert hour[:, 0] == pytest.approx(10, rel=0.02)
    assert hour[:, 1] == pytest.approx(1_000, rel=0.02)


def test_a_day_without_anything_makes_no_chunks(recorded):
    seal_all(recorded, START_S + DAY)
    assert count(recorded, "chunk") == count(recorded, "seal") == 0


def test_a_slice_is_one_transaction_of_a_few_series(recorded):
    journal(recorded, START_S, 300, step_s=30, ids=range(1, 2 * SLICE + 2))
    sizes = []
    while recorded.writer._sealer.advance(START_S + 300):
        sizes.append(count(recorded, "chunk"))
    assert sizes[:4] == [SLICE, 2 * SLICE, 2 * SLICE + 1, 2 * SLICE + 1]


def test_more_series_than_are_read_at_once_are_all_sealed(recorded):
    numbers = range(1, GROUP + 6)
    journal(recorded, START_S, 300, step_s=100, ids=numbers)
    seal_all(recorded, START_S + 300)
    assert count(recorded, "chunk") == GROUP + 5
    assert all(found(recorded, START_S, START_S + 300, number=each)[0][2] == START_S % 1_000 + each for each in numbers)


SERIES = tuple(range(1, 2 * SLICE + 6))


def all_of(recorded):
    """Everything that is there, in every tier, of some series."""
    return [
        found(recorded, START_S, START_S + 2 * HOUR, tier, number)
        for tier in (0, 1, 2)
        for number in (SERIES[0], SERIES[SLICE], SERIES[-1])
    ]


def test_killed_between_any_two_slices_it_goes_on_and_nothing_is_lost_or_doubled(tmp_path):
    (tmp_path / "whole").mkdir()
    whole = RecordedStore(tmp_path / "whole")
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


def test_an_error_in_a_slice_leaves_no_transaction_and_the_next_one_goes_on(recorded, monkeypatch):
    journal(recorded, START_S, 300, step_s=60, ids=SERIES)
    truth = all_of(recorded)
    sealer, encode, calls = recorded.writer._sealer, codec.encode_chunk, 0

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
        assert not recorded.writer._connection.in_transaction
        assert all_of(recorded) == truth
    assert errors
    assert count(recorded) == 0


def test_a_slice_that_the_disk_refuses_is_undone_whole(recorded):
    journal(recorded, START_S, 300, step_s=60, ids=SERIES)
    recorded.writer._connection.execute(
        f"CREATE TEMP TRIGGER full BEFORE INSERT ON chunk WHEN new.series = {SLICE // 2}"
        " BEGIN SELECT raise(ROLLBACK, 'full'); END"
    )
    with pytest.raises(sqlite3.IntegrityError):
        recorded.writer._sealer.advance(START_S + 300)
    assert not recorded.writer._connection.in_transaction
    assert count(recorded, "chunk") == 0
    recorded.writer._connection.execute("DROP TRIGGER full")
    seal_all(recorded, START_S + 300)
    assert count(recorded, "chunk") == len(SERIES)


def test_seconds_that_come_while_a_seal_is_made_wait_for_a_further_one(recorded):
    journal(recorded, START_S, 150, ids=SERIES)
    sealer = recorded.writer._sealer
    sealer.advance(START_S + 300)
    journal(recorded, START_S + 150, 150, ids=SERIES)
    assert len(found(recorded, START_S, START_S + 300)) == 300
    seal_all(recorded, START_S + 300)
    assert count(recorded) == 0
    assert count(recorded, "chunk", "tier = 0") == 2 * len(SERIES)
    assert [row[1] for row in found(recorded, START_S, START_S + 300)] == [1] * 300


def test_a_clock_set_back_puts_further_seals_into_the_same_span_and_both_are_read(recorded):
    journal(recorded, START_S, HOUR, step_s=10, value=lambda *_: 2.0)
    seal_all(recorded, START_S + HOUR)
    journal(recorded, START_S + 5, HOUR, step_s=10, value=lambda *_: 6.0)
    seal_all(recorded, START_S + 2 * HOUR)
    assert count(recorded, "chunk", "tier = 1") == 2
    assert [row[1:] for row in found(recorded, START_S, START_S + HOUR, 1)] == [(2, 4.0, 2.0, 6.0, 6.0)] * 360
    seal_all(recorded, START_S + 6 * HOUR)
    assert [row[1:4] for row in found(recorded, START_S, START_S + HOUR, 2)] == [(12, 4.0, 2.0)] * 60


def test_a_second_that_was_written_twice_is_one_bucket(recorded):
    journal(recorded, START_S, 10, value=lambda *_: 1.0)
    journal(recorded, START_S, 10, value=lambda *_: 3.0)
    seal_all(recorded, START_S + 300)
    assert [row[1:] for row in found(recorded, START_S, START_S + 300)] == [(2, 2.0, 1.0, 3.0, 3.0)] * 10


def test_what_a_clock_that_was_set_back_left_in_the_future_is_sealed_at_once(recorded):
    later = START_S + 30 * DAY
    journal(recorded, later, 600)
    seal_all(recorded, START_S + 10)
    assert count(recorded) == 0
    assert len(found(recorded, later, later + 600)) == 600
    assert count(recorded, "seal") == 0


def test_what_lies_within_an_hour_ahead_waits_for_its_time(recorded):
    journal(recorded, START_S + 1_800, 60)
    seal_all(recorded, START_S)
    assert count(recorded) == 60


def test_a_damaged_second_is_lost_alone_and_counted_once(recorded):
    journal(recorded, START_S, 300, ids=range(1, GROUP + 6))
    recorded.writer._connection.execute("UPDATE journal SET data = x'01ff' WHERE t_s = ?", (START_S + 7,))
    seal_all(recorded, START_S + 300)
    assert count(recorded) == 0
    assert len(found(recorded, START_S, START_S + 300)) == 299
    assert recorded.writer._sealer.unreadable == 1


@pytest.mark.parametrize("rubbish", ["x''", "x'01ff'", "'text'", "zeroblob(400)"])
def test_a_damaged_chunk_is_lost_alone_and_sealing_goes_on(recorded, rubbish):
    journal(recorded, START_S, HOUR, step_s=10, ids=(1, 2))
    seal_all(recorded, START_S + 1_800)
    recorded.writer._connection.execute(
        f"UPDATE chunk SET data = {rubbish} WHERE series = 1 AND start_s = ?", (START_S + 600,)
    )
    seal_all(recorded, START_S + HOUR)
    assert recorded.writer._sealer.unreadable == 1
    assert len(found(recorded, START_S, START_S + HOUR, 1, 1)) == 330
    assert len(found(recorded, START_S, START_S + HOUR, 1, 2)) == 360


def test_a_journal_of_damaged_seconds_alone_is_sealed_away(recorded):
    journal(recorded, START_S, 10)
    recorded.writer._connection.execute("UPDATE journal SET data = x'00'")
    seal_all(recorded, START_S + 300)
    assert count(recorded) == count(recorded, "chunk") == 0
    assert recorded.writer._sealer.unreadable == 10


def test_an_empty_second_and_one_of_gaps_do_no_harm(recorded):
    journal(recorded, START_S, 20, value=lambda *_: float("nan"))
    from wfmon.core.sketch import EMPTY
    from wfmon.store.buckets import NONE, Second

    empty = codec.encode_second(Second(START_S, np.zeros(0, np.uint16), NONE.figures, EMPTY))
    recorded.writer._connection.execute("INSERT INTO journal (t_s, data) VALUES (?, ?)", (START_S + 50, empty))
    seal_all(recorded, START_S + HOUR)
    for tier, n in ((0, 20), (1, 2)):
        buckets = recorded.reader.buckets([1], START_S, START_S + HOUR, TIERS[tier])[1]
        assert buckets.figures.samples.tolist() == [0] * n
        assert np.isnan(buckets.figures.mean).all()


@pytest.mark.parametrize("number", [1, 65_535])
def test_the_first_and_the_last_number_are_sealed_like_others(recorded, number):
    journal(recorded, START_S, 300, ids=(number,))
    seal_all(recorded, START_S + HOUR)
    assert len(found(recorded, START_S, START_S + HOUR, 1, number)) == 30


def test_live_are_the_seals_in_the_making_and_those_not_wholly_taken_in(recorded):
    sealer = recorded.writer._sealer
    journal(recorded, START_S, HOUR, step_s=10, ids=SERIES)
    seal_all(recorded, START_S + HOUR - 1)
    assert len(sealer.live) == 11
    while len(sealer.live) < 13:  # the twelfth, and the one of the coarser tier that is begun
        sealer.advance(START_S + HOUR)
    sealer.advance(START_S + HOUR)
    assert len(sealer.live) == 13
    seal_all(recorded, START_S + HOUR)
    assert len(sealer.live) == 1
