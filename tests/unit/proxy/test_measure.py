"""What is told of an answer that passes: name, chunks, counts, status; never its text."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from tests.kit.proxied import (
    LAST,
    NDJSON,
    SSE,
    Upstream,
    before,
    chunk,
    delta,
    dial,
    event,
    eventually,
    head,
    odd_pieces,
    post,
    read_all,
    read_until,
    says,
)

STREAMS = Path(__file__).parents[2] / "data" / "models" / "streams"
CHAT, TEXT, RESPONSES = "/v1/chat/completions", "/v1/completions", "/v1/responses"


def told(path, pieces, request=None, *, last=LAST, count=1):
    """Put one request through, and give what was told of it."""
    server = Upstream(**{path[1:].replace("/", "__"): says(*pieces)})
    with before(server) as proxy, dial(proxy.port) as sock:
        sock.sendall(post(path, {"model": "m", "stream": True} if request is None else request, proxy.port))
        read_until(sock, last)
        return proxy.heard.one(), proxy.counts


def sse(*events):
    return [head("200 OK", *SSE), *[chunk(piece) for piece in odd_pieces(b"".join(map(event, events)))], LAST]


def lines(*documents):
    data = b"".join(json.dumps(each).encode() + b"\n" for each in documents)
    return [head("200 OK", *NDJSON), *[chunk(piece) for piece in odd_pieces(data)], LAST]


def whole(document):
    body = json.dumps(document).encode()
    return [head("200 OK", "Content-Type: application/json", f"Content-Length: {len(body)}") + body]


def entry(*tops):
    return {
        "token": "t",
        "logprob": -1.0,
        "top_logprobs": [{"token": f"t{i}", "logprob": lp} for i, lp in enumerate(tops)],
    }


def test_the_first_delta_of_any_channel_is_the_first_chunk():
    for channel in ("content", "reasoning", "reasoning_content"):
        role = delta("", delta={"role": "assistant", "content": ""})
        request, _ = told(CHAT, sse(role, delta(delta={channel: "a"}), delta("b"), b"[DONE]"))
        assert (request.model, request.chunks, request.end) == ("m", [1, 1], ("ok", ""))
        assert request.t_us <= request.times[0] <= request.times[1]


def test_a_tool_call_is_a_channel():
    call = {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": ""}}]}
    request, _ = told(CHAT, sse(delta(delta=call), b"[DONE]"))
    assert request.chunks == [1]


def test_usage_gives_the_counts_and_finish_the_reason():
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 4}}
    request, _ = told(
        CHAT, sse(delta("a"), delta(delta={}, finish_reason="stop"), {"choices": [], "usage": usage}, b"[DONE]")
    )
    assert request.end == ("ok", "stop")
    assert request.figures == {"prompt_tokens": 9, "output_tokens": 5, "cached_tokens": 4}


def test_a_chunk_has_as_many_tokens_as_log_probabilities_and_the_top_is_of_the_last():
    logprobs = {"content": [entry(-0.1, -3.0), entry(-0.5, -1.0)]}
    request, _ = told(CHAT, sse(delta("ab", logprobs=logprobs), b"[DONE]"))
    assert (request.chunks, request.tops) == ([2], [(-0.5, -1.0)])


def test_tokens_whose_text_comes_later_count_with_it():
    half = delta("", logprobs={"content": [entry(-0.1)]})
    request, _ = told(CHAT, sse(half, half, delta("ä", logprobs={"content": [entry(-0.2)]}), b"[DONE]"))
    assert request.chunks == [3]


def test_the_older_form_of_completions():
    choice = {
        "text": "a",
        "logprobs": {"tokens": ["a"], "token_logprobs": [-0.2], "top_logprobs": [{"a": -0.2, "b": -2.0}]},
    }
    request, _ = told(TEXT, sse({"model": "m", "choices": [choice]}, b"[DONE]"))
    assert (request.chunks, request.tops) == ([1], [(-0.2, -2.0)])


def test_llama_cpps_timings():
    timings = {"cache_n": 10, "prompt_n": 5, "prompt_ms": 20.5, "predicted_n": 3, "predicted_ms": 30.0}
    request, _ = told(CHAT, sse(delta("a"), {**delta(delta={}, finish_reason="stop"), "timings": timings}, b"[DONE]"))
    assert request.figures == {
        "prompt_tokens": 15, "cached_tokens": 10, "output_tokens": 3, "prompt_ms": 20.5, "decode_ms": 30.0,
    }  # fmt: skip


LAST_OF_OLLAMA = {
    "model": "m", "done": True, "done_reason": "stop", "total_duration": 10_000_000, "load_duration": 1_000_000,
    "prompt_eval_count": 7, "prompt_eval_duration": 2_000_000, "eval_count": 2, "eval_duration": 4_000_000,
}  # fmt: skip
OLLAMA_FIGURES = {
    "prompt_tokens": 7, "output_tokens": 2, "load_ms": 1.0, "prompt_ms": 2.0, "decode_ms": 4.0, "queue_ms": 3.0
}  # fmt: skip


def test_ollama_chat():
    request, _ = told(
        "/api/chat",
        lines(
            {"model": "m", "message": {"role": "assistant", "content": "", "thinking": "h"}, "done": False},
            {"model": "m", "message": {"role": "assistant", "content": "a"}, "done": False, "logprobs": [entry(-0.5)]},
            {**LAST_OF_OLLAMA, "message": {"role": "assistant", "content": ""}},
        ),
    )
    assert (request.chunks, request.tops, request.end) == ([1, 1], [None, (-0.5,)], ("ok", "stop"))
    assert request.figures == OLLAMA_FIGURES


def test_ollama_generate_and_durations_that_do_not_add_up():
    last = {**LAST_OF_OLLAMA, "response": "", "total_duration": 1}
    request, _ = told("/api/generate", lines({"model": "m", "response": "a", "done": False}, last))
    assert request.chunks == [1]
    assert request.figures == {name: value for name, value in OLLAMA_FIGURES.items() if name != "queue_ms"}


def test_the_responses_interface():
    request, _ = told(
        RESPONSES,
        sse(
            {"type": "response.created", "response": {"model": "m"}},
            {"type": "response.reasoning_text.delta", "delta": "a"},
            {"type": "response.output_text.delta", "delta": "b"},
            {"type": "response.completed", "response": {"usage": {"input_tokens": 3, "output_tokens": 2}}},
        ),
    )
    assert (request.chunks, request.end) == ([1, 1], ("ok", "completed"))
    assert request.figures == {"prompt_tokens": 3, "output_tokens": 2}


USAGE = {"prompt_tokens": 9, "completion_tokens": 5}
WHOLES = {
    CHAT: ({"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "usage": USAGE}, (9, 5)),
    TEXT: ({"choices": [{"text": "a", "finish_reason": "stop"}], "usage": USAGE}, (9, 5)),
    RESPONSES: ({"object": "response", "usage": {"input_tokens": 9, "output_tokens": 5}}, (9, 5)),
    "/api/chat": ({**LAST_OF_OLLAMA, "message": {"content": "a"}}, (7, 2)),
    "/api/generate": ({**LAST_OF_OLLAMA, "response": "a"}, (7, 2)),
    "/v1/embeddings": ({"data": [], "usage": {"prompt_tokens": 9}}, (9, None)),
    "/api/embed": ({"embeddings": [], "prompt_eval_count": 9}, (9, None)),
}


@pytest.mark.parametrize("path", WHOLES)
def test_an_answer_that_is_not_streamed_has_counts_and_no_times(path):
    document, counts = WHOLES[path]
    pieces = whole(document)
    request, _ = told(path, pieces, {"model": "m"}, last=pieces[0][-20:])
    assert (request.chunks, request.end[0]) == ([], "ok")
    assert (request.figures.get("prompt_tokens"), request.figures.get("output_tokens")) == counts


def test_an_error_of_http_and_one_in_the_stream():
    request, _ = told(CHAT, [head("404 Not Found", "Content-Length: 2") + b"no"], last=b"no")
    assert request.end == ("error", "http_404")
    request, _ = told("/api/chat", lines({"message": {"content": "a"}, "done": False}, {"error": "out of memory"}))
    assert (request.chunks, request.end) == ([1], ("error", "upstream_error"))


def test_a_stream_that_the_server_breaks_off_is_aborted():
    pieces = [head("200 OK", "Content-Type: text/event-stream"), event(delta("a"))]
    server = Upstream(v1__chat__completions=says(*pieces, close=True))
    with before(server) as proxy, dial(proxy.port) as sock:
        sock.sendall(post(CHAT, {"model": "m"}, proxy.port))
        read_all(sock)
        assert proxy.heard.one().end == ("aborted", "upstream_closed")


def test_without_a_name_in_the_request_the_answer_names_the_model():
    request, _ = told(CHAT, sse(delta("a"), b"[DONE]"), {"stream": True})
    assert (request.model, request.chunks) == ("tiny", [1])
    request, _ = told(CHAT, sse(delta("a"), b"[DONE]"), b"no json")
    assert request.model == "tiny"


def test_a_large_request_is_not_copied():
    body = b'{"model":"m","prompt":"' + b"x" * 5_000_000 + b'"}'
    request, _ = told("/v1/embeddings", whole({}), body, last=b"{}")
    assert request.model == "(large request)"


def test_nonsense_is_counted_and_the_rest_is_told():
    strange = [
        b"{not json",
        {"choices": 7},
        {"choices": [None]},
        [1],
        {"choices": [{"delta": {"content": "b"}, "logprobs": 3}]},
    ]
    request, counts = told(CHAT, sse(delta("a"), *strange, b"[DONE]"))
    assert request.end == ("ok", "")
    assert request.chunks[0] == 1
    assert counts["odd_events"] >= 1


def test_numbers_that_are_none_do_not_stop_it():
    tops = {"content": [{"token": "a", "logprob": None, "top_logprobs": [{"token": "a", "logprob": None}]}]}
    request, _ = told(CHAT, sse(delta("a", logprobs=tops), delta("b"), b"[DONE]"))
    assert request.end == ("ok", "")
    assert not any(math.isnan(each) for each in request.times)


def test_other_paths_and_methods_are_not_followed():
    server = Upstream(api__tags=says(head("200 OK", "Content-Length: 2") + b"ok"))
    with before(server) as proxy, dial(proxy.port) as sock:
        sock.sendall(post("/api/tags", {"model": "m"}, proxy.port))
        read_until(sock, b"ok")
        assert proxy.heard.requests == []
        assert eventually(lambda: proxy.counts["connections"] == 1)


def captured(name):
    """What llama-cpp-python's own server answered (scripts/capture_streams.py)."""
    return (STREAMS / name).read_bytes()


