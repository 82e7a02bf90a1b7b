"""Events become lines of the form, and the monitor's own reader takes every one of them."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wfmon.collect.models.ingest import lines as form
from wfmon.hook.encoder import LineEncoder, beat, clean, messages, source
from wfmon.hook.inbox import END, PHASE, PROMPT, START, TOKENS, Record


def record(name="1", model="m", **more):
    made = Record(name, 1_000, model, "")
    for key, value in more.items():
        setattr(made, key, value)
    return made


def tokens(about, t_us, n=1, entropy=None, k=None, top=None, hashes=None, key=b""):
    about.tokens += n if isinstance(n, int) else 0
    return (TOKENS, about, t_us, n, entropy, k, top, hashes, key)


def end(about, t_us, status="ok", reason="", **figures):
    return (END, about, t_us, status, reason, figures)


def told(encoder, *events):
    lines = encoder.lines(events)
    who = form.source(json.loads(source("x" * 8, "hook", "n", "", 1, "")))
    for line in lines:  # none is refused
        form.event(who, form.parse(line.encode()))
    return [json.loads(line) for line in lines]


def test_the_tokens_of_a_request_in_one_batch_are_one_line():
    one, two = record("1"), record("2", "other")
    assert told(
        LineEncoder(), (START, one, 1_000), (START, two, 1_001), tokens(one, 2_000), tokens(two, 2_100),
        tokens(one, 3_000, 2, 1.5, 100), end(one, 4_000),
    ) == [
        {"e": "start", "r": "1", "t": 1_000, "model": "m"},
        {"e": "start", "r": "2", "t": 1_000, "model": "other"},
        {"e": "tokens", "r": "1", "t": [2_000, 3_000], "n": [1, 2], "entropy": [None, 1.5], "k": [None, 100]},
        {"e": "end", "r": "1", "t": 4_000, "status": "ok"},
        {"e": "tokens", "r": "2", "t": [2_100]},
    ]  # fmt: skip


def test_what_stands_between_tokens_stays_between_them():
    one = record(prompt_tokens=5)
    lines = told(
        LineEncoder(), (START, one, 1_000), tokens(one, 2_000), (PHASE, one, 2_500, "decode"), (PROMPT, one, 2_600),
        tokens(one, 3_000),
    )  # fmt: skip
    assert [line["e"] for line in lines] == ["start", "tokens", "phase", "prompt", "tokens"]


def test_open_requests_are_told_again_after_a_reconnection_with_their_own_start():
    encoder, one = LineEncoder(), record(prompt_tokens=9)
    told(encoder, (START, one, 1_000), tokens(one, 2_000))
    assert [json.loads(line) for line in encoder.connected()] == [
        {"e": "start", "r": "1", "t": 1_000, "model": "m", "prompt_tokens": 9, "again": True}
    ]
    assert [line["e"] for line in told(encoder, tokens(one, 3_000))] == ["tokens"]
    told(encoder, end(one, 4_000))
    assert encoder.connected() == []


def test_a_request_that_began_while_nobody_listened_is_told_as_new_unless_tokens_were_lost():
    encoder, fresh, gone = LineEncoder(), record("1"), record("2")
    assert encoder.drop([(START, fresh, 1_000), (START, gone, 1_000), tokens(gone, 2_000)]) == 1
    assert ["again" in json.loads(line) for line in encoder.connected()] == [False, True]


def test_where_tokens_were_lost_the_interval_is_said_to_be_unknown():
    encoder, one = LineEncoder(), record()
    told(encoder, (START, one, 1_000), tokens(one, 2_000))
    one.lost = True
    one.tokens += 3
    lines = told(encoder, tokens(one, 9_000), end(one, 9_500))
    assert [(line["e"], line.get("again")) for line in lines] == [("start", True), ("tokens", None), ("end", None)]
    assert lines[-1]["output_tokens"] == 5


def test_what_the_runtime_counted_goes_before_what_we_counted():
    one = record()
    lines = told(LineEncoder(), tokens(one, 2_000), end(one, 3_000, output_tokens=7, load_ms=1.23456, queue_ms=None))
    assert lines[-1] == {
        "e": "end", "r": "1", "t": 3_000, "status": "ok", "output_tokens": 7, "load_ms": 1.235
    }  # fmt: skip


def test_an_end_for_which_there_was_no_room_is_told_by_the_sweep_and_once():
    encoder, one = LineEncoder(), record()
    told(encoder, (START, one, 1_000))
    one.ended = end(one, 2_000)
    assert [line["e"] for line in told(encoder, *encoder.sweep())] == ["end"]
    assert told(encoder, one.ended) == []
    assert encoder.sweep() == []


def test_log_probabilities_fall_and_each_keeps_its_hash():
    encoder, one = LineEncoder(), record()
    encoder.key = b"key"
    lines = told(
        encoder,
        tokens(one, 2_000, top=(-2.0, -0.5, float("nan")), hashes=(1, 2, 3), key=b"key"),
        tokens(one, 3_000, top=(-1.0,), hashes=(4,), key=b"of another boot"),
        tokens(one, 4_000, top=(1e-7, float("-inf"))),
        tokens(one, 5_000, top=(-0.1, -0.1)),
    )
    assert lines[1]["top"] == [[-0.5, -2.0], [-1.0], [0.0], None]
    assert lines[1]["hash"] == [[2, 1], None, None, None]


def test_a_line_of_many_log_probabilities_is_cut_so_that_a_message_holds_it():
    one = record()
    top = tuple(-5.0 - i / 100 for i in range(100))
    lines = LineEncoder().lines(
        [tokens(one, t, top=top, hashes=tuple(range(2**52, 2**52 + 100))) for t in range(4_000)]
    )
    assert max(map(len, lines)) < 131_072
    packed = list(messages(lines, beat(1, 0), 131_072))
    assert max(len(message) for message, _ in packed) <= 131_072
    assert sum(count for _, count in packed) == len(lines)


def test_each_message_is_headed_and_none_is_too_long():
    packed = list(messages(["x" * 40] * 10, "head", 100))
    assert [message.split(b"\n")[0] for message, _ in packed] == [b"head"] * len(packed)
    assert sum(count for _, count in packed) == 10
    assert list(messages([], "head", 100)) == [(b"head", 0)]


def test_names_are_made_fit():
    assert clean("a\x1b[31m\nb" + "c" * 300) == "a[31mb" + "c" * 114
    assert clean("  \n") == "unnamed"


WILD = st.one_of(
    st.none(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=5), st.booleans(),
    st.lists(st.floats(), max_size=3),
)  # fmt: skip


@settings(max_examples=40)
@given(
    n=WILD, entropy=WILD, k=WILD, top=st.one_of(st.none(), st.lists(WILD, max_size=120)), vocab=st.text(max_size=70),
    size=WILD, prompt=WILD, model=st.text(max_size=200), server=st.text(max_size=20), reason=st.text(max_size=50),
    figure=WILD, cached=WILD, runtime=st.text(max_size=80),
)  # fmt: skip
def test_whatever_the_caller_says_the_monitor_takes_every_line(
    n, entropy, k, top, vocab, size, prompt, model, server, reason, figure, cached, runtime
):
    one = record(model=model, vocab=vocab, vocab_size=size, prompt_tokens=prompt, cached_tokens=cached, server=server)
    figures = dict.fromkeys(("prompt_tokens", "output_tokens", "cached_tokens", "load_ms", "decode_ms"), figure)
    hashes = None if top is None else tuple(range(len(top)))
    told(
        LineEncoder(), (START, one, 1), (PROMPT, one, 2), tokens(one, 5, n, entropy, k, top, hashes),
        tokens(one, 4, n, entropy, k, top), end(one, 6, "error", reason, **figures),
    )  # fmt: skip
    form.source(json.loads(source("x" * 8, "hook", model, runtime, 1, server)))


def test_a_count_below_nothing_is_left_out():
    one = record()
    assert "output_tokens" not in told(LineEncoder(), (START, one, 1), tokens(one, 5, -1), end(one, 6))[-1]


def test_figures_that_cannot_be_are_left_out():
    one = record(prompt_tokens=3, cached_tokens=9)
    lines = told(
        LineEncoder(), (START, one, 1), (PROMPT, one, 2), tokens(one, 3, 1, math.nan), tokens(one, 4, 1, -1.0),
        tokens(one, 5, 1, math.inf, 10), end(one, 6, load_ms=math.nan, decode_ms=-1, prompt_ms=1e12),
    )  # fmt: skip
    assert lines[1]["cached"] == 3
    assert lines[2] == {"e": "tokens", "r": "1", "t": [3, 4, 5]}
    assert set(lines[-1]) == {"e", "r", "t", "status"}


@pytest.mark.parametrize("n", [0, -1, None, "x", 2**40])
def test_a_chunk_of_no_possible_count_is_no_chunk(n):
    one = record()
    assert [line["e"] for line in told(LineEncoder(), (START, one, 1), tokens(one, 3, n))] == ["start"]
