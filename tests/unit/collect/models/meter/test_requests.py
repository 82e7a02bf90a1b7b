from __future__ import annotations

import math
from array import array

import orjson
import pytest

from tests.kit.meter_harness import MeterHarness
from wfmon.collect.models.ingest.events import Reading
from wfmon.collect.models.meter.requests import MAX_TICKS, TokenTicks
from wfmon.collect.models.meter.tracker import MAX_MODELS, MAX_READINGS
from wfmon.core.catalogue import OTHER


@pytest.fixture
def harness():
    return MeterHarness()


@pytest.fixture
def sender(harness):
    return harness.sender()


def test_the_runtimes_own_durations_win(harness, sender):
    sender.start()
    t = sender.t
    sender.say(
        {"e": "phase", "r": "r1", "t": t, "name": "queued"},
        {"e": "phase", "r": "r1", "t": t + 100_000, "name": "loading"},
        {"e": "phase", "r": "r1", "t": t + 400_000, "name": "prompt"},
        {"e": "prompt", "r": "r1", "t": t, "tokens": 50, "cached": 10},
    )
    harness.clock.advance(1)
    sender.tokens()
    sender.end(prompt_ms=200.0)
    rows, gauges = harness.beat()
    assert rows["queue_wait_ms"] == [(0, 100.0)]
    assert rows["load_ms"] == [(0, 300.0)]
    assert rows["prompt_tokens_per_second"] == [(0, 200.0)]  # 40 were read in 0.2 s, 10 came from the cache
    assert gauges["cache_hit_percent"] == 20.0
    request = harness.request
    assert (request["queue_ms"], request["load_ms"], request["prompt_ms"]) == (100.0, 300.0, 200.0)
    assert (request["prompt_tokens"], request["cached_tokens"]) == (50, 10)


def test_a_phase_lasts_until_the_first_token_or_the_end(harness, sender):
    sender.start()
    sender.say({"e": "phase", "r": "r1", "t": sender.t, "name": "prompt"})
    harness.clock.advance(0.25)
    sender.tokens()
    harness.clock.advance(1)
    sender.end()
    harness.beat()
    assert harness.request["prompt_ms"] == 250.0
    assert harness.request["queue_ms"] is None
    assert harness.meters.request(harness.request["id"])["phases"] == [{"name": "prompt", "t_ms": 0.0}]


def test_tokens_that_were_not_seen_one_by_one_still_count(harness, sender):
    sender.start()
    sender.end(output_tokens=40, decode_ms=390.0)
    _, gauges = harness.beat()
    assert gauges["tokens_total"] == 40.0
    assert harness.request["ttft_ms"] is None
    assert harness.request["time_per_output_token_ms"] == 10.0
    assert harness.request["tokens_per_second"] == 100.0


def test_stalls_are_intervals_of_more_than_400_ms_a_token(harness, sender):
    sender.start()
    t = sender.t
    harness.clock.advance(3)
    sender.say({"e": "tokens", "r": "r1", "t": [t + ms * 1000 for ms in (100, 500, 901, 2000)], "n": [1, 1, 1, 4]})
    sender.end()
    harness.beat()
    assert harness.request["stalls"] == [[500.0, 401.0]]


def test_a_request_has_its_ticks(harness, sender):
    sender.start(vocab_size=4)
    t = sender.t
    harness.clock.advance(1)
    sender.say({"e": "tokens", "r": "r1", "t": [t + 10_000, t + 30_500], "n": [1, 3], "entropy": [1.5, None]})
    harness.beat()
    (request,) = harness.meters.requests(10)
    found = harness.meters.request(request["id"])
    assert found["ticks"] == {"t_ms": [10.0, 30.5], "tokens": [1, 3], "entropy_bits": [1.5, None]}
    assert found["thinned"] == 1
    assert found["status"] == "open"
    assert found["entropy_bits"] == 1.5
    with pytest.raises(KeyError):
        harness.meters.request("nobody")


def test_ticks_are_thinned_by_half_and_lose_no_token():
    ticks = TokenTicks()
    for at in range(3 * MAX_TICKS):
        ticks.add(float(at), 1, math.nan if at % 2 else at / 10)
    told = ticks.as_lists()
    assert ticks.thinned == 4
    assert sum(told["tokens"]) == 3 * MAX_TICKS
    assert len(told["t_ms"]) == 3 * MAX_TICKS // 4
    assert told["t_ms"] == [4.0 * at for at in range(len(told["t_ms"]))]
    assert told["entropy_bits"][1] == pytest.approx(0.6)
    assert isinstance(ticks.t_ms, array)


