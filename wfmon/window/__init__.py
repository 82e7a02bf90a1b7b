"""The hot cache: the last five minutes of every series, and rolling windows over them."""

from __future__ import annotations

from wfmon.window.cache import HotCache
from wfmon.window.snapshot import Snapshot

__all__ = ["HotCache", "Snapshot"]
