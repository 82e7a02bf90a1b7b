"""Settings and their values' sources."""

from __future__ import annotations

from typing import Any, TypedDict


class SettingRow(TypedDict):
    """A setting. ``restart``: a change takes effect at the next start."""

    name: str
    value: Any
    default: Any
    origin: str
    restart: bool
    help: str
