"""The monitor's log: JSON lines in a rotating private file, and readable text on stderr.

A line is one object: ``t_ms``, ``level``, ``logger``, ``thread``, ``message``, and ``error`` for an exception.
No user data: queries, tokens and codes are redacted from every line.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections import Counter
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from pathlib import Path

FILE = "wfmon.log"
OURS = "wfmon"
MAX_CHARS = 8_000
"""Limit of a message and of a stack trace, so that one line cannot fill the disk."""
QUIET = {"werkzeug": logging.WARNING, "h2": logging.WARNING, "hpack": logging.WARNING, "asyncio": logging.WARNING}
"""Libraries whose info messages are of no use."""
_REDACTIONS = (
    (re.compile(r"(/[^\s?\"']*)\?[^\s\"']+"), r"\1?(query)"),
    (re.compile(r"(?i)\b(bearer\s+|(?:code|token|cookie|wfmon-\d+)[=:]\s*)[\w.~+/=-]+"), r"\1(secret)"),
)


class Log:
    """A started log. ``close`` is idempotent."""

    def __init__(self, handlers: tuple[logging.Handler, ...], file: _File) -> None:
        self._handlers = handlers
        self._file = file

    @property
    def dropped(self) -> int:
        """The number of lines that could not be written."""
        return self._file.dropped

    def close(self) -> None:
        """Flush, and remove the handlers from the root logger."""
        for handler in self._handlers:
            logging.getLogger().removeHandler(handler)
            handler.close()


class ErrorCount(logging.Handler):
    """Counts the errors logged by wfmon's packages, by package, from ``attach`` to ``detach``. Any thread."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._counts: Counter[str] = Counter()

    def attach(self) -> None:
        """Start counting. Idempotent."""
        logging.getLogger(OURS).addHandler(self)

    def detach(self) -> None:
        """Stop counting. Idempotent."""
        logging.getLogger(OURS).removeHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Count one error; logging holds the handler's lock."""
        _, _, part = record.name.partition(".")
        self._counts[part.partition(".")[0] or "page"] += 1

    def totals(self) -> dict[str, int]:
        """Return the counts so far. Flask logs failed pages under the bare name ``wfmon``, counted as ``page``."""
        self.acquire()
        try:
            return dict(self._counts)
        finally:
            self.release()


def start(folder: Path, *, level: str, max_bytes: int, keep: int, console: TextIO | None = None) -> Log:
    """Send all logging to ``<folder>/logs/wfmon.log`` (0600) and to ``console`` (stderr). Raises OSError.

    ``level``: debug, info, warning or error. Past ``max_bytes`` the file is rotated, and ``keep`` old ones are kept.
    """
    logs = folder / "logs"
    logs.mkdir(mode=0o700, exist_ok=True)
    file = _File(logs / FILE, max_bytes, keep)
    file.setFormatter(JsonLines())
    text = logging.StreamHandler(console or sys.stderr)
    text.setFormatter(_ConsoleFormatter("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S"))
    root = logging.getLogger()
    root.setLevel(level.upper())
    for handler in (file, text):
        root.addHandler(handler)
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel(least)
    logging.captureWarnings(True)
    return Log((file, text), file)


def redact(text: str) -> str:
    """Redact queries and secrets, and truncate long text."""
    for pattern, kept in _REDACTIONS:
        text = pattern.sub(kept, text)
    return text if len(text) <= MAX_CHARS else f"{text[:MAX_CHARS]}... ({len(text):,} characters)"


class JsonLines(logging.Formatter):
    """One JSON object per record, always on one line."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "t_ms": int(record.created * 1000),
            "level": record.levelname.lower(),
            "logger": record.name,
            "thread": record.threadName,
            "message": redact(record.getMessage()),
        }
        if record.exc_info:
            line["error"] = redact(self.formatException(record.exc_info))
        return json.dumps(line)


class _ConsoleFormatter(logging.Formatter):
    """Readable text without stack traces, which are in the file."""

    def format(self, record: logging.LogRecord) -> str:
        text = f"{self.formatTime(record, self.datefmt)} {record.levelname.lower():7} {redact(record.getMessage())}"
        # Control characters in untrusted text must not control the terminal.
        text = "".join(char if char.isprintable() else " " for char in text)
        return f"{text} ({type(record.exc_info[1]).__name__})" if record.exc_info and record.exc_info[1] else text


class _File(RotatingFileHandler):
    """A rotating file that only its owner can read."""

    def __init__(self, path: Path, max_bytes: int, keep: int) -> None:
        self.dropped = 0
        super().__init__(path, maxBytes=max_bytes, backupCount=keep, encoding="utf-8", errors="backslashreplace")

    def _open(self) -> TextIOWrapper:
        return os.fdopen(
            os.open(self.baseFilename, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), self.mode,
            encoding=self.encoding, errors=self.errors,
        )  # type: ignore[return-value]  # fmt: skip

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's name
        """Count the line instead of printing a stack trace to stderr: a full disk would flood the terminal too."""
        del record
        self.dropped += 1
