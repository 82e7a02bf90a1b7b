"""For ``--logprobs K``: request log-probabilities that the client did not, and strip them from the response.

docs/proxy.md lists what can differ for the client; everything else is forwarded byte for byte.
"""

from __future__ import annotations

import json
import re
from collections import Counter, OrderedDict
from typing import Literal, NamedTuple

import orjson

from wfmon.proxy.dialects import dialect_of
from wfmon.proxy.exchange import MAX_COPY_BYTES
from wfmon.proxy.http1 import MessageHead
from wfmon.proxy.lines import MAX_EVENT_BYTES

RETRIED = frozenset({400, 422, 500, 501})
"""How servers reject an unknown field. A request that fails for another reason is sent once more, unmodified."""
MAX_REFUSING = 256
STREAMED = (b"text/event-stream", b"application/x-ndjson", b"application/ndjson", b"application/jsonl")

Form = Literal["chat", "text", "ollama"]
_KEYS = ("logprobs", "top_logprobs", "n_probs")
_PATHS: dict[Form, tuple[str, ...]] = {
    "chat": ("choices", "*", "logprobs"), "text": ("choices", "*", "logprobs"), "ollama": ("logprobs",),
}  # fmt: skip
_LENGTH = re.compile(rb"(?im)^(content-length:[ \t]*)\d+")
_SPACE = re.compile(r"[ \t\r\n]*")
_VALUE = json.JSONDecoder()


class RewrittenRequest(NamedTuple):
    """A request as sent, and the original in case the server rejects it."""

    raw: bytes
    original: bytes
    model: str
    form: Form


class LogprobsAsker:
    """Decides which requests are rewritten, and remembers models that reject it. Event loop's thread."""

    def __init__(self, k: int, counts: Counter[str]) -> None:
        self._fields: dict[Form, dict[str, object]] = {
            "chat": {"logprobs": True, "top_logprobs": k}, "text": {"logprobs": k},
            "ollama": {"logprobs": True, "top_logprobs": k},
        }  # fmt: skip
        self._counts = counts
        self._refusing: OrderedDict[str, None] = OrderedDict()

    def hold(self, head: MessageHead, raw: bytes) -> HeldRequest | None:
        """Return a holder for a request that may be rewritten, None for one to forward unchanged."""
        dialect = dialect_of(head.first[0], head.first[1])
        length = head.get(b"content-length")
        plain = not head.get(b"content-encoding") and not head.get(b"expect")
        if dialect is None or dialect.ask == "" or not plain or not length or int(length) > MAX_COPY_BYTES:
            return None
        return HeldRequest(raw, dialect.ask)

    def rewrite(self, held: HeldRequest) -> RewrittenRequest | None:
        """Append the fields to the JSON object. None if the client set them itself or the model rejects them."""
        body = b"".join(held.body)
        try:
            document = orjson.loads(body)
        except ValueError:
            return None
        bare = body.rstrip()
        if not isinstance(document, dict) or any(key in document for key in _KEYS):
            return None
        model = str(document.get("model", ""))
        if model in self._refusing:
            return None
        fields = orjson.dumps(self._fields[held.form])[1:]
        made = bare[:-1] + (b"," if document else b"") + fields
        self._counts["asked"] += 1
        return RewrittenRequest(with_length(held.head, len(made)) + made, held.head + body, model, held.form)

    def note_refusal(self, rewritten: RewrittenRequest) -> None:
        """Remember that the model answered only without the added fields."""
        self._counts["asked_refused"] += 1
        self._refusing[rewritten.model] = None
        if len(self._refusing) > MAX_REFUSING:
            self._refusing.popitem(last=False)


class HeldRequest:
    """A request held back until its body is complete."""

    def __init__(self, head: bytes, form: Form) -> None:
        self.head = head
        self.form = form
        self.body: list[bytes] = []


