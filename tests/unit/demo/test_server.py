"""The built-in model as the real OpenAI and Ollama clients meet it, and as strangers do."""

from __future__ import annotations

import asyncio
import http.client
import json
import math
import socket

import ollama
import openai
import pytest

from tests.unit.demo.serving import serving

MODEL = "wfmon-demo-4gram"
MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "A token is"}]


@pytest.fixture(scope="module")
def server():
    with serving() as server:
        yield server


@pytest.fixture
def client(server):
    with openai.OpenAI(base_url=f"http://127.0.0.1:{server.port}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture
def llama(server):
    client = ollama.Client(f"http://127.0.0.1:{server.port}")
    yield client
    client._client.close()


def raw(server, method, path, body=None, **headers):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    data = answer.read()
    connection.close()
    return answer.status, data


def close(told):
    """Distributions of an answer's chat entries are distributions: falling, and at most 1 in all."""
    for entry in told:
        values = [each.logprob for each in entry.top_logprobs]
        assert values == sorted(values, reverse=True)
        assert sum(map(math.exp, values)) <= 1 + 1e-9
        assert bytes(entry.bytes).decode() == entry.token


def test_the_models_are_listed_and_named_plainly(client):
    listed = client.models.list().data
    assert [each.id for each in listed] == ["wfmon-demo-2gram", "wfmon-demo-4gram"]
    assert {each.owned_by for each in listed} == {"wfmon: built-in n-gram model"}
    assert client.models.retrieve(MODEL).id == MODEL


def test_openai_a_whole_chat_and_a_streamed_one_say_the_same(server, client):
    more = {"model": MODEL, "messages": MESSAGES, "max_tokens": 20, "seed": 5, "logprobs": True, "top_logprobs": 20}
    whole = client.chat.completions.create(**more)
    chunks = list(client.chat.completions.create(**more, stream=True, stream_options={"include_usage": True}))
    told = server.told[-1]

    text = "".join(each.choices[0].delta.content or "" for each in chunks if each.choices)
    entries = [entry for each in chunks if each.choices and each.choices[0].logprobs
               for entry in each.choices[0].logprobs.content]  # fmt: skip
    assert text == whole.choices[0].message.content
    assert [each.token for each in entries] == [each.token for each in whole.choices[0].logprobs.content]
    assert "".join(each.token for each in entries) == text
    assert chunks[-1].usage == whole.usage
    assert whole.usage.completion_tokens == len(entries) == 20
    assert whole.choices[0].finish_reason == "length"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [each.choices[0].finish_reason for each in chunks if each.choices] == [None] * 20 + ["length"]
    close(entries)
    # What the hook is told is what the client is told.
    draws = [row[1] for row in told if row[0] == "token"]
    assert [each.logprob for each in draws] == pytest.approx([each.logprob for each in entries])
    assert [[value for _, value in each.top] for each in draws] == [
        pytest.approx([each.logprob for each in entry.top_logprobs]) for entry in entries
    ]
    assert told[-1][1:3] == ("ok", "length")


def test_openai_completions_whole_and_streamed(client):
    more = {"model": MODEL, "prompt": "The first token of an", "max_tokens": 12, "seed": 1, "logprobs": 3}
    whole = client.completions.create(**more)
    chunks = list(client.completions.create(**more, stream=True))
    assert "".join(each.choices[0].text for each in chunks) == whole.choices[0].text
    told = whole.choices[0].logprobs
    assert "".join(told.tokens) == whole.choices[0].text
    assert len(told.token_logprobs) == len(told.top_logprobs) == len(told.text_offset) == 12
    assert all(token in top and len(top) in {3, 4} for token, top in zip(told.tokens, told.top_logprobs, strict=True))
    assert whole.usage.prompt_tokens == 5


def test_openai_async(server):
    async def ask():
        base = f"http://127.0.0.1:{server.port}/v1"
        async with openai.AsyncOpenAI(base_url=base, api_key="none", max_retries=0) as client:
            more = {"model": MODEL, "messages": MESSAGES, "max_tokens": 8, "seed": 2}
            stream = await client.chat.completions.create(**more, stream=True)
            streamed = [each.choices[0].delta.content or "" async for each in stream]
            whole = await client.chat.completions.create(**more)
            return "".join(streamed), whole.choices[0].message.content

    streamed, whole = asyncio.run(ask())
    assert streamed == whole != ""


def test_openai_errors_are_in_its_form_and_hold_no_text_of_the_request(client):
    with pytest.raises(openai.NotFoundError) as missing:
        client.chat.completions.create(model="marmalade", messages=MESSAGES)
    assert missing.value.code == "model_not_found"
    assert "marmalade" not in str(missing.value)
    with pytest.raises(openai.BadRequestError) as bad:
        client.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=99)
    assert bad.value.param == "temperature"
    with pytest.raises(openai.BadRequestError, match="n must be 1"):
        client.chat.completions.create(model=MODEL, messages=MESSAGES, n=2)
    with pytest.raises(openai.BadRequestError) as long:
        client.completions.create(model=MODEL, prompt="marmalade " * 9_000)
    assert long.value.code == "context_length_exceeded"
    assert "marmalade" not in str(long.value)


