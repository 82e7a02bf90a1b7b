"""Splits one direction of an HTTP/1 connection into heads and bodies. Lossless: the raw pieces add up to the input.

Incremental, bounded, never raises: after malformed input everything is one ``blind`` piece, with a reason.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import Literal, NamedTuple, TypeAlias

MAX_HEAD_BYTES = 65_536
MAX_LINE_BYTES = 8_192
"""Of a chunk's size line or a trailer."""

_REQUEST = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+) (\S+) (HTTP/1\.[01])")
_RESPONSE = re.compile(rb"(HTTP/1\.[01]) (\d{3})(?: (.*))?")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")


class Body(Enum):
    """Bodies without a known length."""

    CHUNKED = "chunked"
    UNTIL_CLOSE = "until close"
    BLIND = "blind"
    """Not HTTP any more: an upgraded connection."""


Length: TypeAlias = int | Body


class OddError(Exception):
    """Unsupported or malformed HTTP. The argument is a short identifier for counting."""


class MessageHead(NamedTuple):
    """A head: the three parts of its first line, and its fields in order, names in lower case."""

    first: tuple[bytes, bytes, bytes]
    fields: tuple[tuple[bytes, bytes], ...]

    def all(self, name: bytes) -> list[bytes]:
        """Return every value of a field."""
        return [value for key, value in self.fields if key == name]

    def get(self, name: bytes) -> bytes:
        """Return a field's value, several joined with commas, b"" if absent."""
        return b", ".join(self.all(name))

    @property
    def status(self) -> int:
        """The status of a response."""
        return int(self.first[1])


class Piece(NamedTuple):
    """A section of the stream. ``payload``: a body's bytes without chunk framing. An ``end`` piece has no bytes.

    ``head`` is None unless kind is "head".
    """

    kind: Literal["head", "body", "end", "blind"]
    raw: bytes = b""
    payload: bytes = b""
    head: MessageHead | None = None


def request_length(head: MessageHead) -> Length:
    """Return the length of a request's body. Raises OddError."""
    declared = _declared(head)
    return 0 if declared is None else declared


def response_length(head: MessageHead, method: bytes) -> Length:
    """Return the length of a response's body, given the request's method. Raises OddError."""
    status = head.status
    if status == 101 or (method == b"CONNECT" and 200 <= status < 300):
        return Body.BLIND
    if status < 200 or status in (204, 304) or method == b"HEAD":
        return 0
    declared = _declared(head)
    return Body.UNTIL_CLOSE if declared is None else declared


def _declared(head: MessageHead) -> Length | None:
    coding = head.get(b"transfer-encoding").lower()
    lengths = set(head.all(b"content-length"))
    if coding:
        if coding != b"chunked" or lengths:
            raise OddError("transfer_encoding")
        return Body.CHUNKED
    if not lengths:
        return None
    (length, *others) = lengths
    if others or not re.fullmatch(rb"\d{1,15}", length):
        raise OddError("content_length")
    return int(length)


