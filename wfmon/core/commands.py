"""The commands shown in messages, pages and ``--help``. Each can be pasted into a terminal as it is.

They name this process's interpreter: Debian and Ubuntu have no program called ``python``, and another Python lacks
wfmon's dependencies. Nothing here runs a command.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).absolute().parents[2]
"""The folder with the package ``wfmon``, and in a checkout also ``app.py``."""
OPEN = "make run ARGS=--open"
"""Opens the page of a running monitor. For responses before sign-in: it reveals no path of this machine."""


def app(*arguments: str) -> str:
    """Return the command that starts the monitor with these arguments, from any folder."""
    return _from_anywhere("app.py", *arguments)


def wfmon(*arguments: str) -> str:
    """Return a command of ``-m wfmon``, such as ``store info``, that works from any folder."""
    return _from_anywhere("-m", "wfmon", *arguments)


def typed(*arguments: str) -> str:
    """Return a command for the current folder, where this program was started."""
    return _quoted(_interpreter(Path.cwd()), *arguments)


def _from_anywhere(*arguments: str) -> str:
    """Prefix ``cd`` in a checkout: there ``-m wfmon`` finds the package only from its own folder."""
    if not (ROOT / "app.py").is_file():
        return _quoted(sys.executable, *arguments)
    return f"{_quoted('cd', str(ROOT))} && {_quoted(_interpreter(ROOT), *arguments)}"


def _interpreter(folder: Path) -> str:
    """Return this process's interpreter, relative to the folder if inside it. Links are kept: a venv's is one."""
    path = Path(sys.executable)
    beneath = path.is_relative_to(folder) and path.parent != folder  # a bare name would be looked up on the PATH
    return str(path.relative_to(folder)) if beneath else str(path)


def _quoted(*words: str) -> str:
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
