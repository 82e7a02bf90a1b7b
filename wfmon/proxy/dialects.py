"""Recognizes requests to models and interprets their responses, with the hook's chunk readers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, cast

from wfmon.hook.chunks import ChunkReader, OllamaChunks, OpenAI, Responses
from wfmon.hook.request import Request

NS_A_MS = 1e6


class Dialect(NamedTuple):
    """One API: the reader of its responses (None: no tokens) and its form of log-probabilities ("": none)."""

    reader: type[ChunkReader] | None
    ask: Literal["chat", "text", "ollama", ""] = ""


DIALECTS: dict[bytes, Dialect] = {
    b"/chat/completions": Dialect(OpenAI, "chat"),
    b"/completions": Dialect(OpenAI, "text"),
    b"/responses": Dialect(Responses),
    b"/embeddings": Dialect(None),
    b"/api/chat": Dialect(OllamaChunks, "ollama"),
    b"/api/generate": Dialect(OllamaChunks, "ollama"),
    b"/api/embed": Dialect(None),
}
"""By the end of the path, first match: servers differ in the prefix (/v1, /api/v0, none)."""


def dialect_of(method: bytes, target: bytes) -> Dialect | None:
    """Return the dialect of a request, None if it is not a model's."""
    path = target.partition(b"?")[0].rstrip(b"/")
    if method != b"POST":
        return None
    return next((dialect for end, dialect in DIALECTS.items() if path.endswith(end)), None)


class ProxiedRequest:
    """Stands in for the hook's request: collects chunks and the model's name from a reader, no texts."""

    hashes = False
    """The vocabulary is unknown here, so models cannot be compared, and tokens' texts are not needed."""

    def __init__(self) -> None:
        self.model = ""
        self.chunks: list[tuple[int, tuple[float, ...] | None]] = []
        """Token counts and descending log-probabilities of the chunks since it was last emptied."""

    def named(self, model: str, server: str = "") -> None:
        """Set the model's name; the first one counts."""
        del server
        self.model = self.model or model

    def token(self, n: int = 1, *, logprobs: Sequence[float] | None = None, tokens: object = None) -> None:
        """Add a chunk of n tokens."""
        del tokens
        self.chunks.append((n, tuple(logprobs) if logprobs else None))


class AnswerReader:
    """Reads the JSON of one response, per event or as a whole; keeps counts and durations, no text."""

    def __init__(self, dialect: Dialect) -> None:
        self.request = ProxiedRequest()
        self._reader = dialect.reader(cast("Request", self.request)) if dialect.reader else None
        self._queue_ms: float | None = None
        self._usage: dict[str, Any] = {}
        self.failed = False
        """The server reported an error within its response."""
        self.ended = False
        """The response's own last event arrived."""

    def event(self, document: object) -> list[tuple[int, tuple[float, ...] | None]]:
        """Read one event and return its chunks. Raises various errors for a malformed event."""
        if not isinstance(document, dict) or self._reader is None:
            return []
        if document.get("error"):
            self.failed = True
            return []
        self.ended = self.ended or bool(document.get("done"))
        self._reader.read(document)
        if document.get("done"):
            self._queue_ms = _queue_ms(document)
        chunks, self.request.chunks = self.request.chunks, []
        return chunks

    def whole(self, document: object) -> None:
        """Read a response that was not streamed: counts and durations only, since its tokens have no arrival times."""
        if not isinstance(document, dict):
            return
        if document.get("object") == "response":
            document = {"type": "response.completed", "response": document}
        if self._reader is None:
            usage = document.get("usage")
            prompt_tokens = usage.get("prompt_tokens") if isinstance(usage, dict) else document.get("prompt_eval_count")
            self._usage = {"prompt_tokens": prompt_tokens}
            return
        self.event(document)

    @property
    def finished(self) -> bool:
        """Whether the stream declared itself complete."""
        return self.ended or bool(self._reader and self._reader.reason)

    @property
    def status(self) -> str:
        """The outcome according to the server: ok or error."""
        return "error" if self.failed else self._reader.status if self._reader else "ok"

    @property
    def reason(self) -> str:
        """Why it ended, according to the server."""
        return "upstream_error" if self.failed else self._reader.reason if self._reader else ""

    @property
    def figures(self) -> dict[str, Any]:
        """The counts and durations it reported."""
        return {**self._usage, **(self._reader.figures if self._reader else {}), "queue_ms": self._queue_ms}


def _queue_ms(last: dict[str, Any]) -> float | None:
    """Return Ollama's waiting time: total minus load, prompt and response. None if one of them is missing."""
    parts = [last.get(name) for name in ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")]
    if not all(isinstance(part, int) for part in parts):
        return None
    total, *rest = cast("list[int]", parts)
    waited = total - sum(rest)
    return waited / NS_A_MS if waited >= 0 else None
