"""The text form of metrics: what is read of it, and that nothing in it does harm."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wfmon.collect.models.scrape.prometheus import (
    MAX_HEAD,
    MAX_HEADS,
    MAX_LINE,
    MAX_LINES,
    Page,
    Sample,
    has_prefix,
    samples,
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x:y 1", Sample("x:y", {}, 1.0)),
        ("x:y 1.5e+03 1700000000000", Sample("x:y", {}, 1500.0)),  # with a time
        ('x:y{a="b"} 2', Sample("x:y", {"a": "b"}, 2.0)),
        ('x:y{a="b",c="d",} 2', Sample("x:y", {"a": "b", "c": "d"}, 2.0)),
        ('x:y{ a = "b" , c="d" } 2', Sample("x:y", {"a": "b", "c": "d"}, 2.0)),
        ("x:y{} 2", Sample("x:y", {}, 2.0)),
        (r'x:y{a="q\"u\\o\nte, {brace}"} -2', Sample("x:y", {"a": 'q"u\\o\nte, {brace}'}, -2.0)),
        ('x:y{a="Qwen/Qwen3 8B"} 3 # {trace="1"} 2', Sample("x:y", {"a": "Qwen/Qwen3 8B"}, 3.0)),  # an exemplar
        ("x:y\t4\r", Sample("x:y", {}, 4.0)),
        ('x:y{a="é"} 1', Sample("x:y", {"a": "é"}, 1.0)),
    ],
)
def test_a_line_is_read(line, expected):
    assert samples(line.encode(), {"x:y"}) == [expected]


BAD = [
    "x:y NaN", "x:y +Inf", "x:y -Inf", "x:y", "x:y one", "x:y 1_000", 'x:y{a="b} 1', "x:y{a=b} 1", 'x:y{a="b"',
    "# x:y 1", 'x:y{a="b"}', "x:yz 1", "{} 1", " ", 'x:y{1a="b"} 1', "x:y 1" + "0" * MAX_LINE,
    'x:y{a="' + "z" * 10_000_000 + '"} 1', "x:y{" + ",".join(f'a{n}="b"' for n in range(100)) + "} 1",
]  # fmt: skip


@pytest.mark.parametrize("line", BAD, ids=lambda line: line[:24])
def test_a_line_that_says_nothing_is_left_out(line):
    assert samples(f"{line}\nx:z 1\n".encode(), {"x:y", "x:z"}) == [Sample("x:z", {}, 1.0)]


def test_a_page_that_is_read_again_is_read_by_its_values_of_now():
    page = Page({"x:y"})
    lines = [
        'x:y{a="b"} %s',
        "x:y %s",
        "x:y %s 1700000000000",
        'x:y{a="c"} %s # {trace="1"} 2',
        "other %s",
        "x:y %s %s",
    ]
    for value in ("1", "2.5", "NaN", "7", "7"):
        text = "\n".join(line.replace("%s", value) for line in lines)
        labels = [] if value == "NaN" else [{"a": "b"}, {}, {}, {"a": "c"}, {}]
        assert page.read(text.encode()) == [Sample("x:y", each, float(value)) for each in labels]


def test_a_page_of_ever_new_names_is_kept_within_bounds():
    page = Page({"x:y"})
    for number in range(4):
        page.read("".join(f'x:y{{a="{number}-{n}"}} 1\n' for n in range(MAX_HEADS)).encode())
        assert len(page._heads) <= MAX_HEADS
    page.read(b'x:y{a="' + b"z" * (MAX_HEAD + 1) + b'"} 1\n')
    assert all(len(head) <= MAX_HEAD for head in page._heads)


def test_lines_past_the_bound_are_not_read():
    assert len(samples(b"x 1\n" * (MAX_LINES + 5_000), {"x"})) == MAX_LINES


def test_a_prefix_is_looked_for_at_the_beginning_of_a_sample():
    assert has_prefix(b"# HELP vllm:x\nvllm:x 1\n", "vllm:")
    assert not has_prefix(b'# HELP vllm:x\nother{a="vllm:"} 1\n', "vllm:")


@given(st.binary(max_size=400))
def test_no_page_does_harm(page):
    for one in samples(b"x{" + page + b"\nx " + page, {"x"}):
        assert math.isfinite(one.value)


@given(
    st.dictionaries(st.from_regex(r"[a-z]{1,5}", fullmatch=True), st.text(max_size=20), max_size=5),
    st.floats(-1e30, 1e30),
)
def test_what_a_library_writes_is_read_back(labels, value):
    quoted = ",".join(
        '{}="{}"'.format(k, v.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')) for k, v in labels.items()
    )
    assert samples(f"x{{{quoted}}} {value!r}".encode(), {"x"}) == [Sample("x", labels, value)]
