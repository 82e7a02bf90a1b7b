"""Each kind of server, by its answers: what it is known as, what it tells, and what becomes a rate."""

from __future__ import annotations

import pytest

from tests.kit.scrape_harness import ScrapeHarness, http, replay
from wfmon.collect.models.scrape.texts import VISIBILITY


@pytest.fixture
def harness():
    with ScrapeHarness() as harness:
        yield harness


def told(reading):
    """What a reading tells, without where and when."""
    fields = {k: v for k, v in reading._asdict().items() if v is not None}
    return {k: v for k, v in fields.items() if k not in ("server", "t_ms", "rate_hz", "runtime", "pid")}


KINDS = {
    "ollama": ("Ollama", "0.12.11", "gemma3:4b, nomic-embed-text:latest", "ok"),
    "llama_cpp": ("llama.cpp", "b8681-99b95488", "Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", "ok"),
    "llama_cpp_no_metrics": ("llama.cpp", "b8681-99b95488", "Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", "ok"),
    "llama_cpp_loading": ("llama.cpp", "", "", "ok"),
    "llama_cpp_key": ("llama.cpp", "", "", "needs_key"),
    "vllm": ("vLLM", "0.32.0", "Qwen/Qwen3-8B", "ok"),
    "vllm_old": ("vLLM", "0.5.5", "Qwen/Qwen3-8B", "ok"),
    "vllm_key": ("vLLM", "0.32.0", "Qwen/Qwen3-8B", "ok"),
    "sglang": ("SGLang", "", "meta-llama/Llama-3.1-8B-Instruct", "ok"),
    "sglang_no_metrics": ("SGLang", "", "meta-llama/Llama-3.1-8B-Instruct", "ok"),
    "lm_studio": ("LM Studio", "", "gemma-3-270m-it", "ok"),
    "lm_studio_v0": ("LM Studio", "", "granite-3.0-2b-instruct", "ok"),
    "llama_cpp_python": ("OpenAI-compatible", "", "wfmon-tiny", "ok"),
    "llama_cpp_python_key": ("OpenAI-compatible", "", "", "needs_key"),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_server_is_known_by_its_answers_within_four_gets(harness, name):
    server = harness.serve(replay(name), pid=4_242, name="python3")
    row = harness.one()
    assert (row["runtime"], row["version"], row["models"], row["state"]) == KINDS[name]
    assert (row["server"], row["pid"], row["process"]) == (f"127.0.0.1:{server.port}", 4_242, "python3")
    assert all(line.startswith("GET /") for line in server.seen)
    assert harness.frame.values.tolist() == [1.0]


def test_a_server_that_is_known_costs_what_its_kind_needs_and_is_not_asked_what_it_is_again(harness):
    wanted = {
        "ollama": ["/api/ps"], "llama_cpp": ["/metrics", "/slots"], "vllm": ["/metrics"], "sglang": ["/metrics"],
        "lm_studio": [], "llama_cpp_no_metrics": ["/slots"], "sglang_no_metrics": [],
    }  # fmt: skip
    servers = {name: harness.serve(replay(name)) for name in wanted}
    harness.look()
    for server in servers.values():
        server.seen.clear()
    harness.look()
    assert {name: [line.split()[1] for line in server.seen] for name, server in servers.items()} == wanted


def test_ollama_tells_the_graphics_memory_of_each_loaded_model(harness):
    server = harness.serve(replay("ollama"), pid=77)
    harness.look()
    assert [told(each) for each in harness.readings] == [
        {"model": "gemma3:4b", "vram_bytes": 5_333_539_264.0}, {"model": "nomic-embed-text:latest", "vram_bytes": 0.0},
    ]  # fmt: skip
    first = harness.readings[0]
    assert (first.server, first.t_ms, first.rate_hz, first.runtime, first.pid) == (
        f"127.0.0.1:{server.port}", harness.clock.now_ms(), 1.0, "Ollama", 77
    )  # fmt: skip


def test_llama_cpp_counts_the_tokens_of_its_slots_as_they_come(harness):
    """Its own counters grow when a request ends, so a rate of theirs would put a whole answer into one second."""
    server = harness.serve(replay("llama_cpp"))
    harness.look()
    assert told(harness.readings[0]) == {
        "model": "Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", "tokens_total": 500.0, "prompt_tokens_total": 1000.0,
        "requests_active": 1.0, "requests_waiting": 3.0, "batch_size": 1.0,
    }  # fmt: skip
    server.answers = replay("llama_cpp_later")
    harness.look()
    assert told(harness.readings[0]) == {
        "model": "Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf", "tokens_per_second": 42.0, "tokens_total": 600.0,
        "prompt_tokens_total": 1600.0, "requests_active": 2.0, "requests_waiting": 0.0, "batch_size": 2.0,
        "time_per_output_token_ms": pytest.approx(20.0), "prompt_tokens_per_second": pytest.approx(400.0),
    }  # fmt: skip


def slots(*of):
    body = ",".join(
        f'{{"id":{n},"id_task":{task},"is_processing":{str(busy).lower()},"next_token":{{"n_decoded":{done}}}}}'
        for n, (task, busy, done) in enumerate(of)
    )
    return http(f"[{body}]".encode(), server="llama.cpp")


@pytest.mark.parametrize(
    ("before", "after", "rate"),
    [
        ([(1, True, 10)], [(1, True, 40)], 30.0),
        ([(1, False, 10)], [(1, False, 10)], 0.0),
        ([(1, False, 10)], [(2, True, 7)], 7.0),  # a request that began within the span
        ([(1, True, 10)], [(1, False, 16)], 6.0),  # one that ended within it
        ([(1, True, 10)], [(2, True, 3)], None),  # one ended unseen: what it made last is not known
        ([(1, True, 10), (2, True, 5)], [(1, True, 20), (3, True, 1)], None),
        ([(1, True, 10), (2, True, 5)], [(1, True, 20), (2, True, 6)], 11.0),
        ([(1, True, 10)], [(1, True, 4)], None),
    ],
)
def test_a_slot_whose_request_changed_unseen_makes_no_rate(harness, before, after, rate):
    server = harness.serve({**replay("llama_cpp_no_metrics"), "/slots": slots(*before)})
    harness.look()
    server.answers["/slots"] = slots(*after)
    harness.look()
    assert harness.readings[0].tokens_per_second == rate


def test_a_llama_cpp_without_metrics_says_how_to_start_it(harness):
    harness.serve(replay("llama_cpp_no_metrics"))
    row = harness.one()
    assert (row["fix"], row["state"]) == ("start it with --metrics", "ok")
    assert told(harness.readings[0])["requests_active"] == 1.0


def test_a_llama_cpp_that_may_sleep_is_asked_only_what_does_not_keep_it_awake(harness):
    server = harness.serve(replay("llama_cpp"), pid=55)
    harness.processes.commands[55] = ("llama-server", "-m", "x.gguf", "--sleep-idle-seconds", "300")
    row = harness.one()
    harness.look()
    assert {line.split()[1] for line in server.seen} <= {"/api/version", "/props"}
    assert "--sleep-idle-seconds" in row["fix"]
    assert row["models"] == "Meta-Llama-3.1-8B-Instruct-Q4_K_M.gguf"


def test_vllm_s_counters_become_rates_and_its_histograms_means_of_the_span(harness):
    server = harness.serve(replay("vllm"))
    harness.look()
    assert told(harness.readings[0]) == {
        "model": "Qwen/Qwen3-8B", "tokens_total": 1200.0, "prompt_tokens_total": 5000.0, "requests_active": 2.0,
        "requests_waiting": 1.0, "batch_size": 2.0, "kv_cache_percent": 25.0,
    }  # fmt: skip
    server.answers = replay("vllm_later")
    harness.look()
    assert told(harness.readings[0]) == {
        "model": "Qwen/Qwen3-8B", "tokens_per_second": 120.0, "tokens_total": 1320.0, "prompt_tokens_total": 5600.0,
        "requests_active": 3.0, "requests_waiting": 0.0, "batch_size": 3.0, "kv_cache_percent": 50.0,
        "cache_hit_percent": pytest.approx(60.0), "ttft_ms": pytest.approx(200.0),
        "inter_token_latency_ms": pytest.approx(10.0), "queue_wait_ms": pytest.approx(50.0),
    }  # fmt: skip


def test_vllm_s_old_names_tell_the_same(harness):
    server = harness.serve(replay("vllm_old"))
    harness.look()
    server.answers = replay("vllm_old_later")
    harness.look()
    found = told(harness.readings[0])
    assert (found["tokens_per_second"], found["kv_cache_percent"]) == (120.0, 50.0)
    assert (found["inter_token_latency_ms"], found["ttft_ms"]) == (pytest.approx(10.0), pytest.approx(200.0))
    assert "cache_hit_percent" not in found  # -1: the cache is off


def test_sglang_s_ranks_tell_the_same_work_once(harness):
    server = harness.serve(replay("sglang"))
    harness.look()
    server.answers = replay("sglang_later")
    harness.look()
    assert told(harness.readings[0]) == {
        "model": "meta-llama/Llama-3.1-8B-Instruct", "tokens_per_second": 150.0, "tokens_total": 7_557_572.0,
        "prompt_tokens_total": 8_128_902.0, "requests_active": 4.0, "requests_waiting": 0.0, "batch_size": 4.0,
        "kv_cache_percent": pytest.approx(30.0), "cache_hit_percent": pytest.approx(20.0),
        "ttft_ms": pytest.approx(250.0), "inter_token_latency_ms": pytest.approx(20.0),
        "queue_wait_ms": pytest.approx(200.0),
    }  # fmt: skip


def test_an_old_sglang_that_rests_makes_no_tokens_though_its_gauge_stands_still(harness):
    server = harness.serve(replay("sglang_old"))
    harness.look()
    assert harness.readings[0].tokens_per_second == 0.0
    server.answers["/metrics"] = server.answers["/metrics"].replace(b'B-Instruct",pp_rank="0",tp_rank="0"} 0.0', b'B-Instruct",pp_rank="0",tp_rank="0"} 1.0')  # fmt: skip  # noqa: E501
    harness.look()
    assert harness.readings[0].tokens_per_second == 86.5


def test_a_server_without_measures_gives_no_readings(harness):
    for name in ("lm_studio", "sglang_no_metrics", "llama_cpp_python_key", "llama_cpp_loading"):
        harness.serve(replay(name))
    harness.look()
    assert harness.readings == []


def test_a_key_that_only_the_list_of_models_asks_for_hides_no_measure(harness):
    harness.serve(replay("vllm_key"))
    row = harness.one()
    assert (row["state"], row["models"]) == ("ok", "Qwen/Qwen3-8B")
    assert harness.readings[0].kv_cache_percent == 25.0


def test_prompts_and_templates_that_a_server_tells_go_nowhere(harness):
    server = harness.serve(replay("llama_cpp"))
    row = harness.one()
    assert b"CANARY-PROMPT" in server.answers["/slots"]
    assert b"CANARY-TEMPLATE" in server.answers["/props"]
    kept = [vars(one) for one in harness.collector._servers.values()]
    scrapers = [vars(one["scraper"]) for one in kept]
    assert "CANARY" not in repr((row, harness.readings, harness.frame.tables, kept, scrapers))


def test_every_line_of_the_table_of_texts_says_three_things():
    for (runtime, situation), cells in VISIBILITY.items():
        assert all(cells), (runtime, situation)
    assert {situation for runtime, situation in VISIBILITY if not runtime} >= {
        "ok",
        "loading",
        "needs_key",
        "odd",
        "silent",
    }