def test_the_last_requests_are_kept_and_of_fewer_their_ticks():
    harness = MeterHarness(keep_requests=100)
    sender = harness.sender()
    for at in range(130):
        sender.start(f"r{at}")
        sender.tokens(f"r{at}")
        sender.end(f"r{at}")
        harness.beat(0.05)
    requests = harness.meters.requests(1000)
    assert len(requests) == 100
    assert requests[0]["id"] == "sender-r129"
    assert len(harness.meters.requests(5)) == 5
    with_ticks = [one for one in requests if harness.meters.request(one["id"])["ticks"]["t_ms"]]
    assert len(with_ticks) == 64
    with pytest.raises(KeyError):
        harness.meters.request("sender-r1")


def test_names_are_unique_and_fit_for_a_url(harness, sender):
    for _ in range(2):
        sender.start("chat:1")
        sender.end("chat:1")
    harness.beat()
    assert {one["id"] for one in harness.meters.requests(9)} == {"sender-chat.1", "sender-chat.1~2"}


def test_a_thousand_requests_of_one_name_are_told_apart_with_one_look_each(harness, sender):
    looks = []

    class Counting(dict):
        def __contains__(self, key):
            looks.append(key)
            return super().__contains__(key)

    harness.meters._tracker.archive._by_id = Counting()
    for _ in range(1000):
        sender.start("1")
        sender.end("1")
    harness.beat()
    assert len({one["id"] for one in harness.meters.requests(1000)}) == 200
    assert len(looks) <= 2 * 1000


@pytest.mark.parametrize("via", ["hook", "proxy"])
def test_past_the_most_models_a_request_keeps_its_models_name(via):
    filed = []
    harness = MeterHarness(filed=filed.append)
    sender = harness.sender(via=via, server="127.0.0.1:8000")
    for at in range(MAX_MODELS + 2):
        sender.start(f"r{at}", model=f"m{at}")
        sender.tokens(f"r{at}")
    harness.beat()
    names = {f"m{at}" for at in range(MAX_MODELS + 2)}
    assert {row["model"] for row in harness.meters.requests(100)} == names  # while they are open
    for at in range(MAX_MODELS + 2):
        sender.end(f"r{at}")
    harness.beat()
    rows = harness.second()["requests"].rows
    assert len(harness.meters.models()) == MAX_MODELS + 1
    assert harness.meters.models()[-1]["model"] == OTHER
    assert {(row["model"], row["server"]) for row in harness.meters.requests(100)} == {
        (name, "127.0.0.1:8000") for name in names
    }
    assert (f"m{MAX_MODELS + 1}", "127.0.0.1:8000") in {row[2:4] for row in rows}
    assert {request.model for request in harness.asked} == {request.model for request in filed} == names


def test_past_the_most_models_a_hook_is_still_believed_before_a_proxy(harness):
    hook, proxy = harness.sender(), harness.sender("sender-0002", via="proxy")
    for at in range(MAX_MODELS):
        hook.start(f"r{at}", model=f"m{at}", server=f"127.0.0.1:{at + 1}")
    hook.start("late", model="late", server="127.0.0.1:9999")
    proxy.start("late", model="late", server="127.0.0.1:9999")
    harness.beat()
    assert [row["via"] for row in harness.meters.requests(100) if row["model"] == "late"] == ["hook"]
    assert harness.meters.dropped["model_seen_better"] == 1


def test_a_request_that_starts_twice_was_lost_once(harness, sender):
    sender.start()
    sender.start()
    harness.beat()
    assert sorted(one["status"] for one in harness.meters.requests(9)) == ["lost", "open"]


@pytest.mark.parametrize(("alive", "status"), [(False, "aborted"), (True, "lost")])
def test_what_a_source_had_open_when_it_went_was_aborted_if_its_process_is_gone(harness, sender, alive, status):
    sender.start()
    harness.beat()
    sender.connection.close()
    harness.alive = alive
    harness.beat(1.9)
    assert harness.request["status"] == "open"
    _, gauges = harness.beat(0.5)
    assert harness.request["status"] == status
    assert gauges[f"requests_total {status}"] == 1.0
    assert harness.request["duration_ms"] is None


def test_one_that_posts_has_thirty_seconds_between_two_posts(harness):
    sender = harness.sender(post=True)
    sender.start()
    sender.connection.close()
    harness.beat(29)
    sender.connection = harness.ingest.open(post=True)
    sender.say(first=True)
    sender.tokens(back_ms=(20, 0))
    rows, _ = harness.beat()
    assert [value for _, value in rows["inter_token_latency_ms"]] == [20.0]
    assert harness.request["status"] == "open"
    sender.connection.close()
    harness.beat(30.5)
    assert harness.request["status"] == "lost"


