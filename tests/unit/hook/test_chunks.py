"""What chunks of the clients' streams tell. The shapes are those of openai 2, ollama 0.6 and llama-cpp-python 0.3."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from types import SimpleNamespace as Obj

import pytest

from tests.kit.hook_receiver import KEY
from wfmon.hook.chunks import NS_A_MS
from wfmon.hook.request import Request
from wfmon.hook.streams import server_of, watched

STREAMS = Path(__file__).parents[2] / "data" / "models" / "streams"


def ran(monitor, hook, items, model="", **more):
    """Pass the items through; gives (start, tokens merged, end)."""
    assert list(watched(iter(items), Request(model, hook=hook, **more))) == items
    lines = monitor.ended()
    rows = [x for x in lines if x["e"] == "tokens"]
    merged = {name: [v for row in rows for v in row.get(name, [None] * len(row["t"]))] for name in ("n", "top", "hash")}
    merged["n"] = [n or 1 for n in merged["n"]]
    return next(x for x in lines if x["e"] == "start"), merged, lines[-1]


def chat(content=None, *, finish=None, logprobs=None, usage=None, **delta):
    base = {"content": content, "role": None, "tool_calls": None, "function_call": None, "refusal": None}
    choice = Obj(delta=Obj(**{**base, **delta}), finish_reason=finish, index=0, logprobs=logprobs)
    return Obj(model="qwen", choices=[choice], usage=usage, object="chat.completion.chunk")


def entry(*pairs):
    return Obj(token=pairs[0][0], logprob=pairs[0][1], top_logprobs=[Obj(token=t, logprob=lp) for t, lp in pairs])


def as_dict(thing):
    if isinstance(thing, Obj):
        return {key: as_dict(value) for key, value in vars(thing).items() if value is not None}
    return [as_dict(x) for x in thing] if isinstance(thing, list) else thing


OPENAI = [
    chat("", role="assistant"),
    chat("Hel", logprobs=Obj(content=[entry(("Hel", -0.1), ("No", -3.0))], refusal=None)),
    chat(reasoning_content="hm"),
    chat(None, tool_calls=[Obj(index=0, function=Obj(name="find", arguments=""))]),
    chat(None, tool_calls=[Obj(index=0, function=Obj(name=None, arguments="{}"))]),
    chat("lo", logprobs=Obj(content=[entry(("l", -0.2)), entry(("o", -0.4), ("x", -1.5))], refusal=None)),
    chat("", finish="stop"),
    Obj(
        model="qwen", choices=[],
        usage=Obj(prompt_tokens=9, completion_tokens=6, prompt_tokens_details=Obj(cached_tokens=4)),
    ),
]  # fmt: skip


@pytest.mark.parametrize("items", [OPENAI, [as_dict(x) for x in OPENAI]], ids=["objects", "dicts"])
def test_openai_chat(monitor, hook, items):
    start, tokens, end = ran(monitor, hook, items)
    assert start["model"] == "qwen"
    assert tokens["n"] == [1, 1, 1, 1, 2]
    assert tokens["top"] == [[-0.1, -3.0], None, None, None, [-0.4, -1.5]]
    assert {k: end[k] for k in ("status", "reason", "prompt_tokens", "cached_tokens", "output_tokens")} == {
        "status": "ok", "reason": "stop", "prompt_tokens": 9, "cached_tokens": 4, "output_tokens": 6,
    }  # fmt: skip


def test_no_text_of_any_channel_leaves_the_process(monitor, hook):
    canary = "xyzzycanary"
    items = [
        chat(canary, logprobs=Obj(content=[entry((canary, -0.1))], refusal=None)), chat(reasoning_content=canary),
        chat(None, tool_calls=[Obj(index=0, function=Obj(name=canary, arguments=canary))]), chat(refusal=canary),
    ]  # fmt: skip
    _, tokens, _ = ran(monitor, hook, items, vocab="v", vocab_size=100)
    assert sum(tokens["n"]) == 4
    assert canary not in "".join(monitor.messages)


def test_counts_that_come_with_each_chunk_are_used(monitor, hook):
    def usage(n):
        return Obj(prompt_tokens=5, completion_tokens=n, prompt_tokens_details=None)

    items = [chat("a", usage=usage(1)), chat("bcd", usage=usage(4)), chat("e", usage=usage(5))]
    _, tokens, end = ran(monitor, hook, items, "mine")
    assert tokens["n"] == [1, 3, 1]
    assert end["output_tokens"] == 5


def test_a_letter_of_several_tokens_is_a_chunk_of_them_once_it_is_there(monitor, hook):
    one = Obj(content=[entry(("<0xE2>", -0.5))], refusal=None)
    items = [chat("", logprobs=one), chat("", logprobs=one), chat("€", logprobs=one)]
    assert ran(monitor, hook, items)[1]["n"] == [3]


def test_llama_cpp_completions_with_their_parallel_lists(monitor, hook):
    def chunk(text, tops, finish=None):
        logprobs = None if tops is None else {
            "tokens": [text] * len(tops), "text_offset": [0], "token_logprobs": [-0.5], "top_logprobs": tops,
        }  # fmt: skip
        return {
            "id": "c", "object": "text_completion", "created": 1, "model": "/models/tiny.gguf",
            "choices": [{"text": text, "index": 0, "logprobs": logprobs, "finish_reason": finish}],
        }  # fmt: skip

    items = [
        chunk("a", [{"a": -0.5, "b": -1.5}]), chunk("b", [{"b": -0.25}, {"c": -0.75}]), chunk("d", None),
        chunk("", None, "length"),
    ]  # fmt: skip
    start, tokens, end = ran(monitor, hook, items)
    assert start["model"] == "tiny.gguf"
    assert tokens["n"] == [1, 2, 1]
    assert tokens["top"] == [[-0.5, -1.5], [-0.75], None]
    assert end["reason"] == "length"


def test_llama_cpp_servers_own_timings(monitor, hook):
    last = chat("", finish="stop")
    last.timings = {"prompt_n": 3, "cache_n": 7, "prompt_ms": 12.5, "predicted_n": 2, "predicted_ms": 40.0}
    _, _, end = ran(monitor, hook, [chat("a"), chat("b"), last])
    wanted = ("prompt_tokens", "cached_tokens", "output_tokens", "prompt_ms", "decode_ms")
    assert [end[name] for name in wanted] == [10, 7, 2, 12.5, 40.0]


def test_openai_responses(monitor, hook):
    usage = Obj(input_tokens=8, output_tokens=3, input_tokens_details=Obj(cached_tokens=0))
    done = Obj(model="gpt-oss", usage=usage, incomplete_details=None)
    items = [
        Obj(type="response.created", response=Obj(model="gpt-oss")),
        Obj(type="response.output_item.added"),
        Obj(type="response.reasoning_text.delta", delta="hm"),
        Obj(type="response.output_text.delta", delta="hi", logprobs=[entry(("hi", -0.3), ("ho", -2.0))]),
        Obj(type="response.output_text.done", text="hi"),
        Obj(type="response.completed", response=done),
    ]
    start, tokens, end = ran(monitor, hook, items)
    assert start["model"] == "gpt-oss"
    assert tokens["n"] == [1, 1]
    assert tokens["top"] == [None, [-0.3, -2.0]]
    assert [end[x] for x in ("status", "reason", "prompt_tokens", "output_tokens")] == ["ok", "completed", 8, 3]


def ollama(content="", *, done=False, **more):
    message = Obj(role="assistant", content=content, thinking=more.pop("thinking", None), tool_calls=None)
    return Obj(**{"model": "llama3.2", "done": done, "message": message, "logprobs": None, **more})


LAST = {
    "done_reason": "stop", "total_duration": 900 * NS_A_MS, "load_duration": 250 * NS_A_MS, "prompt_eval_count": 26,
    "prompt_eval_duration": 130 * NS_A_MS, "eval_count": 5, "eval_duration": 500 * NS_A_MS,
}  # fmt: skip


def test_ollama_chat_tells_counts_and_durations_and_nothing_of_the_queue(monitor, hook):
    top = Obj(token="a", logprob=-0.2, top_logprobs=[Obj(token="a", logprob=-0.2), Obj(token="b", logprob=-1.9)])
    items = [ollama(thinking="hm"), ollama("a", logprobs=[top]), ollama("b"), ollama("", done=True, **LAST)]
    start, tokens, end = ran(monitor, hook, items)
    assert start["model"] == "llama3.2"
    assert tokens["n"] == [1, 1, 1]
    assert tokens["top"] == [None, [-0.2, -1.9], None]
    assert {k: v for k, v in end.items() if k not in {"e", "r", "t"}} == {
        "status": "ok", "reason": "stop", "prompt_tokens": 26, "output_tokens": 5, "load_ms": 250.0,
        "prompt_ms": 130.0, "decode_ms": 500.0,
    }  # fmt: skip


def test_ollama_generate_in_dicts(monitor, hook):
    items = [
        {"model": "m", "response": "a", "done": False}, {"model": "m", "response": "b", "done": False},
        {"model": "m", "response": "", "done": True, **LAST},
    ]  # fmt: skip
    _, tokens, end = ran(monitor, hook, items)
    assert tokens["n"] == [1, 1]
    assert end["output_tokens"] == 5


def test_hashes_are_made_only_for_a_named_vocabulary(monitor, hook):
    list(watched(iter(["x"]), Request("warm", hook=hook)))
    monitor.ended()  # connected: the key is there
    items = [chat("a", logprobs=Obj(content=[entry(("a", -0.1), ("b", -3.0))], refusal=None))]
    list(watched(iter(items), Request("plain", hook=hook)))
    list(watched(iter(items), Request("named", hook=hook, vocab="v", vocab_size=9)))
    monitor.ended(3)
    assert monitor.lines("tokens", "2")[0].get("hash") is None
    assert monitor.lines("tokens", "3")[0]["hash"] == [[keyed("a"), keyed("b")]]


def keyed(text):
    made = hashlib.blake2b(text.encode(), key=bytes.fromhex(KEY), digest_size=8)
    return int.from_bytes(made.digest(), "big") >> 11


class Client:
    def __init__(self, url):
        self._client = Obj(base_url=url)

    def chat(self):
        def inner():
            yield self

        return inner()


def test_the_server_is_named_where_it_is_this_machine():
    assert server_of(Obj(response=Obj(url=Obj(host="127.0.0.1", port=8000)))) == "127.0.0.1:8000"
    assert server_of(Obj(response=Obj(url=Obj(host="localhost", port=8000)))) == "127.0.0.1:8000"
    assert server_of(Obj(response=Obj(url=Obj(host="api.example", port=8000)))) == ""
    assert server_of(Client(Obj(host="127.0.0.1", port=11434)).chat()) == "127.0.0.1:11434"
    assert server_of(iter([])) == ""


def test_the_clock_of_the_client_tells_when_a_response_was_asked_for(monitor, hook):
    from time import monotonic_ns, perf_counter

    class Stream:
        def __init__(self, start):
            self.response = Obj(url=Obj(host="127.0.0.1", port=1), stream=Obj(_start=start))

        def __iter__(self):
            return iter([chat("a")])

    before_us = monotonic_ns() // 1000
    list(watched(Stream(perf_counter() - 2.0), Request("m", hook=hook)))
    list(watched(Stream(None), Request("m", hook=hook)))
    monitor.ended(2)
    known, unknown = monitor.lines("start")[0], next(x for x in monitor.lines("start") if x["r"] == "2")
    assert 1_900_000 < before_us - known["t"] <= 2_000_000
    assert "again" not in known
    assert unknown["again"] is True


@pytest.mark.parametrize("name", ["chat_logprobs.sse", "chat.sse", "completion_logprobs.sse"])
def test_the_chunks_of_a_real_server_are_counted(monitor, hook, name):
    """llama-cpp-python's own stream, captured by scripts/capture_streams.py, as its client hands the chunks on."""
    lines = (STREAMS / name).read_bytes().splitlines()
    chunks = [json.loads(line[6:]) for line in lines if line[6:7] == b"{"]
    start, tokens, end = ran(monitor, hook, chunks)
    assert (start["model"], end["status"], end["reason"]) == ("wfmon-tiny.gguf", "ok", "length")
    if "logprobs" not in name:
        visible = [row["choices"][0]["delta"].get("content") for row in chunks]
        assert tokens["n"] == [1] * sum(map(bool, visible))
        return
    told_of = sum(b'"logprob' in line and b'"logprobs": null' not in line for line in lines)
    assert 0 <= told_of - sum(tokens["n"]) <= 1  # the last one may end amid a letter
    tops = [top for top in tokens["top"] if top]
    assert tops
    assert all(top == sorted(top, reverse=True) and top[0] <= 0 for top in tops)
