"""Record the answers of llama-cpp-python's server, in the format that the tests replay.

``.venv-runtimes/bin/python scripts/capture_servers.py [FOLDER]``: starts the real server on loopback with the tiny
model of ``make_gguf.py``, requests what wfmon requests, and stops it. FOLDER: tests/data/models/servers.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

PATHS = ("/api/version", "/v1/models", "/metrics", "/api/v1/models", "/props", "/slots", "/health")
KEPT_HEADERS = ("content-type", "server")
START_S = 120
KEY = "a-key-for-the-test"


@contextmanager
def serving(folder: Path, *options: str) -> Iterator[int]:
    """Run the real server with a tiny model on a free port, and stop it afterwards. Raises TimeoutError."""
    model = import_module("make_gguf").make(folder / "wfmon-tiny.gguf")  # a script beside this one
    port = free_port()
    command = (sys.executable, "-m", "llama_cpp.server", "--model", str(model), "--model_alias", "wfmon-tiny")
    where = ("--host", "127.0.0.1", "--port", str(port), "--n_ctx", "256", *options)
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    with subprocess.Popen(
        (*command, *where), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    ) as it:
        try:
            wait(port, it)
            yield port
        finally:
            it.terminate()
            it.wait(30)


def free_port() -> int:
    """Return a port that is free now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until it listens. Raises TimeoutError, or ChildProcessError if it ended."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        if process.poll() is not None:
            msg = f"llama-cpp-python's server ended with {process.returncode}"
            raise ChildProcessError(msg)
        try:
            ask(port, "/v1/models")
        except OSError:
            time.sleep(0.1)
        else:
            return
    msg = f"llama-cpp-python's server did not listen within {START_S} s"
    raise TimeoutError(msg)


def ask(port: int, path: str) -> dict[str, Any]:
    """GET a path; return the answer in the captures' format."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read()
        headers = {name: value for name in KEPT_HEADERS if (value := answer.headers.get(name))}
    finally:
        connection.close()
    found: dict[str, Any] = {"status": answer.status, "headers": headers}
    try:
        return found | {"json": json.loads(body)}
    except ValueError:
        return found | {"lines": body.decode("utf-8", "replace").splitlines()}


def capture(folder: Path, name: str, *options: str) -> None:
    """Write one capture."""
    with tempfile.TemporaryDirectory() as scratch, serving(Path(scratch), *options) as port:
        answers = {path: ask(port, path) for path in PATHS}
    source = f"Captured from llama-cpp-python {version('llama_cpp_python')} with a model of scripts/make_gguf.py"
    text = json.dumps({"_source": f"{source}; scripts/capture_servers.py wrote it.", "answers": answers}, indent=1)
    (folder / f"{name}.json").write_text(f"{text}\n", "utf-8")


if __name__ == "__main__":
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "tests/data/models/servers")
    capture(target, "llama_cpp_python")
    capture(target, "llama_cpp_python_key", "--api_key", KEY)
