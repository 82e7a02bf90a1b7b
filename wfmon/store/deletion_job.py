"""Deletion while the monitor runs: requested from any thread, done by the writer's; with progress and cancellation.

Waiting data is written first, then deleted with the rest. Samples measured while the file is rewritten go to the
backlog, so that no second is lost. Data in memory at the start of a deletion does not come back: see ``since``.
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
"""Instructions of SQLite's virtual machine between two checks for cancellation: a few milliseconds."""
PULL_S = 1.0
WIPE_RETRY_S = 30.0
"""Wait before wiping is retried, if the file was being read or the disk was full."""
LONGEST = 4_000
"""Maximum length of a series' text."""
_DELETED = ("wiping", "remains")
_FIELDS = ("before_ms", "series", "all")


class _Cancelled(Exception):
    """The user cancelled the deletion; nothing was deleted."""


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
    """The current deletion and its progress."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        # Under the lock.
        self._state = _State()
        self._cancelled = False
        self._closing = False
        # Written by the writer's thread, replaced atomically, read by any.
        self._since_ms = 0
        self._since_of: Mapping[str, int] = {}
        # The writer's thread only.
        self._unwiped = ""  # "file": rewrite it; "wal": that is done, but its WAL is not empty
        self._wipe_ns = 0
        self._pull_ns = 0
        self._interrupted = False

    # --- from any thread

    def preview(self, what: Mapping[str, Any]) -> DeletionPreview:
        """Return what ``request`` would delete; read-only. Raises Refused, Unreadable."""
        asked = self._asked(what)
        if not self._path.exists():
            return preview_of(Tally({}, Removed(0, 0), ()), asked, [])
        try:
            with database.asking(self._path) as connection:
                return preview_of(preview(connection, asked), asked, self._copies(asked))
        except NoSuchSeries as error:
            raise _no_series(error) from None

    def request(self, what: Mapping[str, Any]) -> DeletionStatus:
        """Request a deletion at the writer's next tick; return the status. Raises Refused, Busy, Unreadable."""
        asked = self._asked(what)
        if isinstance(asked, Named) and self._path.exists():
            try:
                with database.asking(self._path) as connection:
                    find(connection, asked.text)
            except NoSuchSeries as error:
                raise _no_series(error) from None
        with self._lock:
            if self._state.word in DELETION_UNDER_WAY:
                raise Busy("Another deletion is in progress.", "Wait until it is done.")
            self._state = _State("waiting", asked, began_ms=self._clock.now_ms())
            self._cancelled = False
        return self.status()

    def cancel(self) -> bool:
        """Cancel the deletion. True if nothing was permanently deleted."""
        with self._lock:
            possible = self._state.word in ("waiting", "counting", "deleting")
            self._cancelled = self._cancelled or possible
        return possible

    def status(self) -> DeletionStatus:
        """Return the progress: {state, asked, done, of, reason, began_ms, ended_ms, can_stop, gone}."""
        with self._lock:
            state, cancelled = self._state, self._cancelled
        gone: DeletionPreview | None = None
        if state.tally is not None and state.asked is not None:
            gone = preview_of(state.tally, state.asked, self._copies(state.asked))
        return {
            "state": state.word, "asked": None if state.asked is None else _words(state.asked),
            "done": state.done, "of": state.of, "reason": state.reason,
            "began_ms": state.began_ms, "ended_ms": state.ended_ms,
            "can_stop": state.word in ("waiting", "counting", "deleting") and not cancelled, "gone": gone,
        }  # fmt: skip

    def since(self, series: Series) -> int:
        """Return the instant before which a series is deleted, though memory may still hold it; 0 if none."""
        if not self._since_of:
            return self._since_ms
        return max(self._since_ms, self._since_of.get(str(series), 0), self._since_of.get(series.name, 0))

    def close(self) -> None:
        """Stop: a deletion not yet committed is cancelled, and outstanding wiping is done at the next start."""
        with self._lock:
            self._closing = True
            self._cancelled = self._cancelled or self._state.word in ("waiting", "counting", "deleting")

    # --- the writer's thread

    def opened(self, connection: sqlite3.Connection) -> None:
        """Check a newly opened file: interrupted wiping is resumed. Raises sqlite3.Error."""
        self._unwiped = "file" if is_unscrubbed(connection) else ""
        self._wipe_ns = self._clock.mono_ns()
        if not self._unwiped:  # a different file: the one to wipe is gone or was set aside
            self._end("done", of=_DELETED)

    @property
    def is_due(self) -> bool:
        """Whether a deletion is requested."""
        with self._lock:
            return self._state.word == "waiting"

    @property
    def wiping_is_due(self) -> bool:
        """Whether bytes of deleted data are in the file, and it is time to retry."""
        return bool(self._unwiped) and self._clock.mono_ns() >= self._wipe_ns

    def carry_out(self, connection: sqlite3.Connection, deleted: Callable[[Asked, Tally, int], None]) -> None:
        """Delete. ``deleted`` is called afterwards, with the instant (ms) from which measurements count again.

        Raises sqlite3.Error if the file is damaged; all other errors are reported by the status.
        """
        asked = self._state.asked
        if asked is None:
            return
        since_ms = asked.t_ms if isinstance(asked, Before) else self._clock.now_ms()
        since_ms = -(-since_ms // 1_000) * 1_000  # nothing smaller than a bucket is cut
        self._interrupted = False
        connection.set_progress_handler(self._is_cancelled, OPS)
        try:
            tally = delete(connection, asked, self._progress)
        except (_Cancelled, sqlite3.Error, NoSuchSeries) as error:
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
        """Rewrite the file, so that it has no byte of deleted data. ``pull`` is called once a second meanwhile."""
        self._interrupted = False
        connection.set_progress_handler(lambda: self._meanwhile(pull), OPS)
        try:
            if self._unwiped == "file":
                scrub(connection)
            else:
                empty_wal(connection)
        except (Remains, sqlite3.Error) as error:
            self._unwiped = "wal" if isinstance(error, Remains) else "file"
            self._wipe_ns = self._clock.mono_ns() + int(WIPE_RETRY_S * 1e9)
            self._end("remains", _unwiped(error), _DELETED)
            if database.is_corrupt(error):
                raise
        else:
            self._unwiped = ""
            self._end("done", of=_DELETED)
        finally:
            connection.set_progress_handler(None, 0)

    def wait_for(self, reason: str) -> None:
        """Fail a requested deletion because the file cannot be written."""
        if self.is_due:
            self._end("failed", f"Nothing was deleted. {reason}")

    def moved(self, step_ms: int) -> None:
        """Shift instants after a clock step, as data in memory is shifted."""
        self._since_ms = self._since_ms + step_ms if self._since_ms else 0
        self._since_of = {text: since_ms + step_ms for text, since_ms in self._since_of.items()}

    # --- inside

    def _asked(self, what: Mapping[str, Any]) -> Asked:
        return asked_of(what, self._clock.now_ms())

    def _copies(self, asked: Asked) -> list[FileSize]:
        """Return the copies of the history in its folder that are kept."""
        everything = isinstance(asked, Everything)
        found: list[FileSize] = []
        for each in maintenance.copies(self._path):
            if not (everything and maintenance.is_aside(self._path, each)):
                with contextlib.suppress(FileNotFoundError):  # it may go at any time
                    found.append({"name": each.name, "bytes": each.stat().st_size})
        return found

    def _progress(self, stage: str, done: int, of: int) -> None:
        with self._lock:
            if self._cancelled:
                self._interrupted = True
                raise _Cancelled
            # After the commit it must not appear cancellable, so the state changes before it.
            word = "wiping" if stage == "committing" else stage
            self._state = replace(self._state, word=word, done=done, of=of)

    def _is_cancelled(self) -> bool:
        return self._interrupt_once(self._cancelled)

    def _interrupt_once(self, wanted: bool) -> bool:  # noqa: FBT001
        """Tell SQLite to interrupt, only once: otherwise the ROLLBACK that follows would be interrupted too."""
        now, self._interrupted = wanted and not self._interrupted, self._interrupted or wanted
        return now

    def _meanwhile(self, pull: Callable[[], None]) -> bool:
        """Pull samples during a rewrite; True interrupts it, as would an exception, so none may escape."""
        now_ns = self._clock.mono_ns()
        if now_ns - self._pull_ns >= PULL_S * 1e9:
            self._pull_ns = now_ns
            try:
                pull()
            except Exception as error:  # noqa: BLE001  the edge
                log.warning("samples could not be pulled while the file was rewritten: %s", error)
        return self._interrupt_once(self._closing)

    def _note(self, asked: Asked, since_ms: int) -> None:
        if isinstance(asked, Named):
            self._since_of = {**self._since_of, str(Series.parse(asked.text)): since_ms}
        else:
            self._since_ms = max(self._since_ms, since_ms)

    def _failed(self, error: Exception) -> None:
        if self._cancelled:
            self._end("called_off")
        elif isinstance(error, NoSuchSeries):
            self._end("failed", f"Nothing was deleted. {error}")
        elif database.is_full(error):
            self._end("failed", "Nothing was deleted: the disk is full. Free some space, then try again.")
        elif database.is_locked(error):
            self._end("failed", "Nothing was deleted: another program locked the history. Close it, then try again.")
        else:
            check = commands.wfmon("store", "check")
            self._end("failed", f"Nothing was deleted ({error}). To find the cause, run: {check}")

    def _end(self, word: str, reason: str = "", of: tuple[str, ...] = DELETION_UNDER_WAY) -> None:
        with self._lock:
            if self._state.word in of:
                self._state = replace(self._state, word=word, reason=reason, ended_ms=self._clock.now_ms())
                self._cancelled = False


def asked_of(what: Mapping[str, Any], now_ms: int) -> Asked:
    """Parse ``{"before_ms": ...}``, ``{"series": ...}`` or ``{"all": true}``. Raises Refused."""
    given = [field for field in _FIELDS if field in what]
    if len(given) != 1:
        raise Refused(
            "before_ms", "It is not specified what to delete.",
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
            "before_ms", f"before_ms is {str(value)[:40]}, which is not a past instant.",
            'Send UTC milliseconds up to now, or {"all": true}.',
        ),
        "series": Refused("series", "series is not a name.", 'Write it as /api/v1/history does: name{label="value"}.'),
    }[field]  # fmt: skip


def preview_of(tally: Tally, asked: Asked, copies: list[FileSize]) -> DeletionPreview:
    """Convert a tally for pages and routes."""
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
    again = f"It is retried every {WIPE_RETRY_S:g} s."
    if isinstance(error, Remains):
        return f"It is deleted, but another program reads the file and keeps its old bytes: close that one. {again}"
    if database.is_full(error):
        return f"It is deleted, but the disk is too full to wipe its bytes: free twice the history's size. {again}"
    return f"It is deleted, but its bytes could not be wiped ({error}). {again}"
