"""What keeps the resident process small."""

from __future__ import annotations

import subprocess
import sys

import pytest


def run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_encoding_a_layout_does_not_load_masked_arrays():
    code = """
import sys
from wfmon.core import memory
memory.spare_masked_arrays()
from dash import html
from dash._utils import to_json
print(to_json(html.Div("x")) == '{"props":{"children":"x"},"type":"Div","namespace":"dash_html_components"}',
      "numpy.ma" in sys.modules)
"""
    assert run(code) == "True False"


def test_whoever_imports_masked_arrays_gets_the_real_ones():
    code = """
from wfmon.core import memory
memory.spare_masked_arrays()
import numpy.ma, numpy
print(numpy.ma.masked_array([1, 2], [True, False]).sum(), numpy.ma.core.masked is numpy.ma.masked)
"""
    assert run(code) == "2 True"


def test_numpy_goes_on_without_masked_arrays():
    code = """
import sys
from wfmon.core import memory
memory.spare_masked_arrays()
import numpy
print(numpy.unique([2, 1, 2]), numpy.median([1.0, 3.0, 2.0]), "numpy.ma" in sys.modules)
"""
    assert run(code) == "[1 2] 2.0 False"


def test_the_app_does_without_pydantic_and_whoever_imports_it_later_gets_the_real_one():
    code = """
import sys
import app
print("pydantic" in sys.modules, "pydantic_core" in sys.modules)
import pydantic
print(pydantic.TypeAdapter(int).validate_python("3"))
"""
    assert run(code) == "False False\n3"


def test_where_pydantic_is_loaded_already_it_stays():
    code = """
import pydantic, sys
from wfmon.core import memory
with memory.without_pydantic():
    import pydantic as inside
print(inside is pydantic is sys.modules["pydantic"])
"""
    assert run(code) == "True"


def test_what_the_stand_in_lacks_is_said_and_it_goes():
    code = """
import sys
from wfmon.core import memory
try:
    with memory.without_pydantic():
        from pydantic import BaseModel
except ImportError as error:
    print("BaseModel" in str(error), "pydantic" in sys.modules)
"""
    assert run(code) == "True False"


def test_the_allocator_takes_one_arena():
    assert run("from wfmon.core import memory; print(memory.tighten())") == str(sys.platform.startswith("linux"))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator")
def test_free_memory_below_a_block_in_use_goes_back_to_the_system():
    code = """
import psutil
from wfmon.core import memory
assert memory.tighten()
rss = psutil.Process().memory_info
blocks = [b'x' * 100_000 for _ in range(400)]
del blocks[:-1]  # the last one holds the heap's end
before = rss().rss
assert memory.trim()
print(before - rss().rss > 30_000_000)
"""
    assert run(code) == "True"
