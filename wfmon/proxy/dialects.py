"""Which requests are a model's, and what their answers mean. The chunks are read as the hook reads them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple, cast

from wfmon.hook.chunks import ChunkReader, OllamaChunks, OpenAI, Responses
from wfmon.hook.request import Request

NS_A_MS = 1e6


class Dialect(NamedTuple):
    """How an answer is read (None: it has no tokens), and in what form log-probabilities are asked for ("": not)."""

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
"""By how the path ends, the first that fits: servers differ in what stands before (/v1, /api/v0, nothing)."""


def dialect_of(method: bytes, target: bytes) -> Dialect | None:
    """Give the dialect of a request, None where it is not a model's."""
    path = target.partition(b"?")[0].rstrip(b"/")
    if method != b"POST":
        return None
    return next((dialect for end, dialect in DIALECTS.items() if path.endswith(end)), None)


class ProxiedRequest:
    """What a reader tells, in the place of the hook's request: chunks, and the model's name. Texts are not wanted."""

    hashes = False
    """No vocabulary is known here, so no two models can be compared, and tokens' texts need not be looked at."""

    def __init__(self) -> None:
        self.model = ""
        self.chunks: list[tuple[int, tuple[float, ...] | None]] = []
        """Tokens and falling log-probabilities of the chunks since it was last emptied."""

    def named(self, model: str, server: str = "") -> None:
        """Say which model answers."""
        del server
        self.model = self.model or model

    def token(self, n: int = 1, *, logprobs: Sequence[float] | None = None, tokens: object = None) -> None:
        """One chunk of n tokens."""
        del tokens
        self.chunks.append((n, tuple(logprobs) if logprobs else None))


class AnswerReader:
    """Reads the JSON of one answer, an event at a time or whole; keeps counts and durations, no text."""

    def __init__(self, dialect: Dialect) -> None:
        self.told = ProxiedRequest()
        self._reader = dialect.reader(cast("Request", self.told)) if dialect.reader else None
        self._queue_ms: float | None = None
        self._usage: dict[str, Any] = {}
        self.failed = False
        """The server told of an error inside its answer."""
        self.ended = False
        """The answer's own last event came."""

    def event(self, document: object) -> list[tuple[int, tuple[float, ...] | None]]:
        """Read one event; gives its chunks. Raises whatever a strange one raises."""
        if not isinstance(document, dict) or self._reader is None:
            return []
        if document.get("error"):
            self.failed = True
            return []
        self.ended = self.ended or bool(document.get("done"))
        self._reader.read(document)
        if document.get("done"):
            self._queue_ms = _queue_ms(document)
        chunks, self.told.chunks = self.told.chunks, []
        return chunks

    def whole(self, document: object) -> None:
        """Read an answer that was not streamed: counts and durations, for when its tokens came nobody saw."""
        if not isinstance(document, dict):
            return
        if document.get("object") == "response":
            document = {"type": "response.completed", "response": document}
        if self._reader is None:
            usage = document.get("usage")
            told = usage.get("prompt_tokens") if isinstance(usage, dict) else document.get("prompt_eval_count")
            self._usage = {"prompt_tokens": told}
            return
        self.event(document)

    @property
    def finished(self) -> bool:
        """Whether the stream said that it is complete."""
        return self.ended or bool(self._reader and self._reader.reason)

    @property
    def status(self) -> str:
        """Give ok or error, as the server has it."""
        return "error" if self.failed else self._reader.status if self._reader else "ok"

    @property
    def reason(self) -> str:
        """Give why it ended, as the server has it."""
        return "upstream_error" if self.failed else self._reader.reason if self._reader else ""

    @property
    def figures(self) -> dict[str, Any]:
        """Give the counts and durations that it told."""
        return {**self._usage, **(self._reader.figures if self._reader else {}), "queue_ms": self._queue_ms}


def _queue_ms(last: dict[str, Any]) -> float | None:
    """Give what Ollama's total holds beside load, prompt and answer: it waited. None where one of them is not told."""
    parts = [last.get(name) for name in ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration")]
    if not all(isinstance(part, int) for part in parts):
        return None
    total, *rest = cast("list[int]", parts)
    waited = total - sum(rest)
    return waited / NS_A_MS if waited >= 0 else None
