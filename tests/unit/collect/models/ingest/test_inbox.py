from __future__ import annotations

import json
import re
from array import array
from pathlib import Path

import jsonschema
import orjson
import pytest

import wfmon.collect.models
from wfmon.collect.models.ingest import inbox as module
from wfmon.collect.models.ingest.events import End, Phase, Prompt, Start, Tokens
from wfmon.collect.models.ingest.inbox import MAX_MESSAGE_BYTES, MAX_REFUSALS, Ingest, RefusedLine
from wfmon.collect.models.ingest.lines import FIELDS, label
from wfmon.core.clock import FakeClock

ROOT = Path(__file__).parents[5]
DATA = ROOT / "tests" / "data" / "models" / "tokens"
SCHEMA = json.loads((Path(wfmon.collect.models.ingest.__file__).parent / "hook.schema.json").read_text("utf-8"))
SOURCE = {"e": "source", "v": 1, "id": "abcdefgh-1", "via": "hook", "name": "prog", "pid": 12}
START = {"e": "start", "r": "r1", "t": 5, "model": "m"}
TOKENS = {"e": "tokens", "r": "r1", "t": [5, 6]}
END = {"e": "end", "r": "r1", "t": 9, "status": "ok"}


def valid(line, direction="to_monitor"):
    schema = {"$ref": f"#/$defs/{direction}", "$defs": SCHEMA["$defs"]}
    return jsonschema.Draft202012Validator(schema).is_valid(line)


class IngestHarness:
    def __init__(self):
        self.clock = FakeClock()
        self.events = []
        self.puts = []
        self.ingest = Ingest(self.clock, self._put, boot="boot-1")
        self.connection = self.ingest.open()

    def _put(self, events):
        self.events += events
        self.puts.append(len(events))
        return len(events)

    def take(self, *lines):
        return self.connection.take(b"\n".join(x if isinstance(x, bytes) else orjson.dumps(x) for x in lines))

    def begin(self):
        assert self.take(SOURCE, {"e": "beat", "t": 0}) == (0, [])
        return self


@pytest.fixture
def harness():
    return IngestHarness().begin()


def test_the_events_of_a_long_message_are_handed_on_in_parts(harness):
    assert harness.take(*[START] * 1_000) == (1_000, [])
    assert harness.puts == [module.AT_ONCE] * 7 + [1_000 - 7 * module.AT_ONCE]


def test_the_hello_names_the_boot_and_gives_a_key_of_this_boot_alone():
    hello = IngestHarness().ingest.hello()
    assert valid(hello, "from_monitor")
    assert hello == {"type": "hello", "version": 1, "boot": "boot-1", "key": hello["key"], "max_bytes": 262_144}
    assert re.fullmatch("[0-9a-f]{32}", hello["key"])
    assert IngestHarness().ingest.hello()["key"] != hello["key"]


def test_lines_become_events(harness):
    taken = harness.take(
        START | {"prompt_tokens": 3, "vocab": "v", "vocab_size": 10, "again": True, "server": "127.0.0.1:80"},
        {"e": "phase", "r": "r1", "t": 5, "name": "prompt"},
        {"e": "prompt", "r": "r1", "t": 5, "tokens": 3, "cached": 1},
        TOKENS | {"n": [1, 2], "top": [[-0.5, -1], None], "hash": [[1, 2], None]}, b"",
        END | {"reason": "stop", "output_tokens": 3, "load_ms": 1.5},
    )  # fmt: skip
    assert taken == (5, [])
    source = harness.events[0].source
    assert (source.key, source.via, source.name, source.pid) == ("abcdefgh-1", "hook", "prog", 12)
    assert harness.events == [
        Start(source, "r1", 5, "m", "127.0.0.1:80", 3, "v", 10, again=True),
        Phase(source, "r1", 5, "prompt"),
        Prompt(source, "r1", 5, 3, 1),
        Tokens(source, "r1", (5, 6), (1, 2), tops=(array("d", [-0.5, -1]), None), hashes=(array("Q", [1, 2]), None)),
        End(source, "r1", 9, "ok", "stop", output_tokens=3, load_ms=1.5),
    ]


