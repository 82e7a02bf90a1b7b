"""The history database: writer, size, retention and deletion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict


class WriterStatus(TypedDict):
    """The history's writer. ``held_s``: seconds without deletion by age, because the clock may be wrong."""

    state: str
    reason: str
    since_ms: int | None
    notice: str
    held_s: int
    waiting: int
    write_ms: float
    longest_ms: float
    counts: dict[str, int]


class TierUsage(TypedDict):
    """One tier's size; ``tier`` is its number, 0 the finest."""

    tier: int
    name: str
    step_s: int
    chunks: int
    bytes: int
    first_s: int | None


class Usage(TypedDict):
    """The database's contents: bytes by tier and series, rows by table."""

    bytes: int
    free_bytes: int
    wal_bytes: int
    tiers: list[TierUsage]
    series: dict[str, int]
    tables: dict[str, int]


class StoreStatus(WriterStatus):
    """The history: writer, path, first instant, size, retention."""

    path: str
    from_ms: int | None
    usage: Usage
    keep: Mapping[str, Any]


DELETION_UNDER_WAY = ("waiting", "counting", "deleting", "wiping")
"""States of a deletion in which no other can start; ``wiping``: rows are deleted, the file is being rewritten."""


class FileSize(TypedDict):
    """A file next to the history."""

    name: str
    bytes: int


class DeletionPreview(TypedDict):
    """What a deletion deletes. ``parts``: chunks and seconds; ``cut``: those that are kept in part.

    ``touched``: number of series that lose data; ``series``: those deleted with their name.
    """

    asked: Mapping[str, Any]
    bytes: int
    parts: int
    cut: int
    touched: int
    series: list[str]
    rows: dict[str, int]
    before_ms: int | None
    copies: list[FileSize]


class DeletionStatus(TypedDict):
    """The progress of a deletion, or the last one's result. ``done`` of ``of`` parts are finished."""

    state: str
    asked: Mapping[str, Any] | None
    done: int
    of: int
    reason: str
    began_ms: int | None
    ended_ms: int | None
    can_stop: bool
    gone: DeletionPreview | None


class RetentionRow(TypedDict):
    """A retention setting. ``back``: the value it has without the change made in the page."""

    name: str
    value: float
    default: float
    low: float
    high: float
    origin: str
    back: float


class DueRow(TypedDict):
    """Data due for deletion: about everything older than ``until_ms``. ``name``: the tier."""

    name: NotRequired[str]
    rows: int
    bytes: int
    until_ms: int | None


class RetentionPreview(TypedDict):
    """What a change would delete. ``shorter``: settings that keep less; ``over``: deleted for the total size."""

    shorter: list[str]
    parts: int
    bytes: int
    tiers: list[DueRow]
    tables: dict[str, DueRow]
    over: list[DueRow]
    hints: list[str]
