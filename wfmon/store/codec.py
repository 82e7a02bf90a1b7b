"""Encoding of seconds and buckets as blobs: columns one after another, bytes grouped by significance, then deflated.

A blob begins with its version and the numbers of rows and of sketch bins; unknown versions are rejected.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from wfmon.core.sketch import EMPTY, Sketch
from wfmon.store.buckets import HALVINGS, Buckets, Figures, Second

VERSION = 1
LEVEL = 1
"""zlib level: level 6 saves 4 % of the bytes and takes three times as long."""
_UP = np.uint32(16)
_HEAD = struct.Struct("<BHI")
_FIGURES: tuple[type[Any], ...] = (np.uint32, np.float32, np.float32, np.float32, np.float32)


class CorruptBlob(ValueError):
    """A blob that is damaged or of an unknown version."""


def encode_second(second: Second) -> bytes:
    """Encode a second; its time is stored in its own column."""
    return _pack(second.ids, second.figures, second.sketch)


def decode_second(t_s: int, data: bytes) -> Second:
    """Decode a second. Raises CorruptBlob."""
    ids, figures, sketch = _unpack(data)
    owners = sketch.keys >> _UP
    at = np.searchsorted(ids, owners)
    _check(ids, sketch, not len(at) or (int(at.max()) < len(ids) and bool((ids[at] == owners).all())))
    return Second(t_s, ids, figures, sketch)


def encode_chunk(buckets: Buckets, start_s: int, step_s: int) -> bytes:
    """Encode a chunk that begins at ``start_s``."""
    return _pack(((buckets.t_s - start_s) // step_s).astype(np.uint16), buckets.figures, buckets.sketch)


def decode_chunk(data: bytes, start_s: int, step_s: int, *, sketches: bool = True) -> Buckets:
    """Decode a chunk; without ``sketches`` only its figures, in a third of the time. Raises CorruptBlob."""
    offsets, figures, sketch = _unpack(data, sketches=sketches)
    _check(offsets, sketch, not len(sketch.keys) or int(sketch.keys[-1] >> _UP) < len(offsets))
    return Buckets(offsets.astype(np.int64) * step_s + start_s, figures, sketch)


def _pack(index: NDArray[np.uint16], figures: Figures, sketch: Sketch) -> bytes:
    head = _HEAD.pack(VERSION, len(index), len(sketch.keys))
    planes = _planes(np.uint16, (index,)) + _planes(np.uint32, figures)
    if len(sketch.keys):
        planes += _planes(np.uint32, (sketch.keys, sketch.counts))
    return head + zlib.compress(planes, LEVEL)


def _unpack(data: bytes, *, sketches: bool = True) -> tuple[NDArray[np.uint16], Figures, Sketch]:
    try:
        version, rows, bins = _HEAD.unpack_from(data)
        if version != VERSION:
            raise CorruptBlob(f"a blob has the unknown version {version}")
        figures_at, sketch_at = 2 * rows, (2 + 4 * len(_FIGURES)) * rows
        if not sketches and bins:
            bins, inflated = 0, zlib.decompressobj().decompress(data[_HEAD.size :], sketch_at or 1)
        else:
            inflated = zlib.decompress(data[_HEAD.size :])
        planes = np.frombuffer(inflated, np.uint8)
    except (struct.error, zlib.error, TypeError) as error:  # TypeError: text in a column of bytes
        raise CorruptBlob(f"a blob is damaged ({error})") from None
    if len(planes) != sketch_at + 8 * bins:
        raise CorruptBlob("a blob is damaged: its length does not match its header")
    index = _columns(planes[:figures_at], np.uint16, 1, rows)[0]
    figures = _columns(planes[figures_at:sketch_at], np.uint32, len(_FIGURES), rows)
    columns = [column.view(kind) for column, kind in zip(figures, _FIGURES, strict=True)]
    if not bins:
        return index, Figures(*columns), EMPTY
    keys, counts = _columns(planes[sketch_at:], np.uint32, 2, bins)
    return index, Figures(*columns), Sketch(keys, counts, HALVINGS)


def _check(index: NDArray[np.uint16], sketch: Sketch, owned: bool) -> None:  # noqa: FBT001
    """Reject unsorted rows and bins without an owner, which would make later steps fail or be wrong."""
    if not (owned and (index[1:] > index[:-1]).all() and (sketch.keys[1:] > sketch.keys[:-1]).all()):
        raise CorruptBlob("a blob is damaged: its rows are out of order")


def _planes(kind: type[Any], columns: Sequence[NDArray[Any]]) -> bytes:
    """Return columns of one size (n,) as byte planes: the first bytes of all values, then the second ones ..."""
    whole = np.empty((len(columns), len(columns[0])), kind)
    for row, column in zip(whole, columns, strict=True):
        row[:] = column.view(kind)
    return whole.view(np.uint8).reshape(*whole.shape, -1).transpose(0, 2, 1).tobytes() if whole.size else b""


def _columns(planes: NDArray[np.uint8], kind: type[Any], count: int, n: int) -> NDArray[Any]:
    """Undo ``_planes``: shape (count, n)."""
    size = np.dtype(kind).itemsize
    found, sorted_by_weight = np.empty((count, n, size), np.uint8), planes.reshape(count, size, n)
    for weight in range(size):  # plane by plane: three times as fast as the copy of a transposed view
        found[:, :, weight] = sorted_by_weight[:, weight]
    columns: NDArray[Any] = found.reshape(count, -1).view(kind)
    return columns