@pytest.mark.parametrize("example", sorted(DATA.glob("*.ndjson")), ids=lambda path: path.stem)
def test_the_examples_are_taken_and_the_schema_agrees(example):
    harness = IngestHarness()
    assert harness.connection.take(example.read_bytes()).refused == []
    assert harness.events
    for line in example.read_bytes().splitlines():
        assert valid(orjson.loads(line)), line


BAD = [
    (START | {"prompt": "the secret canary"}, "prompt"),
    (TOKENS | {"text": ["canary", "canary"]}, "text"),
    (START | {"The canary, a secret": 1}, "(unnamed)"),
    ({"e": "canary"}, "e"),
    ({"e": ["tokens"]}, "e"),
    ({}, "e"),
    ([START], "line"),
    (b'{"e":"start"', "line"),
    (b'{"e":"tokens","r":"r1","t":[NaN]}', "line"),
    (b"[" * 5_000, "line"),
    (b"\xff\xfe canary", "line"),
    (START | {"r": "a b"}, "r"),
    (START | {"r": "x" * 65}, "r"),
    (START | {"r": 7}, "r"),
    (START | {"t": -1}, "t"),
    (START | {"t": 1.5}, "t"),
    (START | {"t": True}, "t"),
    (START | {"t": 2**53}, "t"),
    (START | {"model": "x" * 121}, "model"),
    (START | {"model": ""}, "model"),
    (START | {"model": 5}, "model"),
    (START | {"server": "canary"}, "server"),
    (START | {"vocab": "a canary"}, "vocab"),
    (START | {"vocab_size": 1}, "vocab_size"),
    (START | {"again": 1}, "again"),
    (START | {"prompt_tokens": -1}, "prompt_tokens"),
    ({"e": "phase", "r": "r1", "t": 5, "name": "canary"}, "name"),
    ({"e": "phase", "r": "r1", "t": 5, "name": ["prompt"]}, "name"),
    ({"e": "prompt", "r": "r1", "t": 5}, "tokens"),
    ({"e": "prompt", "r": "r1", "t": 5, "tokens": 1, "cached": 2}, "cached"),
    ({"e": "beat", "t": "now"}, "t"),
    ({"e": "beat", "t": 1, "lost": -1}, "lost"),
    (SOURCE, "e"),
    (TOKENS | {"t": 5}, "t"),
    (TOKENS | {"t": []}, "t"),
    (TOKENS | {"t": [0] * 4_097}, "t"),
    (TOKENS | {"t": [6, 5]}, "t"),
    (TOKENS | {"t": [[5], [6]]}, "t"),
    (TOKENS | {"n": [1]}, "n"),
    (TOKENS | {"n": [1, -1]}, "n"),
    (TOKENS | {"n": [1, 100_001]}, "n"),
    (TOKENS | {"n": [1, None]}, "n"),
    (TOKENS | {"entropy": [1, -1]}, "entropy"),
    (TOKENS | {"entropy": [1, 65]}, "entropy"),
    (TOKENS | {"entropy": [1, "canary"]}, "entropy"),
    (TOKENS | {"low": [2, 2], "high": [1, 3]}, "low"),
    (TOKENS | {"k": [1, 0]}, "k"),
    (TOKENS | {"k": [1, 2.5]}, "k"),
    (TOKENS | {"top": [[], None]}, "top"),
    (TOKENS | {"top": [[-0.1] * 101, None]}, "top"),
    (TOKENS | {"top": [[-2, -1], None]}, "top"),
    (TOKENS | {"top": [[0.5], None]}, "top"),
    (TOKENS | {"top": [[-0.1] * 50, None]}, "top"),
    (TOKENS | {"top": [["canary"], None]}, "top"),
    (b'{"e":"tokens","r":"r1","t":[5],"top":[[-1e999]]}', "line"),
    (TOKENS | {"hash": [[1], None]}, "hash"),
    (TOKENS | {"top": [[-1], None], "hash": [[1, 2], None]}, "hash"),
    (TOKENS | {"top": [[-1], None], "hash": [[2**53], None]}, "hash"),
    (END | {"status": "fine"}, "status"),
    (END | {"reason": "The canary sang"}, "reason"),
    (END | {"queue_ms": -0.5}, "queue_ms"),
    (END | {"queue_ms": 1e9}, "queue_ms"),
    (END | {"output_tokens": 1.5}, "output_tokens"),
]


