"""Real servers, found by a collector that reads this machine's own list of sockets."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

from wfmon.collect.models.scrape.servers import ServersCollector
from wfmon.core.clock import SystemClock

pytestmark = pytest.mark.runtimes
ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests/data/models/servers"
LOOKS = 100


@pytest.fixture(scope="module")
def capturing():
    """scripts/capture_servers.py, which starts the real server; scripts is no package."""
    pytest.importorskip("llama_cpp")
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        spec = importlib.util.spec_from_file_location("capture_servers", ROOT / "scripts/capture_servers.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.path.remove(str(ROOT / "scripts"))


def found(port):
    """Look until the server is there: a new socket is judged in the look that sees it, eight in each."""
    collector = ServersCollector(SystemClock(), scraped=lambda _readings: None, gpu_memory=dict)
    real = collector._listening.sockets  # only this test's server is asked, whatever else listens on the machine
    collector._listening.sockets = lambda now_ns: [one for one in real(now_ns) if one.local[1] == port]
    try:
        for _ in range(LOOKS):
            collector.collect()
            for row in collector.servers():
                return row, collector.server_of(row["pid"], "a program")
    finally:
        collector.close()
    raise AssertionError("not found")


def test_llama_cpp_python_s_server_is_found_with_its_process_and_its_model(capturing, tmp_path):
    with capturing.serving(tmp_path) as port:
        row, label = found(port)
    assert (row["server"], row["runtime"], row["models"], row["state"]) == (
        f"127.0.0.1:{port}", "OpenAI-compatible", "wfmon-tiny", "ok"
    )  # fmt: skip
    assert row["pid"] > 0
    assert row["process"].startswith("python")
    assert label == row["server"]


def test_llama_cpp_python_s_server_with_a_key_is_shown_with_what_to_do(capturing, tmp_path):
    with capturing.serving(tmp_path, "--api_key", capturing.KEY) as port:
        row, _ = found(port)
    assert row["state"] == "needs_key"
    assert row["fix"]


def test_what_is_replayed_is_what_it_answers_today(capturing, tmp_path):
    answers = json.loads((DATA / "llama_cpp_python.json").read_text("utf-8"))["answers"]
    with capturing.serving(tmp_path) as port:
        assert {path: capturing.ask(port, path) for path in answers} == answers
