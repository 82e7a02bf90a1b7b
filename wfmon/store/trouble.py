"""Why nothing can be written: a word for programs, a sentence for people."""

from __future__ import annotations

import errno
from typing import NamedTuple

from wfmon.store import database

RETRY_S = 5.0


class Trouble(NamedTuple):
    """Why nothing is written now. ``word``: full, locked, newer, failed."""

    word: str
    text: str
    since_ms: int


def sentence(error: BaseException) -> tuple[str, str]:
    """Give a word and a sentence for what went wrong."""
    if isinstance(error, database.NewerSchema):
        return "newer", str(error)
    if database.is_full(error) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return "full", "The disk of the data folder is full: recording waits until there is room again."
    if database.is_locked(error):
        return "locked", "Another program holds the file of the history: recording waits until it lets go."
    return "failed", f"The history cannot be written ({error}): it is tried again every {RETRY_S:g} s."