@pytest.mark.parametrize(("line", "field"), BAD)
def test_what_is_not_of_the_form_is_refused_by_name_and_never_quoted(harness, line, field, caplog):
    taken = harness.take(END, line, START)
    assert [type(event) for event in harness.events] == [End, Start]
    (refusal,) = taken.refused
    assert (refusal.line, refusal.field) == (2, field)
    assert refusal.detail
    assert "canary" not in str(taken)
    assert "canary" not in caplog.text
    assert harness.ingest.dropped == {"model_refused": 1}
    assert "canary" not in repr(vars(harness.ingest)) + repr(vars(harness.connection))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"v": 2}, "v"), ({"v": True}, "v"), ({"id": "short"}, "id"), ({"id": "a canary!"}, "id"),
        ({"via": "scrape"}, "via"), ({"via": ["hook"]}, "via"), ({"name": "x" * 10_000}, "name"), ({"pid": -1}, "pid"),
        ({"pid": "12"}, "pid"),
        ({"runtime": "\n"}, "runtime"), ({"server": "127.0.0.1"}, "server"), ({"prompt": "canary"}, "prompt"),
    ],
)  # fmt: skip
def test_a_source_that_is_not_of_the_form_is_refused(change, field):
    harness = IngestHarness()
    taken = harness.take(SOURCE | change)
    assert [refusal.field for refusal in taken.refused] == [field]
    assert "canary" not in str(taken)


def test_the_source_comes_first_and_a_beat_before_events():
    harness = IngestHarness()
    assert harness.take(START).refused[0].field == "e"
    harness.take(SOURCE)
    assert harness.take(START).refused == [
        RefusedLine(1, "e", "a beat must come first: it synchronises your clock with ours")
    ]
    assert harness.events == []


def test_null_is_the_same_as_left_out(harness):
    assert (
        harness.take(START | {"server": None, "vocab": None, "prompt_tokens": None}, TOKENS | {"n": None}).refused == []
    )


def test_names_are_made_fit_to_show(harness):
    harness.take(START | {"model": "a\nb\u202e" + "c" * 100})
    assert harness.events[0].model == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}" + "c" * 100
    assert label("  ") == "unnamed"
    assert len(label("x" * 500)) == 120


def test_the_examples_of_the_page_are_those_that_are_tested():
    page = (ROOT / "docs" / "ingest.md").read_text("utf-8")
    blocks = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    assert sorted(blocks) == sorted(path.read_text("utf-8") for path in DATA.glob("*.ndjson"))


def test_the_page_names_every_field_of_every_line():
    page = (ROOT / "docs" / "ingest.md").read_text("utf-8")
    for kind, fields in FIELDS.items():
        (row,) = [line for line in page.splitlines() if line.startswith(f"| `{kind}` |")]
        assert set(re.findall(r"`([a-z_]+)`", row.split("|")[2])) == fields - {"e"}, kind


def test_the_schema_knows_the_fields_that_the_form_knows():
    for kind, fields in FIELDS.items():
        assert set(SCHEMA["$defs"][kind]["properties"]) == fields
        assert SCHEMA["$defs"][kind]["additionalProperties"] is False


UNSCHEMED = {"cached", "low", "top", "hash", "t", "line"}
"""What no schema can say: sums, falling lists, lists as long as another."""


@pytest.mark.parametrize(
    ("line", "field"), [one for one in BAD if isinstance(one[0], dict) and one[1] not in UNSCHEMED]
)
def test_the_schema_refuses_what_the_form_refuses(line, field):
    assert not valid(line) or line == SOURCE or (field in FIELDS["tokens"] and line.get(field) == [1])


def test_a_message_that_is_too_large_sends_the_client_away(harness):
    with pytest.raises(ValueError, match="at most 262144 bytes"):
        harness.connection.take(b" " * (MAX_MESSAGE_BYTES + 1))


def test_after_a_hundred_bad_lines_the_client_is_sent_away_and_what_was_good_is_taken(harness):
    with pytest.raises(ValueError, match="100 lines were rejected, the last: e must be one of"):
        harness.take(START, *[b'{"canary":1}'] * (MAX_REFUSALS + 50))
    assert len(harness.events) == 1


