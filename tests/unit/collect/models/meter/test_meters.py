from __future__ import annotations

import hashlib
import math

import pytest

from tests.kit.meter_harness import MeterHarness
from wfmon.collect.models.ingest.events import Reading, SourceGone
from wfmon.collect.models.meter import meters as module
from wfmon.collect.models.meter.gauges import NOT_AT_ONCE, NOT_YET
from wfmon.collect.models.meter.model import (
    NO_LOGPROBS,
    NO_PEAK,
    NO_POWER,
    NO_TOKENS,
    NOT_EXACT,
    NOT_REPORTED,
    NOT_SCRAPED,
    SCRAPED,
    STALE,
)
from wfmon.collect.models.meter.tables import MODELS, REQUESTS
from wfmon.core.settings import EnergySettings
from wfmon.core.types import Cause
from wfmon.process.energy import EnergyMeter


@pytest.fixture
def harness():
    return MeterHarness()


@pytest.fixture
def sender(harness):
    return harness.sender()


def test_a_request_is_seen_from_its_start_to_its_end(harness, sender):
    sender.start(prompt_tokens=7)
    rows, gauges = harness.beat()
    assert rows == {}
    assert gauges == {
        "tokens_per_second": 0.0, "requests_active": 1.0, "requests_waiting": 1.0, "tokens_total": 0.0, "energy": 0.0,
        "energy_state": 1.0,
    }  # fmt: skip
    harness.clock.advance(0.2)
    sender.tokens(back_ms=(40, 0))
    rows, gauges = harness.beat()
    assert rows == {
        "chunk_tokens": [(-40, 1.0), (0, 1.0)], "inter_token_latency_ms": [(0, 40.0)], "ttft_ms": [(-40, 160.0)]
    }  # fmt: skip
    assert gauges["tokens_per_second"] == 2.0
    assert gauges["throughput_percent"] == 100.0
    assert (gauges["requests_active"], gauges["requests_waiting"]) == (1.0, 0.0)
    harness.clock.advance(0.1)
    sender.end(reason="stop")
    rows, gauges = harness.beat()
    assert rows == {"time_per_output_token_ms": [(0, 40.0)], "request_duration_ms": [(0, 300.0)]}
    assert gauges["requests_active"] == 0.0
    assert gauges["requests_total ok"] == 1.0
    assert gauges["tokens_total"] == 2.0
    assert gauges["prompt_tokens_total"] == 7.0


def test_the_sliding_second_has_exact_edges(harness, sender):
    sender.start()
    sender.tokens(back_ms=(0,), n=[3])
    assert harness.beat()[1]["tokens_per_second"] == 3.0
    assert harness.beat(0.999)[1]["tokens_per_second"] == 3.0
    assert harness.beat(0.001)[1]["tokens_per_second"] == 0.0


def test_throughput_is_a_share_of_the_models_own_peak_of_five_minutes(harness, sender):
    sender.start()
    sender.tokens(n=[40])
    assert harness.beat()[1]["throughput_percent"] == 100.0
    harness.clock.advance(2)
    sender.tokens(n=[10])
    assert harness.beat()[1]["throughput_percent"] == 25.0
    harness.clock.advance(299)
    harness.beat()
    sender.tokens(n=[5])
    assert harness.beat()[1]["throughput_percent"] == 50.0


def test_a_model_that_never_gave_a_token_has_no_throughput(harness, sender):
    sender.start()
    harness.beat()
    assert harness.why_absent("throughput_percent") == NO_PEAK


def test_a_chunk_counts_its_tokens_and_is_no_inter_token_interval(harness, sender):
    sender.start()
    sender.tokens(back_ms=(60, 40, 10, 0), n=[1, 4, 1, 0])
    rows, gauges = harness.beat()
    assert rows["chunk_tokens"] == [(-60, 1.0), (-40, 4.0), (-10, 1.0)]
    assert rows["inter_token_latency_ms"] == [(-10, 30.0)]
    assert gauges["tokens_total"] == 6.0


