"""What the import of the hook costs and touches, and the end and the fork of a process that uses it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
HEAVY = {
    "ssl", "http", "http.client", "asyncio", "urllib", "urllib.request", "json", "logging", "socket", "typing", "re",
    "pathlib", "numpy", "dataclasses", "inspect", "hashlib", "email", "wfmon.core",
}  # fmt: skip


def python(code, **env):
    done = subprocess.run(
        [sys.executable, "-S", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=180, check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def test_the_import_brings_in_nothing_heavy():
    done = python("import sys; before = set(sys.modules); import wfmon.hook; print(*(set(sys.modules) - before))")
    brought = set(done.stdout.split())
    assert "wfmon.hook" in brought
    assert not brought & HEAVY, brought & HEAVY


def test_the_import_starts_nothing():
    done = python("import threading, wfmon.hook; from wfmon.hook.shared import shared\n"
                  "print(threading.active_count(), shared._hook)")  # fmt: skip
    assert done.stdout.split() == ["1", "None"]


def test_a_whole_life_with_the_standard_library_alone(monitor):
    """-S: no site-packages. The last events leave at the end of the process."""
    done = python(
        "from wfmon.hook import observe\n"
        "import time\n"
        "def s():\n"
        "    for i in range(4): time.sleep(0.05); yield 'x'\n"
        "print(*observe(s(), 'm'))\n"
        "open_one = iter(observe(s(), 'left open')); next(open_one)\n"
        "import sys; assert not {'numpy', 'torch', 'ssl'} & set(sys.modules)",
        WFMON_DATA=str(monitor.folder), http_proxy="http://192.0.2.1:1", ALL_PROXY="socks5://192.0.2.1:1",
    )  # fmt: skip
    assert done.stdout.split() == ["x"] * 4
    assert done.stderr == ""
    lines = monitor.ended(2)
    assert [line["status"] for line in lines if line["e"] == "end"] == ["ok", "aborted"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_has_a_hook_of_its_own_and_leaves_its_parents_alone(monitor):
    code = (
        "import os, time, warnings\n"
        "warnings.simplefilter('ignore', DeprecationWarning)\n"
        "from wfmon.hook import observe, flush\n"
        "request = observe(model='parent')\n"
        "request.token(); assert flush(60)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    request.token()\n"  # the parent's: nobody hears of it
        "    with observe(model='child') as mine: mine.token()\n"
        "    ok = flush(60)\n"
        "    os._exit(0 if ok else 1)\n"
        "assert os.waitpid(child, 0)[1] == 0\n"
        "request.token(); request.end()\n"
        "assert flush(60)\n"
    )
    python(code, WFMON_DATA=str(monitor.folder))
    lines = monitor.ended(2)
    starts = {line["model"] for line in lines if line["e"] == "start"}
    assert starts == {"parent", "child"}
    sources = {line["id"]: line["pid"] for line in lines if line["e"] == "source"}
    assert len(sources) == len(set(sources.values())) == 2
    assert sum(len(line["t"]) for line in lines if line["e"] == "tokens") == 3
    assert [line["status"] for line in lines if line["e"] == "end"] == ["ok", "ok"]


def test_switched_off_by_the_environment(monitor):
    done = python(
        "from wfmon.hook import observe, flush\n"
        "print(*observe('abc', 'm')); print(flush(1))\n"
        "import threading; print(threading.active_count())",
        WFMON_DATA=str(monitor.folder), WFMON_HOOK="off",
    )  # fmt: skip
    assert done.stdout.split() == ["a", "b", "c", "True", "1"]
    assert json.dumps(monitor.lines_) == "[]"


@pytest.mark.skipif(not hasattr(signal, "raise_signal"), reason="no such signals here")
@pytest.mark.parametrize(
    "place",
    [
        "import threading as at; name = 'start'",
        "import sys; at = sys.modules['wfmon.hook.shared']; name = 'Hook'",
    ],
)
def test_a_signal_whose_handler_asks_a_model_while_the_hook_is_made_holds_nobody_up(monitor, place):
    code = (
        "import signal\n"
        "from wfmon.hook import observe, flush\n"
        f"{place}\n"
        "owner = at.Thread if name == 'start' else at\n"
        "true = getattr(owner, name)\n"
        "came = []\n"
        "def first(*given, **named):\n"
        "    if not came:\n"
        "        came.append(1)\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    return true(*given, **named)\n"
        "setattr(owner, name, first)\n"
        "signal.signal(signal.SIGINT, lambda *_: came.extend(observe(iter('ab'), model='m2')))\n"
        "came += observe(iter('xyz'), model='m1')\n"
        "flush(30)\n"
        "print(''.join(map(str, came)))\n"
    )
    assert python(code, WFMON_DATA=str(monitor.folder)).stdout.strip() == "1abxyz"