def test_events_that_come_too_fast_are_refused_and_counted(harness):
    many = [{"e": "tokens", "r": "r1", "t": [1] * 4_096}] * 6
    taken = harness.take(*many)
    assert taken.events == 4
    assert [(one.line, one.field) for one in taken.refused] == [(5, "line")]
    assert "20000 events a second" in taken.refused[0].detail
    assert harness.ingest.dropped == {"model_too_fast": 2}
    harness.clock.advance(0.5)
    assert harness.take(*many).events == 3  # 3,616 were left, 10,000 came again


def test_no_more_than_so_many_sources_speak_at_once(harness, monkeypatch):
    monkeypatch.setattr(module, "MAX_SOURCES", 2)
    second = harness.ingest.open()
    second.take(orjson.dumps(SOURCE | {"id": "abcdefgh-2"}))
    third = harness.ingest.open()
    with pytest.raises(ValueError, match="2 sources are connected already"):
        third.take(orjson.dumps(SOURCE | {"id": "abcdefgh-3"}))
    second.close()
    assert third.take(orjson.dumps(SOURCE | {"id": "abcdefgh-3"})).refused == []


def test_many_short_programs_that_post_keep_nobody_out(harness, monkeypatch):
    monkeypatch.setattr(module, "MAX_SOURCES", 3)
    harness.take(START)
    for at in range(20):
        post = harness.ingest.open(post=True)
        lines = [SOURCE | {"id": f"abcdefgh-{at + 2}"}, {"e": "beat", "t": 0}, START]
        assert post.take(b"\n".join(map(orjson.dumps, lines))).events == 1
        post.close()
        harness.clock.advance(0.1)
    gone = [event.source.gone(harness.clock.mono_ns()) for event in harness.events]
    assert gone == [False] + [True] * 18 + [False] * 2


def test_log_probabilities_weigh_too(harness):
    top = [-5.0 - at / 100 for at in range(100)]
    taken = harness.take(*[{"e": "tokens", "r": "r1", "t": [1] * 100, "top": [top] * 100}] * 3)
    assert taken == (3, [])
    harness.clock.advance(2)
    events = sum(
        harness.take(*[{"e": "tokens", "r": "r1", "t": [1] * 100, "top": [top] * 100}] * 4).events for _ in range(20)
    )
    assert events == module.EVENTS_PER_SECOND // 600


def test_a_source_that_is_back_in_time_is_the_same(harness):
    harness.take(START)
    harness.connection.close()
    harness.connection.close()
    source = harness.events[0].source
    assert not source.gone(harness.clock.mono_ns() + 2_000_000_000)
    assert source.gone(harness.clock.mono_ns() + 2_000_000_001)
    harness.clock.advance(2)
    harness.connection = harness.ingest.open()
    harness.begin().take(START)
    assert harness.events[1].source is source
    assert source.joined == 1
    with pytest.raises(ValueError, match="closed"):
        harness.connection.close() or harness.connection.take(b"")
    harness.clock.advance(2.1)
    harness.connection = harness.ingest.open()
    harness.begin().take(START)
    assert harness.events[2].source is not source


def test_one_connection_that_ends_while_another_is_open_ends_nothing(harness):
    old = harness.connection
    harness.connection = harness.ingest.open()
    harness.begin().take(START)
    old.close()
    assert harness.events[0].source.left_ns is None


def test_a_name_that_belongs_to_another_process_is_refused(harness):
    harness.connection = harness.ingest.open()
    assert harness.take(SOURCE | {"pid": 13}).refused[0].field == "id"


def test_the_least_offset_stands_until_it_is_two_minutes_old(harness):
    def beat(late_us):
        harness.take({"e": "beat", "t": harness.clock.mono_ns() // 1000 - late_us + 50})

    harness.take(START)
    source = harness.events[0].source
    assert source.offset_us == 0
    beat(0)
    assert source.offset_us == -50
    beat(900)
    assert source.offset_us == -50
    harness.clock.advance(61)
    beat(900)  # its clock has drifted by 900 us
    assert source.offset_us == -50
    harness.clock.advance(61)
    beat(901)
    assert source.offset_us == 850


def test_a_clock_that_was_set_back_is_learned_anew(harness):
    harness.take({"e": "beat", "t": 3_600_000_000}, START)
    source = harness.events[0].source
    assert source.offset_us == -3_600_000_000
    harness.take({"e": "beat", "t": 5})
    assert source.offset_us == -5
