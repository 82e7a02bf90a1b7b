"""Which of the series that fit a view are shown, where more fit than a picture holds: the most used and the newest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any, NamedTuple

from wfmon.core.services import History
from wfmon.ui.kit.ranges import Range

MOST_SERIES = 50
"""Of a picture: as many as one query takes."""
MOST_LINES = 6
"""Of each selector that is too wide: a colour for each."""
MOST_RANKED = 1_000
"""Series whose use is looked up, the newest of them: the names of two years may be more."""
Row = Mapping[str, Any]


class Narrowed(NamedTuple):
    """``chosen``: what to ask for; ``rows``: the series that it gives; ``left``: by metric, how many more there are."""

    chosen: tuple[str, ...]
    rows: tuple[Row, ...]
    left: Mapping[str, int]


def narrowed(history: History, there: Mapping[str, Sequence[Row]], span: Range, *, default: bool) -> Narrowed:
    """Choose of what fits each selector: ``MOST_LINES`` of each, where all of it is more than ``MOST_SERIES``.

    ``default``: nobody chose it, and a chart never has more than ``MOST_LINES``. Where all is shown, what is asked for
    is the selectors themselves. Raises what a query raises.
    """
    fitting = {row["series"]: row for rows in there.values() for row in rows}
    wide = default and any(len(rows) > MOST_LINES for rows in there.values())
    if len(fitting) <= MOST_SERIES and not wide:
        return Narrowed(tuple(there), tuple(fitting.values()), {})
    used = _used(history, list(fitting.values()), span)

    def rank(row: Row) -> tuple[int, float, str]:
        first_ms = row["first_ms"]  # None: not in the file yet, newer than all that are
        return -used[_labels(row)], -(float("inf") if first_ms is None else first_ms), row["series"]

    queues = []
    for rows in there.values():
        best = sorted(rows, key=rank)
        known = [row for row in best if used[_labels(row)]]
        queues.append((known or best)[:MOST_LINES])
    # One of each selector in turn, so that a wide one leaves room for the others.
    in_turn = dict.fromkeys(row["series"] for turn in zip_longest(*queues) for row in turn if row is not None)
    taken = set(list(in_turn)[:MOST_SERIES])
    picked = {row["series"]: row for queue in queues for row in queue if row["series"] in taken}
    left = Counter(row["name"] for text, row in fitting.items() if text not in taken)
    return Narrowed(tuple(picked), tuple(picked.values()), left)


def _labels(row: Row) -> tuple[tuple[str, str], ...]:
    """Give what tells it from its neighbours: a model on a server is as much used in one chart as in the next."""
    return tuple(sorted(row["labels"].items()))


def _used(history: History, rows: Sequence[Row], span: Range) -> Counter[tuple[tuple[str, str], ...]]:
    """Count the samples in a span, of all metrics with the same labels together."""
    newest = sorted(rows, key=lambda row: -(row["first_ms"] or float("inf")))[:MOST_RANKED]
    used: Counter[tuple[tuple[str, str], ...]] = Counter()
    for begin in range(0, len(newest), MOST_SERIES):
        some = [row["series"] for row in newest[begin : begin + MOST_SERIES]]
        answer = history.query(series=some, from_ms=span.from_ms, to_ms=span.to_ms, points=1, fn="count")
        for found in answer["series"]:
            used[_labels(found)] += sum(int(count) for _, count in found["points"] if count)
    return used
