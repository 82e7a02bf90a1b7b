from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest

from wfmon.core.sketch import EMPTY
from wfmon.store import codec
from wfmon.store.buckets import NONE, Buckets, Figures, Second, of_series, seconds_of

T = 1_700_000_100  # at a chunk's edge


def seconds(n, series=3, distributions=True, per_second=4):
    """``n`` seconds of so many series, their values spread over decades."""
    rng = np.random.default_rng(1)
    count = n * series * per_second
    ids = np.tile(np.arange(series, dtype=np.uint16), n * per_second)
    t_ms = T * 1_000 + np.repeat(np.arange(n * per_second, dtype=np.int64) * (1_000 // per_second), series)
    values = rng.lognormal(2, 2, count).astype(np.float32)
    values[::17] = np.nan
    return seconds_of(ids, t_ms, values, np.full(65_536, distributions))


def same(one, other):
    assert [column.tobytes() for column in one.figures] == [column.tobytes() for column in other.figures]
    assert one.sketch.keys.tolist() == other.sketch.keys.tolist()
    assert one.sketch.counts.tolist() == other.sketch.counts.tolist()
    assert one.sketch.halvings == other.sketch.halvings


@pytest.mark.parametrize("distributions", [True, False])
@pytest.mark.parametrize("series", [1, 3, 200])
def test_a_second_comes_back_as_it_was(series, distributions):
    (second,) = seconds(1, series, distributions)
    found = codec.decode_second(second.t_s, codec.encode_second(second))
    assert (found.t_s, found.ids.tolist()) == (T, second.ids.tolist())
    same(found, second)


def test_an_empty_second_comes_back_empty():
    empty = Second(T, np.zeros(0, np.uint16), NONE.figures, EMPTY)
    found = codec.decode_second(T, codec.encode_second(empty))
    assert len(found.ids) == 0
    same(found, empty)


def test_the_first_and_the_last_id_come_back():
    ids = np.array([0, 65_535], np.uint16)
    second = Second(T, ids, Figures(np.ones(2, np.uint32), *[np.ones(2, np.float32)] * 4))
    assert codec.decode_second(T, codec.encode_second(second)).ids.tolist() == [0, 65_535]


@pytest.mark.parametrize("distributions", [True, False])
@pytest.mark.parametrize("n", [0, 1, 300])
def test_the_figures_of_a_chunk_come_back_without_its_sketches(n, distributions):
    buckets = of_series(seconds(n, distributions=distributions), np.array([1], np.uint16)).get(1, NONE)
    data = codec.encode_chunk(buckets, T, 1)
    found, whole = codec.decode_chunk(data, T, 1, sketches=False), codec.decode_chunk(data, T, 1)
    assert found.t_s.tolist() == whole.t_s.tolist()
    assert [column.tobytes() for column in found.figures] == [column.tobytes() for column in whole.figures]
    assert len(found.sketch.keys) == 0
    with pytest.raises(codec.CorruptBlob):
        codec.decode_chunk(data[:9], T, 1, sketches=False)


@pytest.mark.parametrize("n", [0, 1, 2, 300])
def test_a_chunk_comes_back_as_it_was(n):
    buckets = of_series(seconds(n), np.array([1], np.uint16)).get(1, NONE)
    found = codec.decode_chunk(codec.encode_chunk(buckets, T, 1), T, 1)
    assert found.t_s.tolist() == buckets.t_s.tolist()
    same(found, buckets)


@pytest.mark.parametrize(("step_s", "n"), [(10, 360), (60, 360), (300, 288), (3_600, 24)])
def test_a_full_chunk_of_each_coarser_tier_comes_back(step_s, n):
    fine = of_series(seconds(n), np.array([2], np.uint16))[2]
    buckets = Buckets(T + np.arange(n, dtype=np.int64) * step_s, fine.figures, fine.sketch)
    found = codec.decode_chunk(codec.encode_chunk(buckets, T, step_s), T, step_s)
    assert found.t_s.tolist() == buckets.t_s.tolist()
    same(found, buckets)


def test_a_chunk_of_gaps_alone_comes_back():
    nan = np.full(2, np.nan, np.float32)
    buckets = Buckets(np.array([T, T + 5], np.int64), Figures(np.zeros(2, np.uint32), nan, nan, nan, nan))
    found = codec.decode_chunk(codec.encode_chunk(buckets, T, 1), T, 1)
    assert found.figures.samples.tolist() == [0, 0]
    assert np.isnan(found.figures.last).all()


def test_a_blob_of_another_version_is_refused():
    data = codec.encode_second(seconds(1)[0])
    with pytest.raises(codec.CorruptBlob, match="unknown version 2"):
        codec.decode_second(T, b"\x02" + data[1:])


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x01\x00\x00\x00\x00\x00\x00", b"\x01" + bytes(20), None, "text", 7])
def test_what_is_no_blob_is_unreadable(data):
    with pytest.raises(codec.CorruptBlob):
        codec.decode_second(T, data)
    with pytest.raises(codec.CorruptBlob):
        codec.decode_chunk(data, T, 1)


@pytest.mark.parametrize(
    "decode", [lambda data: codec.decode_second(T, data), lambda data: codec.decode_chunk(data, T, 1)]
)
def test_a_blob_that_was_cut_off_anywhere_is_unreadable(decode):
    data = codec.encode_second(seconds(1)[0])
    for end in range(len(data)):
        with pytest.raises(codec.CorruptBlob):
            decode(data[:end])


def test_a_blob_with_any_one_bit_turned_is_unreadable_or_still_in_order():
    data = codec.encode_chunk(of_series(seconds(300), np.array([1], np.uint16))[1], T, 1)
    rng = np.random.default_rng(2)
    read = 0
    for at in [*range(20), *rng.integers(0, len(data), 300).tolist()]:
        for bit in range(8):
            damaged = bytearray(data)
            damaged[at] ^= 1 << bit
            try:
                found = codec.decode_chunk(bytes(damaged), T, 1)
            except codec.CorruptBlob:
                continue
            read += 1
            assert (np.diff(found.t_s) > 0).all()
            assert not len(found.sketch.keys) or int(found.sketch.keys[-1] >> 16) < len(found)
    assert read <= 8  # bits that zlib does not use


def test_rubbish_is_unreadable():
    rng = np.random.default_rng(3)
    for size in range(200):
        with pytest.raises(codec.CorruptBlob):
            codec.decode_chunk(rng.bytes(size), T, 1)


def packed(rows, bins, *columns):
    return struct.pack("<BHI", 1, rows, bins) + zlib.compress(b"".join(np.ascontiguousarray(
        column).view(np.uint8).reshape(len(column), -1).T.tobytes() for column in columns if len(column)))  # fmt: skip


def blob(index, keys):
    n = len(index)
    return packed(
        n, len(keys), np.array(index, np.uint16), np.ones(n, np.uint32), *[np.ones(n, np.float32)] * 4,
        np.array(keys, np.uint32), np.ones(len(keys), np.uint32),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("index", "keys"),
    [
        ([3, 2], []),
        ([2, 2], []),
        ([1, 2], [1 << 16 | 40_000, 1 << 16 | 39_000]),
        ([1, 2], [3 << 16 | 40_000]),
    ],
    ids=["rows in disorder", "a row twice", "bins in disorder", "bins of nobody"],
)
def test_a_blob_that_says_what_cannot_be_is_unreadable(index, keys):
    with pytest.raises(codec.CorruptBlob, match="out of order"):
        codec.decode_second(T, blob(index, keys))
    with pytest.raises(codec.CorruptBlob, match="out of order"):
        codec.decode_chunk(blob(index, keys), T, 1)


def test_a_blob_that_tells_fewer_rows_than_it_holds_is_unreadable():
    data = blob([1, 2, 3], [])
    with pytest.raises(codec.CorruptBlob, match="length does not match its header"):
        codec.decode_second(T, struct.pack("<BHI", 1, 2, 0) + data[7:])


def test_a_damaged_head_that_tells_terabytes_takes_none():
    data = blob([1, 2, 3], [])
    with pytest.raises(codec.CorruptBlob):
        codec.decode_second(T, struct.pack("<BHI", 1, 3, 2**32 - 1) + data[7:])


def test_what_is_read_can_be_joined():
    data = codec.encode_chunk(of_series(seconds(300), np.array([1], np.uint16))[1], T, 1)
    from wfmon.store.buckets import joined

    assert len(joined([codec.decode_chunk(data, T, 1)] * 2, 10)) == 30
