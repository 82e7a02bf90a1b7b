"""The palette colour of each model: the same everywhere, permanently.

A new model gets the least used colour, so that the first six differ; it is saved in a file of the data folder. Two
models of one colour are distinguished by name, and within one chart by the stroke of the line.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import secrets
import threading
import zlib
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

log = logging.getLogger(__name__)
NAME = "model-colours.json"
COLOURS = 6
"""Size of the palette: ``--s-1`` to ``--s-6`` in wfmon.css."""
MOST = 1_000
"""Models that are saved; beyond that, the colour is derived from the checksum of the name."""


class ModelColours:
    """Any thread. ``keep()``: whether names may be written to disk (not while recording is off)."""

    def __init__(self, path: Path, keep: Callable[[], bool]) -> None:
        self._path = path
        self._keep = keep
        self._lock = threading.Lock()
        self._colours = _read(path)  # changed under the lock

    def of(self, model: str) -> int:
        """Return a model's colour, 1 to ``COLOURS``."""
        return self._colours.get(model) or self.of_all([model])[model]

    def of_all(self, models: Sequence[str]) -> dict[str, int]:
        """Return the colour of each model; new ones are assigned one, in this order."""
        with self._lock:
            room = max(0, MOST - len(self._colours))
            fresh = [model for model in dict.fromkeys(models) if model not in self._colours][:room]
            used = Counter(self._colours.values())
            for model in fresh:
                colour = min(range(1, COLOURS + 1), key=lambda each: (used[each], each))
                self._colours[model] = colour
                used[colour] += 1
            if fresh and self._keep():
                self._save()
            return {model: self._colours.get(model) or zlib.crc32(model.encode()) % COLOURS + 1 for model in models}

    def retain(self, models: Collection[str]) -> None:
        """Delete all other models: after a deletion from the history none of its names may remain."""
        with self._lock:
            gone = self._colours.keys() - set(models)
            self._colours = {model: colour for model, colour in self._colours.items() if model not in gone}
            if gone and self._path.exists():
                self._save()

    def _save(self) -> None:
        """Write the file atomically. If it cannot be written, colours last until the next start."""
        scratch = self._path.with_name(f".{NAME}.{secrets.token_hex(4)}")
        try:
            with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
                json.dump(self._colours, out, ensure_ascii=False)
            scratch.replace(self._path)
        except OSError as error:
            log.warning("the colours of models could not be saved: %s", error)
            with contextlib.suppress(OSError):
                scratch.unlink(missing_ok=True)


def _read(path: Path) -> dict[str, int]:
    """Read the file; empty if it is missing or invalid."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("%s cannot be read and is recreated: %s", path, error)
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: each for name, each in found.items() if each in range(1, COLOURS + 1) and each is not True}
