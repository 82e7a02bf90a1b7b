"""docs/protocol.md says what is so: its examples keep to the schema, its tables to the code."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest

from tests.kit.stream_server import FROM_CLIENT, FROM_SERVER, SCHEMA
from wfmon.stream.mailbox import LEVELS
from wfmon.stream.messages import CODES

PAGE = (Path(__file__).parents[3] / "docs" / "protocol.md").read_text()
EXAMPLES = re.findall(r"```json (client|server)\n(.*?)```", PAGE, re.DOTALL)


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize(("side", "text"), EXAMPLES)
def test_an_example_keeps_to_the_schema(side, text):
    (FROM_CLIENT if side == "client" else FROM_SERVER).validate(json.loads(text))


def test_every_message_has_an_example():
    shown = {f"{side}_{json.loads(text)['type']}" for side, text in EXAMPLES}
    assert shown == {name for name in SCHEMA["$defs"] if name.startswith(("client_", "server_"))}


def test_every_way_to_end_is_in_the_table():
    told = {(int(code), cause) for code, cause in re.findall(r"^\| (\d{4}) \| (\w+) \|", PAGE, re.MULTILINE)}
    assert told == {(code, cause) for cause, code in CODES.items()}


def test_every_level_is_in_the_table_with_its_bounds():
    rows = {row[0]: row[1:] for row in re.findall(r"^\| (\w+) \| (.*?) \| (.*?) \|", PAGE, re.MULTILINE)}
    for level in LEVELS[1:3]:
        assert rows[level.name] == (f"over {level.above * 100:g} %", f"{level.until * 100:g} %")
    assert rows["drop"] == ("full", "empty")
