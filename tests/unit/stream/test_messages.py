from __future__ import annotations

import json

import pytest

from tests.kit.stream_server import FROM_CLIENT
from wfmon.stream.messages import CODES, StreamClosed, parse

GOOD = [
    {"type": "hello", "version": 1},
    {"type": "hello", "version": 1, "token": "t", "rate_hz": 0.2, "boot": "b", "since": 0,
     "watch": {"series": ["a*"], "tables": ["processes"]}},
    {"type": "hello", "version": 2, "watch": {"series": None}},
    {"type": "rate", "rate_hz": 60},
    {"type": "watch"},
    {"type": "watch", "series": [], "tables": []},
    {"type": "watch", "series": ["x" * 300] * 200, "tables": ["y" * 64] * 16},
    {"type": "pause", "paused": True},
    {"type": "ping", "id": 0, "client_ms": -1.5},
]  # fmt: skip
BAD = [
    {}, {"type": None}, {"type": 1}, {"type": "dance"}, {"version": 1},
    {"type": "hello"}, {"type": "hello", "version": "1"}, {"type": "hello", "version": 1.5},
    {"type": "hello", "version": True}, {"type": "hello", "version": 1, "more": 1},
    {"type": "hello", "version": 1, "token": 5}, {"type": "hello", "version": 1, "token": "x" * 257},
    {"type": "hello", "version": 1, "since": -1}, {"type": "hello", "version": 1, "since": 2**53},
    {"type": "hello", "version": 1, "watch": []}, {"type": "hello", "version": 1, "watch": {"serie": []}},
    {"type": "rate"}, {"type": "rate", "rate_hz": 0}, {"type": "rate", "rate_hz": 0.19},
    {"type": "rate", "rate_hz": "60"},
    {"type": "rate", "rate_hz": 1001}, {"type": "rate", "rate_hz": None}, {"type": "rate", "rate_hz": True},
    {"type": "watch", "series": "cpu"}, {"type": "watch", "series": [1]}, {"type": "watch", "series": ["x"] * 201},
    {"type": "watch", "series": ["x" * 401]}, {"type": "watch", "tables": None},
    {"type": "watch", "tables": ["x"] * 17},
    {"type": "pause"}, {"type": "pause", "paused": 1}, {"type": "ping"}, {"type": "ping", "id": 1},
    {"type": "ping", "id": -1, "client_ms": 0}, {"type": "ping", "id": 1, "client_ms": 1e16},
]  # fmt: skip


@pytest.mark.parametrize("message", GOOD, ids=json.dumps)
def test_what_the_schema_allows_is_taken(message):
    FROM_CLIENT.validate(message)
    said = parse(json.dumps(message))
    assert {"type": said.kind, **said.fields} == message


@pytest.mark.parametrize("message", BAD, ids=json.dumps)
def test_what_the_schema_forbids_is_refused_with_a_sentence(message):
    assert not FROM_CLIENT.is_valid(message)
    with pytest.raises(StreamClosed) as refused:
        parse(json.dumps(message))
    assert (refused.value.cause, refused.value.code) == ("refused", 1008)
    assert refused.value.sentence.endswith(".")


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"{}", "binary"), ("", "malformed"), ("{", "malformed"), ("NaN", "malformed"), ('{"type":NaN}', "malformed"),
        ("[" * 5_000 + "]" * 5_000, "malformed"), ('{"a":' * 2_000 + "1" + "}" * 2_000, "malformed"),
        ("\udcff", "malformed"), ("1e999", "malformed"), ("[]", "refused"), ("null", "refused"), ('"hello"', "refused"),
        ('{"type":"ping","id":1,"client_ms":1e999}', "malformed"), (" " * 65_537, "too_big"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_what_is_no_message_is_refused_by_its_fault(data, cause):
    with pytest.raises(StreamClosed) as refused:
        parse(data)
    assert refused.value.cause == cause


def test_every_cause_has_a_code_that_a_server_may_send():
    forbidden = {1004, 1005, 1006}
    assert all(1000 <= code < 1015 or 4000 <= code < 5000 for code in CODES.values())
    assert not forbidden & {*CODES.values()}


def test_a_ux_report_keeps_its_fields_for_the_collector_to_judge():
    assert parse('{"type":"ux","page":"overview","anything":[1]}').fields == {"page": "overview", "anything": [1]}
