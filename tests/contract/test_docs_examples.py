"""Every command and program that the manual shows for models, taken from its pages as they stand, fills the monitor.

Each block of code of docs/hook.md, docs/ingest.md, docs/proxy.md and docs/demo.md is either run here, by
tests/contract/test_examples.py, or by tests/runtimes/test_hook_examples.py; the last test says which. What differs from
the page is an address: our ports are free ones.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contract.test_command import Running
from tests.contract.test_examples import DOC, EXAMPLES, ROOT, Told, run
from tests.faults.test_models_end_to_end import demo, until

MODEL = "wfmon-demo-4gram"
PAGES = ("hook", "ingest", "proxy", "demo")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ASKS = {
    "openai_client.py": ("OPENAI_BASE_URL", "/v1"), "openai_async_client.py": ("OPENAI_BASE_URL", "/v1"),
    "ollama_client.py": ("OLLAMA_HOST", ""),
}  # fmt: skip
"""Examples that ask a server: the variable that tells them where it is, and what follows its address."""
ALONE = {
    "plain_iterator.py": "my-model", "async_stream.py": "my-async-model", "with_block.py": "my-own-loop",
    "any_language.sh": "my-shell-model",
}  # fmt: skip
"""Examples that need nobody else, each with the model that it tells of."""
HEAVY = {"transformers_generate.py", "llama_cpp_python.py", "llama_cpp_server.py"}
"""Examples that need a runtime: tests/runtimes/test_hook_examples.py."""


def blocks(page):
    """The page's blocks of code, in their order: [(language, code)]."""
    return BLOCK.findall((ROOT / "docs" / f"{page}.md").read_text("utf-8"))


def block(page, word):
    """The one block of a page that has this word."""
    [code] = [code for _, code in blocks(page) if word in code]
    return code


