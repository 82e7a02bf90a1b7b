"""The examples that need a runtime or a client, beside a real monitor."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from scripts.make_gguf import make
from tests.contract.test_command import Running
from tests.contract.test_examples import EXAMPLES, ROOT, Told, run
from tests.unit.demo.serving import serving

pytestmark = [pytest.mark.runtimes, pytest.mark.filterwarnings("default"), pytest.mark.timeout(300)]
MODEL = "wfmon-demo-4gram"


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    monitor = Running(tmp_path_factory.mktemp("examples") / "data")
    yield Told(monitor)
    monitor.stop()
    monitor.process.stdout.close()


@pytest.fixture(scope="module")
def gguf(tmp_path_factory):
    pytest.importorskip("gguf")
    return make(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


@pytest.fixture
def server():
    with serving(rate=60.0) as made:
        yield made


def test_openai_client(told, server):
    pytest.importorskip("openai")
    done = run("openai_client.py", told.monitor.data, OPENAI_BASE_URL=f"http://127.0.0.1:{server.port}/v1", MODEL=MODEL)
    assert done.stdout.strip()
    [row] = [x for x in told.request(MODEL) if x["server"] == f"127.0.0.1:{server.port}"]
    _, timing = server.told[0][-1][2:], server.told[0][-1][3]
    assert row["output_tokens"] == timing.output_tokens
    assert row["prompt_tokens"] == timing.prompt_tokens
    assert row["status"] == "ok"
    assert row["ttft_ms"] > 0
    assert row["entropy_bits"] > 0


def test_async_openai_client(told, server):
    pytest.importorskip("openai")
    base_url = f"http://127.0.0.1:{server.port}/v1"
    assert run("openai_async_client.py", told.monitor.data, OPENAI_BASE_URL=base_url, MODEL=MODEL).stdout.strip()
    [row] = [x for x in told.request(MODEL) if x["server"] == f"127.0.0.1:{server.port}"]
    assert row["output_tokens"] == server.told[0][-1][3].output_tokens
    assert row["ttft_ms"] > 0


def test_ollama_client(told, server):
    pytest.importorskip("ollama")
    host = f"http://127.0.0.1:{server.port}"
    assert run("ollama_client.py", told.monitor.data, OLLAMA_HOST=host, MODEL=MODEL).stdout.strip()
    [row] = [x for x in told.request(MODEL) if x["server"] == f"127.0.0.1:{server.port}"]
    assert row["output_tokens"] == server.told[0][-1][3].output_tokens
    assert row["load_ms"] is not None
    assert row["prompt_ms"] is not None
    assert row["entropy_bits"] > 0


def test_transformers(told, tmp_path):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    tokenizers = pytest.importorskip("tokenizers")
    words = {word: i for i, word in enumerate(["<unk>", "The", "sea", "is", *(f"w{i}" for i in range(60))])}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    folder = tmp_path / "tiny-hf"
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, unk_token="<unk>").save_pretrained(folder)
    torch.manual_seed(1)
    config = transformers.GPT2Config(
        vocab_size=64, n_positions=64, n_embd=32, n_layer=2, n_head=2, bos_token_id=None, eos_token_id=None
    )
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    run("transformers_generate.py", told.monitor.data, MODEL=str(folder), HF_HUB_OFFLINE="1")
    [row] = told.request("tiny-hf")
    assert (row["prompt_tokens"], row["output_tokens"], row["entropy_k"]) == (3, 24, 64)
    assert 0 < row["entropy_bits"] <= 6
    assert told.model("tiny-hf")["runtime"] == "transformers"


def test_llama_cpp_python(told, gguf):
    pytest.importorskip("llama_cpp")
    run("llama_cpp_python.py", told.monitor.data, GGUF=str(gguf))
    [row] = told.request("my-gguf")
    assert row["entropy_k"] == 320
    assert 0 < row["entropy_bits"] <= 8.33
    assert told.model("my-gguf")["runtime"] == "llama-cpp-python"


def test_llama_cpp_server_hooked(told, gguf):
    pytest.importorskip("llama_cpp.server.app")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, str(EXAMPLES / "llama_cpp_server.py")], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "WFMON_DATA": str(told.monitor.data), "PYTHONPATH": str(ROOT), "GGUF": str(gguf),
             "PORT": str(port)},
    )  # fmt: skip
    try:
        for body in ({"stream": True}, {}):
            answer = ask(port, {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 12, **body}, process)
        whole = json.loads(answer)
        rows = [x for x in told.request("tiny.gguf", 2) if x["server"] == f"127.0.0.1:{port}"]
    finally:
        process.terminate()
        process.wait(20)
    assert [row["status"] for row in rows] == ["ok", "ok"]
    assert rows[0]["output_tokens"] == whole["usage"]["completion_tokens"]
    assert rows[0]["prompt_tokens"] == whole["usage"]["prompt_tokens"]
    assert {row["entropy_k"] for row in rows} == {320}


def ask(port, body, process):
    deadline = time.monotonic() + 60
    while True:
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/v1/chat/completions", json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        )  # fmt: skip
        with (
            contextlib.suppress(ConnectionError, urllib.error.URLError),
            urllib.request.urlopen(asked, timeout=60) as a,
        ):
            return a.read()
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