def test_chunks_of_one_millisecond_are_one_row(harness, sender):
    sender.start()
    sender.tokens(back_ms=(9.9, 9.6, 9.2, 0), n=[2, 1, 1, 1])
    rows, _ = harness.beat()
    assert [value for _, value in rows["chunk_tokens"]] == [4.0, 1.0]
    assert [round(value, 3) for _, value in rows["inter_token_latency_ms"]] == [0.35, 9.2]


def test_rows_never_go_back_before_the_last_one(harness, sender):
    other = harness.sender("sender-0002")
    sender.start("a")
    other.start("b")
    sender.tokens("a")
    harness.beat()
    harness.clock.advance(0.01)
    other.tokens("b", back_ms=(10, 0))
    rows, _ = harness.beat()
    assert rows["chunk_tokens"] == [(-9, 1.0), (0, 1.0)]


def test_intervals_come_from_the_senders_clock_whenever_the_message_arrives(harness, sender):
    sender.start()
    t = sender.t
    harness.clock.advance(0.5)
    sender.say({"e": "tokens", "r": "r1", "t": [t + 100_000]})
    harness.clock.advance(0.3)
    sender.say({"e": "tokens", "r": "r1", "t": [t + 125_000]})
    rows, _ = harness.beat()
    assert [value for _, value in rows["inter_token_latency_ms"]] == [25.0]
    assert [value for _, value in rows["ttft_ms"]] == [100.0]


def test_the_fastest_message_tells_where_a_clock_stands(harness, sender):
    sender.start()
    late = sender.t
    harness.clock.advance(0.03)
    # A message that was 30 ms on its way does not move the mapping.
    sender.connection.take(b'{"e":"beat","t":%d}' % late)
    sender.say({"e": "tokens", "r": "r1", "t": [late]})
    assert harness.beat()[0]["chunk_tokens"] == [(-30, 1.0)]


def test_the_interval_over_a_reconnection_is_dropped_and_the_request_goes_on(harness, sender):
    sender.start()
    sender.tokens(back_ms=(20, 0))
    t = sender.t
    harness.beat()
    sender.connection.close()
    harness.beat(1.9)
    sender.again()
    sender.say({"e": "start", "r": "r1", "t": t - 20_000, "model": "m", "again": True})
    sender.tokens(back_ms=(30, 0))
    rows, gauges = harness.beat()
    assert [value for _, value in rows["inter_token_latency_ms"]] == [30.0]
    assert gauges["requests_active"] == 1.0
    sender.end(output_tokens=9, decode_ms=80.0)
    harness.beat()
    assert harness.request["status"] == "ok"
    assert harness.request["output_tokens"] == 9
    assert harness.request["time_per_output_token_ms"] == 10.0  # the runtime's own: ours has a hole


def test_a_request_told_anew_to_a_monitor_that_did_not_know_it_has_no_time_to_first_token(harness, sender):
    sender.say({"e": "start", "r": "r1", "t": sender.t - 3_000_000, "model": "m", "again": True})
    sender.tokens()
    rows, _ = harness.beat()
    assert "ttft_ms" not in rows
    assert harness.request["ttft_ms"] is None
    assert harness.request["started_ms"] == harness.clock.now_ms() - 3000


def test_the_interval_in_which_the_sender_dropped_events_is_dropped(harness, sender):
    sender.start()
    sender.tokens(back_ms=(20, 0))
    harness.beat()
    sender.lost = 12
    harness.clock.advance(0.1)
    sender.tokens(back_ms=(40, 0))
    rows, _ = harness.beat()
    assert [value for _, value in rows["inter_token_latency_ms"]] == [40.0]
    harness.beat(0.25)
    assert harness.meters.dropped["model_lost_at_source"] == 12


