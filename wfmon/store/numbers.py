"""The file's own numbers of series: a boot counts its series anew, the file never does."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_SERIES = 65_535
INSERT_SERIES = "INSERT OR IGNORE INTO series (id, text, name, unit, kind, first_s) VALUES (?, ?, ?, ?, ?, ?)"


class Described(NamedTuple):
    """What is kept of a series beside its samples."""

    text: str
    name: str
    unit: str
    kind: str
    distribution: bool


class Numbers:
    """From the boot's ids to the file's numbers. ``counts`` gets "series_cap". The writer's thread alone."""

    def __init__(self, counts: Counter[str]) -> None:
        self.of = np.zeros(0, np.uint16)
        """By the boot's id: the file's number, 0 where there is none."""
        self.distributions: NDArray[np.bool_] = np.zeros(MAX_SERIES + 1, np.bool_)
        """By the file's number."""
        self.unwritten: list[tuple[Any, ...]] = []
        """Rows of series that are not in the file yet."""
        self._known: dict[str, int] = {}
        self._rows: dict[int, tuple[Any, ...]] = {}  # of the table, by number
        self._counts = counts

    def __len__(self) -> int:
        return len(self.of)

    def learn(self, described: Iterable[Described], first_s: int) -> None:
        """Number every new series of this boot; ``first_s``: since when it is kept."""
        for told in described:
            # Half a surrogate pair has no form in the file.
            text, name = (each.encode("utf-8", "replace").decode() for each in (told.text, told.name))
            number = self._known.get(text, 0)
            highest = max(self._known.values(), default=0) if number == 0 else 0
            if number == 0 and highest < MAX_SERIES:
                number = highest + 1
                self._known[text] = number
                self._rows[number] = (number, text, name, told.unit, told.kind, first_s)
                self.unwritten.append(self._rows[number])
            elif number == 0:
                self._counts["series_cap"] += 1
            self.distributions[number] = told.distribution
            self.of = np.append(self.of, np.uint16(number))

    def take_over(self, connection: sqlite3.Connection) -> bool:
        """Take over the numbers of a file, and see to it that it gets those that are in use already.

        False where both cannot be: then every series of this boot is learned anew, and what is numbered is worthless.
        Raises sqlite3.Error.
        """
        rows = connection.execute("SELECT id, text, name, unit, kind, first_s FROM series").fetchall()
        found, by_text = {row[0]: row for row in rows}, {row[1]: row for row in rows}
        mine = self._rows
        fits = all(
            found.get(row[0], row)[1] == row[1] and by_text.get(row[1], row)[0] == row[0] for row in mine.values()
        )
        if not fits:
            self.of = np.zeros(0, np.uint16)
            mine = {}
        self.unwritten = [row for number, row in mine.items() if number not in found]
        self._rows = mine | found
        self._known = {row[1]: number for number, row in self._rows.items()}
        return fits
