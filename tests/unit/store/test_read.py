from __future__ import annotations

import sqlite3
import threading

import pytest

from tests.kit.recorded_store import START_S, RecordedStore
from wfmon.core.types import Cause, Request
from wfmon.store.buckets import joined
from wfmon.store.read import Reader
from wfmon.store.tiers import TIERS

HOUR = 3_600


def request(name, started_ms, *, model="m", **more):
    return Request(id=name, model=model, server="s", via="hook", started_ms=started_ms, status="ok", **more)


@pytest.fixture(scope="module")
def grown(tmp_path_factory):
    """An hour and 400 seconds: chunks of two tiers, and a journal."""
    recorded = RecordedStore(tmp_path_factory.mktemp("grown"), "a")
    recorded.run(HOUR + 400, a=lambda t_s: float(t_s - START_S))
    return recorded


def test_an_absent_file_has_nothing_in_it(tmp_path):
    reader = Reader(tmp_path / "wfmon.db")
    assert reader.series() == list(reader.requests(0, 10**15)) == reader.annotations(0, 10**15) == []
    assert reader.span() is None
    assert reader.first_of() == {}
    assert {number: len(each) for number, each in reader.buckets([1, 2], 0, 10**9, TIERS[0]).items()} == {1: 0, 2: 0}
    with pytest.raises(KeyError):
        reader.request("r")
    usage = reader.usage()
    assert (usage["bytes"], usage["free_bytes"], usage["wal_bytes"], usage["tables"]) == (0, 0, 0, {})
    assert [tier["chunks"] for tier in usage["tiers"]] == [0] * 5
    assert not (tmp_path / "wfmon.db").exists()


def test_a_fresh_file_has_nothing_in_it(tmp_path):
    recorded = RecordedStore(tmp_path)
    assert recorded.reader.span() is None
    assert recorded.reader.series() == []
    assert recorded.reader.usage()["tables"] == {"request": 0, "annotation": 0, "alert": 0}


def test_series_are_told_with_what_they_are(tmp_path):
    recorded = RecordedStore(tmp_path, "a", "b", "never measured")
    recorded.run(3, a=1.0)
    recorded.run(5, a=1.0, b=1.0)
    assert [tuple(each) for each in recorded.reader.series()] == [
        (1, "a", "a", "", "gauge", START_S), (2, "b", "b", "", "gauge", START_S + 3),
    ]  # fmt: skip


def test_the_journal_joins_what_is_in_chunks(tmp_path):
    recorded = RecordedStore(tmp_path, "a")
    recorded.run(450, tick_s=10, a=lambda t_s: float(t_s % 100))
    assert recorded.reader.first_of() == {0: START_S}
    means = recorded.means("a", START_S, START_S + 450)
    assert means == {t_s: float(t_s % 100) for t_s in range(START_S, START_S + 447)}  # the last three may still change


@pytest.mark.parametrize("tier", TIERS, ids=lambda tier: tier.name)
def test_what_a_tier_does_not_hold_yet_comes_from_the_finer_ones(grown, tier):
    held = HOUR + 397
    found = grown.buckets("a", START_S, START_S + 2 * HOUR, tier.number)
    assert found.figures.samples.sum() == held
    assert found.t_s.tolist() == list(range(START_S, START_S + held, tier.step_s))
    assert found.figures.low.tolist() == [float(at) for at in range(0, held, tier.step_s)]


def test_a_span_gives_the_buckets_that_begin_in_it_and_these_are_whole(grown):
    for from_s in (START_S, START_S + HOUR):  # from a chunk; from seconds
        found = grown.buckets("a", from_s + 60, from_s + 150, 2)
        assert (found.t_s - from_s).tolist() == [60, 120]
        assert found.figures.samples.tolist() == [60, 60]


