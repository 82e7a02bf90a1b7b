"""The framer loses no byte, however the wire is cut, and agrees with h11 on what is well formed."""

from __future__ import annotations

import h11
import hypothesis
import pytest
from hypothesis import strategies as st

from wfmon.proxy.http1 import Framer, request_length
from wfmon.proxy.lines import MAX_EVENT_BYTES, Events

NAMES = st.sampled_from([b"X-A", b"Accept", b"content-type", b"Content-Length", b"Transfer-Encoding", b"Host"])
FIELDS = st.tuples(NAMES, st.sampled_from([b"a", b"chunked", b"3", b"0", b"007", b"-1", b"", b"gzip, chunked"]))


def cut(data, sizes):
    pieces, at = [], 0
    for size in sizes:
        pieces.append(data[at : at + size])
        at += size
    return [piece for piece in [*pieces, data[at:]] if piece]


@st.composite
def wires(draw):
    fields = draw(st.lists(FIELDS, max_size=4))
    top = b"POST /v1 HTTP/1.1\r\n" + b"".join(name + b": " + value + b"\r\n" for name, value in fields) + b"\r\n"
    return (
        top
        + draw(st.sampled_from([b"", b"abc", b"3\r\nabc\r\n0\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n"]))
        + draw(st.binary(max_size=20))
    )


@hypothesis.given(wires() | st.binary(max_size=200), st.lists(st.integers(1, 9), max_size=60))
def test_the_raw_pieces_add_up_to_what_came(data, sizes):
    framer = Framer("request", request_length)
    out = b"".join(piece.raw for part in cut(data, sizes) for piece in framer.feed(part))
    assert out + framer.go_blind() == data


@hypothesis.given(wires(), st.lists(st.integers(1, 9), max_size=60))
def test_the_cuts_change_nothing(data, sizes):
    def heads_and_payload(parts):
        framer = Framer("request", request_length)
        pieces = [piece for part in parts for piece in framer.feed(part)]
        return [p.head for p in pieces if p.head], b"".join(p.payload for p in pieces), bool(framer.odd)

    assert heads_and_payload(cut(data, sizes)) == heads_and_payload([data])


@hypothesis.given(
    st.lists(st.binary(min_size=1, max_size=50), max_size=6), st.lists(st.integers(1, 9), max_size=80), st.booleans()
)
def test_h11_writes_what_it_reads(chunks, sizes, chunked):
    writer = h11.Connection(h11.CLIENT)
    length = (b"Transfer-Encoding", b"chunked") if chunked else (b"Content-Length", b"%d" % sum(map(len, chunks)))
    data = writer.send(h11.Request(method="POST", target="/x", headers=[(b"Host", b"a"), length]))
    data += b"".join(writer.send(h11.Data(data=part)) for part in chunks) + writer.send(h11.EndOfMessage())
    framer = Framer("request", request_length)
    pieces = [piece for part in cut(data * 2, sizes) for piece in framer.feed(part)]
    assert b"".join(piece.payload for piece in pieces) == b"".join(chunks) * 2
    assert [piece.kind for piece in pieces if piece.kind in ("head", "end")] == ["head", "end"] * 2
    assert (framer.odd, framer.between) == ("", True)


@pytest.mark.parametrize(
    ("top", "odd"),
    [
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", "transfer_encoding"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "transfer_encoding"),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", "content_length"),
        (b"POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\n", "content_length"),
        (b"POST / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", "field"),
        (b"POST / HTTP/1.1\r\nA : b\r\n\r\n", "field"),
        (b"POST / HTTP/3\r\n\r\n", "first_line"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", "chunk"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1" * 9_000, "long_line"),
    ],
)
def test_what_could_be_read_in_two_ways_is_not_read(top, odd):
    framer = Framer("request", request_length)
    pieces = framer.feed(top)
    assert (framer.odd, pieces[-1].kind) == (odd, "blind")
    assert b"".join(piece.raw for piece in pieces) == top


@hypothesis.given(st.lists(st.integers(1, 9), max_size=60), st.sampled_from([b"\n", b"\r\n"]))
def test_events_are_the_same_however_they_are_cut(sizes, end):
    data = end.join([b": hello", b"event: x", b"data: a", b"data:b", b"", b"data: c", b"", b"", b"data: d"])
    events = Events("sse")
    found = [text for part in cut(data, sizes) for text in events.feed(part)]
    assert found + events.rest() == [b"a\nb", b"c", b"d"]


def test_a_line_without_end_is_skipped_and_never_kept():
    events = Events("lines")
    for _ in range(20):
        assert events.feed(b"x" * 100_000) == []
        assert len(events._tail) <= MAX_EVENT_BYTES
    assert events.feed(b"y\n{}\n") == [b"{}"]
    assert events.skipped == 1
