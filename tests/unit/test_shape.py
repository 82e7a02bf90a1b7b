"""The shape of the code: small files, small functions, and one class for each name."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(path for folder in ("wfmon", "pages", "callbacks") for path in (ROOT / folder).rglob("*.py"))
MOST_LINES, MOST_LINES_OF_A_FUNCTION, MOST_LINES_OF_THE_PIPELINE = 400, 60, 250
SHARED_NAMES = {
    "Request",  # one is public in wfmon.hook, which imports nothing of core
    "Settings",  # the tree of settings, and the Protocol of the topic
}


def name_of(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_a_file_and_its_functions_fit_the_eye(path):
    text = path.read_text("utf-8")
    assert text.count("\n") <= MOST_LINES
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    long = {each.name: each.end_lineno - each.lineno + 1 for each in functions}
    assert {name: lines for name, lines in long.items() if lines > MOST_LINES_OF_A_FUNCTION} == {}


def test_the_pipeline_is_read_in_one_go():
    assert (ROOT / "wfmon/runtime/__init__.py").read_text("utf-8").count("\n") <= MOST_LINES_OF_THE_PIPELINE


def test_a_class_has_its_name_for_itself():
    found = defaultdict(list)
    for path in FILES:
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].append(name_of(path))
    assert {name: where for name, where in found.items() if len(where) > 1 and name not in SHARED_NAMES} == {}