def test_what_a_sender_lost_while_no_monitor_ran_counts_once_if_it_was_amid_a_request(harness):
    idle = harness.sender("sender-idle")
    idle.lost = 5
    idle.start("r1", "idle")
    harness.beat(0.25)
    assert "model_lost_at_source" not in harness.meters.dropped  # nobody missed anything
    amid = harness.sender("sender-amid")
    amid.lost = 12
    amid.start("r1", again=True)
    harness.beat(0.25)
    assert harness.meters.dropped["model_lost_at_source"] == 12
    amid.connection.close()
    harness.beat(60)
    amid.lost = 15
    amid.again()
    amid.start("r1", again=True)
    harness.beat(0.25)
    assert harness.meters.dropped["model_lost_at_source"] == 15


def test_the_interval_over_a_jump_of_the_senders_clock_is_dropped(harness, sender):
    sender.start()
    sender.tokens()
    sender.say({"e": "tokens", "r": "r1", "t": [sender.t + 3_600_000_000]})
    rows, _ = harness.beat()
    assert "inter_token_latency_ms" not in rows
    assert rows["chunk_tokens"][-1][0] <= 1
    assert harness.meters.dropped["model_clock_jump"] == 1
    sender.tokens()  # and back
    assert "inter_token_latency_ms" not in harness.beat(1)[0]


def test_entropy_comes_with_its_band_and_certainty(harness, sender):
    sender.start(vocab_size=6)
    harness.clock.advance(0.1)
    sender.tokens(back_ms=(10, 0), top=[[math.log(0.5), math.log(0.25)], None])
    rows, _ = harness.beat()
    assert rows["entropy_bits"] == [(-10, pytest.approx(1.75))]
    assert rows["entropy_low_bits"] == [(-10, pytest.approx(1.5))]
    assert rows["entropy_high_bits"] == [(-10, pytest.approx(2.0))]
    assert rows["entropy_k"] == [(-10, 2.0)]
    assert rows["certainty"] == [(-10, pytest.approx(1 - (math.log2(3) - 2 / 3)))]
    assert harness.why_absent("entropy_bits") is None
    assert harness.indices[0].calls[1][3] == pytest.approx(1 - (math.log2(3) - 2 / 3))


def test_exact_entropy_takes_its_size_from_k_or_the_vocabulary(harness, sender):
    sender.start(vocab_size=16)
    sender.tokens(back_ms=(10, 0), entropy=[2.0, 2.0], k=[4, None])
    rows, _ = harness.beat()
    assert rows["certainty"] == [(-10, 0.0), (0, 0.5)]
    assert rows["entropy_k"] == [(-10, 4.0), (0, 16.0)]


def test_where_no_log_probabilities_come_it_is_said(harness, sender):
    sender.start()
    sender.tokens()
    rows, _ = harness.beat()
    assert "entropy_bits" not in rows
    assert harness.why_absent("entropy_bits") == harness.why_absent("certainty") == NO_LOGPROBS
    assert harness.indices[0].calls[-1][3] is None
    assert harness.second()["models"].rows[0][MODELS.index("entropy_reason")] == NO_LOGPROBS


def test_the_energy_index_is_told_times_that_never_fall_and_ends_with_the_last_request(harness, sender):
    sender.start("a")
    sender.start("b")
    harness.clock.advance(0.1)
    sender.tokens("a", back_ms=(50, 10))
    sender.tokens("b", back_ms=(30,))
    sender.end("a")
    harness.beat()
    calls = harness.indices[0].calls
    assert [call[0] for call in calls] == ["started", "started", "token", "token", "token"]
    times = [call[1] for call in calls]
    assert times == sorted(times)
    assert [call[4] for call in calls[2:]] == [None, None, 40.0]
    assert [call[2] for call in calls[2:]] == [1, 2, 3]
    sender.end("b")
    harness.beat()
    assert calls[-1][0] == "ended"
    assert harness.request["energy"] == 0.5


def test_one_frame_holds_all_models_and_reuses_its_layout_and_reasons(harness, sender):
    sender.start("a", model="one", server="127.0.0.1:8000")
    sender.start("b", model="two", server="127.0.0.1:8000")
    harness.beat()
    before = harness.frame
    assert len([s for s in before.layout.series if s.name == "model.energy"]) == 2
    harness.beat(0.016)
    assert harness.frame is not before
    assert harness.frame.layout is before.layout
    assert harness.frame.reasons is before.reasons


