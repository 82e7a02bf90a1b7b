"""Tracks one request and its response on a copy: the model's name, token times, outcome. Never the text."""

from __future__ import annotations

from collections import Counter
from typing import Any, Protocol

import orjson

from wfmon.proxy.dialects import AnswerReader, Dialect
from wfmon.proxy.http1 import MessageHead
from wfmon.proxy.lines import Events

MAX_COPY_BYTES = 4_194_304
"""Largest request, or response that is not streamed, whose JSON is parsed."""
ABORTED = frozenset({"client_closed", "upstream_closed", "proxy_stopped"})
DONE = b"[DONE]"


class Emit(Protocol):
    """Receives the events of one request."""

    def start(self, t_us: int, model: str) -> None:
        """The request began."""

    def tokens(self, t_us: int, n: int, top: tuple[float, ...] | None) -> None:
        """A chunk of n tokens arrived."""

    def end(self, t_us: int, status: str, reason: str, figures: dict[str, Any]) -> None:
        """The request ended."""


class Exchange:
    """A request that is not a model's: nothing is recorded."""

    def request_body(self, payload: bytes) -> None:
        """Add a part of the request's body."""

    def request_end(self) -> None:
        """Note the end of the request."""

    def response_head(self, head: MessageHead, t_us: int) -> None:
        """Note the response's head."""

    def response_body(self, payload: bytes, t_us: int) -> None:
        """Add a part of the response's body."""

    def response_end(self, t_us: int) -> None:
        """Note the end of the response."""

    def gone(self, t_us: int, reason: str) -> None:
        """Note that the exchange ended before its response was complete."""


class ModelExchange(Exchange):
    """A request to a model. ``t_us`` is the time of its first byte. One thread."""

    def __init__(self, dialect: Dialect, t_us: int, emit: Emit, counts: Counter[str]) -> None:
        self._emit = emit
        self._counts = counts
        self._t_us = t_us
        self._answer = AnswerReader(dialect)
        self._copy: list[bytes] = []
        self._size = 0
        self._begun = False
        self._unnamed = "(no model named)"
        self._status = 0
        self._events: Events | None = None  # of a streamed response
        self._whole = False
        self._until_close = False

    def request_body(self, payload: bytes) -> None:
        if not self._keep(payload):
            self._unnamed = "(large request)"

    def request_end(self) -> None:
        document = self._parse(self._take())
        if isinstance(document, dict) and isinstance(model := document.get("model"), str):
            # llama-cpp-python's model name is a file path.
            self._begin(model.replace("\\", "/").rpartition("/")[2] if model.endswith(".gguf") else model)

    def response_head(self, head: MessageHead, t_us: int) -> None:
        del t_us
        self._take()
        self._status = head.status
        if self._status >= 400:
            return
        if head.get(b"content-encoding").lower() not in (b"", b"identity"):
            self._counts["encoded"] += 1
            return
        kind = head.get(b"content-type").partition(b";")[0].strip().lower()
        self._until_close = not head.get(b"transfer-encoding") and not head.get(b"content-length")
        if kind == b"text/event-stream":
            self._events = Events("sse")
        elif kind in (b"application/x-ndjson", b"application/ndjson", b"application/jsonl"):
            self._events = Events("lines")
        else:
            self._whole = kind == b"application/json"

    def response_body(self, payload: bytes, t_us: int) -> None:
        if self._events is not None:
            for text in self._events.feed(payload):
                self._event(text, t_us)
        elif self._whole:
            self._keep(payload)

    def response_end(self, t_us: int) -> None:
        if self._status >= 400:
            self._end(t_us, "error", f"http_{self._status}")
            return
        if self._events is not None:
            for text in self._events.rest():
                self._event(text, t_us)
            if self._until_close and not self._answer.finished:
                self._end(t_us, "aborted", "upstream_closed")
                return
        elif self._whole:
            self._answer.whole(self._parse(self._take()))
        self._end(t_us, self._answer.status, self._answer.reason)

    def gone(self, t_us: int, reason: str) -> None:
        self._take()
        self._end(t_us, "aborted" if reason in ABORTED else "error", reason)

    def _event(self, text: bytes, t_us: int) -> None:
        if text.strip() == DONE:
            self._answer.ended = True
            return
        try:
            chunks = self._answer.event(orjson.loads(text))
        except (ValueError, TypeError, AttributeError, KeyError):
            self._counts["odd_events"] += 1
            return
        if chunks:
            self._begin(self._answer.request.model)
            for n, top in chunks:
                self._emit.tokens(t_us, n, top)

    def _begin(self, model: str) -> None:
        if not self._begun and model:
            self._begun = True
            self._emit.start(self._t_us, model)

    def _end(self, t_us: int, status: str, reason: str) -> None:
        if self._events is not None:
            self._counts["long_events"] += self._events.skipped
        self._begin(self._answer.request.model or self._unnamed)
        self._emit.end(t_us, status, reason, self._answer.figures)

    def _keep(self, payload: bytes) -> bool:
        """Append to the copy. False, with nothing kept, past the limit."""
        self._size += len(payload)
        if self._size > MAX_COPY_BYTES:
            self._copy.clear()
            return False
        self._copy.append(payload)
        return True

    def _take(self) -> bytes:
        copy, self._size = b"".join(self._copy), 0
        self._copy.clear()
        return copy

    def _parse(self, text: bytes) -> object:
        try:
            return orjson.loads(text) if text else None
        except ValueError:
            self._counts["odd_bodies"] += 1
            return None
