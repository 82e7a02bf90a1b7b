"""Mapping from this boot's series ids to the file's permanent numbers."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_SERIES = 65_535
INSERT_SERIES = "INSERT OR IGNORE INTO series (id, text, name, unit, kind, first_s) VALUES (?, ?, ?, ?, ?, ?)"
Row = tuple[Any, ...]
"""A row of the table of series: id, text, name, unit, kind, first_s."""


class Described(NamedTuple):
    """A series as stored, without its samples."""

    text: str
    name: str
    unit: str
    kind: str
    distribution: bool


class SeriesIds:
    """Maps the boot's ids to the file's numbers. Counts "series_cap" in ``counts``. The writer's thread only."""

    def __init__(self, counts: Counter[str]) -> None:
        self.of = np.zeros(0, np.uint16)
        """By the boot's id: the file's number, 0 for none."""
        self.distributions: NDArray[np.bool_] = np.zeros(MAX_SERIES + 1, np.bool_)
        """By the file's number."""
        self.unwritten: list[Row] = []
        """Rows of series not yet in the file."""
        self._known: dict[str, int] = {}
        self._rows: dict[int, Row] = {}  # of the table, by number
        self._away: dict[int, Row] = {}  # by number, without first_s: series that get a row once recorded
        self._since_ms: dict[int, int] = {}  # by number: samples before this are deleted
        self._highest = 0
        self._counts = counts

    def __len__(self) -> int:
        return len(self.of)

    def learn(self, described: Iterable[Described]) -> None:
        """Number every new series of this boot. It gets a row in the file once it is recorded."""
        for each in described:
            # The file cannot store half a surrogate pair.
            text, name = (part.encode("utf-8", "replace").decode() for part in (each.text, each.name))
            number = self._known.get(text, 0)
            if number == 0 and self._highest < MAX_SERIES:
                self._highest = number = self._highest + 1
                self._known[text] = number
                self._away[number] = (number, text, name, each.unit, each.kind)
            elif number == 0:
                self._counts["series_cap"] += 1
            self.distributions[number] = each.distribution
            self.of = np.append(self.of, np.uint16(number))

    def take_over(self, connection: sqlite3.Connection) -> bool:
        """Adopt the numbers of a file, and queue the rows of numbers already in use.

        False if they conflict: then every series of this boot must be learned again, and numbered data is void. Raises
        sqlite3.Error.
        """
        rows = connection.execute("SELECT id, text, name, unit, kind, first_s FROM series").fetchall()
        found, by_text = {row[0]: row for row in rows}, {row[1]: row for row in rows}
        mine = self._rows
        fits = all(
            found.get(row[0], row)[1] == row[1] and by_text.get(row[1], row)[0] == row[0]
            for row in (*mine.values(), *self._away.values())
        )
        if not fits:
            self.of = np.zeros(0, np.uint16)
            mine, self._away, self._since_ms = {}, {}, {}
        self.unwritten = [row for number, row in mine.items() if number not in found]
        self._rows = mine | found
        self._away = {number: row for number, row in self._away.items() if number not in found}
        self._known = {row[1]: number for number, row in (self._rows | self._away).items()}
        self._highest = max(highest_number(connection), *self._known.values(), 0)
        return fits

    def forget(self, texts: Collection[str], since_ms: int) -> None:
        """Note that these have no row in the file any more; their samples before ``since_ms`` are not recorded."""
        for number in [self._known[text] for text in texts if text in self._known]:
            self._since_ms[number] = since_ms
            row = self._rows.pop(number, None)
            if row is not None:
                self._away[number] = row[:-1]

    def called(self, text: str) -> list[str]:
        """Return the texts of all series that ``text`` names, by series or by metric."""
        rows = (*self._rows.values(), *self._away.values())
        return [row[1] for row in rows if text in (row[1], row[2])]

    def recorded(
        self, ids: NDArray[np.uint16], t_ms: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
        """Return the samples' numbers from the boot's ids, and which samples are recorded; arrays of shape (n,).

        A series gets its row with its first recorded sample; a deleted series gets it back, under its old number.
        """
        numbers = self.of[ids]
        flags = numbers > 0
        for number, since_ms in self._since_ms.items():
            flags &= (numbers != number) | (t_ms >= since_ms)
        if self._since_ms and len(t_ms) and int(t_ms.min()) >= max(self._since_ms.values()):
            self._since_ms = {}  # all these instants are past
        for number in self._away.keys() & set(np.unique(numbers[flags]).tolist()) if self._away else ():
            first_s = int(t_ms[flags & (numbers == number)].min()) // 1_000
            row = (*self._away.pop(number), first_s)
            self._rows[number] = row
            self.unwritten.append(row)
        return numbers, flags

    def moved(self, step_ms: int) -> None:
        """Shift instants after a clock step: all samples use the new time, older ones too."""
        self._since_ms = {number: since_ms + step_ms for number, since_ms in self._since_ms.items()}


def highest_number(connection: sqlite3.Connection) -> int:
    """Return the highest number that a series has or had, even if deleted since. Raises sqlite3.Error."""
    # sqlite_sequence has a row for each table that never reuses numbers; series gets one when some are deleted.
    found = connection.execute(
        "SELECT max(n) FROM (SELECT max(id) AS n FROM series"
        " UNION ALL SELECT max(seq) FROM sqlite_sequence WHERE name = 'series')"
    ).fetchone()[0]
    return int(found or 0)