def test_what_rests_is_told_once_a_second(harness, sender):
    sender.start()
    sender.end()
    harness.beat()
    harness.beat(0.016)
    told = [harness.beat(0.1)[1] != {} for _ in range(20)]
    assert sum(told) == 2


def test_models_at_rest_are_in_no_frame_of_those_that_work(harness, sender):
    resting = [f"rest{at}" for at in range(5)]
    for name in resting:
        sender.start(name, model=name)
        sender.end(name)
    harness.beat()
    harness.beat(20)
    sender.start("r1", model="m")
    harness.beat()
    for _ in range(58):
        _, gauges = harness.beat(1 / 60)
        assert gauges["requests_active"] == 1
        assert not [name for name in gauges if "rest" in name]
        sender.tokens()
    assert harness.why_absent("tokens_total", "rest0") is None
    assert harness.why_absent("throughput_percent", "rest0") == NO_PEAK  # told before, and it stands
    _, gauges = harness.beat(1)
    assert {f'tokens_total{{model="{name}",server="prog"}}' for name in resting} <= gauges.keys()
    sender.end("r1")
    harness.beat()
    harness.beat(2)
    assert harness.beat(0.1) == ({}, {})


def test_a_model_that_wakes_and_one_that_leaves_change_the_frames_at_once(harness, sender):
    for name in ("a", "b"):
        sender.start(name, model=name)
        sender.end(name)
    harness.beat()
    harness.beat(590)
    sender.start("b2", model="b")
    harness.beat()
    _, gauges = harness.beat(11)
    assert gauges['requests_active{model="b",server="prog"}'] == 1
    assert math.isnan(gauges['requests_active{model="a",server="prog"}'])
    assert harness.why_absent("tokens_total", "a") == "not seen for 10 minutes"
    harness.beat(1 / 60)
    _, gauges = harness.beat(1 / 60)
    assert not [name for name in gauges if '"a"' in name]
    assert harness.why_absent("tokens_total", "a") == "not seen for 10 minutes"
    sender.start("a2", model="a")
    assert harness.beat(1 / 60)[1]['requests_active{model="a",server="prog"}'] == 1
    assert harness.why_absent("tokens_total", "a") is None


def test_a_model_rests_once_its_energy_is_too_faint_to_be_shown():
    harness = MeterHarness(energy=lambda: EnergyMeter(EnergySettings()))
    sender = harness.sender()
    sender.start()
    sender.tokens(back_ms=(60, 30, 0))
    sender.end()
    assert all(harness.beat(0.1)[1] for _ in range(40))  # it fades, in every beat
    harness.beat(6)
    told = [harness.beat(0.1)[1] != {} for _ in range(20)]
    assert sum(told) == 2


def test_what_a_scrape_tells_is_told_again_when_it_is_read_again(harness):
    harness.meters.scraped([Reading("127.0.0.1:9000", "s", harness.clock.now_ms(), 1.0, tokens_per_second=12.0)])
    harness.beat()
    told = [harness.beat(0.1)[1] != {} for _ in range(20)]
    assert sum(told) == 2


def test_joules_a_token_need_measured_power(harness, sender):
    sender.start()
    sender.tokens()
    harness.beat()
    assert harness.why_absent("joules_per_token") == NO_POWER
    harness.watts = 100.0
    for _ in range(20):
        harness.clock.advance(0.1)
        sender.tokens()
        _, gauges = harness.beat()
    # 19 spans of 0.1 s between 20 looks at 100 W, over the 20 tokens (all but the one while power was not known)
    assert gauges["joules_per_token"] == pytest.approx(19 * 10 / 20, rel=0.06)
    sender.end()
    harness.beat()
    assert harness.request["joules"] == pytest.approx(190, rel=0.06)
    harness.beat(11)
    harness.beat(0.2)
    assert harness.why_absent("joules_per_token") == NO_TOKENS