class Stripper:
    """Strips log-probabilities from one response: per event if streamed, otherwise from the complete body."""

    def __init__(self, head: MessageHead, raw: bytes, form: Form) -> None:
        self._raw = raw
        self._form = form
        kind = head.get(b"content-type").partition(b";")[0].strip().lower()
        self._streamed = kind in STREAMED
        self._counted = bool(head.get(b"content-length"))
        self._chunked = bool(head.get(b"transfer-encoding"))
        self._whole = self._counted or not self._streamed
        self._parts: list[bytes] = []
        self._size = 0
        self._tail = b""

    @classmethod
    def of(cls, head: MessageHead, raw: bytes, form: Form) -> Stripper | None:
        """Return a stripper for a response that can contain any, else None."""
        encoded = head.get(b"content-encoding").lower() not in (b"", b"identity")
        return None if encoded or head.status >= 300 else cls(head, raw, form)

    def head(self) -> bytes:
        """Return the head if it can be sent now; one with Content-Length must wait for the complete body."""
        return b"" if self._whole else self._raw

    def body(self, payload: bytes) -> bytes:
        """Add a part of the body, without chunk framing; return what can be sent now."""
        if not self._whole:
            return self._frame(self._lines(payload))
        self._parts.append(payload)
        self._size += len(payload)
        if self._size <= MAX_COPY_BYTES:
            return b""
        # Too long to hold: from here on unchanged, log-probabilities included.
        self._whole = False
        self._streamed = False
        out = b"".join(self._parts)
        self._parts.clear()
        return self._raw + self._frame(out)

    def end(self) -> bytes:
        """End the body; return the remaining bytes."""
        if not self._whole:
            out = self._frame(strip_line(self._tail, self._form) if self._streamed else b"")
            return out + (b"0\r\n\r\n" if self._chunked else b"")
        body = b"".join(self._parts)
        body = self._lines(body + b"\n")[:-1] if self._streamed else without(body, self._form)
        if self._counted:
            return with_length(self._raw, len(body)) + body
        return self._raw + self._frame(body) + (b"0\r\n\r\n" if self._chunked else b"")

    def _lines(self, payload: bytes) -> bytes:
        if not self._streamed:
            return payload
        *lines, self._tail = (self._tail + payload).split(b"\n")
        if len(self._tail) > MAX_EVENT_BYTES:
            lines[len(lines) :], self._tail = [self._tail], b""
            return b"\n".join([strip_line(line, self._form) for line in lines])
        return b"".join([strip_line(line, self._form) + b"\n" for line in lines])

    def _frame(self, data: bytes) -> bytes:
        return b"%x\r\n%s\r\n" % (len(data), data) if self._chunked and data else data


def with_length(head: bytes, length: int) -> bytes:
    """Return the head with another Content-Length."""
    return _LENGTH.sub(rb"\g<1>%d" % length, head)


def strip_line(line: bytes, form: Form) -> bytes:
    """Strip one line of a stream: an SSE ``data:`` line or a line of JSON."""
    if line.startswith(b"data:"):
        return line[:5] + without(line[5:], form)
    return without(line, form)


def without(text: bytes, form: Form) -> bytes:
    """Strip the log-probabilities from a JSON text: OpenAI's become null, Ollama's member is removed.

    Text that is not JSON is returned unchanged.
    """
    if b'"logprobs"' not in text:
        return text
    try:
        words = text.decode()
        spans: list[tuple[int, int, int]] = []
        end = _walk(words, _skip(words, 0), _PATHS[form], spans)
        if _skip(words, end) != len(words):
            return text
    except (ValueError, IndexError, RecursionError):
        return text
    for key_at, value_at, end in reversed(spans):
        if form != "ollama":
            words = f"{words[:value_at]}null{words[end:]}"
        elif words[(after := _skip(words, end))] == ",":
            words = words[:key_at] + words[_skip(words, after + 1) :]
        else:  # the last member: remove the comma before it
            before = words[:key_at].rstrip()
            words = before.removesuffix(",") + words[end:]
    return words.encode()


def _walk(text: str, at: int, path: tuple[str, ...], spans: list[tuple[int, int, int]]) -> int:
    """Append the spans (name, value, end) of members at a path. Returns the end offset of the value at ``at``."""
    kind = text[at]
    if not path or kind != ("[" if path[0] == "*" else "{"):
        return _VALUE.raw_decode(text, at)[1]
    close = "]" if kind == "[" else "}"
    at = _skip(text, at + 1)
    if text[at] == close:
        return at + 1
    while True:
        name_at, name = at, "*"
        if kind == "{":
            name, at = _VALUE.raw_decode(text, at)
            at = _skip(text, at)
            if text[at] != ":":
                raise ValueError
            at = _skip(text, at + 1)
        value_at = at
        if name == path[0]:
            at = _walk(text, at, path[1:], spans)
            if len(path) == 1:
                spans.append((name_at, value_at, at))
        else:
            at = _VALUE.raw_decode(text, at)[1]
        at = _skip(text, at)
        if text[at] == close:
            return at + 1
        if text[at] != ",":
            raise ValueError
        at = _skip(text, at + 1)


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at
