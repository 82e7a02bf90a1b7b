"""The file's own numbers of series: a boot counts its series anew, the file never does."""

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
"""Of the table of series: id, text, name, unit, kind, first_s."""


class Described(NamedTuple):
    """What is kept of a series beside its samples."""

    text: str
    name: str
    unit: str
    kind: str
    distribution: bool


class SeriesIds:
    """From the boot's ids to the file's numbers. ``counts`` gets "series_cap". The writer's thread alone."""

    def __init__(self, counts: Counter[str]) -> None:
        self.of = np.zeros(0, np.uint16)
        """By the boot's id: the file's number, 0 where there is none."""
        self.distributions: NDArray[np.bool_] = np.zeros(MAX_SERIES + 1, np.bool_)
        """By the file's number."""
        self.unwritten: list[Row] = []
        """Rows of series that are not in the file yet."""
        self._known: dict[str, int] = {}
        self._rows: dict[int, Row] = {}  # of the table, by number
        self._away: dict[int, Row] = {}  # by number, without first_s: of those that have no row until they are recorded
        self._since_ms: dict[int, int] = {}  # by number: what was measured before is forgotten
        self._highest = 0
        self._counts = counts

    def __len__(self) -> int:
        return len(self.of)

    def learn(self, described: Iterable[Described]) -> None:
        """Number every new series of this boot. It has no row in the file before it is recorded."""
        for told in described:
            # Half a surrogate pair has no form in the file.
            text, name = (each.encode("utf-8", "replace").decode() for each in (told.text, told.name))
            number = self._known.get(text, 0)
            if number == 0 and self._highest < MAX_SERIES:
                self._highest = number = self._highest + 1
                self._known[text] = number
                self._away[number] = (number, text, name, told.unit, told.kind)
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
        """These have no row in the file any more; of them, what was measured before ``since_ms`` is not recorded."""
        for number in [self._known[text] for text in texts if text in self._known]:
            self._since_ms[number] = since_ms
            row = self._rows.pop(number, None)
            if row is not None:
                self._away[number] = row[:-1]

    def called(self, text: str) -> list[str]:
        """Give the texts of all series that ``text`` means, by its own or by its metric's name."""
        rows = (*self._rows.values(), *self._away.values())
        return [row[1] for row in rows if text in (row[1], row[2])]

    def recorded(
        self, ids: NDArray[np.uint16], t_ms: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint16], NDArray[np.bool_]]:
        """Give the numbers of samples by the boot's ids, and which of them are recorded; arrays of shape (n,).

        A series gets its row with the first of them, also one that was forgotten, under its number.
        """
        numbers = self.of[ids]
        flags = numbers > 0
        for number, since_ms in self._since_ms.items():
            flags &= (numbers != number) | (t_ms >= since_ms)
        if self._since_ms and len(t_ms) and int(t_ms.min()) >= max(self._since_ms.values()):
            self._since_ms = {}  # all of that has gone by
        for number in self._away.keys() & set(np.unique(numbers[flags]).tolist()) if self._away else ():
            first_s = int(t_ms[flags & (numbers == number)].min()) // 1_000
            row = (*self._away.pop(number), first_s)
            self._rows[number] = row
            self.unwritten.append(row)
        return numbers, flags

    def moved(self, step_ms: int) -> None:
        """The wall clock was set, and what is measured goes by the new time, also what was measured before."""
        self._since_ms = {number: since_ms + step_ms for number, since_ms in self._since_ms.items()}


def highest_number(connection: sqlite3.Connection) -> int:
    """Give the highest number that a series has or had, though it was forgotten since. Raises sqlite3.Error."""
    # SQLite's own table of numbers has a row for each table that never reuses one; series gets it when it loses some.
    found = connection.execute(
        "SELECT max(n) FROM (SELECT max(id) AS n FROM series"
        " UNION ALL SELECT max(seq) FROM sqlite_sequence WHERE name = 'series')"
    ).fetchone()[0]
    return int(found or 0)