class Framer:
    """Parser of one direction. ``length_of`` returns the body's length for a head; may raise OddError. One thread."""

    def __init__(self, first_line: Literal["request", "response"], length_of: Callable[[MessageHead], Length]) -> None:
        self._first = _REQUEST if first_line == "request" else _RESPONSE
        self._length_of = length_of
        self._held = b""  # an incomplete head or line
        self._step: Callable[[bytes, int], int] = self._head
        self._left = 0
        self._pieces: list[Piece] = []  # of this feed
        self._raws: list[bytes] = []  # of a chunked body, since the last flush
        self._payloads: list[bytes] = []
        self.odd = ""
        """Why parsing stopped; "" while it goes on, or if the connection was upgraded."""

    @property
    def between(self) -> bool:
        """Whether it is between two messages, with no byte of the next one seen."""
        return self._step == self._head and not self._held

    def feed(self, data: bytes) -> list[Piece]:
        """Parse what was read and return its pieces. Bytes of an incomplete head are held back."""
        self._pieces = []
        waiting = self._held if self._step == self._head else b""
        at = 0
        try:
            while at < len(data):
                at = self._step(data, at)
            self._flush()
        except OddError as error:
            self.odd = str(error)
            self._flush()
            done = sum(len(piece.raw) for piece in self._pieces)
            self._pieces.append(Piece("blind", (waiting + data)[done:]))
            self.go_blind()
        return self._pieces

    def eof(self) -> list[Piece]:
        """End the direction. Completes a body that lasts until close; other incomplete messages get no end."""
        if self._step == self._until_close:
            self._step = self._blind
            return [Piece("end")]
        return []

    def go_blind(self) -> bytes:
        """Stop parsing; return the held bytes of an incomplete head."""
        held, self._held = (self._held if self._step == self._head else b""), b""
        self._step = self._blind
        return held

    # Each step parses the data from an offset, adds pieces, and returns the offset after what it consumed.

    def _head(self, data: bytes, at: int) -> int:
        start = len(self._held)
        held = self._held + data[at:]
        skip = len(held) - len(held.lstrip(b"\r\n")) if held[:1] in (b"\r", b"\n") else 0
        end = held.find(b"\r\n\r\n", max(skip, start - 3))
        if end < 0:
            if len(held) > MAX_HEAD_BYTES:
                raise OddError("long_head")
            self._held = held
            return len(data)
        if end > MAX_HEAD_BYTES:
            raise OddError("long_head")
        head = _parse(held[skip:end], self._first)
        length = self._length_of(head)
        self._held = b""
        self._pieces.append(Piece("head", held[: end + 4], head=head))
        self._enter(length)
        return at + (end + 4 - start)

    def _enter(self, length: Length) -> None:
        if isinstance(length, int):
            self._left = length
            if length:
                self._step = self._counted
            else:
                self._done()
        else:
            self._step = {
                Body.CHUNKED: self._chunk_size, Body.UNTIL_CLOSE: self._until_close, Body.BLIND: self._blind
            }[length]  # fmt: skip

    def _done(self) -> None:
        self._flush()
        self._step = self._head
        self._pieces.append(Piece("end"))

    def _flush(self) -> None:
        """Merge all chunks of a read into one piece."""
        if self._raws:
            self._pieces.append(Piece("body", b"".join(self._raws), b"".join(self._payloads)))
            self._raws, self._payloads = [], []

    def _counted(self, data: bytes, at: int) -> int:
        part = data[at : at + self._left]
        self._left -= len(part)
        self._pieces.append(Piece("body", part, part))
        if not self._left:
            self._done()
        return at + len(part)

    def _until_close(self, data: bytes, at: int) -> int:
        part = data[at:]
        self._pieces.append(Piece("body", part, part))
        return len(data)

    def _blind(self, data: bytes, at: int) -> int:
        self._pieces.append(Piece("blind", data[at:]))
        return len(data)

    def _line(self, data: bytes, at: int) -> tuple[bytes | None, int]:
        """Return a line without its ending, None while incomplete. Its raw bytes are emitted as they arrive."""
        end = data.find(b"\n", at)
        stop = len(data) if end < 0 else end + 1
        line = self._held + data[at:stop]
        if len(line) > MAX_LINE_BYTES:
            raise OddError("long_line")
        self._raws.append(data[at:stop])
        self._held = b"" if end >= 0 else line
        return (line.rstrip(b"\r\n") if end >= 0 else None), stop

    def _chunk_size(self, data: bytes, at: int) -> int:
        line, at = self._line(data, at)
        if line is not None:
            found = _CHUNK.fullmatch(line)
            if found is None:
                raise OddError("chunk")
            self._left = int(found[1], 16)
            self._step = self._chunk if self._left else self._trailer
        return at

    def _chunk(self, data: bytes, at: int) -> int:
        part = data[at : at + self._left]
        self._left -= len(part)
        self._raws.append(part)
        self._payloads.append(part)
        if not self._left:
            self._step = self._chunk_end
        return at + len(part)

    def _chunk_end(self, data: bytes, at: int) -> int:
        line, at = self._line(data, at)
        if line:
            raise OddError("chunk")
        if line is not None:
            self._step = self._chunk_size
        return at

    def _trailer(self, data: bytes, at: int) -> int:
        line, at = self._line(data, at)
        if line == b"":
            self._done()
        return at


def _parse(text: bytes, first: re.Pattern[bytes]) -> MessageHead:
    line, *rows = text.split(b"\r\n")
    words = first.fullmatch(line)
    if words is None:
        raise OddError("first_line")
    fields = []
    for row in rows:
        found = _FIELD.fullmatch(row)
        if found is None:
            raise OddError("field")
        fields.append((found[1].lower(), found[2]))
    return MessageHead((words[1], words[2], words[3] or b""), tuple(fields))
