"""Forgetting while the monitor runs: asked from any thread, done by the writer's, told and called off meanwhile.

What waits for the file is written first, then deleted with the rest. What is measured while the file is made anew is
taken into the backlog, so that no second is lost. Of what was in memory when it began nothing comes back: ``since``.
"""

from __future__ import annotations

import contextlib
import logging
import sqlite3
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from wfmon.core import commands
from wfmon.core.answers.store import DELETION_UNDER_WAY, DeletionPreview, DeletionStatus, FileSize
from wfmon.core.clock import Clock
from wfmon.core.errors import Busy, Refused
from wfmon.core.types import Series
from wfmon.store import database, maintenance
from wfmon.store.deletion import (
    Asked,
    Before,
    Everything,
    Named,
    NoSuchSeries,
    Remains,
    Removed,
    Tally,
    delete,
    empty_wal,
    find,
    is_unscrubbed,
    preview,
    scrub,
)

log = logging.getLogger(__name__)
OPS = 20_000
"""Steps of SQLite's machine between two looks whether it was called off: a few milliseconds."""
PULL_S = 1.0
WIPE_AGAIN_S = 30.0
"""After so long the file is tried to be wiped again, where somebody read it or the disk was full."""
LONGEST = 4_000
"""Letters of a series' text that are read."""
_DELETED = ("wiping", "remains")
_FIELDS = ("before_ms", "series", "all")


class _CalledOff(Exception):
    """The user called it off; nothing was deleted."""


@dataclass(frozen=True, slots=True)
class _State:
    """``word``: none, one of DELETION_UNDER_WAY, done, remains, called_off, failed; ``done`` of ``of`` parts cut."""

    word: str = "none"
    asked: Asked | None = None
    done: int = 0
    of: int = 0
    reason: str = ""
    tally: Tally | None = None
    began_ms: int | None = None
    ended_ms: int | None = None