def replayed(path, name):
    pieces = [chunk(piece) for piece in odd_pieces(captured(name))]
    return told(path, [head("200 OK", *SSE), *pieces, LAST])[0]


def test_a_real_stream_with_log_probabilities_is_counted_and_its_tops_are_read():
    documents = [json.loads(line[6:]) for line in captured("chat_logprobs.sse").splitlines() if line[6:7] == b"{"]
    entries = [each for row in documents for each in (row["choices"][0]["logprobs"] or {}).get("content") or ()]
    request = replayed(CHAT, "chat_logprobs.sse")
    assert sum(request.chunks) == len(entries) == 13
    best = [top["logprob"] for top in entries[-1]["top_logprobs"]]  # in the server's own order: the sender sorts them
    assert request.tops[-1] == pytest.approx(best)
    assert request.end == ("ok", "length")


def test_a_real_stream_without_them_counts_the_chunks_that_have_text():
    request = replayed(CHAT, "chat.sse")
    shown = [line for line in captured("chat.sse").splitlines() if b'"content": "' in line]
    assert request.chunks == [1] * sum(b'"content": ""' not in line for line in shown)
    assert set(request.tops) == {None}


def test_a_real_stream_of_the_older_form_is_read():
    request = replayed(TEXT, "completion_logprobs.sse")
    told_of = captured("completion_logprobs.sse").count(b'"token_logprobs"')
    assert sum(request.chunks) == told_of - 1  # the last one's text never came: it ends amid a letter
    assert all(max(top) <= 0 for top in request.tops)


def test_a_real_answer_that_comes_whole_has_its_counts():
    body = captured("chat.json")
    request, _ = told(
        CHAT, [head("200 OK", "Content-Type: application/json", f"Content-Length: {len(body)}") + body],
        {"model": "m"}, last=body[-20:],
    )  # fmt: skip
    usage = json.loads(body)["usage"]
    assert request.figures["prompt_tokens"] == usage["prompt_tokens"]
    assert request.figures["output_tokens"] == usage["completion_tokens"]
