from __future__ import annotations

import json

import numpy as np
import pytest

from wfmon.stream import wire


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0.0"), (1 / 3, "0.333333"), (200 / 3, "66.6667"), (-200 / 3, "-66.6667"), (1e-9 / 3, "3.33333e-10"),
        (8_589_934_592.0, "8589934592.0"), (1_234_567.8, "1234568.0"),
        (99_999.96, "100000.0"), (65_536.25, "65536.2"), (5e-324, "0.0"),
        (float("nan"), "null"),
    ],
)  # fmt: skip
def test_a_value_is_sent_with_six_or_seven_digits_and_whole_numbers_exactly(value, text):
    samples = wire.Samples(np.array([0], np.int32), np.array([90]), np.array([value]))
    assert wire.frame(1, 100, samples).text == b'{"type":"frame","seq":1,"t":100,"v":[[0,10,%s]]}' % text.encode()


def test_a_sample_from_the_future_has_age_zero():
    samples = wire.Samples(np.array([0], np.int32), np.array([101]), np.array([1.0]))
    assert json.loads(wire.frame(1, 100, samples).text)["v"] == [[0, 0, 1.0]]


@pytest.mark.parametrize(
    ("size", "head"),
    [
        (125, b"\x81\x7d"),
        (126, b"\x81\x7e\x00\x7e"),
        (65_535, b"\x81\x7e\xff\xff"),
        (65_536, b"\x81\x7f" + b"\0" * 5 + b"\1\0\0"),
    ],
)
def test_a_websocket_frame_has_the_length_that_rfc_6455_asks(size, head):
    text = b"x" * size
    assert wire.text_frames([wire.Outgoing(text)]) == head + text


def test_a_closing_reason_is_cut_between_characters():
    frame = wire.close_frame(4401, "é" * 100)
    assert frame[:4] == b"\x88\x7c\x11\x31"
    assert frame[4:].decode() == "é" * 61


def test_an_event_has_an_id_only_where_one_may_go_on():
    assert wire.event("b", wire.Outgoing(b"{}", 7)) == b"id: b:7\nevent: message\ndata: {}\n\n"
    assert wire.event("b", wire.Outgoing(b"{}")) == b"event: message\ndata: {}\n\n"