def test_a_stop_string_ends_an_answer(client):
    more = {"model": MODEL, "prompt": "When the memory is full", "max_tokens": 200, "seed": 3}
    free = client.completions.create(**more).choices[0]
    stop = free.text.split()[3]
    cut = client.completions.create(**more, stop=[stop]).choices[0]
    assert cut.finish_reason == "stop"
    assert cut.text == free.text.partition(stop)[0]
    assert (
        "".join(each.choices[0].text for each in client.completions.create(**more, stop=stop, stream=True)) == cut.text
    )


def test_ollama_chat_whole_and_streamed(llama):
    options = {"num_predict": 15, "seed": 9}
    whole = llama.chat(MODEL, MESSAGES, options=options, logprobs=True, top_logprobs=5)
    lines = list(llama.chat(MODEL, MESSAGES, options=options, stream=True, logprobs=True, top_logprobs=5))
    assert "".join(line.message.content for line in lines) == whole.message.content
    assert (whole.done, whole.eval_count) == (True, len(whole.logprobs))
    assert lines[-1].done
    assert lines[-1].eval_count == whole.eval_count
    assert lines[-1].total_duration >= lines[-1].eval_duration > 0
    assert lines[-1].prompt_eval_count == whole.prompt_eval_count > 3
    entries = [entry for line in lines for entry in line.logprobs or []]
    assert "".join(entry.token for entry in entries) == whole.message.content
    assert [entry.logprob for entry in entries] == [entry.logprob for entry in whole.logprobs]
    assert all(1 <= len(entry.top_logprobs) <= 5 for entry in entries)


def test_ollama_generate_lists_and_show(server, llama):
    lines = list(llama.generate(MODEL + ":latest", "A disk that is", options={"num_predict": 6}, stream=True))
    assert "".join(line.response for line in lines)
    assert llama.generate(MODEL, "").done_reason == "load"
    assert [each.model for each in llama.list().models] == [each.model for each in llama.ps().models]
    shown = llama.show(MODEL)
    assert shown.capabilities == ["completion"]
    assert "without a speed limit" in shown.modelinfo["general.description"]
    assert shown.details.family == "built-in n-gram model"
    assert json.loads(raw(server, "GET", "/api/version")[1])["version"].endswith("wfmon-demo")
    assert json.loads(raw(server, "GET", "/health")[1]) == {"status": "ok"}
    with pytest.raises(ollama.ResponseError, match="There is no such model") as missing:
        llama.show("marmalade")
    assert missing.value.status_code == 404


def test_ollama_async(server):
    async def ask():
        client = ollama.AsyncClient(f"http://127.0.0.1:{server.port}")
        options = {"num_predict": 8, "seed": 4}
        streamed = [
            line.message.content async for line in await client.chat(MODEL, MESSAGES, options=options, stream=True)
        ]
        whole = await client.chat(MODEL, MESSAGES, options=options)
        await client._client.aclose()
        return "".join(streamed), whole.message.content

    streamed, whole = asyncio.run(ask())
    assert streamed == whole != ""


