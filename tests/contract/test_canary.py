"""Canary words go through every way of seeing, as text of every kind, and are searched for in all that we leave behind.

Names of models and programs are data, and are shown; text of prompts, answers, tools and errors is not.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import itertools
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
import simple_websocket

from tests.contract.test_command import Client
from tests.kit.proxied import LAST, NDJSON, SSE, Upstream, chunk, event, head, says
from tests.kit.scrape_harness import replay
from tests.kit.serving import DAEMON
from wfmon.core.catalogue import WATCHED_TABLES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
ROOT = Path(__file__).parents[2]
DATA = Path(__file__).parents[1] / "data"
WAIT_S = 60
STEM = "Quittenmus"
_NUMBERS = itertools.count(1)


def word():
    """Give a canary that nobody else has: a hit tells where it went in."""
    return f"Grünspecht-{STEM}-{next(_NUMBERS):03d}"


def both():
    """Give a canary, and one in base64."""
    return f"{word()} {base64.b64encode(word().encode()).decode()}"


def _coded(stem):
    """Every base64 of a text that holds the stem has one of these: it may begin at any of three places."""
    for before in range(3):
        coded = base64.b64encode(b"\0" * before + stem).decode().rstrip("=")
        yield coded[-(-before * 8 // 6) : (before + len(stem)) * 8 // 6].encode()


FORMS = tuple(
    form
    for stem in (STEM.encode(), "Grünspecht".encode())
    for form in (stem, *_coded(stem), stem.hex().encode(), quote(stem).encode(), stem[::-1])
)
ESCAPED = tuple(form.lower() for form in (STEM.encode(), b"nspecht", STEM.lower().encode()))


def traces(data):
    """Give what is left of canaries in some bytes, each with what stands around it."""
    found = [data.find(form) for form in FORMS] + [data.lower().find(form) for form in ESCAPED]
    return [data[max(0, at - 80) : at + 80] for at in found if at >= 0]


@pytest.mark.parametrize(
    "make",
    [
        str.encode, json.dumps, repr, quote, lambda text: base64.b64encode(text.encode()), lambda text: text.upper(),
        lambda text: base64.b64encode(b"x" + text.encode()), lambda text: base64.b64encode(b"xy" + text.encode()),
        lambda text: text.encode().hex(), lambda text: repr(text.encode()), lambda text: text.encode("utf-8").hex(),
    ],
)  # fmt: skip
def test_a_canary_is_found_however_it_was_written(make):
    made = make(f"as it says: {word()}.")
    assert traces(b"0" * 100 + (made if isinstance(made, bytes) else made.encode()))
    assert traces(b"nothing of the kind") == []


HOOKED = '''
import asyncio, base64, logging, sys
from types import SimpleNamespace as Thing
logging.basicConfig(level=logging.DEBUG)
from wfmon.hook import Watcher, flush, observe

WORD = sys.argv[1]
CODED = base64.b64encode(WORD.encode()).decode()
TEXTS = [WORD, CODED, f" {WORD}!"]
VOCAB = {"vocab": "v", "vocab_size": 100}
passed = 0

def follow(chunks, name, **more):
    """All chunks pass, and the error that may come with them is the caller's own."""
    global passed
    try:
        for chunk in observe(chunks, model=name, **more):
            passed += 1
    except (ValueError, KeyError) as error:
        assert WORD in str(error)

def failing(error):
    yield from TEXTS
    raise error

class Broken:
    """A chunk that fails when it is looked at."""
    @property
    def choices(self):
        raise ValueError(WORD)
    usage = model = choices

class Tensor(list):
    shape = (1, 3)
    def numel(self):
        return len(self)

class Streamer:
    def put(self, value):
        raise ValueError(WORD)
    def end(self):
        raise ValueError(WORD)

def things(value):
    if isinstance(value, dict):
        return Thing(**{name: things(each) for name, each in value.items()})
    return [things(each) for each in value] if isinstance(value, list) else value

