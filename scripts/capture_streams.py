"""Record the streams of llama-cpp-python's server unchanged, for the tests to replay.

``.venv-runtimes/bin/python scripts/capture_streams.py [FOLDER]``: starts the real server on loopback with the tiny
model of ``make_gguf.py`` (random weights, so the text is noise), sends requests, and stops it. FOLDER:
tests/data/models/streams.
"""

from __future__ import annotations

import http.client
import json
import sys
import tempfile
from importlib import import_module
from importlib.metadata import version
from pathlib import Path

CHAT = {"messages": [{"role": "user", "content": "one two three"}], "max_tokens": 12, "seed": 7, "temperature": 1.0}
TEXT = {"prompt": "one two three", "max_tokens": 12, "seed": 7, "temperature": 1.0}
REQUESTS = {
    "chat.sse": ("/v1/chat/completions", {**CHAT, "stream": True}),
    "chat_logprobs.sse": ("/v1/chat/completions", {**CHAT, "stream": True, "logprobs": True, "top_logprobs": 5}),
    "completion_logprobs.sse": ("/v1/completions", {**TEXT, "stream": True, "logprobs": 5}),
    "chat.json": ("/v1/chat/completions", CHAT),
}


def main() -> None:
    """Record every request's answer."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "tests/data/models/streams")
    folder.mkdir(parents=True, exist_ok=True)
    serving = import_module("capture_servers").serving  # a script beside this one
    with tempfile.TemporaryDirectory() as scratch, serving(Path(scratch), "--interrupt_requests", "false") as port:
        for name, (path, body) in REQUESTS.items():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
            connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            (folder / name).write_bytes(answer.read().replace(scratch.encode(), b"/models"))
            print(name, answer.status, answer.headers.get_content_type())
            connection.close()
    note = f"Captured from llama-cpp-python {version('llama-cpp-python')} by scripts/capture_streams.py.\n"
    (folder / "README").write_text(note, "utf-8")


if __name__ == "__main__":
    main()
