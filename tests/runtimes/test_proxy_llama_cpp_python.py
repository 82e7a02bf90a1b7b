"""llama-cpp-python's own server through the proxy: the same answer as directly, told as what it was."""

from __future__ import annotations

import json
import re
import socket
import sys
from importlib import import_module
from pathlib import Path

import pytest

from tests.kit.proxied import Proxy, dial, eventually, post

pytestmark = [pytest.mark.runtimes, pytest.mark.filterwarnings("default")]
ROOT = Path(__file__).parents[2]
ASK = {"model": "wfmon-tiny", "prompt": "Once", "max_tokens": 24, "seed": 5, "temperature": 0.8, "top_p": 1.0}
CHAT = {**ASK, "messages": [{"role": "user", "content": "Once"}]}
del CHAT["prompt"]


@pytest.fixture(scope="module")
def port(tmp_path_factory):
    pytest.importorskip("llama_cpp")
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        capturing = import_module("capture_servers")
        # By default it breaks a stream off when anybody asks anything else, be it for its list of models.
        with capturing.serving(
            tmp_path_factory.mktemp("gguf"), "--logits_all", "true", "--interrupt_requests", "false"
        ) as found:
            yield found
    finally:
        sys.path.remove(str(ROOT / "scripts"))


def answer(port: int, path: str, document) -> bytes:
    """The raw answer, in a connection of its own, less what differs from one asking to the next."""
    with dial(port) as sock:
        sock.settimeout(60)
        sock.sendall(post(path, document, port, "Content-Type: application/json", "Connection: close"))
        parts = []
        while data := sock.recv(65_536):
            parts.append(data)
    assert parts[0].startswith(b"HTTP/1.1 200 OK"), b"".join(parts)[-600:]
    raw = re.sub(rb"(?im)^(date|x-request-id|openai-processing-ms):.*\r\n", b"", b"".join(parts))
    return re.sub(rb'"created": ?\d+', b'"created":0', re.sub(rb"(chatcmpl|cmpl)-[0-9a-f-]+", b"id", raw))


@pytest.fixture
def proxies(port):
    made = []

    def make(logprobs: int = 0) -> Proxy:
        made.append(Proxy(port, logprobs))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(("path", "document"), [("/v1/completions", ASK), ("/v1/chat/completions", CHAT)])
def test_a_fixed_seed_gives_the_same_bytes_through_the_proxy(port, proxies, path, document, stream):
    proxy = proxies()
    answer(port, path, {**document, "stream": stream})  # the prompt is in its cache from now on
    direct = answer(port, path, {**document, "stream": stream})
    assert answer(proxy.port, path, {**document, "stream": stream}) == direct
    request = proxy.heard.one()
    assert (request.model, request.end[0]) == ("wfmon-tiny", "ok")
    assert bool(request.chunks) == stream
    if not stream:
        usage = json.loads(direct.partition(b"\r\n\r\n")[2])["usage"]
        assert request.figures["prompt_tokens"] == usage["prompt_tokens"]
        assert request.figures["output_tokens"] == usage["completion_tokens"]


@pytest.mark.parametrize(("path", "document"), [("/v1/completions", ASK), ("/v1/chat/completions", CHAT)])
def test_log_probabilities_are_asked_for_and_stripped(port, proxies, path, document):
    proxy = proxies(5)
    answer(port, path, {**document, "stream": True})
    direct = texts(answer(port, path, {**document, "stream": True}))
    through = texts(answer(proxy.port, path, {**document, "stream": True}))
    assert "".join(map(said, through)) == "".join(map(said, direct))
    assert all(not choice.get("logprobs") for each in through for choice in each["choices"])
    request = proxy.heard.one()
    tops = [top for top in request.tops if top]
    assert tops
    assert all(len(top) <= 6 and max(top) <= 0 for top in tops)


def texts(raw: bytes) -> list[dict]:
    return [json.loads(found) for found in re.findall(rb"data: (\{.*\})", raw)]


def said(event) -> str:
    return "".join(choice.get("text") or choice.get("delta", {}).get("content") or "" for choice in event["choices"])


def test_a_client_that_goes_is_noticed(port, proxies):
    proxy = proxies()
    with dial(proxy.port) as sock:
        sock.sendall(
            post(
                "/v1/completions",
                {**ASK, "stream": True, "max_tokens": 200},
                proxy.port,
                "Content-Type: application/json",
            )
        )
        assert sock.recv(10)
        sock.shutdown(socket.SHUT_RDWR)
    assert eventually(lambda: len(proxy.heard.ended) == 1)
    assert proxy.heard.ended[0].end in {("aborted", "client_closed"), ("ok", "length"), ("ok", "stop")}
