from __future__ import annotations

import threading

import pytest

from wfmon.stream.mailbox import BATCH_BYTES, CRITICAL, DROP, LEVELS, NORMAL, PRESSURE, Mailbox, next_level
from wfmon.stream.wire import Outgoing


@pytest.mark.parametrize(
    ("level", "depth", "follows"),
    [
        (NORMAL, 48, NORMAL), (NORMAL, 49, PRESSURE), (NORMAL, 57, PRESSURE), (NORMAL, 58, CRITICAL),
        (NORMAL, 60, DROP),
        (PRESSURE, 16, PRESSURE), (PRESSURE, 15, NORMAL),
        (CRITICAL, 31, CRITICAL), (CRITICAL, 30, PRESSURE), (CRITICAL, 15, NORMAL),
        (DROP, 59, DROP), (DROP, 1, DROP), (DROP, 0, NORMAL),
    ],
)  # fmt: skip
def test_a_level_rises_at_once_and_falls_only_when_the_mailbox_has_drained(level, depth, follows):
    assert LEVELS[next_level(level, depth, 60)].name == LEVELS[follows].name


def test_what_the_sender_works_on_still_counts():
    mailbox = Mailbox(threading.Event())
    for n in range(3):
        mailbox.put(Outgoing(b"%d" % n), is_frame=True)
    assert [m.text for m in mailbox.take()] == [b"0", b"1", b"2"]
    assert mailbox.depth == 3
    mailbox.put(Outgoing(b"3"), is_frame=True)
    assert mailbox.depth == 4
    assert [m.text for m in mailbox.take()] == [b"3"]
    assert mailbox.depth == 1
    assert mailbox.take() == []
    assert mailbox.depth == 0


def test_a_keyed_message_replaces_the_one_that_still_waits_in_its_place():
    mailbox = Mailbox(threading.Event())
    mailbox.put(Outgoing(b"old"), "table processes")
    mailbox.put(Outgoing(b"frame"), is_frame=True)
    mailbox.put(Outgoing(b"new"), "table processes")
    assert [m.text for m in mailbox.take()] == [b"new", b"frame"]
    mailbox.put(Outgoing(b"next"), "table processes")
    assert [m.text for m in mailbox.take()] == [b"next"]


def test_a_batch_is_bounded_and_a_larger_message_goes_alone():
    mailbox = Mailbox(threading.Event())
    large, small = Outgoing(b"x" * (BATCH_BYTES + 1)), Outgoing(b"y" * (BATCH_BYTES // 2))
    for message in (small, large, small, small, small):
        mailbox.put(message)
    assert [[len(m.text) for m in batch] for batch in iter(mailbox.take, [])] == [
        [BATCH_BYTES // 2], [BATCH_BYTES + 1], [BATCH_BYTES // 2] * 2, [BATCH_BYTES // 2],
    ]  # fmt: skip


def test_putting_wakes_the_sender():
    wake = threading.Event()
    Mailbox(wake).put(Outgoing(b""))
    assert wake.is_set()
