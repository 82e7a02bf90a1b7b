"""Which of the palette's colours each model has: the same everywhere, and for good.

A model gets the colour that the fewest have when it is first seen, so that the first six differ, and keeps it in a file
of the data folder. Two models of one colour are told apart by their names, and in one chart by the stroke of the line.
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
"""Of the palette: ``--s-1`` to ``--s-6`` in wfmon.css."""
MOST = 1_000
"""Models that are remembered; one past them has the colour that its name's checksum gives."""


class ModelColours:
    """Any thread. ``keep()``: whether names may be written to the disk, as recording may be off."""

    def __init__(self, path: Path, keep: Callable[[], bool]) -> None:
        self._path = path
        self._keep = keep
        self._lock = threading.Lock()
        self._colours = _read(path)  # changed under the lock

    def of(self, model: str) -> int:
        """Give a model's colour, 1 to ``COLOURS``."""
        return self._colours.get(model) or self.of_all([model])[model]

    def of_all(self, models: Sequence[str]) -> dict[str, int]:
        """Give the colour of each; those that are new get one, in this order."""
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
        """Forget all others: something was deleted from the history, and no name of it may stay behind."""
        with self._lock:
            gone = self._colours.keys() - set(models)
            self._colours = {model: colour for model, colour in self._colours.items() if model not in gone}
            if gone and self._path.exists():
                self._save()

    def _save(self) -> None:
        """Write the file, whole or not at all. Where it cannot be written, colours hold until the next start."""
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
    """Read the file; without one, or with one that is none, nothing is known."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        log.warning("%s cannot be read and is made anew: %s", path, error)
        return {}
    if not isinstance(found, dict):
        return {}
    return {name: each for name, each in found.items() if each in range(1, COLOURS + 1) and each is not True}
