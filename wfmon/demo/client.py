"""A load generator that keeps the page moving; it measures on the client's side, as any client could."""

from __future__ import annotations

import http.client
import json
import random
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

from wfmon.core.clock import Clock

KEPT = 50
PATIENCE_S = 60
Kind = Literal["one", "other", "both", "long", "abort", "crowd"]
ROUND: tuple[Kind, ...] = (
    "both",
    "one",
    "other",
    "both",
    "long",
    "both",
    "abort",
    "both",
    "other",
    "crowd",
    "both",
    "one",
)
"""The sequence of requests. "both" sends one prompt to both models at once, which shows how far they disagree."""
CROWD = 6
"""More than a model processes at once, so that some wait."""
STAGGER_S = 0.02
"""Delay between simultaneous requests: within one millisecond the threads of client and server, which share this
process, would block one another, and the delay would be measured as the model's."""
PROMPTS = (
    "A token is",
    "The first token of an answer",
    "The graphics card is busy because",
    "When the memory is full,",
    "A disk that is nearly full",
    "The model reads the prompt and then",
    "What is the temperature of a model? It is",
    "A slow answer has a cause. The most common one",
    "The processor is idle while",
    "To bake a good loaf of bread,",
    "In the garden, the first thing to do in spring",
    "Water the plants in the evening, because",
    "The soup is ready when",
    "A cloud is",
    "The wind turned, and",
    "Before a thunderstorm the air",
    "A sharp knife is",
    "The old clock in the hall",
    "Dear friend, I write to you",
    "The letter lay on the table, and",
    "If the queue grows longer,",
    "The cache keeps",
    "Measure first, and then",
    "A bicycle chain needs",
    "The harbour was quiet when",
    "The difference between memory and a disk is",
)


class Question(NamedTuple):
    """One request. ``tokens``: maximum of the answer; ``leave_after``: disconnect after so many tokens (0: never)."""

    model: str
    prompt: str
    tokens: int
    leave_after: int = 0


class LoadGenerator:
    """Sends requests until ``ended`` is set. ``run`` is its thread; ``measured``: any thread."""

    def __init__(
        self, clock: Clock, port: int, models: Sequence[str], texts: Sequence[str], ended: threading.Event
    ) -> None:
        self._clock = clock
        self._port = port
        self._models = tuple(models)
        self._texts = tuple(texts)
        self._ended = ended
        self._random = random.Random()
        self._lock = threading.Lock()
        self._rows: deque[dict[str, Any]] = deque(maxlen=KEPT)

    def measured(self) -> list[dict[str, Any]]:
        """Return the measurements of the last requests, newest first."""
        with self._lock:
            return list(reversed(self._rows))

    def run(self) -> None:
        """Send round after round, with pauses in which the models are idle."""
        while not self._ended.is_set():
            for kind in ROUND:
                self._at_once(self._questions(kind))
                if self._clock.wait(self._ended, self._random.uniform(1.0, 3.0)):
                    return

    def ask(self, question: Question) -> None:
        """Send a request, read the answer to its end, and keep the measurements but not the text."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE_S)
        try:
            connection.request("GET", "/health")  # connects before anything is measured
            connection.getresponse().read()
            row = self._read(connection, question)
        except (OSError, http.client.HTTPException, ValueError, KeyError):
            return  # the server is stopping; there is nothing to report
        finally:
            connection.close()
        with self._lock:
            self._rows.append(row)

    def _questions(self, kind: Kind) -> list[Question]:
        prompt = self._random.choice(PROMPTS)
        tokens = self._random.randint(40, 140)
        first, last = self._models[0], self._models[-1]
        match kind:
            case "one":
                return [Question(first, prompt, tokens)]
            case "other":
                return [Question(last, prompt, tokens)]
            case "both":
                return [Question(model, prompt, tokens) for model in self._models]
            case "long":
                return [Question(last, self._random.choice(self._texts)[:4_000], tokens)]
            case "abort":
                return [Question(first, prompt, tokens, leave_after=self._random.randint(8, 30))]
            case "crowd":
                return [Question(last, self._random.choice(PROMPTS), 40) for _ in range(CROWD)]

    def _at_once(self, questions: Sequence[Question]) -> None:
        threads = [
            threading.Thread(target=self.ask, args=(each,), name="demo-ask", daemon=True) for each in questions[1:]
        ]
        for thread in threads:
            thread.start()
            self._clock.wait(self._ended, STAGGER_S)
        self.ask(questions[0])
        for thread in threads:
            thread.join()

    def _read(self, connection: http.client.HTTPConnection, question: Question) -> dict[str, Any]:
        body = json.dumps({
            "model": question.model, "prompt": question.prompt, "max_tokens": question.tokens, "stream": True,
            "stream_options": {"include_usage": True},
        })  # fmt: skip
        started_ms, started_ns = self._clock.now_ms(), self._clock.mono_ns()
        connection.request("POST", "/v1/completions", body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        number = answer.headers["X-Request-Id"]
        came: list[int] = []
        usage: dict[str, int] = {}
        status = "ok"
        while data := _event(answer):
            came_ns = self._clock.mono_ns()
            if data == b"[DONE]":
                break
            event = json.loads(data)
            usage = event["usage"] or usage
            if any(choice["text"] for choice in event["choices"]):
                came.append(came_ns)
            if question.leave_after and len(came) >= question.leave_after:
                status = "aborted"
                break
        ended_ns = self._clock.mono_ns()
        tokens = usage.get("completion_tokens", len(came))
        span_s = (came[-1] - came[0]) / 1e9 if len(came) > 1 else 0.0
        return {
            "id": number,
            "model": question.model,
            "status": status,
            "started_ms": started_ms,
            "prompt_tokens": usage.get("prompt_tokens"),
            "tokens": tokens,
            "ttft_ms": round((came[0] - started_ns) / 1e6, 3) if came else None,
            "tokens_per_second": round((len(came) - 1) / span_s, 3) if span_s else None,
            "duration_ms": round((ended_ns - started_ns) / 1e6, 3),
        }


def _event(answer: http.client.HTTPResponse) -> bytes:
    """Return the data of the next server-sent event, b"" at the end."""
    while line := answer.readline():
        if line.startswith(b"data: "):
            return line[6:].strip()
    return b""
