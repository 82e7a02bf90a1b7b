"""From a view to the content of the History page: queries the store and builds the figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import tzinfo
from typing import Any

from wfmon.core.answers.history import KeptSeries
from wfmon.core.answers.insights import ANOMALY
from wfmon.core.selectors import pick
from wfmon.core.services import Models, Services
from wfmon.core.types import Series
from wfmon.core.zones import offset_words
from wfmon.ui.history import lines as of_lines
from wfmon.ui.history import picture as history
from wfmon.ui.history.lines import SeriesLine
from wfmon.ui.history.narrowing import narrowed
from wfmon.ui.history.picture import Picture
from wfmon.ui.history.views import DEFAULT_SERIES, HistoryView
from wfmon.ui.kit.ranges import Range, iso

POINTS, POINTS_NARROW = 1_000, 400
CSV_HEAD = ("time", "t_ms", "period", "series", "unit", "step_ms", "min", "mean", "max", "p50", "p95", "p99")
FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that starts with one of these for a formula."""


@dataclass(frozen=True, slots=True)
class Shown:
    """``fixed``: the view with explicit ends and series. ``missing``: selected but never recorded by this monitor.

    ``left``: per metric, the number of matching series that are not shown.
    """

    fixed: HistoryView
    range: Range
    lines: tuple[SeriesLine, ...] = ()
    step_ms: int = 0
    tier: str = ""
    compared: Range | None = None
    before: tuple[SeriesLine, ...] = ()
    marks: tuple[Mapping[str, Any], ...] = ()
    missing: tuple[str, ...] = ()
    left: Mapping[str, int] = field(default_factory=dict)

    @property
    def empty(self) -> bool:
        """Whether nothing was measured in the range."""
        return not any((line.envelope == line.envelope).any() for line in self.lines)


def load(services: Services, view: HistoryView, now_ms: int, zone: tzinfo, *, narrow: bool = False) -> Shown:
    """Load the data of a view. Raises Refused, Unreadable."""
    shown = view.range(now_ms, zone)
    compared = view.compared(shown, zone)
    kept = services.history.series()
    wanted = view.series or DEFAULT_SERIES
    there = matching(wanted, kept)
    chosen = tuple(text for text in wanted if there[text])
    missing = tuple(text for text in wanted if not there[text]) if view.series else ()
    fixed = view.fixed(shown, view.series or chosen)
    marks: tuple[Mapping[str, Any], ...] = tuple(
        row for row in services.history.annotations(from_ms=shown.from_ms, to_ms=shown.to_ms) if row["kind"] != ANOMALY
    )
    if not chosen:
        return Shown(fixed, shown, compared=compared, marks=marks, missing=missing)
    some = narrowed(services.history, {text: there[text] for text in chosen}, shown, default=not view.series)
    of_distributions = tuple(row["series"] for row in some.rows if row["distribution"])
    points = POINTS_NARROW if narrow else POINTS
    found = services.history.query(
        series=some.chosen, from_ms=shown.from_ms, to_ms=shown.to_ms, points=points, fn="envelope"
    )
    lines = _lines(services, found, of_distributions, shown, points)
    marks += _unusual(services, shown, lines)
    before: list[SeriesLine] = []
    if compared is not None:
        earlier = services.history.query(
            series=some.chosen, from_ms=compared.from_ms, to_ms=compared.to_ms, points=points, fn="envelope"
        )
        before = _lines(services, earlier, of_distributions, compared, points)
    return Shown(
        fixed, shown, tuple(lines), found["step_ms"], found["tier"], compared, tuple(before), marks, missing, some.left
    )


def _unusual(services: Services, shown: Range, lines: Sequence[SeriesLine]) -> tuple[dict[str, Any], ...]:
    """Return the anomalies of the series shown, as marks with their series and end."""
    there = {line.series for line in lines}
    return tuple(
        {
            "t_ms": max(row["since_ms"], shown.from_ms), "until_ms": row["until_ms"], "kind": ANOMALY,
            "series": row["series"], "text": row["text"],
        }
        for row in services.insights.past_unusual(from_ms=shown.from_ms, to_ms=shown.to_ms)
        if row["series"] in there
    )  # fmt: skip