def test_a_request_that_says_nothing_for_ten_minutes_is_lost(harness, sender):
    sender.start()
    harness.beat()
    harness.beat(599)
    assert harness.request["status"] == "open"
    harness.beat(2)
    assert harness.request["status"] == "lost"
    assert harness.meters.dropped["model_request_idle"] == 1


def test_the_oldest_of_more_than_a_thousand_open_requests_is_lost(harness, sender):
    for at in range(1001):
        sender.start(f"r{at}")
    _, gauges = harness.beat()
    assert gauges["requests_active"] == 1000.0
    assert gauges["requests_total lost"] == 1.0
    assert harness.meters.dropped["model_open_cap"] == 1
    assert harness.meters.request("sender-r0")["status"] == "lost"


def test_who_never_ends_what_it_starts_pushes_nobody_out(harness, sender):
    sender.start("mine")
    other = harness.sender("other-00001", name="other")
    for at in range(1500):
        other.start(f"r{at}")
    harness.beat()
    assert harness.meters.request("sender-mine")["status"] == "open"
    assert harness.meters.dropped["model_open_cap"] == 501


@pytest.mark.parametrize("times", [(1, 2, 3), (2**53 - 4, 2**53 - 3, 2**53 - 2)])
@pytest.mark.parametrize("beat", [0, 2**53 - 1])
def test_no_clock_however_wrong_stops_the_beat_or_makes_up_a_time(harness, sender, beat, times):
    begin, token, end = times
    sender.connection.take(
        b"\n".join(
            orjson.dumps(line) for line in [
                {"e": "beat", "t": beat},
                {"e": "start", "r": "odd", "t": begin, "model": "m"},
                {"e": "tokens", "r": "odd", "t": [token, token]},
                {"e": "tokens", "r": "odd", "t": [2**53 - 3]},
                {"e": "end", "r": "odd", "t": end, "status": "ok"},
            ]
        )
    )  # fmt: skip
    rows, _ = harness.beat()
    assert all(-600_000 <= t_ms <= 1_000 for each in rows.values() for t_ms, _ in each)
    assert all(value < 1e9 for name, each in rows.items() if name.endswith("_ms") for _, value in each)
    request = harness.request
    assert request["status"] == "ok"
    assert request["output_tokens"] == 3
    assert abs(request["started_ms"] - harness.clock.now_ms()) <= 86_400_000
    assert abs(request["ended_ms"] - harness.clock.now_ms()) <= 600_000
    assert all(length < 1e9 for _, length in request["stalls"])
    sender.start("next")
    sender.tokens("next", back_ms=(20, 10, 0))
    harness.beat()
    assert harness.request["output_tokens"] == 3


def test_a_span_of_more_than_a_day_is_a_clock_that_jumped(harness, sender):
    t = sender.t
    harness.clock.advance(1)
    sender.say(
        {"e": "start", "r": "r1", "t": 0, "model": "m"},
        {"e": "tokens", "r": "r1", "t": [t, t + 1_000]},
        {"e": "end", "r": "r1", "t": 90_000_000_000, "status": "ok"},
    )
    harness.beat()
    assert harness.request["duration_ms"] is None


def test_the_mean_entropy_is_of_the_tokens_that_had_one(harness, sender):
    sender.start(vocab_size=16)
    sender.tokens(back_ms=(20, 10, 0), entropy=[1.0, None, 2.0])
    sender.end()
    harness.beat()
    assert harness.request["entropy_bits"] == 1.5
    assert harness.request["entropy_k"] == 16


def test_of_many_open_requests_the_newest_note_their_ticks(harness, sender):
    for at in range(70):
        sender.start(f"r{at}")
        sender.tokens(f"r{at}")
    harness.beat()
    ticks = [bool(harness.meters.request(f"sender-r{at}")["ticks"]["t_ms"]) for at in range(70)]
    assert ticks == [False] * 6 + [True] * 64


def test_a_server_that_names_others_in_every_look_fills_no_memory(harness):
    for look in range(12):
        names = [f"m{look}-{at}" for at in range(100)]
        harness.meters.scraped([Reading("127.0.0.1:8000", name, harness.clock.now_ms(), 1.0) for name in names])
        harness.beat(1)
    assert len(harness.meters._tracker._readings) == MAX_READINGS
