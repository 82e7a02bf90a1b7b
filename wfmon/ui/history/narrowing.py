"""Which matching series are shown when there are too many for one figure: the most used and the newest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

from wfmon.core.services import History
from wfmon.ui.kit.ranges import Range

MOST_SERIES = 50
"""The most series in a figure: the limit of one query."""
MOST_LINES = 6
"""The most series of a selector that matches too many: one per colour."""
MOST_RANKED = 1_000
"""The most series ranked by use, the newest ones: two years of names may be more."""
Row = Mapping[str, Any]


class Narrowed(NamedTuple):
    """``chosen``: the selectors to query; ``rows``: their series; ``left``: per metric, how many more match."""

    chosen: tuple[str, ...]
    rows: tuple[Row, ...]
    left: Mapping[str, int]


def narrowed(history: History, there: Mapping[str, Sequence[Row]], span: Range, *, default: bool) -> Narrowed:
    """Pick at most ``MOST_LINES`` series per selector if all matches are more than ``MOST_SERIES``.

    ``default``: the default view, whose charts never have more than ``MOST_LINES``. If all matches are shown, the
    selectors themselves are queried. Raises what a query raises.
    """
    fitting = {row["series"]: row for rows in there.values() for row in rows}
    wide = default and any(len(rows) > MOST_LINES for rows in there.values())
    if len(fitting) <= MOST_SERIES and not wide:
        return Narrowed(tuple(there), tuple(fitting.values()), {})
    used = _used(history, list(fitting.values()), span)

    def rank(row: Row) -> tuple[int, float, str]:
        first_ms = row["first_ms"]  # None: not in the file yet, so the newest
        return -used[_labels(row)], -(float("inf") if first_ms is None else first_ms), row["series"]

    queues = []
    for rows in there.values():
        best = sorted(rows, key=rank)
        known = [row for row in best if used[_labels(row)]]
        queues.append((known or best)[:MOST_LINES])
    # One of each selector in turn, so that a broad one leaves room for the others.
    in_turn = dict.fromkeys(row["series"] for turn in zip_longest(*queues) for row in turn if row is not None)
    taken = set(list(in_turn)[:MOST_SERIES])
    picked = {row["series"]: row for queue in queues for row in queue if row["series"] in taken}
    left = Counter(row["name"] for text, row in fitting.items() if text not in taken)
    return Narrowed(tuple(picked), tuple(picked.values()), left)


def _labels(row: Row) -> tuple[tuple[str, str], ...]:
    """Return its labels. Use is counted per label set: a model on a server is used equally in all charts."""
    return tuple(sorted(row["labels"].items()))


def _used(history: History, rows: Sequence[Row], span: Range) -> Counter[tuple[tuple[str, str], ...]]:
    """Count the samples in a range, over all metrics with the same labels."""
    newest = sorted(rows, key=lambda row: -(row["first_ms"] or float("inf")))[:MOST_RANKED]
    used: Counter[tuple[tuple[str, str], ...]] = Counter()
    for begin in range(0, len(newest), MOST_SERIES):
        some = [row["series"] for row in newest[begin : begin + MOST_SERIES]]
        answer = history.query(series=some, from_ms=span.from_ms, to_ms=span.to_ms, points=1, fn="count")
        for found in answer["series"]:
            used[_labels(found)] += sum(int(count) for _, count in found["points"] if count)
    return used