def test_a_span_that_begins_within_a_bucket_gives_that_bucket(tmp_path):
    recorded = RecordedStore(tmp_path, "a")
    recorded.run(100, a=1.0)
    found = recorded.buckets("a", START_S + 25, START_S + 26, 1)
    assert (found.t_s - START_S).tolist() == [20]
    assert found.figures.samples.tolist() == [10]


@pytest.mark.parametrize("span", [(0, 0), (10, 5), (-HOUR, 0), (HOUR, 2 * HOUR)])
def test_a_span_without_anything_is_empty(tmp_path, span):
    recorded = RecordedStore(tmp_path, "a")
    recorded.run(20, a=1.0)
    assert len(recorded.buckets("a", START_S + span[0], START_S + span[1])) == 0


def test_a_series_that_is_not_known_is_empty(tmp_path):
    recorded = RecordedStore(tmp_path, "a")
    recorded.run(20, a=1.0)
    assert len(recorded.reader.buckets([9], START_S, START_S + 60, TIERS[0])[9]) == 0


def test_no_series_is_no_answer(tmp_path):
    assert RecordedStore(tmp_path, "a").reader.buckets([], START_S, START_S + 60, TIERS[0]) == {}


def test_whoever_has_the_last_seconds_in_memory_is_told_where_chunks_end(tmp_path):
    recorded = RecordedStore(tmp_path, "a")
    recorded.run(450, tick_s=10, a=1.0)
    number = recorded.number("a")
    sealed_to_s, found = recorded.reader.parts_before(
        [number], START_S, START_S + 450, TIERS[0], journal_to_s=START_S + 400
    )
    assert sealed_to_s == START_S + 300
    assert joined(found[number], 1).t_s.tolist() == list(range(START_S, START_S + 400))
    sealed_to_s, found = recorded.reader.parts_before([number], START_S, START_S + 450, TIERS[0], journal_to_s=0)
    assert joined(found[number], 1).t_s.tolist() == list(range(START_S, START_S + 300))


def test_the_span_is_from_the_first_to_after_the_last_second(tmp_path):
    recorded = RecordedStore(tmp_path, "a")
    recorded.run(20, a=1.0)
    assert recorded.reader.span() == (START_S, START_S + 17)
    recorded.run(400, tick_s=10, a=1.0)
    assert recorded.reader.span() == (START_S, START_S + 417)


def test_once_all_is_sealed_the_span_ends_with_the_finest_chunk(tmp_path):
    recorded = RecordedStore(tmp_path, "a")
    recorded.run(1_000, tick_s=10, a=1.0)
    recorded.clock.advance(30 * HOUR)
    recorded.writer.tick()
    recorded.writer.tidy_all()
    assert recorded.reader.first_of() == {1: START_S, 2: START_S, 3: START_S, 4: START_S}
    assert recorded.reader.span() == (START_S, START_S + HOUR)  # not the day's end


def test_requests_come_newest_first_and_as_they_were(tmp_path):
    recorded = RecordedStore(tmp_path)
    told = request(
        "b", START_S * 1_000 + 5, model="n", output_tokens=3, ttft_ms=12.5, slow=True, reason="stop",
        stalls=((400.0, 900.0),), causes=(Cause("queue", "It waited.", 80.0),),
    )  # fmt: skip
    for each in (request("a", START_S * 1_000), told, request("c", START_S * 1_000 + 9)):
        recorded.writer.request(each)
    recorded.writer.tick()
    span = (START_S * 1_000, START_S * 1_000 + 9)
    assert [each["id"] for each in recorded.reader.requests(*span)] == ["b", "a"]
    assert [each["id"] for each in recorded.reader.requests(*span, limit=1)] == ["b"]
    assert [each["id"] for each in recorded.reader.requests(*span, model="m")] == ["a"]
    found = recorded.reader.request("b")
    assert found["stalls"] == [[400.0, 900.0]]
    assert found["causes"] == [{"code": "queue", "text": "It waited.", "cost_ms": 80.0}]
    assert (found["slow"], found["output_tokens"], found["ttft_ms"], found["joules"]) == (True, 3, 12.5, None)
    assert recorded.reader.request("a")["slow"] is None


