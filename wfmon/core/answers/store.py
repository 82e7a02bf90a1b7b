"""The history's file: its writer, size, retention and deletion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypedDict


class WriterStatus(TypedDict):
    """The history's writer. ``held_s``: nothing is deleted by age for so long, because the clock may be wrong."""

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
    """What one tier takes; ``tier`` is its number, 0 the finest."""

    tier: int
    name: str
    step_s: int
    chunks: int
    bytes: int
    first_s: int | None


class Usage(TypedDict):
    """What the file holds: bytes of tiers and series, rows of tables."""

    bytes: int
    free_bytes: int
    wal_bytes: int
    tiers: list[TierUsage]
    series: dict[str, int]
    tables: dict[str, int]


class StoreStatus(WriterStatus):
    """The history: its writer, where it is, since when, how much it takes, how long it is kept."""

    path: str
    from_ms: int | None
    usage: Usage
    keep: Mapping[str, Any]


DELETION_UNDER_WAY = ("waiting", "counting", "deleting", "wiping")
"""States of a deletion in which no other can begin; ``wiping``: it is deleted, and the file is rewritten."""


class FileSize(TypedDict):
    """A file beside the history."""

    name: str
    bytes: int


class DeletionPreview(TypedDict):
    """What a deletion takes. ``parts``: chunks and seconds; ``cut``: those that stay without a part of them.

    ``touched``: series that lose something; ``series``: those that go with their name.
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
    """The progress of a deletion, or how the last one ended. ``done`` of ``of`` parts were cut."""

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
    """A setting of how long or how much is kept. ``back``: the value without a change made in the page."""

    name: str
    value: float
    default: float
    low: float
    high: float
    origin: str
    back: float


class DueRow(TypedDict):
    """What is past its time; about all that is older than ``until_ms`` goes. ``name``: the tier."""

    name: NotRequired[str]
    rows: int
    bytes: int
    until_ms: int | None


class RetentionPreview(TypedDict):
    """What a change would delete. ``shorter``: settings that keep less; ``over``: for the size of the whole."""

    shorter: list[str]
    parts: int
    bytes: int
    tiers: list[DueRow]
    tables: dict[str, DueRow]
    over: list[DueRow]
    hints: list[str]
