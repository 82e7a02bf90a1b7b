"""The wire format: JSON text, encoded once and shared between clients. Described in docs/protocol.md.

Stateless; any thread.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    from wfmon.core.types import Floats, Ids, Millis

VERSION = 1

# 10 ** decimals by a value's binary exponent: 6 to 7 significant digits, never fewer than the integer part has.
_LOWEST = -1_080
_SCALES: Floats = 10.0 ** np.clip(5 - np.floor(np.arange(_LOWEST - 1, 1_030) * np.log10(2)), 0, 22)

_TEXT, CLOSE = 0x81, 0x88


class Outgoing(NamedTuple):
    """An encoded message. A client that received it has everything up to tick ``seq``; None: no such statement."""

    text: bytes
    seq: int | None = None


class Samples(NamedTuple):
    """Samples for one frame, oldest first within a series; all of shape (n,). NaN is a gap."""

    ids: Ids
    t_ms: Millis
    values: Floats


def rounded(values: Floats) -> Floats:
    """Round to 6 or 7 significant digits, so that frames stay small; whole numbers stay exact, NaN stays NaN."""
    _, exponents = np.frexp(values)
    scale = _SCALES.take(exponents - _LOWEST, mode="clip")  # the exponent of NaN is arbitrary
    return np.asarray(np.rint(values * scale) / scale)


def frame(seq: int, t_ms: int, samples: Samples) -> Outgoing:
    """Encode a frame. A sample is ``[id, dt_ms, value]``, taken at ``t_ms - dt_ms``. 16 us for 120 samples."""
    ages = np.maximum(t_ms - samples.t_ms, 0)
    entries = list(zip(samples.ids.tolist(), ages.tolist(), rounded(samples.values).tolist(), strict=True))
    return Outgoing(orjson.dumps({"type": "frame", "seq": seq, "t": t_ms, "v": entries}), seq)


def message(kind: str, /, **fields: Any) -> Outgoing:  # noqa: ANN401  the type's fields in docs/protocol.md
    """Encode any other message. NaN becomes null."""
    return Outgoing(orjson.dumps({"type": kind, **fields}))


def column(values: NDArray[np.float32]) -> orjson.Fragment:
    """Encode a series' grid directly from the array. One per call, so that other threads can run in between."""
    return orjson.Fragment(orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY))


def snapshot(seq: int, t0_ms: int, step_ms: int, columns: Mapping[str, orjson.Fragment]) -> Outgoing:
    """Encode a snapshot from encoded columns by series id."""
    text = orjson.dumps({"type": "snapshot", "seq": seq, "t0": t0_ms, "step_ms": step_ms, "series": dict(columns)})
    return Outgoing(text, seq)


def text_frames(batch: Iterable[Outgoing]) -> bytes:
    """Return messages as unfragmented server-to-client WebSocket frames (RFC 6455, 5.2)."""
    return b"".join(part for each in batch for part in (_header(_TEXT, len(each.text)), each.text))


def close_frame(code: int, reason: str) -> bytes:
    """Return a WebSocket close frame; the reason is truncated to the 123 bytes allowed."""
    words = reason.encode()[:123].decode(errors="ignore").encode()
    return _header(CLOSE, 2 + len(words)) + struct.pack("!H", code) + words


def event(boot: str, each: Outgoing) -> bytes:
    """Return a message as an SSE event. Its id says where to resume after a disconnection."""
    name = b"" if each.seq is None else b"id: %s:%d\n" % (boot.encode(), each.seq)
    return b"%sevent: message\ndata: %s\n\n" % (name, each.text)


def _header(kind: int, size: int) -> bytes:
    if size < 126:
        return struct.pack("!BB", kind, size)
    if size < 1 << 16:
        return struct.pack("!BBH", kind, 126, size)
    return struct.pack("!BBQ", kind, 127, size)
