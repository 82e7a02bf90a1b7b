"""With --logprobs: asked for where the client did not ask, and gone before the client sees them."""

from __future__ import annotations

import json
import re

import hypothesis
import pytest
from hypothesis import strategies as st

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
    read_until,
    says,
)
from wfmon.proxy.logprobs import without

ENTRY = {
    "token": "a",
    "logprob": -0.5,
    "top_logprobs": [{"token": 'a"', "logprob": -0.5}, {"token": "ä", "logprob": -1.5}],
}
FORMS = {
    "/v1/chat/completions": {"logprobs": True, "top_logprobs": 4},
    "/v1/completions": {"logprobs": 4},
    "/api/chat": {"logprobs": True, "top_logprobs": 4},
    "/api/generate": {"logprobs": True, "top_logprobs": 4},
}


def body_of(data: bytes) -> bytes:
    """The payload of a chunked answer."""
    rest, parts = data.partition(b"\r\n\r\n")[2], []
    while found := re.match(rb"([0-9a-f]+)\r\n", rest):
        size = int(found[1], 16)
        parts.append(rest[found.end() : found.end() + size])
        rest = rest[found.end() + size + 2 :]
    return b"".join(parts)


@pytest.mark.parametrize("path", FORMS)
@pytest.mark.parametrize("body", [b'{"model":"m"}', b' {"model" : "m", "a":{} } \n', b"{}"])
def test_the_fields_stand_at_the_end_and_the_rest_is_as_it_was(path, body):
    server = Upstream(**{path[1:].replace("/", "__"): says(head("200 OK", "Content-Length: 0"))})
    with before(server, 4) as proxy, dial(proxy.port) as sock:
        sock.sendall(post(path, body, proxy.port))
        read_until(sock, b"\r\n\r\n")
        seen = server.seen[0]
        assert seen.json == {**json.loads(body), **FORMS[path]}
        assert seen.body.startswith(body.rstrip()[:-1])
        assert seen.raw == post(path, seen.body, proxy.port).partition(b"\r\n\r\n")[0]


@pytest.mark.parametrize(
    "body",
    [
        b'{"logprobs":false}',
        b'{"logprobs":true,"top_logprobs":2}',
        b'{"n_probs":3}',
        b"[1]",
        b"no json",
        b'{"a":1',
        b"",
    ],
)
def test_a_client_that_asks_itself_or_sends_no_object_passes_unchanged(body):
    raw = chunk(event(delta("a", logprobs={"content": [ENTRY]})))
    server = Upstream(v1__chat__completions=says(head("200 OK", *SSE), raw, LAST))
    with before(server, 4) as proxy, dial(proxy.port) as sock:
        sock.sendall(post("/v1/chat/completions", body, proxy.port))
        assert read_until(sock, LAST) == head("200 OK", *SSE) + raw + LAST
        assert server.seen[0].body == body


def test_a_stream_loses_them_and_nothing_else():
    plain = [delta(""), delta("a", logprobs=None), delta('say "logprobs"', logprobs=None), delta("b")]
    rich = [
        delta(""),
        delta("a", logprobs={"content": [ENTRY]}),
        delta('say "logprobs"', logprobs={"content": [ENTRY]}),
        plain[3],
    ]
    stream = b": a comment\r\n" + b"".join(map(event, rich)) + event(b"[DONE]")
    pieces = [head("200 OK", *SSE), *[chunk(piece) for piece in odd_pieces(stream)], LAST]
    server = Upstream(v1__chat__completions=says(*pieces))
    with before(server, 4) as proxy, dial(proxy.port) as sock:
        for _ in range(2):
            sock.sendall(post("/v1/chat/completions", {"model": "m", "stream": True}, proxy.port))
            data = read_until(sock, LAST)
            assert data.startswith(pieces[0])
            assert body_of(data) == b": a comment\r\n" + b"".join(map(event, plain)) + event(b"[DONE]")
    assert [each.tops for each in proxy.heard.ended] == [[(-0.5, -1.5), (-0.5, -1.5), None]] * 2