def test_a_request_that_is_told_again_takes_the_place_of_the_first(tmp_path):
    recorded = RecordedStore(tmp_path)
    recorded.writer.request(request("a", START_S * 1_000))
    recorded.writer.request(request("a", START_S * 1_000, output_tokens=9))
    recorded.writer.tick()
    assert [each["output_tokens"] for each in recorded.reader.requests(0, 10**15)] == [9]


def test_annotations_come_in_order_of_time_the_newest_at_most(tmp_path):
    recorded = RecordedStore(tmp_path)
    for at in (3, 1, 2):
        recorded.writer.annotate("start", f"at {at}", START_S * 1_000 + at)
    recorded.writer.tick()
    assert [each["text"] for each in recorded.reader.annotations(0, 10**15)] == ["at 1", "at 2", "at 3"]
    assert [each["text"] for each in recorded.reader.annotations(0, 10**15, 2)] == ["at 2", "at 3"]
    assert recorded.reader.annotations(START_S * 1_000 + 2, START_S * 1_000 + 3) == [
        {"t_ms": START_S * 1_000 + 2, "kind": "start", "text": "at 2"}
    ]


def test_usage_counts_what_each_series_takes(tmp_path):
    recorded = RecordedStore(tmp_path, "a", "b_ms")
    recorded.run(700, tick_s=10, a=1.0, b_ms=lambda t_s: float(t_s % 50))
    usage = recorded.reader.usage()
    assert usage["tiers"][0] | {"bytes": 0} == {
        "name": "1s", "step_s": 1, "tier": 0, "chunks": 4, "bytes": 0, "first_s": START_S,
    }  # fmt: skip
    assert sum(usage["series"].values()) == usage["tiers"][0]["bytes"]
    assert usage["series"]["b_ms"] > usage["series"]["a"] > 0
    assert usage["bytes"] == recorded.writer.path.stat().st_size


def test_a_damaged_chunk_is_left_out_and_told(tmp_path, caplog):
    recorded = RecordedStore(tmp_path, "a")
    recorded.run(700, tick_s=10, a=1.0)
    recorded.writer._connection.execute("UPDATE chunk SET data = x'01' WHERE start_s = ?", (START_S,))
    assert len(recorded.means("a", START_S, START_S + 600)) == 300
    assert "cannot be read" in caplog.text


def test_a_damaged_second_is_left_out(tmp_path):
    recorded = RecordedStore(tmp_path, "a")
    recorded.run(20, a=1.0)
    recorded.writer._connection.execute("UPDATE journal SET data = x'01' WHERE t_s = ?", (START_S + 5,))
    assert len(recorded.means("a", START_S, START_S + 20)) == 16


def test_whoever_reads_cannot_write(tmp_path):
    from wfmon.store.database import reading

    recorded = RecordedStore(tmp_path)
    with reading(recorded.writer.path) as connection, pytest.raises(sqlite3.OperationalError, match="readonly"):
        connection.execute("DELETE FROM journal")


def test_many_threads_read_while_it_is_written_and_sealed_and_each_sees_every_second_once(tmp_path):
    recorded = RecordedStore(tmp_path, "a")
    recorded.run(50, a=1.0)
    number = recorded.number("a")
    stop, wrong, reads = threading.Event(), [], []

    def read():
        least = 47
        while not stop.is_set():
            found = recorded.reader.buckets([number], START_S, START_S + 10_000, TIERS[0])[number]
            samples = found.figures.samples.tolist()
            reads.append(len(samples))
            if set(samples) != {1} or len(samples) < least:
                wrong.append(samples)
            least = len(samples)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    recorded.run(650, tick_s=10, a=1.0)
    stop.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(reads) > 20