def test_the_limit_is_said_plainly():
    with serving(rate=50.0) as server:
        body = json.dumps({"model": MODEL})
        shown = json.loads(raw(server, "POST", "/api/show", body)[1])
        assert "At most 50 tokens per second and request" in shown["model_info"]["general.description"]
        assert "deliberate limit" in shown["model_info"]["general.description"]
        assert shown["model_info"]["wfmon.tokens_per_second_limit"] == 50.0


def test_a_client_that_hangs_up_is_noticed():
    with serving(rate=20.0) as server:
        body = json.dumps({"model": MODEL, "prompt": "A token", "max_tokens": 4_000, "stream": True}).encode()
        head = f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
            sock.sendall(head + body)
            assert sock.recv(100).startswith(b"HTTP/1.1 200 OK")
        told = server.told[-1]
        assert told.ended.wait(10)
        assert told[-1][1:3] == ("aborted", "client_gone")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "127.0.0.1:1"}, 200), ({"Host": "localhost"}, 200), ({"Host": "[::1]:5"}, 200),
        ({"Host": "evil.example:80"}, 403), ({"Host": "127.0.0.1.evil.example"}, 403), ({"Host": "[x"}, 403),
        ({"Origin": "http://evil.example"}, 403), ({"Origin": "null"}, 403), ({"Origin": "http://localhost:9"}, 200),
    ],
)  # fmt: skip
def test_web_pages_of_other_sites_are_kept_out(server, headers, status):
    assert raw(server, "GET", "/v1/models", **headers)[0] == status


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/nothing", None, 404),
        ("POST", "/v1/chat/completions", "not JSON", 400),
        ("POST", "/v1/chat/completions", "[1]", 400),
        ("POST", "/v1/chat/completions", json.dumps({"model": MODEL}), 400),
        ("POST", "/v1/chat/completions", json.dumps({"model": MODEL, "messages": ["x"]}), 400),
        ("POST", "/v1/completions", json.dumps({"model": MODEL, "prompt": [1, 2]}), 400),
        ("POST", "/v1/completions", json.dumps({"model": MODEL, "max_tokens": 1.5}), 400),
        ("POST", "/v1/completions", json.dumps({"model": MODEL, "max_tokens": float("nan")}), 400),
        ("POST", "/api/chat", json.dumps({"model": MODEL, "options": 3}), 400),
        ("POST", "/api/chat", "[" * 100_000, 400),
        ("DELETE", "/v1/models", None, 501),
    ],
)
def test_what_cannot_be_answered_is_refused_with_a_sentence(server, method, path, body, status):
    found, data = raw(server, method, path, body)
    assert found == status
    assert json.loads(data)["error"]


@pytest.mark.parametrize(
    "lines",
    [
        b"Content-Length: \xb2\r\n",
        b"Content-Length: " + b"9" * 5_000 + b"\r\n",
        b"Content-Length: 2\r\nContent-Length: 40\r\n",
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
    ],
)
def test_a_body_whose_length_is_not_plain_is_refused(server, lines):
    with socket.create_connection(("127.0.0.1", server.port), 10) as sock:
        sock.sendall(b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\n" + lines + b"\r\n{}")
        assert sock.recv(4_096).startswith(b"HTTP/1.1 411 ")


def test_a_body_that_is_too_large_is_not_read(server):
    head = b"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99000000\r\n\r\n"
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as sock:
        sock.sendall(head)
        assert sock.recv(100).startswith(b"HTTP/1.1 413")


def test_one_connection_serves_many_requests_and_a_head(server):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    for method, length in (("GET", None), ("HEAD", 0), ("GET", None)):
        connection.request(method, "/v1/models")
        answer = connection.getresponse()
        data = answer.read()
        assert answer.status == 200
        assert len(data) == (int(answer.headers["Content-Length"]) if length is None else length)
    connection.close()