def test_joules_are_no_requests_own_when_two_were_open(harness, sender):
    harness.watts = 50.0
    sender.start("a")
    sender.start("b")
    for _ in range(3):
        harness.beat(0.1)
    sender.end("a")
    sender.end("b")
    harness.beat()
    assert harness.request["joules"] is None


def reading(harness, **more):
    return Reading(**{"server": "127.0.0.1:8000", "model": "m", "t_ms": harness.clock.now_ms(), "rate_hz": 1.0} | more)


AT = 'model="m",server="127.0.0.1:8000"'


def test_scraped_values_are_gauges_and_never_requests(harness):
    harness.meters.scraped([reading(harness, tokens_per_second=30.0, tokens_total=1000, requests_active=2.0)])
    harness.beat()
    harness.clock.advance(1)
    harness.meters.scraped(
        [
            reading(
                harness,
                tokens_per_second=32.0,
                tokens_total=1032,
                requests_active=2.0,
                kv_cache_percent=40.0,
                ttft_ms=80.0,
            )
        ]
    )
    rows, gauges = harness.beat()
    assert gauges[f"tokens_per_second{{{AT}}}"] == 32.0
    assert gauges[f"throughput_percent{{{AT}}}"] == 100.0
    assert gauges[f"tokens_total{{{AT}}}"] == 32.0
    assert gauges[f"kv_cache_percent{{{AT}}}"] == 40.0
    assert rows == {f"ttft_ms{{{AT}}}": [(0, 80.0)]}
    assert f"energy{{{AT}}}" not in gauges
    assert harness.reasons[f"model.energy{{{AT}}}"] == SCRAPED
    assert harness.reasons[f"model.entropy_bits{{{AT}}}"] == SCRAPED
    assert harness.reasons[f"model.batch_size{{{AT}}}"] == NOT_REPORTED
    assert harness.meters.requests(10) == []
    row = dict(zip(MODELS, harness.second()["models"].rows[0], strict=True))
    assert (row["via"], row["rate_hz"], row["state"]) == ("scrape", 1.0, "flowing")


@pytest.mark.parametrize(
    ("told", "state"),
    [
        ({"vram_bytes": 7.0}, ""),
        ({"requests_active": 1.0}, ""),
        ({"tokens_per_second": 0.0}, ""),
        ({"requests_active": 0.0}, "idle"),
        ({"tokens_per_second": 0.0, "requests_active": 1.0}, "charging"),
        ({"tokens_per_second": 9.0}, "flowing"),
    ],
)
def test_a_scraped_state_is_no_more_than_the_server_tells(harness, told, state):
    harness.meters.scraped([reading(harness, **told)])
    harness.beat()
    assert harness.meters.models()[0]["state"] == state


def test_a_restarted_servers_counter_adds_nothing(harness):
    for total in (1000, 1010, 5, 9):
        harness.meters.scraped([reading(harness, tokens_total=total)])
        _, gauges = harness.beat(1)
    assert gauges[f"tokens_total{{{AT}}}"] == 14.0


def test_a_reading_older_than_three_periods_is_absent(harness):
    harness.meters.scraped([reading(harness, tokens_per_second=30.0)])
    assert harness.beat(0)[1][f"tokens_per_second{{{AT}}}"] == 30.0
    assert harness.beat(3)[1][f"tokens_per_second{{{AT}}}"] == 30.0
    assert math.isnan(harness.beat(1)[1][f"tokens_per_second{{{AT}}}"])
    assert harness.reasons[f"model.tokens_per_second{{{AT}}}"] == STALE