def _lines(
    services: Services, found: Mapping[str, Any], of_distributions: Sequence[str], span: Range, points: int
) -> list[SeriesLine]:
    if not of_distributions:
        return of_lines.read(found, None, None)
    quantiles, counts = (
        services.history.query(series=of_distributions, from_ms=span.from_ms, to_ms=span.to_ms, points=points, fn=fn)
        for fn in ("quantiles", "count")
    )
    return of_lines.read(found, quantiles, counts)


def picture(shown: Shown, models: Models, *, narrow: bool = False) -> Picture:
    """Build the figure."""
    before = {line.series: line for line in shown.before}
    named = dict.fromkeys(line.model for line in shown.lines if line.model is not None)
    return history.build(
        shown.range, shown.lines, None if shown.compared is None else (shown.compared, before),
        shown.marks, colours=models.colours(models=list(named)), quantiles=shown.fixed.quantiles, narrow=narrow,
    )  # fmt: skip


def spec(picture: Picture, shown: Shown, view: HistoryView, now_ms: int) -> dict[str, Any]:
    """Return what assets/history.mjs needs: the figure, the data of each chart, and the state of the controls."""
    return {
        "figure": picture.figure,
        "empty": shown.empty,
        "fixed": shown.fixed.query(),
        "series": shown.fixed.series,
        "from_ms": shown.range.from_ms,
        "to_ms": shown.range.to_ms,
        "now_ms": now_ms,
        "step_ms": shown.step_ms,
        "tier": shown.tier,
        "text": "" if view.span else view.text,
        "compare": view.compare,
        "compared_ms": shown.compared.from_ms if shown.compared else None,
        "quantiles": view.quantiles,
        "rows": [
            {"name": row.name, "unit": row.unit, "top": row.top, "height": row.height, "lines": [
                {"series": line.series, "label": line.label, "trace": trace, "from_ms": line.from_ms,
                 "step_ms": line.step_ms, "color": stroke.color}
                for line, trace, stroke in zip(row.lines, row.traces, row.strokes, strict=True)
            ]}
            for row in picture.rows
        ],
    }  # fmt: skip


def matching(selectors: Iterable[str], kept: Iterable[KeptSeries]) -> dict[str, list[KeptSeries]]:
    """Return the recorded series that match each selector; none for an invalid selector."""
    rows = {row["series"]: row for row in kept}
    series = {text: Series.parse(text) for text in rows}
    found: dict[str, list[KeptSeries]] = {}
    for text in selectors:
        try:
            found[text] = [rows[key] for key in pick(text, series)]
        except ValueError:
            found[text] = []
    return found


def csv_text(shown: Shown, zone: tzinfo) -> str:
    """Return the data shown as CSV: one row per series and step with data, with the query's numbers."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow((f"time ({offset_words(shown.range.from_ms, shown.range.to_ms, zone)})", *CSV_HEAD[1:]))
    for period, lines in (("shown", shown.lines), ("compared", shown.before)):
        for line in lines:
            writer.writerows(_csv_rows(line, period, zone))
    return out.getvalue()


def _csv_rows(line: SeriesLine, period: str, zone: tzinfo) -> Iterable[tuple[Any, ...]]:
    texts = inert(period), inert(line.series), inert(line.unit)
    for at, (low, mean, high) in enumerate(line.envelope.tolist()):
        t_ms = line.from_ms + at * line.step_ms
        quantiles = [] if line.quantiles is None or at >= len(line.quantiles) else line.quantiles[at].tolist()
        if mean == mean:  # noqa: PLR0124  NaN: no data in this step
            figures = [_cell(each) for each in (low, mean, high, *(quantiles or [None] * 3))]
            yield (iso(t_ms, zone), t_ms, *texts, line.step_ms, *figures)


def _cell(value: float | None) -> float | int | str:
    if value is None or value != value:  # noqa: PLR0124  NaN
        return ""
    return int(value) if value.is_integer() else value


def inert(text: str) -> str:
    """Escape a text so that no spreadsheet takes it for a formula."""
    return f"'{text}" if text.startswith(FORMULA) else text