@contextlib.contextmanager
def proxy(command, server):
    """Run the manual's line as it stands, but for its two addresses; gives the proxy's own."""
    upstream, listen = "http://127.0.0.1:11434", "127.0.0.1:11500"
    assert upstream in command
    assert listen in command
    with socket.create_server(("127.0.0.1", 0)) as free:
        at = f"127.0.0.1:{free.getsockname()[1]}"
    words = command.replace(upstream, f"http://{server}").replace(listen, at).split()
    assert words[0] == ".venv/bin/python"
    process = subprocess.Popen(
        [sys.executable, *words[1:]], cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    try:
        assert " forwards to " in process.stdout.readline()
        yield at
    finally:
        process.terminate()
        process.wait(60)
        process.stdout.close()


def ingested(data, folder, word='"runtime":"my-runtime'):
    """Send the lines of docs/ingest.md that have this word, with docs/ingest.md's command; gives the answer."""
    (folder / "lines.ndjson").write_text(block("ingest", word))
    done = subprocess.run(
        ["sh", "-c", block("ingest", "--data-binary @lines.ndjson")], cwd=folder, capture_output=True, text=True,
        timeout=120, check=True, env={**os.environ, "WFMON_DATA": str(data)},
    )  # fmt: skip
    return json.loads(done.stdout)


def every_light_example(data, folder, server):
    """Run all that needs no heavy runtime; gives the (model, server) of each card that must be there then."""
    cards = set()
    for name, model in ALONE.items():
        run(name, data)
        cards.add((model, "my-program" if name.endswith(".sh") else name))
    for name, (variable, path) in ASKS.items():
        done = run(name, data, MODEL=MODEL, **{variable: f"http://{server}{path}"})
        assert done.stdout.strip()
        cards.add((MODEL, server))
    ingested(data, folder)
    cards.add(("my-model-7b", "127.0.0.1:8000"))
    return cards


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    monitor = Running(tmp_path_factory.mktemp("docs") / "data")
    yield Told(monitor)
    monitor.stop()
    monitor.process.stdout.close()


@pytest.fixture
def server(tmp_path):
    """The built-in model's server, host:port; no monitor sees it by itself."""
    with demo(tmp_path / "unseen") as (_, at):
        yield at


@pytest.mark.parametrize("name", ASKS)
def test_a_clients_example_is_seen_against_the_built_in_model(told, server, name):
    variable, path = ASKS[name]
    done = run(name, told.monitor.data, MODEL=MODEL, **{variable: f"http://{server}{path}"})
    assert done.stdout.strip()
    assert done.stderr == ""
    [row] = told.request(MODEL, server=server)
    assert (row["status"], row["via"]) == ("ok", "hook")
    assert row["ttft_ms"] > 0
    assert row["output_tokens"] > 1
    assert (row["entropy_bits"] is None) == ("async" in name)  # that one asks for no log-probabilities


def test_the_proxys_example_shows_a_client_that_has_no_line_of_ours(told, server):
    commands = block("proxy", "ollama run").splitlines()
    assert commands[1].startswith("OLLAMA_HOST=127.0.0.1:11500 ")  # what ollama's own clients read
    client = "import ollama\nprint(ollama.generate('%s', 'The sea is', options={'num_predict': 9})['response'])"
    data = ["--data", str(told.monitor.data)]
    with proxy(" ".join([commands[0], *data]), server) as at:
        done = subprocess.run(
            [sys.executable, "-c", client % MODEL], capture_output=True, text=True, timeout=120, check=True,
            env={**os.environ, "OLLAMA_HOST": at},
        )  # fmt: skip
        assert done.stdout.strip()
        [row] = told.request(MODEL, server=server)
    assert (row["status"], row["via"], row["output_tokens"]) == ("ok", "proxy", 9)
    assert row["prompt_tokens"] > 0
    assert row["prompt_ms"] is not None


def test_the_lines_and_the_command_of_the_form_are_taken(told, tmp_path):
    assert ingested(told.monitor.data, tmp_path) == {"taken": 5, "refused": []}
    [row] = told.request("my-model-7b")
    assert (row["server"], row["prompt_tokens"], row["output_tokens"], row["ttft_ms"]) == (
        "127.0.0.1:8000", 42, 7, 180.0
    )  # fmt: skip


@pytest.mark.parametrize(("word", "status"), [("q7Zk2mVx-en", "aborted"), ("q7Zk2mVx-ag", "error")])
def test_the_other_lines_of_the_form_are_taken_too(told, tmp_path, word, status):
    answer = ingested(told.monitor.data, tmp_path, word)
    assert answer["refused"] == []
    assert answer["taken"] == block("ingest", word).count("\n") - 2  # all but source and beat
    until(lambda: any(row["status"] == status for row in told.request("my-model-7b")))


def test_the_built_in_models_curl_streams_an_answer(server):
    command = block("demo", "curl -N").replace("127.0.0.1:11599", server)
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.startswith("data: {")
    assert done.stdout.rstrip().endswith("data: [DONE]")


def test_no_block_of_code_is_without_a_test():
    examples = {path.name for path in EXAMPLES.iterdir() if path.suffix in {".py", ".sh"}}
    assert examples == set(ALONE) | set(ASKS) | HEAVY
    shown = [language for language, _ in blocks("hook")]
    assert len(shown) == len(examples) == DOC.read_text("utf-8").count("<!-- example: ")
    here = Path(__file__).parents[1]
    light = (here / "contract/test_examples.py").read_text("utf-8")
    heavy = (here / "runtimes/test_hook_examples.py").read_text("utf-8")
    assert [name for name in ALONE if f'"{name}"' not in light] == []
    assert [name for name in HEAVY | set(ASKS) if f'"{name}"' not in heavy] == []
    assert [language for language, _ in blocks("ingest")] == ["sh", "json", "json", "json"]
    assert [language for language, _ in blocks("proxy")] == ["", "yaml"]
    assert [language for language, _ in blocks("demo") if language == "sh"] == ["sh"]