def entry(text):
    return {"token": text, "logprob": -0.2, "bytes": list(text.encode()),
            "top_logprobs": [{"token": text, "logprob": -0.2, "bytes": None}, {"token": CODED, "logprob": -2.5}]}

def openai():
    said = [{"role": "assistant"}, *({"content": text} for text in TEXTS), {"reasoning_content": WORD},
            {"reasoning": WORD}, {"refusal": WORD},
            {"tool_calls": [{"index": 0, "id": WORD, "function": {"name": WORD, "arguments": CODED}}]},
            {"function_call": {"name": WORD, "arguments": CODED}}, {"annotations": [WORD], "content": WORD}]
    for delta in said:
        yield {"id": WORD, "object": WORD, "system_fingerprint": WORD, "choices": [
            {"index": 0, "delta": delta, "finish_reason": None,
             "logprobs": {"content": [entry(WORD)]} if delta.get("content") else None}]}
    yield {"error": {"message": WORD}, "choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 9}}

def completions():
    for text in TEXTS:
        yield {"choices": [{"text": text, "logprobs": {"tokens": [text], "token_logprobs": [-0.1],
                                                       "top_logprobs": [{text: -0.1, CODED: -3.0}]}}]}

def ollama():
    for text in TEXTS:
        yield {"done": False, "message": {"role": "assistant", "content": text, "thinking": WORD,
               "tool_calls": [{"function": {"name": WORD, "arguments": {WORD: CODED}}}]}, "logprobs": [entry(text)]}
    yield {"done": True, "done_reason": "stop", "message": {"content": ""}, "eval_count": 3, "context": [1, 2],
           "prompt_eval_count": 4, "load_duration": 1, "prompt_eval_duration": 2, "eval_duration": 3}

def responses():
    yield {"type": "response.created", "response": {"id": WORD, "instructions": WORD, "model": "m"}}
    for text in TEXTS:
        yield {"type": "response.output_text.delta", "delta": text, "logprobs": [entry(text)]}
    yield {"type": "response.function_call_arguments.delta", "delta": CODED}
    yield {"type": "response.completed", "response": {"output": [WORD], "usage": {"input_tokens": 2}}}

follow(iter(TEXTS), "plain")
follow(failing(ValueError(WORD)), "failing")
follow(failing(KeyError(WORD)), "failing")
for make in (openai, completions, ollama, responses):
    follow(make(), make.__name__, **VOCAB)
    follow((things(chunk) for chunk in make()), f"{make.__name__}-objects", **VOCAB)
follow([Broken(), {"choices": WORD}, {"choices": [WORD]}, {"done": WORD, "message": WORD}, {"choices": None},
        {"type": "response." + WORD}, {"usage": WORD, "choices": []}], "broken", **VOCAB)
left = observe(iter(TEXTS), model="left")
next(left)
left.close()

async def asynchronous():
    async def stream():
        for text in TEXTS:
            yield text
        raise ValueError(WORD)
    try:
        async for _ in observe(stream(), model="asynchronous"):
            pass
    except ValueError:
        pass
asyncio.run(asynchronous())

try:
    with observe(model="block", **VOCAB) as request:
        request.prompt(tokens=4)
        request.token(logprobs={WORD: -0.1, CODED: -3.0})
        request.token(logprobs=[-0.1, -3.0], tokens=[WORD, CODED])
        request.token(n=WORD, entropy=WORD, logprobs=[WORD], tokens=WORD)
        request.prompt(tokens=WORD, cached=WORD)
        request.logits([1], [WORD])
        request.steps([1], WORD)
        raise RuntimeError(WORD)
except RuntimeError:
    pass
with observe(model="block", **VOCAB) as request:
    request.token()
    request.end(prompt_tokens=WORD, load_ms=WORD)
watcher = Watcher("watcher", streamer=Streamer(), **VOCAB)
for value in (Tensor([1, 2, 3]), Tensor([WORD]), WORD):
    try:
        watcher.put(value)
        watcher(Tensor(), WORD)
    except ValueError as error:
        assert WORD in str(error)
try:
    watcher.end()
except ValueError:
    pass
del watcher
assert flush(60)
print("passed", passed)
'''


class Process:
    """One of ours in a process of its own; everything that it says goes into a file."""

    def __init__(self, folder, name, *command, **env):
        self.said = folder / f"{name}.said"
        with self.said.open("wb") as file:
            self.process = subprocess.Popen(
                [sys.executable, *command], cwd=ROOT, stdout=file, stderr=file,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **env},
            )  # fmt: skip

    def text(self):
        return self.said.read_text("utf-8", "replace")

    def until(self, give):
        deadline = time.monotonic() + WAIT_S
        while True:
            with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
                if found := give():
                    return found
            assert time.monotonic() < deadline, give
            assert self.process.poll() is None, self.text()
            time.sleep(0.05)

    def port(self, pattern):
        return int(self.until(lambda: re.search(pattern, self.text()))[1])

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(WAIT_S)

    def kill(self):
        self.process.kill()
        self.process.wait()


class Listener(Client):
    """Hears the stream, every series and every table, and keeps what came as it came."""

    def __init__(self, at, token):
        super().__init__(f"ws://{at.netloc}/ws", thread_class=DAEMON, headers={"Authorization": f"Bearer {token}"})
        self.heard = []
        tables = {"series": ["*"], "tables": list(WATCHED_TABLES)}
        self.send(json.dumps({"type": "hello", "version": 1, "rate_hz": 60, "watch": tables}))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        with contextlib.suppress(simple_websocket.ConnectionClosed):
            while True:
                message = self.receive()
                self.heard.append(message if isinstance(message, bytes) else message.encode())

    def tables(self):
        return {json.loads(each)["name"] for each in list(self.heard) if each.startswith(b'{"type":"table"')}

    def finish(self):
        self._reader.join(WAIT_S)
        assert not self._reader.is_alive()
        self.sock.close()


class VerboseMonitor:
    """A monitor that logs all it can, with a proxy of its own before a scripted server that answers with canaries."""

    def __init__(self, folder, upstream):
        self.folder, self.data = folder, folder / "data"
        self.upstream = upstream
        config = folder / "config.yaml"
        config.write_text(
            "collect:\n  model:\n    requests: 2000\n  servers:\n    enabled: false\n"
            f"proxy:\n  enabled: true\n  listen: 127.0.0.1:0\n  upstream: {upstream.url}\n  logprobs: 3\n"
        )
        self.processes = []
        self.monitor = self.run(
            "monitor", "app.py", "--no-browser", "--port", "0", "--data", str(self.data), "--config", str(config),
            "--log-level", "debug",
        )  # fmt: skip
        info = self.monitor.until(lambda: json.loads((self.data / "server.json").read_text()))
        self.at = urlsplit(info["url"])
        self.token = (self.data / "token").read_text().strip()
        self.listener = Listener(self.at, self.token)

    def run(self, name, *command):
        made = Process(self.folder, name, *command, WFMON_DATA=str(self.data))
        self.processes.append(made)
        return made

    def ask(self, path, method="GET", body=None, content_type="application/json"):
        connection = http.client.HTTPConnection(self.at.hostname, self.at.port, timeout=WAIT_S)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": content_type}
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        said = answer.read()
        connection.close()
        return answer.status, said

    def rows(self, name):
        status, said = self.ask(f"/api/v1/{name}")
        assert status == 200, said
        return json.loads(said)[name.partition("?")[0]]

    def ended(self, via):
        """How many requests that were seen this way have ended, by model."""
        rows = [row for row in self.rows("requests?limit=2000") if row["via"] == via and row["status"] != "open"]
        return {name: sum(row["model"] == name for row in rows) for name in {row["model"] for row in rows}}

    def answers(self):
        """Everything that the API tells: (path, bytes)."""
        paths = [
            "/metrics", "/api/v1/proxy", "/api/v1/demo", "/api/v1/windows?window=10", "/api/v1/requests?limit=2000",
            *(f"/api/v1/{name}" for name in (
                "models", "requests", "servers", "health", "latest", "series", "settings", "collectors"
            )),
            *(f"/api/v1/requests/{quote(row['id'])}" for row in self.rows("requests?limit=2000")),
            *(f"/api/v1/window?window=10&series={quote(selector(row))}"
              for row in self.rows("series") if row["name"].startswith("model.")),
        ]  # fmt: skip
        for path in paths:
            status, said = self.ask(path)
            assert status == 200, (path, said)
            yield path, said

    def close(self):
        for each in self.processes:
            each.kill()
        with contextlib.suppress(OSError, ValueError):
            os.kill(json.loads((self.data / "proxy.json").read_text())["pid"], signal.SIGKILL)
        self.upstream.close()


def selector(row):
    labels = ",".join(f'{name}="{value}"' for name, value in row["labels"].items())
    return f"{row['name']}{{{labels}}}" if labels else row["name"]


def top(text):
    return [{"token": text, "logprob": -0.2, "bytes": list(text.encode())}, {"token": both(), "logprob": -2.5}]


def deltas():
    """What a chat says, in all channels."""
    yield {"role": "assistant", "content": ""}
    yield from ({name: both()} for name in ("content", "content", "reasoning_content", "reasoning", "refusal"))
    yield {"tool_calls": [{"index": 0, "id": word(), "function": {"name": word(), "arguments": both()}}]}


def chat_events():
    for delta in deltas():
        entries = {"content": [{**top(word())[0], "top_logprobs": top(word())}]} if delta.get("content") else None
        yield event({
            "id": word(), "model": "tiny", "object": "chat.completion.chunk",
            "choices": [{"index": 0, "delta": delta, "logprobs": entries, "finish_reason": None}],
        })  # fmt: skip
    yield f": {word()}\n\nevent: {word()}\ndata: {word()}\n\n".encode()
    yield event({"error": {"message": both(), "type": word(), "param": word(), "code": word()}})
    yield event({"choices": [], "model": "tiny", "usage": {"prompt_tokens": 3, "completion_tokens": 6}})
    yield event(b"[DONE]")


def ollama_lines(name):
    for text in (both(), both()):
        said = {"message": {"content": text, "thinking": both()}} if name == "chat" else {"response": text}
        yield json.dumps({"model": "tiny", "done": False, "logprobs": top(word()), **said}).encode() + b"\n"
    yield json.dumps({"model": "tiny", "error": both(), "context": [word()]}).encode() + b"\n"
    yield f"{{{word()}\n".encode()
    said = {"message": {"content": ""}} if name == "chat" else {"response": ""}
    counts = {"prompt_eval_count": 3, "eval_count": 2, "eval_duration": 9, "total_duration": 20, "load_duration": 1}
    yield json.dumps({"model": "tiny", "done": True, "done_reason": "stop", **said, **counts}).encode() + b"\n"


def response_events():
    yield event({"type": "response.created", "response": {"model": "tiny", "instructions": both()}})
    yield event({"type": "response.output_text.delta", "delta": both(), "logprobs": top(word())})
    yield event({"type": "response.function_call_arguments.delta", "delta": both()})
    yield event({"type": "response.failed", "response": {"error": {"code": word(), "message": both()}, "usage": None}})


def whole(document, status="200 OK", *fields):
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return head(status, f"Content-Length: {len(body)}", f"X-Note: {word().replace('ü', 'u')}", *fields) + body


def answering(path):
    """What the scripted server answers: streamed, whole, or an error, as the request's model says."""

    def pieces():
        if path == "/v1/responses":
            return SSE, response_events()
        if path.startswith("/api/"):
            return NDJSON, ollama_lines(path.rpartition("/")[2])
        return SSE, chat_events()

    def script(sock, seen):
        model = seen.json["model"] if seen.body.startswith(b"{") and seen.body.endswith(b"}") else "odd"
        if model == "refuses":
            error = {"error": {"message": both(), "type": word(), "param": word(), "code": word()}}
            sock.sendall(whole(error, "400 Bad Request", "Content-Type: application/json"))
        elif model == "breaks":
            sock.sendall(whole(both().encode(), f"500 {STEM}", "Content-Type: text/plain"))
        elif model == "whole":
            message = {"role": "assistant", "content": both(), "tool_calls": [{"function": {"arguments": both()}}]}
            answer = {
                "choices": [{"message": message, "text": both(), "logprobs": {"content": top(both())}}],
                "model": "whole",
                "usage": {"prompt_tokens": 3, "completion_tokens": 2}, "message": message, "response": both(),
                "output": [both()], "done": True,
            }  # fmt: skip
            sock.sendall(whole(answer, "200 OK", "Content-Type: application/json"))
        elif model == "dies":
            sock.sendall(head("200 OK", *pieces()[0]) + b"".join(map(chunk, itertools.islice(pieces()[1], 2))))
            return True
        else:
            kind, stream = pieces()
            sock.sendall(head("200 OK", *kind) + b"".join(map(chunk, stream)) + LAST)
        return False

    return script


MODEL_PATHS = (
    "/v1/chat/completions", "/v1/completions", "/v1/responses", "/api/chat", "/api/generate", "/v1/embeddings",
    "/api/embed",
)  # fmt: skip
MODELS = ("tiny", "refuses", "breaks", "whole", "dies")


def question(model, *, stream):
    said = [
        {"role": "system", "content": both()},
        {"role": "user", "content": both()},
        {"role": "user", "content": [{"type": "text", "text": both()}, {"type": "image_url", "image_url": word()}]},
    ]
    return {
        "model": model, "stream": stream, "messages": said, "prompt": both(), "input": both(), "system": both(),
        "stop": [word()], "user": word(), "suffix": word(), "template": word(), "images": [word()],
        "tools": [{"type": "function", "function": {"name": word(), "description": both(), "parameters": {word(): 1}}}],
    }  # fmt: skip


def asked(port, path, body):
    """Ask as any client does; gives all bytes of the answer, its head's as well."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
    headers = {"Authorization": f"Bearer {STEM}", "X-Note": STEM, "Cookie": f"a={STEM}", "User-Agent": STEM}
    try:
        connection.request("POST", f"{path}?key={STEM}", body, {"Content-Type": "application/json", **headers})
        answer = connection.getresponse()
        said = str(answer.headers).encode()
        try:
            return said + answer.read()
        except http.client.IncompleteRead as cut:
            return said + cut.partial
    finally:
        connection.close()


def through(port):
    """Put canaries through a proxy; gives how many requests of models it saw."""
    count = 0
    for path, model, stream in itertools.product(MODEL_PATHS, MODELS, (True, False)):
        with contextlib.suppress(ConnectionError):
            assert traces(asked(port, path, json.dumps(question(model, stream=stream))))
        count += 1
    for body in (
        f'{{"{word()}'.encode(),
        word().encode(),
        json.dumps([both()]),
        json.dumps({"model": 7, "prompt": word()}),
    ):
        asked(port, MODEL_PATHS[0], body)
        count += 1
    asked(port, f"/{STEM}", both().encode())
    for raw in (f"{STEM}\r\n\r\n", f"GET /{STEM} HTTP/1.1\r\nHost: {STEM}\r\n\r\n", f"GET /{STEM} HTTP/9\r\n\r\n"):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_S)
        connection.connect()
        connection.sock.sendall(raw.encode())
        assert connection.sock.recv(10)
        connection.close()
    return count


def talk(port):
    """Put canaries through the built-in model; gives the texts that it wrote."""
    written = []
    model = "wfmon-demo-4gram"
    few = {"max_tokens": 12, "options": {"num_predict": 12, "temperature": 0}, "temperature": 0}
    for path, stream in itertools.product(MODEL_PATHS[:5], (True, False)):
        prompt = f"{word()} said: Printing arrived here in the year of"
        more = {"logprobs": 3} if path == "/v1/completions" else {"logprobs": True, "top_logprobs": 3}
        for fields in ({}, more, {"stop": 7}, {"n": 2}, {"temperature": word()}):
            wanted = question(model, stream=stream) | few | {"prompt": prompt} | fields
            said = asked(port, path, json.dumps(wanted)).decode()
            written += [text for text in texts(said) if len(text.split()) >= 4]
        asked(port, path, json.dumps(question(word(), stream=stream)))
    for body in (f'{{"{word()}', word(), json.dumps([word()]), "[" * 10_000 + STEM):
        asked(port, MODEL_PATHS[0], body.encode())
    asked(port, f"/{STEM}", b"{}")
    assert len(written) >= 4
    return written


def texts(said):
    """Give the texts of an answer: whole, or its pieces put together."""
    found = re.findall(r'"(?:text|content|response)": ?("(?:[^"\\]|\\.)*")', said)
    pieces = [json.loads(text) for text in found]
    return [*pieces, "".join(pieces).strip()]


def lie(verbose):
    """POST text where none belongs, and by WebSocket as well. The answers go to the sender, who knows what it said."""
    source = {"e": "source", "v": 1, "id": "canary-sender", "via": "hook", "name": "canary", "pid": os.getpid()}
    now = time.monotonic_ns() // 1_000
    start = {"e": "start", "r": "1", "t": now, "model": "posted"}
    lines = [
        {**start, "prompt": both()}, {**start, "text": both()}, {**start, STEM.lower(): 1}, {**start, word(): word()},
        {"e": word()}, {"e": "phase", "r": "1", "t": now, "name": word()}, {"e": "phase", "r": word(), "t": now},
        {"e": "tokens", "r": "1", "t": [now], "text": [both()]}, {"e": "tokens", "r": "1", "t": [word()]},
        {"e": "tokens", "r": "1", "t": [now], "hash": [[both()]], "top": [[-0.1]]}, {**start, "vocab": f"{STEM} text"},
        {"e": "end", "r": "1", "t": now, "status": word()}, {**source, "id": word()},
        {"e": "end", "r": "1", "t": now, "status": "ok", "reason": word()},
        {"e": "end", "r": "1", "t": now, "status": "error", "message": both()},
    ]  # fmt: skip
    bad = [json.dumps(line) for line in lines] + [
        both(),
        f'{{"e": "tokens", "{word()}',
        f'{{"{word()}": NaN}}',
        f"[{word()}]",
    ]
    good = [json.dumps(line) for line in (source, {"e": "beat", "t": now}, start)]
    end = json.dumps({"e": "end", "r": "1", "t": now + 9, "status": "ok"})
    status, said = verbose.ask("/api/v1/hook", "POST", "\n".join([*good, *bad, end]).encode(), "application/x-ndjson")
    assert status == 200
    assert len(json.loads(said)["refused"]) == len(bad)
    for body, kind in (
        ("\n".join(bad), "application/x-ndjson"), (word(), "text/plain"), (both(), "application/x-ndjson"),
        (json.dumps({**source, "name": "canary", "runtime": f"{STEM}!"}), "application/x-ndjson"),
    ):  # fmt: skip
        assert verbose.ask("/api/v1/hook", "POST", body.encode(), kind)[0] in {400, 415}
    client = Client(
        f"ws://{verbose.at.netloc}/api/v1/hook",
        thread_class=DAEMON,
        headers={"Authorization": f"Bearer {verbose.token}"},
    )
    client.receive(WAIT_S)
    client.send("\n".join([json.dumps({**source, "id": "canary-socket"}), *good[1:2], *bad, end]))
    for _ in range(len(bad)):
        assert json.loads(client.receive(WAIT_S))["type"] == "refused"
    client.send(word().encode())
    with contextlib.suppress(simple_websocket.ConnectionClosed):
        while client.receive(WAIT_S):
            pass
    client.sock.close()


def upstream():
    """The scripted server: it answers requests with canaries, and looks like llama.cpp to who asks what it is."""
    scripts = {path.strip("/").replace("/", "__"): answering(path) for path in MODEL_PATHS}
    for path, answer in replay("llama_cpp").items():
        planted = answer.replace(b"CANARY-PROMPT", STEM.encode() + b"-01").replace(
            b"CANARY-TEMPLATE", STEM.encode() + b"-template"
        )
        scripts[path.strip("/").replace("/", "__")] = says(fitted(planted), close=True)
    return Upstream(**scripts)


def fitted(answer):
    """An answer whose length is that of its body, which has changed."""
    top_lines, _, body = answer.partition(b"\r\n\r\n")
    return re.sub(rb"(?i)content-length: *\d+", b"content-length: %d" % len(body), top_lines) + b"\r\n\r\n" + body


@pytest.fixture
def verbose(tmp_path):
    verbose = VerboseMonitor(tmp_path, upstream())
    yield verbose
    verbose.close()


def test_no_text_reaches_a_file_a_log_the_stream_or_an_answer(verbose):
    proxy = verbose.run(
        "proxy", "-m", "wfmon", "proxy", "--upstream", verbose.upstream.url, "--listen", "127.0.0.1:0",
        "--data", str(verbose.data),
    )  # fmt: skip
    demo = verbose.run("demo", "-m", "wfmon.demo", "--port", "0", "--rate", "0", "--data", str(verbose.data))
    hooked = verbose.run("hooked", "-c", HOOKED, word())
    supervised = verbose.monitor.until(
        lambda: (told := json.loads(verbose.ask("/api/v1/proxy")[1]))["state"] == "running" and told
    )

    lie(verbose)
    seen = through(proxy.port(r"127\.0\.0\.1:(\d+) forwards to"))
    seen += through(int(supervised["listen"].rpartition(":")[2]))
    verbose.monitor.until(lambda: sum(verbose.ended("proxy").values()) == seen)
    written = talk(demo.port(r"127\.0\.0\.1:(\d+)"))
    assert hooked.process.wait(WAIT_S) == 0, hooked.text()
    assert int(hooked.text().rpartition("passed ")[2]) >= 40
    hooks = verbose.monitor.until(lambda: (found := verbose.ended("hook")).get("watcher") and found)
    assert {"plain", "failing", "openai", "openai-objects", "completions", "ollama", "responses", "broken", "left",
            "asynchronous", "block", "posted", "wfmon-demo-4gram"} <= hooks.keys()  # fmt: skip

    verbose.ask("/api/v1/collectors/servers", "POST", b'{"enabled": true}')
    at = f"127.0.0.1:{verbose.upstream.port}"
    found = verbose.monitor.until(lambda: next((row for row in verbose.rows("servers") if row["server"] == at), None))
    assert found["runtime"] == "llama.cpp"
    verbose.monitor.until(lambda: {each.path for each in verbose.upstream.seen} >= {"/props", "/slots"})
    verbose.monitor.until(lambda: verbose.listener.tables() >= {"models", "requests", "servers"})

    assert {row["name"]: row["value"] for row in verbose.rows("settings")}["log.level"] == "debug"
    places = dict(verbose.answers())
    assert demo.end() == proxy.end() == verbose.monitor.end() == 0
    verbose.listener.finish()
    wait_gone(supervised["pid"])
    places |= {f"message {number}": said for number, said in enumerate(verbose.listener.heard)}
    files = {
        str(path.relative_to(verbose.folder)): path.read_bytes() for path in verbose.folder.rglob("*") if path.is_file()
    }
    assert {"data/logs/wfmon.log", "data/logs/proxy.log", "monitor.said", "proxy.said", "demo.said"} <= files.keys()
    places |= files
    assert len(verbose.listener.heard) > 100
    shown = [name for name, said in places.items() if b'"tiny"' in said]  # names are data: the search does find things
    assert "/api/v1/requests" in shown
    assert any(name.startswith("message ") for name in shown)
    print(f"\n{len(places)} places, {sum(map(len, places.values())):,} bytes, {next(_NUMBERS)} canaries")
    assert {name: found for name, said in places.items() if (found := traces(said))} == {}
    for name, said in places.items():
        assert [text for text in written if text.encode() in said] == [], name


def wait_gone(pid):
    """The proxy ends after its monitor, which only asks it to."""
    deadline = time.monotonic() + WAIT_S
    while Path(f"/proc/{pid}/cmdline").exists() and Path(f"/proc/{pid}/cmdline").read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.05)