def test_the_hook_counts_and_the_scrape_only_adds_what_it_alone_knows(harness):
    hook = harness.sender(server="127.0.0.1:8000")
    hook.start()
    hook.tokens(n=[5])
    harness.beat()
    harness.meters.scraped([reading(harness, tokens_per_second=99.0, tokens_total=10, kv_cache_percent=12.0)])
    _, gauges = harness.beat()
    assert gauges[f"tokens_per_second{{{AT}}}"] == 5.0
    assert gauges[f"tokens_total{{{AT}}}"] == 5.0
    assert gauges[f"kv_cache_percent{{{AT}}}"] == 12.0
    hook.end()
    harness.beat()
    harness.beat(9)
    harness.clock.advance(2)
    harness.meters.scraped([reading(harness, tokens_per_second=99.0, tokens_total=30)])
    _, gauges = harness.beat()
    assert gauges[f"tokens_per_second{{{AT}}}"] == 99.0
    assert gauges[f"tokens_total{{{AT}}}"] == 25.0


def test_a_scraped_model_that_a_better_source_names_otherwise_is_not_told_twice(harness):
    hook = harness.sender(server="127.0.0.1:8000")
    hook.start(model="short")
    harness.meters.scraped([reading(harness, model="a", vram_bytes=7.0), reading(harness, model="b")])
    harness.beat()
    assert [row["model"] for row in harness.meters.models()] == ["short"]
    assert harness.meters.dropped["model_seen_better"] >= 1


def test_what_the_hook_sees_the_proxy_is_not_counted_for(harness):
    hook = harness.sender(server="127.0.0.1:8000")
    proxy = harness.sender("proxy-00001", via="proxy", name="wfmon proxy", pid=1)
    hook.start("h", model="m")
    proxy.start("p", model="m", server="127.0.0.1:8000")
    proxy.tokens("p")
    hook.tokens("h")
    proxy.end("p")
    _, gauges = harness.beat()
    assert gauges[f"tokens_total{{{AT}}}"] == 1.0
    assert [request["via"] for request in harness.meters.requests(9)] == ["hook"]
    assert harness.meters.dropped["model_seen_better"] == 3
    assert harness.meters.models()[0]["note"] == "reported by the hook; the proxy sees it too"


def test_a_hook_that_speaks_after_the_proxy_takes_over(harness):
    proxy = harness.sender("proxy-00001", via="proxy", name="wfmon proxy", pid=1)
    hook = harness.sender(server="127.0.0.1:8000")
    proxy.start("p", model="m:latest", server="127.0.0.1:8000")
    harness.beat()
    hook.start("h", model="m")
    harness.beat()
    assert [(request["via"], request["status"]) for request in harness.meters.requests(9)] == [("hook", "open")]
    assert [row["model"] for row in harness.meters.models()] == ["m"]


def test_ten_seconds_after_the_hooks_last_request_the_proxy_counts(harness):
    proxy = harness.sender("proxy-00001", via="proxy", name="wfmon proxy", pid=1)
    hook = harness.sender(server="127.0.0.1:8000")
    hook.start("h")
    hook.end("h")
    harness.beat()
    harness.clock.advance(10.1)
    proxy.start("p", server="127.0.0.1:8000")
    harness.beat()
    assert [request["via"] for request in harness.meters.requests(9)] == ["proxy", "hook"]


def test_the_note_goes_ten_seconds_after_the_proxys_last_request(harness):
    hook = harness.sender(server="127.0.0.1:8000")
    proxy = harness.sender("proxy-00001", via="proxy", name="wfmon proxy", pid=1)
    hook.start("h")
    proxy.start("p", server="127.0.0.1:8000")
    harness.beat()
    assert harness.meters.models()[0]["note"]
    hook.say()
    harness.beat(10.5)
    assert harness.meters.models()[0]["note"] == ""


def test_what_the_scrape_tells_of_a_model_after_its_proxy_is_labelled_as_scraped(harness):
    proxy = harness.sender("proxy-00001", via="proxy", name="wfmon proxy", pid=1)
    proxy.start(server="127.0.0.1:8000")
    proxy.tokens()
    proxy.end()
    harness.beat()
    harness.clock.advance(10.1)
    harness.meters.scraped([reading(harness, tokens_per_second=30.0, requests_active=1.0)])
    _, gauges = harness.beat()
    row = harness.meters.models()[0]
    assert (row["via"], row["rate_hz"], row["state"]) == ("scrape", 1.0, "flowing")
    assert (row["tokens_per_second"], row["energy"], row["entropy_reason"]) == (30.0, None, SCRAPED)
    assert math.isnan(gauges[f"energy{{{AT}}}"])
    assert harness.reasons[f"model.energy{{{AT}}}"] == SCRAPED
    proxy.start("again", server="127.0.0.1:8000")
    _, gauges = harness.beat()
    row = harness.meters.models()[0]
    assert (row["via"], row["rate_hz"], row["state"]) == ("proxy", None, "charging")
    assert gauges[f"energy_state{{{AT}}}"] == 1.0


