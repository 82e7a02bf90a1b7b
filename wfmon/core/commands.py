"""The commands that messages, pages and ``--help`` show. Each can be pasted into a terminal as it is.

They name the interpreter of this process: Debian and Ubuntu have no program called ``python``, and another Python does
not have what wfmon needs. Nothing here runs anything.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).absolute().parents[2]
"""The folder that holds the package ``wfmon``, and in a checkout ``app.py`` beside it."""
OPEN = "make run ARGS=--open"
"""Opens the page of a running monitor. For responses before sign-in: it reveals no path of this machine."""


def app(*arguments: str) -> str:
    """Give the command that starts the monitor with these arguments, from any folder."""
    return _from_anywhere("app.py", *arguments)


def wfmon(*arguments: str) -> str:
    """Give a command of ``-m wfmon``, such as store and info, from any folder."""
    return _from_anywhere("-m", "wfmon", *arguments)


def typed(*arguments: str) -> str:
    """Give a command as one types it in the current folder, where this program was started."""
    return _quoted(_interpreter(Path.cwd()), *arguments)


def _from_anywhere(*arguments: str) -> str:
    """Begin with ``cd`` where the package is not installed: only in its own folder does ``-m wfmon`` find it."""
    if not (ROOT / "app.py").is_file():
        return _quoted(sys.executable, *arguments)
    return f"{_quoted('cd', str(ROOT))} && {_quoted(_interpreter(ROOT), *arguments)}"


def _interpreter(folder: Path) -> str:
    """Give this process' interpreter, relative to the folder if it is beneath it. Links stay: one leads to the venv."""
    path = Path(sys.executable)
    beneath = path.is_relative_to(folder) and path.parent != folder  # a bare name would be looked up on the PATH
    return str(path.relative_to(folder)) if beneath else str(path)


def _quoted(*words: str) -> str:
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)
