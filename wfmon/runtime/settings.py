"""Current settings, and switches that change while the monitor runs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from wfmon.core import settings as core_settings
from wfmon.core import settings_files
from wfmon.core.answers.settings import SettingRow
from wfmon.core.errors import Unknown
from wfmon.core.settings import Settings


class ChangedSettings:
    """The single owner of settings changed since the start. Any thread."""

    def __init__(self, settings: Settings) -> None:
        self._start = settings
        self._lock = threading.Lock()  # serialises changes
        # Replaced atomically under the lock, read by any: by setting, the value and where it comes from.
        self._changed: Mapping[str, tuple[Any, str]] = {}

    def value(self, name: str) -> Any:  # noqa: ANN401  of the setting's own type
        """Return the current value."""
        changed = self._changed
        return changed[name][0] if name in changed else core_settings.value_of(self._start, name)

    def origin(self, name: str) -> str:
        """Return where the current value comes from: default, config.yaml, settings.json, command line."""
        changed = self._changed
        return changed[name][1] if name in changed else self._start.origin.get(name, "default")

    def beneath(self, name: str) -> tuple[Any, str]:
        """Return the value without changes made on the page, and where it comes from."""
        if self._start.origin.get(name) == "settings.json":
            return self._start.beneath[name]
        return core_settings.value_of(self._start, name), self._start.origin.get(name, "default")

    def change(self, changes: Mapping[str, Any]) -> None:
        """Save and apply these values, all or none; None reverts a change. Raises SettingsError, NotSaved."""
        with self._lock:
            settings_files.save_changes(self._start, changes)
            self._changed = {**self._changed} | {
                name: self.beneath(name) if value is None else (value, "settings.json")
                for name, value in changes.items()
            }


class Switchable(Protocol):
    """A collector, polled or pushed."""

    def set_enabled(self, enabled: bool) -> None:  # noqa: FBT001
        """Switch it on or off, at once."""


class SettingsService:
    """Implements ``core.services.Settings``. ``switched(name, enabled)`` is called after every switch."""

    def __init__(
        self, held: ChangedSettings, collectors: Mapping[str, Switchable], switched: Callable[[str, bool], None]
    ) -> None:
        self._held = held
        self._collectors = collectors
        self._switched = switched

    def table(self) -> list[SettingRow]:
        """Return every setting's current value, and where it comes from."""
        return [
            {
                "name": row.name, "value": self._held.value(row.name), "default": row.default,
                "origin": self._held.origin(row.name), "restart": row.restart, "help": row.help,
            }
            for row in core_settings.catalogue()
        ]  # fmt: skip

    def switch_collector(self, *, name: str, enabled: bool) -> None:
        """Switch a collector on or off, now and after restarts. Raises Unknown, NotSaved."""
        if name not in self._collectors:
            raise Unknown("collector", "name", "There is no such collector.", "GET /api/v1/collectors lists them.")
        self._held.change({f"collect.{name}.enabled": enabled})
        self._collectors[name].set_enabled(enabled)
        self._switched(name, enabled)