def test_a_scrape_that_tells_what_a_model_holds_alone_leaves_its_proxys_figures(harness):
    proxy = harness.sender("proxy-00001", via="proxy", name="wfmon proxy", pid=1)
    proxy.start(server="127.0.0.1:8000")
    proxy.tokens()
    proxy.end()
    harness.beat()
    harness.clock.advance(10.1)
    harness.meters.scraped([reading(harness, vram_bytes=7.0)])
    _, gauges = harness.beat()
    row = harness.meters.models()[0]
    assert (row["via"], row["rate_hz"], row["tokens_per_second"]) == ("proxy", None, 0.0)
    assert gauges[f"vram_bytes{{{AT}}}"] == 7.0


def test_another_server_is_anothers(harness):
    hook = harness.sender(server="127.0.0.1:8000")
    proxy = harness.sender("proxy-00001", via="proxy", name="wfmon proxy", pid=1)
    hook.start("h")
    proxy.start("p", server="127.0.0.1:9000")
    harness.beat()
    assert {row["server"] for row in harness.meters.models()} == {"127.0.0.1:8000", "127.0.0.1:9000"}


def test_a_server_is_asked_for_by_pid_and_claim_and_else_the_programs_name_stands(harness):
    asked = []
    harness = MeterHarness(server_of=lambda pid, claimed: asked.append((pid, claimed)) or "")
    harness.sender(name="my program", pid=77).start()
    harness.beat()
    assert asked == [(77, "")]
    assert harness.meters.models()[0]["server"] == "my program"


def disagreeing(harness, vocab="v1"):
    key = bytes.fromhex(harness.ingest.hello()["key"])

    def hashed(text):
        return int.from_bytes(hashlib.blake2b(text.encode(), key=key, digest_size=8).digest(), "big") >> 11

    def tokens(sender, model, first, second):
        sender.start(model, model=model, vocab=vocab)
        sender.tokens(model, top=[[math.log(0.75), math.log(0.25)]], hash=[[hashed(first), hashed(second)]])

    return tokens


def test_two_models_that_answer_at_once_disagree_by_so_much(harness):
    say = disagreeing(harness)
    one, other = harness.sender("sender-0001", name="prog"), harness.sender("sender-0002", name="prog")
    say(one, "m", "a", "b")
    harness.beat()
    say(other, "other", "c", "d")
    _, gauges = harness.beat()
    assert gauges["disagreement other"] == 1.0
    _, gauges = harness.beat(1.1)
    assert math.isnan(gauges["disagreement other"])
    assert harness.reasons['model.disagreement{model="m",other="other",server="prog"}'] == NOT_AT_ONCE


def test_models_without_a_vocabulary_have_no_disagreement(harness):
    say = disagreeing(harness, vocab="")
    say(harness.sender("sender-0001"), "m", "a", "b")
    say(harness.sender("sender-0002"), "other", "c", "d")
    assert not [name for name in harness.beat()[1] if name.startswith("disagreement")]


def test_the_tables_have_the_columns_of_the_stream_and_come_when_they_change(harness, sender):
    sender.start(prompt_tokens=3)
    sender.tokens()
    harness.beat()
    found = harness.second()
    assert found["models"].columns == MODELS
    assert found["requests"].columns == REQUESTS
    row = dict(zip(MODELS, found["models"].rows[0], strict=True))
    assert row == {
        "model": "m", "server": "prog", "via": "hook", "rate_hz": None, "runtime": "", "pid": 4242, "state": "flowing",
        "tokens_per_second": 1.0, "ttft_ms": 0.0, "entropy_bits": None, "energy": 0.5, "requests_active": 1,
        "tokens_total": 1, "k": None, "vocab_size": None, "seen_ms": harness.clock.now_ms(),
        "entropy_reason": NO_LOGPROBS, "note": "", "colour": 1,
    }  # fmt: skip
    assert harness.second() == {}
    assert harness.second() == {}  # who has just begun to watch is given the last one by the stream


