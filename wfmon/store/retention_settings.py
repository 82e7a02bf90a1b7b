"""Retention settings: changed while the monitor runs, with a preview of what a change would delete."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from wfmon.core import settings as core_settings
from wfmon.core import settings_files
from wfmon.core.answers.store import DueRow, RetentionPreview, RetentionRow
from wfmon.core.errors import Refused, SettingsError
from wfmon.core.settings import Setting
from wfmon.store import database
from wfmon.store.retention import Due, Keep, preview
from wfmon.store.tiers import TIERS

TIER_SETTINGS = tuple(f"store.keep_{tier.name}_days" for tier in TIERS)
TABLE_SETTINGS = {
    "request": "store.keep_requests_days", "annotation": "store.keep_annotations_days",
    "alert": "store.keep_alerts_days",
}  # fmt: skip
SIZE_SETTING = "store.max_bytes"
NAMES = (*TIER_SETTINGS, *TABLE_SETTINGS.values(), SIZE_SETTING)
"""In display order."""


class HeldSettings(Protocol):
    """Access to the current settings, owned by ``runtime.settings.ChangedSettings``."""

    def value(self, name: str) -> Any:  # noqa: ANN401  of the setting's own type
        """Return the current value."""

    def origin(self, name: str) -> str:
        """Return where it comes from."""

    def beneath(self, name: str) -> tuple[Any, str]:
        """Return the value without changes made on the page, and where it comes from."""

    def change(self, changes: Mapping[str, Any]) -> None:
        """Save and apply these values; None reverts a change. Raises SettingsError, NotSaved."""


class RetentionSettings:
    """The retention settings. Any thread."""

    def __init__(self, settings: HeldSettings, path: Path, now_ms: Callable[[], int]) -> None:
        self._settings = settings
        self._path = path
        self._now_ms = now_ms
        self._rows = {row.name: row for row in core_settings.catalogue() if row.name in NAMES}
        self._keep = _keep(self._values())  # replaced atomically, read by any thread

    def keep(self) -> Keep:
        """Return the current limits."""
        return self._keep

    def retention(self) -> list[RetentionRow]:
        """Return each setting; ``back``: its value without changes made on the page."""
        return [
            {
                "name": name, "value": self._settings.value(name), "default": row.default, "low": row.low or 0,
                "high": row.high or 0, "origin": self._settings.origin(name), "back": self._settings.beneath(name)[0],
            }
            for name, row in ((name, self._rows[name]) for name in NAMES)
        ]  # fmt: skip

    def preview(self, changes: Mapping[str, Any]) -> RetentionPreview:
        """Return what a change would delete; read-only. ``changes``: by setting; None reverts a change.

        Raises Refused, Unreadable.
        """
        before = self._values()
        values = before | self._checked(changes)
        found = None
        if self._path.exists():
            with database.asking(self._path) as connection:
                found = preview(connection, _keep(values), self._now_ms() // 1_000)
        tiers, over = (found.tiers, found.over) if found else ((), ())
        tables = found.tables if found else {}
        return {
            "shorter": [name for name in NAMES if values[name] < before[name]],
            "parts": sum(due.rows for due in (*tiers, *over)),
            "bytes": sum(due.bytes for due in (*tiers, *over, *tables.values())),
            "tiers": [
                {"name": tier.name, **_due_row(due, tier.chunk_s)} for tier, due in zip(TIERS, tiers, strict=False)
            ],
            "tables": {name: _due_row(due) for name, due in tables.items()},
            "over": [
                {"name": tier.name, **_due_row(due, tier.chunk_s)} for tier, due in zip(TIERS, over, strict=False)
            ],
            "hints": _hints(values),
        }

    def change(self, changes: Mapping[str, Any]) -> list[RetentionRow]:
        """Save and apply a change; return ``retention``. Raises Refused, NotSaved."""
        beneath = {name: self._settings.beneath(name)[0] for name in self._rows}
        new = {name: None if value == beneath[name] else value for name, value in self._checked(changes).items()}
        self._settings.change(new)
        self._keep = _keep(self._values())
        return self.retention()

    def _values(self) -> dict[str, Any]:
        return {name: self._settings.value(name) for name in NAMES}

    def _checked(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Return the validated values of a change, in their types. Raises Refused."""
        if not changes:
            raise Refused("values", "No setting was named.", f"Name at least one of {', '.join(NAMES)}.")
        found = {}
        for name, value in changes.items():
            row = self._rows.get(name)
            if row is None:
                raise Refused(name, f"{name[:80]} is not a retention setting.", f"Name one of {', '.join(NAMES)}.")
            try:
                found[name] = self._settings.beneath(name)[0] if value is None else settings_files.checked(name, value)
            except SettingsError as error:
                raise Refused(name, str(error), fix_of(row)) from None
        return found


def fix_of(row: Setting) -> str:
    """Return a sentence with the valid range of a setting."""
    kind = "a whole number of bytes" if row.type is int else "a number of days"
    return f"Use {kind} from {row.low:,.15g} to {row.high:,.15g}."


def _keep(values: Mapping[str, Any]) -> Keep:
    return Keep.of(
        [values[name] for name in TIER_SETTINGS], {table: values[name] for table, name in TABLE_SETTINGS.items()},
        values[SIZE_SETTING],
    )  # fmt: skip


def _hints(values: Mapping[str, Any]) -> list[str]:
    """Return warnings where a coarser tier is kept for less time than a finer one: allowed, but cuts long charts."""
    found = []
    for finer, coarser in itertools.pairwise(TIERS):
        one, other = values[TIER_SETTINGS[finer.number]], values[TIER_SETTINGS[coarser.number]]
        if other < one:
            found.append(
                f"Buckets of {coarser.name} would be kept for {other:g} days and those of {finer.name} for {one:g}: "
                f"charts of a long span would end after {other:g} days."
            )
    return found


def _due_row(due: Due, chunk_s: int = 0) -> DueRow:
    until_ms = None if due.to_s is None else (due.to_s + chunk_s) * 1_000
    return {"rows": due.rows, "bytes": due.bytes, "until_ms": until_ms}
