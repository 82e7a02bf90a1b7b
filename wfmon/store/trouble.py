"""Why nothing can be written: a code for programs, a sentence for people."""

from __future__ import annotations

import errno
import logging
import sqlite3
from typing import NamedTuple

from wfmon.core.clock import Clock
from wfmon.store import database

log = logging.getLogger(__name__)
RETRY_S = 5.0


class Trouble(NamedTuple):
    """Why nothing is being written. ``word``: full, locked, newer, failed."""

    word: str
    text: str
    since_ms: int


def sentence(error: BaseException) -> tuple[str, str]:
    """Return a code and a sentence for an error."""
    if isinstance(error, database.NewerSchema):
        return "newer", str(error)
    if database.is_full(error) or getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return "full", "The disk of the data folder is full: recording waits until there is space again."
    if database.is_locked(error):
        return "locked", "Another program has locked the history: recording waits until it is released."
    return "failed", f"The history cannot be written ({error}): it is retried every {RETRY_S:g} s."


class Troubles:
    """The writer's current trouble, and when to retry. The writer's thread; any thread reads ``current``."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since_ns = self._retry_ns = 0
        self.current: Trouble | None = None

    def met(self, word: str, text: str, error: BaseException) -> None:
        """Record an error, logged once while it lasts, and retry later."""
        if self.current is None or self.current.word != word:
            foreseen = isinstance(error, sqlite3.Error | OSError | database.NewerSchema | database.NotOurs)
            log.warning("%s", text, exc_info=None if foreseen else error)
            if self.current is None:
                self._since_ns = self._clock.mono_ns()
            self.current = Trouble(word, text, self.current.since_ms if self.current else self._clock.now_ms())
        self.retry_after(self._clock.mono_ns())

    def retry_after(self, now_ns: int) -> None:
        """Retry ``RETRY_S`` from ``now_ns`` on."""
        self._retry_ns = now_ns + int(RETRY_S * 1e9)

    def is_too_early(self, now_ns: int) -> bool:
        """Return whether there is a trouble and it is too early to retry."""
        return self.current is not None and now_ns < self._retry_ns

    def over(self) -> tuple[Trouble | None, float]:
        """End the trouble; return it, None if there was none, and how long it lasted in seconds."""
        ended, self.current = self.current, None
        return ended, (self._clock.mono_ns() - self._since_ns) / 1e9