class DeletionJob:
    """What is to be forgotten, and how far it is."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        # Under the lock.
        self._state = _State()
        self._called_off = False
        self._closing = False
        # Written by the writer's thread, replaced whole, read by any.
        self._since_ms = 0
        self._since_of: Mapping[str, int] = {}
        # The writer's thread alone.
        self._unwiped = ""  # "file": make it anew; "wal": that is done, but its WAL is not empty
        self._wipe_ns = 0
        self._pull_ns = 0
        self._broken_off = False

    # --- from any thread

    def preview(self, what: Mapping[str, Any]) -> DeletionPreview:
        """Tell what ``ask`` would delete; only reads. Raises Refused, Unreadable."""
        asked = self._asked(what)
        if not self._path.exists():
            return told(Tally({}, Removed(0, 0), ()), asked, [])
        try:
            with database.asking(self._path) as connection:
                return told(preview(connection, asked), asked, self._copies(asked))
        except NoSuchSeries as error:
            raise _no_series(error) from None

    def ask(self, what: Mapping[str, Any]) -> DeletionStatus:
        """Have it forgotten at the writer's next beat; gives the status. Raises Refused, Busy, Unreadable."""
        asked = self._asked(what)
        if isinstance(asked, Named) and self._path.exists():
            try:
                with database.asking(self._path) as connection:
                    find(connection, asked.text)
            except NoSuchSeries as error:
                raise _no_series(error) from None
        with self._lock:
            if self._state.word in DELETION_UNDER_WAY:
                raise Busy("Something is being forgotten at the moment.", "Wait until it is done.")
            self._state = _State("waiting", asked, began_ms=self._clock.now_ms())
            self._called_off = False
        return self.status()

    def call_off(self) -> bool:
        """Have it undone, as long as nothing is deleted for good; tells whether that was so."""
        with self._lock:
            possible = self._state.word in ("waiting", "counting", "deleting")
            self._called_off = self._called_off or possible
        return possible

    def status(self) -> DeletionStatus:
        """Tell how far it is: {state, asked, done, of, reason, began_ms, ended_ms, can_stop, gone}."""
        with self._lock:
            state, called_off = self._state, self._called_off
        gone: DeletionPreview | None = None
        if state.tally is not None and state.asked is not None:
            gone = told(state.tally, state.asked, self._copies(state.asked))
        return {
            "state": state.word, "asked": None if state.asked is None else _words(state.asked),
            "done": state.done, "of": state.of, "reason": state.reason,
            "began_ms": state.began_ms, "ended_ms": state.ended_ms,
            "can_stop": state.word in ("waiting", "counting", "deleting") and not called_off, "gone": gone,
        }  # fmt: skip

    def since(self, series: Series) -> int:
        """Give the instant before which all of a series is forgotten, though memory may still hold it; 0: none."""
        if not self._since_of:
            return self._since_ms
        return max(self._since_ms, self._since_of.get(str(series), 0), self._since_of.get(series.name, 0))

    def close(self) -> None:
        """The monitor stops: what is not deleted for good is undone, and a file is wiped at the next start."""
        with self._lock:
            self._closing = True
            self._called_off = self._called_off or self._state.word in ("waiting", "counting", "deleting")

    # --- the writer's thread

    def opened(self, connection: sqlite3.Connection) -> None:
        """A file was opened: one whose wiping was broken off is wiped. Raises sqlite3.Error."""
        self._unwiped = "file" if is_unscrubbed(connection) else ""
        self._wipe_ns = self._clock.mono_ns()
        if not self._unwiped:  # another file, then: the one that was to be wiped is gone, or was set aside
            self._end("done", of=_DELETED)

    @property
    def is_due(self) -> bool:
        """Whether something is asked."""
        with self._lock:
            return self._state.word == "waiting"

    @property
    def wiping_is_due(self) -> bool:
        """Whether bytes of what is deleted stand in the file, and it is time to try again."""
        return bool(self._unwiped) and self._clock.mono_ns() >= self._wipe_ns

    def carry_out(self, connection: sqlite3.Connection, deleted: Callable[[Asked, Tally, int], None]) -> None:
        """Delete what was asked. ``deleted`` hears of it, and since when (ms) what is measured counts again.

        Raises sqlite3.Error where the file is damaged; all else that goes wrong is told by the status.
        """
        asked = self._state.asked
        if asked is None:
            return
        since_ms = asked.t_ms if isinstance(asked, Before) else self._clock.now_ms()
        since_ms = -(-since_ms // 1_000) * 1_000  # nothing smaller than a bucket is cut
        self._broken_off = False
        connection.set_progress_handler(self._is_called_off, OPS)
        try:
            tally = delete(connection, asked, self._tell)
        except (_CalledOff, sqlite3.Error, NoSuchSeries) as error:
            self._failed(error)
            if database.is_corrupt(error):
                raise
            return
        finally:
            connection.set_progress_handler(None, 0)
        self._note(asked, since_ms)
        self._unwiped, self._wipe_ns = "file", self._clock.mono_ns()
        with self._lock:
            self._state = replace(self._state, tally=tally)
        deleted(asked, tally, since_ms)
        if isinstance(asked, Everything):
            try:
                maintenance.forget_asides(self._path)
            except OSError as error:
                log.warning("a copy of the history could not be deleted: %s", error)

    def wipe(self, connection: sqlite3.Connection, pull: Callable[[], None]) -> None:
        """Make the file anew, so that no byte of what is deleted stands in it. ``pull``: meanwhile, once a second."""
        self._broken_off = False
        connection.set_progress_handler(lambda: self._meanwhile(pull), OPS)
        try:
            if self._unwiped == "file":
                scrub(connection)
            else:
                empty_wal(connection)
        except (Remains, sqlite3.Error) as error:
            self._unwiped = "wal" if isinstance(error, Remains) else "file"
            self._wipe_ns = self._clock.mono_ns() + int(WIPE_AGAIN_S * 1e9)
            self._end("remains", _unwiped(error), _DELETED)
            if database.is_corrupt(error):
                raise
        else:
            self._unwiped = ""
            self._end("done", of=_DELETED)
        finally:
            connection.set_progress_handler(None, 0)

    def wait_for(self, reason: str) -> None:
        """The file cannot be written: what is asked is not done."""
        if self.is_due:
            self._end("failed", f"Nothing was deleted. {reason}")

    def moved(self, step_ms: int) -> None:
        """The wall clock was set: what memory holds goes by the new time."""
        self._since_ms = self._since_ms + step_ms if self._since_ms else 0
        self._since_of = {text: since_ms + step_ms for text, since_ms in self._since_of.items()}

    # --- inside

    def _asked(self, what: Mapping[str, Any]) -> Asked:
        return asked_of(what, self._clock.now_ms())

    def _copies(self, asked: Asked) -> list[FileSize]:
        """Give the copies of the history in its folder that stay."""
        everything = isinstance(asked, Everything)
        found: list[FileSize] = []
        for each in maintenance.copies(self._path):
            if not (everything and maintenance.is_aside(self._path, each)):
                with contextlib.suppress(FileNotFoundError):  # it may go at any time
                    found.append({"name": each.name, "bytes": each.stat().st_size})
        return found

    def _tell(self, stage: str, done: int, of: int) -> None:
        with self._lock:
            if self._called_off:
                self._broken_off = True
                raise _CalledOff
            # Once it is committed nobody may believe that it can be called off: so that is told before.
            word = "wiping" if stage == "committing" else stage
            self._state = replace(self._state, word=word, done=done, of=of)

    def _is_called_off(self) -> bool:
        return self._breaks_off(self._called_off)

    def _breaks_off(self, wanted: bool) -> bool:  # noqa: FBT001
        """Tell SQLite to break off, once: it would break off the ROLLBACK that follows, too."""
        now, self._broken_off = wanted and not self._broken_off, self._broken_off or wanted
        return now

    def _meanwhile(self, pull: Callable[[], None]) -> bool:
        """Take what is measured; True breaks off. SQLite takes an exception for that too, so none may leave."""
        now_ns = self._clock.mono_ns()
        if now_ns - self._pull_ns >= PULL_S * 1e9:
            self._pull_ns = now_ns
            try:
                pull()
            except Exception as error:  # noqa: BLE001  the edge
                log.warning("what is measured could not be taken while the file was made anew: %s", error)
        return self._breaks_off(self._closing)

    def _note(self, asked: Asked, since_ms: int) -> None:
        if isinstance(asked, Named):
            self._since_of = {**self._since_of, str(Series.parse(asked.text)): since_ms}
        else:
            self._since_ms = max(self._since_ms, since_ms)

    def _failed(self, error: Exception) -> None:
        if self._called_off:
            self._end("called_off")
        elif isinstance(error, NoSuchSeries):
            self._end("failed", f"Nothing was deleted. {error}")
        elif database.is_full(error):
            self._end("failed", "Nothing was deleted: the disk is full. Free some room, then try again.")
        elif database.is_locked(error):
            self._end("failed", "Nothing was deleted: another program holds the history. Close it, then try again.")
        else:
            check = commands.wfmon("store", "check")
            self._end("failed", f"Nothing was deleted ({error}). To find the cause, run: {check}")

    def _end(self, word: str, reason: str = "", of: tuple[str, ...] = DELETION_UNDER_WAY) -> None:
        with self._lock:
            if self._state.word in of:
                self._state = replace(self._state, word=word, reason=reason, ended_ms=self._clock.now_ms())
                self._called_off = False


def asked_of(what: Mapping[str, Any], now_ms: int) -> Asked:
    """Read ``{"before_ms": ...}``, ``{"series": ...}`` or ``{"all": true}``. Raises Refused."""
    given = [field for field in _FIELDS if field in what]
    if len(given) != 1:
        raise Refused(
            "before_ms", "It is not said what to forget.",
            'Send one of {"before_ms": 1767225600000}, {"series": "system.cpu_percent"}, {"all": true}.',
        )  # fmt: skip
    (field,) = given
    value = what[field]
    if field == "all" and value is True:
        return Everything()
    if field == "before_ms" and isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= now_ms:
        return Before(value)
    if field == "series" and isinstance(value, str) and 0 < len(value) <= LONGEST:
        return Named(value)
    raise {
        "all": Refused("all", "all is not true.", 'Send {"all": true}.'),
        "before_ms": Refused(
            "before_ms", f"before_ms is {str(value)[:40]}, which is no instant that is past.",
            'Give UTC milliseconds up to now, or {"all": true}.',
        ),
        "series": Refused("series", "series is no name.", 'Write it as /api/v1/history does: name{label="value"}.'),
    }[field]  # fmt: skip


def told(tally: Tally, asked: Asked, copies: list[FileSize]) -> DeletionPreview:
    """Write a tally for pages and routes."""
    rows = {table: removed.rows for table, removed in tally.removed.items()}
    return {
        "asked": _words(asked),
        "bytes": tally.bytes,
        "parts": rows.get("chunk", 0) + rows.get("journal", 0),
        "cut": tally.cut.rows,
        "touched": tally.touched,
        "series": list(tally.series),
        "rows": {table: rows.get(table, 0) for table in ("request", "annotation", "alert")},
        "before_ms": asked.t_ms if isinstance(asked, Before) else None,
        "copies": copies,
    }


def _words(asked: Asked) -> dict[str, Any]:
    if isinstance(asked, Before):
        return {"before_ms": asked.t_ms}
    return {"series": asked.text} if isinstance(asked, Named) else {"all": True}


def _no_series(error: NoSuchSeries) -> Refused:
    return Refused("series", str(error), "GET /api/v1/history lists those that are kept.")


def _unwiped(error: Exception) -> str:
    again = f"It is tried again every {WIPE_AGAIN_S:g} s."
    if isinstance(error, Remains):
        return f"It is deleted, but another program reads the file and keeps its old bytes: close that one. {again}"
    if database.is_full(error):
        return f"It is deleted, but the disk has no room to wipe its bytes: free twice what the history takes. {again}"
    return f"It is deleted, but its bytes could not be wiped ({error}). {again}"