def test_ollamas_go_with_their_name():
    rich = (
        b'{"model":"m","message":{"content":"a"},"done":false,"logprobs":[{"token":"a"}]}\n'
        b'{"logprobs": [1] , "done":true}\n'
    )
    server = Upstream(api__chat=says(head("200 OK", *NDJSON), *[chunk(p) for p in odd_pieces(rich)], LAST))
    with before(server, 4) as proxy, dial(proxy.port) as sock:
        sock.sendall(post("/api/chat", {"model": "m"}, proxy.port))
        data = read_until(sock, LAST)
        assert body_of(data) == b'{"model":"m","message":{"content":"a"},"done":false}\n{"done":true}\n'


def test_an_answer_that_is_not_streamed_gets_its_new_length():
    rich = json.dumps({"choices": [{"text": "a", "logprobs": {"tokens": ["a"]}}]}).encode()
    top = head("200 OK", "Content-Type: application/json", f"content-length:  {len(rich)}", "X-Last: 1")
    server = Upstream(v1__completions=says(top + rich[:20], rich[20:]))
    with before(server, 4) as proxy, dial(proxy.port) as sock:
        sock.sendall(post("/v1/completions", {"model": "m"}, proxy.port))
        bare = json.dumps({"choices": [{"text": "a", "logprobs": None}]}).encode()
        assert read_until(sock, bare) == top.replace(b"%d" % len(rich), b"%d" % len(bare)) + bare


def test_a_server_that_refuses_is_asked_again_without_and_not_asked_more_later():
    def picky(sock, seen):
        if "logprobs" in seen.json:
            sock.sendall(head("400 Bad Request", "Content-Length: 3") + b"no!")
        else:
            sock.sendall(head("200 OK", "Content-Length: 3") + b"yes")

    server = Upstream(v1__chat__completions=picky)
    with before(server, 4) as proxy, dial(proxy.port) as sock:
        for _ in range(3):
            sock.sendall(post("/v1/chat/completions", {"model": "m"}, proxy.port))
            assert read_until(sock, b"yes") == head("200 OK", "Content-Length: 3") + b"yes"
        assert ["logprobs" in seen.json for seen in server.seen] == [True, False, False, False]
        assert eventually(lambda: [each.end for each in proxy.heard.ended] == [("ok", "")] * 3)


def test_a_request_that_is_bad_in_itself_gets_the_servers_own_answer():
    server = Upstream(v1__chat__completions=says(head("400 Bad Request", "Content-Length: 3") + b"no!"))
    with before(server, 4) as proxy, dial(proxy.port) as sock:
        for _ in range(2):
            sock.sendall(post("/v1/chat/completions", {"model": "m"}, proxy.port))
            assert read_until(sock, b"no!").startswith(b"HTTP/1.1 400 ")
        assert ["logprobs" in seen.json for seen in server.seen] == [True, False] * 2
        assert proxy.counts["asked_refused"] == 0


def test_other_requests_pass_as_they_come():
    server = Upstream(v1__embeddings=says(head("200 OK", "Content-Length: 2") + b"{}"))
    with before(server, 4) as proxy, dial(proxy.port) as sock:
        raw = post("/v1/embeddings", {"model": "m"}, proxy.port)
        sock.sendall(raw)
        read_until(sock, b"{}")
        assert server.seen[0].raw + b"\r\n\r\n" + server.seen[0].body == raw


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.just("logprobs"), inner, max_size=3)
    ),
)


@hypothesis.given(VALUES, st.sampled_from([None, 1]), st.sampled_from([(",", ":"), (" , ", " : ")]), st.booleans())
def test_stripping_changes_what_stands_at_its_path_alone(value, indent, separators, ascii_):
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=ascii_)
    try:
        data = text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return
    wanted = json.loads(text)
    if isinstance(wanted, dict):
        wanted.pop("logprobs", None)
    assert json.loads(without(data, "ollama")) == wanted
    wrapped = b'{"choices":[%s,{"logprobs":%s,"logprobs_":1}]}' % (data, data)
    found = json.loads(without(wrapped, "chat"))
    assert found["choices"][1] == {"logprobs": None, "logprobs_": 1}
    first = json.loads(text)
    if isinstance(first, dict) and "logprobs" in first:
        first["logprobs"] = None
    assert found["choices"][0] == first


@hypothesis.given(st.binary(max_size=60))
def test_what_is_no_json_stays(data):
    text = b'{"logprobs"' + data
    try:
        json.loads(text)
    except ValueError:
        assert without(text, "ollama") == without(text, "chat") == text