def test_a_request_that_ended_is_asked_once_why_it_was_slow(harness, sender):
    harness.causes = (Cause("queue", "waited 3 s in the queue", 3000.0),)
    sender.start()
    harness.beat()
    harness.second()
    assert harness.asked == []
    sender.end()
    harness.beat()
    rows = harness.second()["requests"].rows
    assert rows[0][REQUESTS.index("why")] == "waited 3 s in the queue"
    harness.second()
    assert len(harness.asked) == 1
    assert harness.request["causes"] == [{"code": "queue", "text": "waited 3 s in the queue", "cost_ms": 3000.0}]


def test_a_slow_request_without_a_cause_says_that_the_cause_is_not_known(harness, sender):
    harness.slow = True
    sender.start()
    sender.end()
    harness.beat()
    assert harness.second()["requests"].rows[0][REQUESTS.index("why")] == "cause not known"
    assert (harness.request["slow"], harness.request["causes"]) == (True, [])


def test_a_judge_that_fails_costs_the_causes_alone(caplog):
    def why(request):
        raise RuntimeError("broken")

    harness = MeterHarness(judge=why)
    sender = harness.sender()
    sender.start()
    sender.end()
    harness.beat()
    assert harness.second()["requests"].rows[0][REQUESTS.index("status")] == "ok"
    assert len(caplog.records) == 1


def test_a_model_that_was_not_seen_for_ten_minutes_leaves_with_a_reason(harness, sender):
    sender.start()
    sender.tokens()
    sender.end()
    harness.beat()
    _, gauges = harness.beat(600.5)
    assert all(math.isnan(value) for value in gauges.values())
    assert set(harness.reasons.values()) == {"not seen for 10 minutes"}
    assert harness.meters.models() == []
    assert harness.meters.status().state == "absent"
    sender.start()
    _, gauges = harness.beat()
    assert gauges["requests_active"] == 1.0
    assert "not seen for 10 minutes" not in harness.reasons.values()


def test_its_state_is_told(harness):
    assert harness.meters.status().state == "absent"
    assert harness.meters.status().reason == "no model was seen"
    harness.sender().start()
    harness.beat()
    assert harness.meters.status().state == "running"
    assert harness.meters.status().beats == 1


def test_switched_off_it_takes_nothing_and_says_so(harness, sender):
    sender.start()
    harness.beat()
    harness.meters.set_enabled(False)
    assert harness.meters.put([SourceGone(None)]) == 0
    _, gauges = harness.beat()
    assert gauges
    assert all(math.isnan(value) for value in gauges.values())
    assert set(harness.reasons.values()) == {module.OFF}
    assert harness.beat(1) == ({}, {})
    assert harness.meters.status().state == "off"
    assert harness.meters.requests(9) == []
    harness.meters.set_enabled(True)
    harness.beat()
    assert set(harness.reasons.values()) == {NOT_YET}
    sender.tokens()
    sender.start("r2")
    _, gauges = harness.beat()
    assert gauges["requests_active"] == 1.0
    assert harness.meters.dropped["model_unknown_request"] == 1


def test_tokens_that_only_a_server_counts_make_joules_inexact(harness, sender):
    harness.watts = 100.0
    sender.start()
    sender.tokens()
    harness.meters.scraped([reading(harness, tokens_per_second=30.0)])
    harness.beat()
    sender.tokens()
    harness.beat(0.2)
    assert harness.why_absent("joules_per_token") == NOT_EXACT
    assert harness.why_absent("vram_bytes") == NOT_SCRAPED
