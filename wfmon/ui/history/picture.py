"""The History page's figure: stacked charts, one per metric, with the statistics below each.

Pure: ``build`` takes query answers. The figure is plotly's, as plain dicts, with two extensions that
assets/lib/history/ resolves: a colour is a token of wfmon.css (``--s-1``, ``--s-1/20`` for 20 %), and a line's
envelope is in ``meta`` (``low``, ``high``), so that nothing is sent twice. Times are UTC; the browser, which knows
the user's zone, formats the axis ticks and the hovered time (assets/lib/history/axis.mjs).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from wfmon.core import units
from wfmon.core.answers.insights import ANOMALY
from wfmon.core.catalogue import METRICS
from wfmon.ui.history.lines import Floats, SeriesLine, Stats, statistics
from wfmon.ui.kit.ranges import Range, iso

TOP, BOTTOM = 26, 30
"""Pixels above and below all charts, for the time axis at both ends."""
LANE = 22
"""Height in pixels of the lane of event marks above the charts."""
HEAD, PLOT, GAP = 36, 128, 14
LINE, MORE = 24, 32
"""Heights in pixels within a row: title, plot, space after it, one line of statistics per series, the fold-out."""
LINE_NARROW, FIGURES_NARROW, AIR_NARROW = 58, 16, 8
"""On a narrow page statistics take two or three lines below the series' name, and start below the axis labels."""
LEFT, RIGHT = 72, 12
COLORS = 6
DASHES = ("", "longdash", "longdashdot")
"""Dashes of lines that share a colour in one chart: with more than six models, two have the same colour."""
MAX_MARKS = 200
BAND, FADED = 18, 60
"""Opacity of an envelope and of a compared line, in percent."""
ANOMALY_SHARE = 16
SYMBOLS = {"alert": "diamond", ANOMALY: "circle"}
MARK_COLORS = {"alert": "--bad", "store": "--warn", "clock_step": "--warn", "sleep": "--warn"}


class Stroke(NamedTuple):
    """How a line is drawn: a colour token, and plotly's dash, "" for a solid line."""

    color: str
    dash: str = ""


@dataclass(frozen=True, slots=True)
class ChartRow:
    """One chart: the series of one metric. Pixels count from the figure's top."""

    name: str
    unit: str
    top: int
    height: int
    lines: tuple[SeriesLine, ...]
    stats: tuple[Stats, ...]
    compared: tuple[Stats | None, ...]
    traces: tuple[int, ...]
    """The index of each line's trace in the figure."""
    strokes: tuple[Stroke, ...]
    line_px: int
    """Height of one line of statistics."""

    @property
    def title(self) -> str:
        metric = METRICS.get(self.name)
        return metric.help.rstrip(".") if metric else self.name


@dataclass(frozen=True, slots=True)
class Picture:
    """The result of ``build``: the figure, its rows, its height in pixels."""

    figure: dict[str, Any]
    rows: tuple[ChartRow, ...] = field(default=())
    height: int = 0


def build(
    shown: Range,
    lines: Sequence[SeriesLine],
    compared: tuple[Range, Mapping[str, SeriesLine]] | None = None,
    marks: Sequence[Mapping[str, Any]] = (),
    *,
    colours: Mapping[str, int] | None = None,
    quantiles: bool = False,
    narrow: bool = False,
) -> Picture:
    """Build the figure, one chart per metric in the given order. ``compared``: its range, and its lines by series.

    ``colours``: each model's place in the palette, from 1; other lines take the next colour of their chart.
    """
    groups = [tuple(group) for _, group in groupby(_together(lines), lambda line: line.name)]
    sizes = [_line_px(group, narrow=narrow, compared=compared is not None) for group in groups]
    air = AIR_NARROW if narrow else 0
    heights = [HEAD + PLOT + air + len(group) * px + MORE for group, px in zip(groups, sizes, strict=True)]
    height = TOP + LANE + sum(each + GAP for each in heights) + BOTTOM
    inner = height - TOP - BOTTOM

    def domain(top: float, size: float) -> list[float]:
        return [max(0.0, 1 - (top - TOP + size) / inner), min(1.0, 1 - (top - TOP) / inner)]

    traces: list[dict[str, Any]] = []
    axes: dict[str, Any] = {}
    rows, top = [], TOP + LANE
    for number, group in enumerate(groups, 1):
        axis = f"y{number}" if number > 1 else "y"
        before = [compared[1].get(line.series) if compared else None for line in group]
        axes[f"yaxis{number if number > 1 else ''}"] = _y_axis(group, before, domain(top + HEAD, PLOT), quantiles)
        at, strokes = [], _strokes(group, number, colours or {})
        for line, other, stroke in zip(group, before, strokes, strict=True):
            if other is not None and compared is not None:
                traces += _compared(other, shown.from_ms - compared[0].from_ms, axis, stroke.color)
            at.append(len(traces))
            traces += _drawn(line, axis, stroke, quantiles=quantiles)
        rows.append(
            ChartRow(
                group[0].name, group[0].unit, top, heights[number - 1], group,
                tuple(map(statistics, group)), tuple(None if each is None else statistics(each) for each in before),
                tuple(at), strokes, sizes[number - 1],
            )
        )  # fmt: skip
        top += rows[-1].height + GAP
    traces.append(_lane(marks, len(groups) + 1))
    axes[f"yaxis{len(groups) + 1}"] = {
        "domain": domain(TOP, LANE), "range": [0, 1], "fixedrange": True, "visible": False, "anchor": "x2",
    }  # fmt: skip
    layout = _layout(shown, height, len(groups))
    axes_of = {line.series: traces[at]["yaxis"] for row in rows for line, at in zip(row.lines, row.traces, strict=True)}
    layout["shapes"] = [
        _band(mark, shown, axes_of[mark["series"]]) if mark["kind"] == ANOMALY
        else _shape(mark)
        for mark in _chosen(marks)
    ]  # fmt: skip
    return Picture({"data": traces, "layout": {**layout, **axes}}, tuple(rows), height)


def _line_px(group: Sequence[SeriesLine], *, narrow: bool, compared: bool) -> int:
    if not narrow:
        return LINE
    return LINE_NARROW + FIGURES_NARROW * (compared and any(line.quantiles is not None for line in group))


def _strokes(group: Sequence[SeriesLine], number: int, colours: Mapping[str, int]) -> tuple[Stroke, ...]:
    """Return each line's stroke; of lines that share a colour, the second and third are dashed."""
    used: Counter[str] = Counter()
    found = []
    for place, line in enumerate(group):
        place_of = place + 1 if len(group) > 1 else number
        slot = colours.get(line.model, place_of) if line.model is not None else place_of
        color = f"--s-{(slot - 1) % COLORS + 1}"
        found.append(Stroke(color, DASHES[min(used[color], len(DASHES) - 1)]))
        used[color] += 1
    return tuple(found)


def _together(lines: Sequence[SeriesLine]) -> list[SeriesLine]:
    """Return the lines grouped by metric, in the order in which the metrics first appear."""
    order = list(dict.fromkeys(line.name for line in lines))
    return sorted(lines, key=lambda line: order.index(line.name))


def _drawn(line: SeriesLine, axis: str, stroke: Stroke, *, quantiles: bool) -> list[dict[str, Any]]:
    """Return the traces of a line: the line with its envelope, isolated points, and quantiles if requested."""
    low, mean, high = line.envelope.T
    color = stroke.color
    base = {
        "type": "scatter",
        "mode": "lines",
        "yaxis": axis,
        "x0": iso(line.from_ms),
        "dx": line.step_ms,
    }
    name = line.label or line.name
    trace = {
        **base, "name": name, "y": _listed(mean),
        "line": {"color": color, "width": 1.5, **({"dash": stroke.dash} if stroke.dash else {})},
        "hovertemplate": f"{units.hover('y', line.unit)}<extra>{escaped(name)}</extra>",
    }  # fmt: skip
    known = np.isfinite(mean)
    if known.any() and not (np.array_equal(low[known], high[known])):
        trace["meta"] = {"low": _listed(low), "high": _listed(high), "band": f"{color}/{BAND}", "unit": line.unit}
        trace["hovertemplate"] = f"{units.hover('y', line.unit)}%{{customdata}}<extra>{escaped(name)}</extra>"
    found = [trace, *_points(line, mean, 0, axis, {"color": color, "size": 4})]
    if quantiles and line.quantiles is not None:
        for column, (word, dash) in enumerate((("p50", "dot"), ("p95", "dashdot"))):
            found.append(
                {
                    **base, "name": f"{name} {word}", "y": _listed(line.quantiles[:, column]),
                    "line": {"color": color, "width": 1, "dash": dash},
                    "hovertemplate": f"{units.hover('y', line.unit)}<extra>{word} {escaped(line.label)}</extra>",
                }
            )  # fmt: skip
    return found


def _points(line: SeriesLine, mean: Floats, shift_ms: int, axis: str, marker: dict[str, Any]) -> list[dict[str, Any]]:
    """Return values between two gaps as points, which a line would not show."""
    known = np.isfinite(mean)
    alone = known & ~np.concatenate(([False], known[:-1])) & ~np.concatenate((known[1:], [False]))
    at = np.flatnonzero(alone)
    if not len(at):
        return []
    times = [iso(line.from_ms + shift_ms + int(i) * line.step_ms) for i in at]
    return [
        {
            "type": "scatter", "mode": "markers", "yaxis": axis, "hoverinfo": "skip", "x": times,
            "y": _listed(mean[at]), "marker": marker,
        }
    ]  # fmt: skip


def _compared(line: SeriesLine, shift_ms: int, axis: str, color: str) -> list[dict[str, Any]]:
    name, mean = f"before {line.label}".rstrip(), line.envelope[:, 1]
    trace = {
        "type": "scatter", "mode": "lines", "yaxis": axis, "name": name,
        "x0": iso(line.from_ms + shift_ms), "dx": line.step_ms, "y": _listed(mean),
        "line": {"color": f"{color}/{FADED}", "width": 1.2, "dash": "dash"},
        "hovertemplate": f"{units.hover('y', line.unit)}<extra>{escaped(name)}</extra>",
    }  # fmt: skip
    marker = {"color": f"{color}/{FADED}", "size": 5, "symbol": "circle-open"}
    return [trace, *_points(line, mean, shift_ms, axis, marker)]


def _y_axis(
    group: Sequence[SeriesLine],
    before: Sequence[SeriesLine | None],
    domain: list[float],
    quantiles: bool,  # noqa: FBT001
) -> dict[str, Any]:
    unit = group[0].unit
    values = [each.envelope for each in (*group, *before) if each is not None]
    values += [each.quantiles[:, :2] for each in group if quantiles and each.quantiles is not None]
    flat = np.concatenate([each.ravel() for each in values])
    flat = flat[np.isfinite(flat)]
    low, high = bounds(group[0].name, flat)
    marks = units.ticks(low, high)
    return {
        "domain": domain, "range": [low, high], "fixedrange": True, "tickvals": marks,
        "ticktext": units.tick_texts(marks, unit), "gridcolor": "--grid", "zeroline": False, "anchor": "x",
        "tickfont": {"color": "--ink-3", "size": 11}, "ticks": "",
    }  # fmt: skip


def bounds(name: str, values: Floats) -> tuple[float, float]:
    """Return the ends of an axis: from 0 if the metric starts there, with a small margin."""
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    metric = METRICS.get(name)
    if metric is not None and metric.low == 0.0 and low >= 0:
        low = 0.0
    if high <= low:
        high = low + (abs(low) * 0.1 or 1.0)
    air = (high - low) * 0.06
    top = high + air
    if metric is not None and metric.high is not None and high <= metric.high:
        top = min(top, metric.high * 1.02)
    return (low if low == 0.0 else low - air), top


def _chosen(marks: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    return marks[-MAX_MARKS:]


def _shape(mark: Mapping[str, Any]) -> dict[str, Any]:
    at = iso(mark["t_ms"])
    color = MARK_COLORS.get(mark["kind"], "--line-strong")
    return {
        "type": "line", "xref": "x", "yref": "paper", "x0": at, "x1": at, "y0": 0, "y1": 1, "layer": "below",
        "line": {"color": color, "width": 1, "dash": "dot"},
    }  # fmt: skip


def _band(mark: Mapping[str, Any], shown: Range, axis: str) -> dict[str, Any]:
    """Return the period in which a series was unusual, as a rectangle behind its chart."""
    until_ms = shown.to_ms if mark["until_ms"] is None else min(mark["until_ms"], shown.to_ms)
    return {
        "type": "rect", "xref": "x", "yref": f"{axis} domain", "x0": iso(mark["t_ms"]),
        "x1": iso(until_ms), "y0": 0, "y1": 1, "layer": "below",
        "fillcolor": f"--ink-3/{ANOMALY_SHARE}", "line": {"color": "--ink-3", "width": 1, "dash": "dot"},
    }  # fmt: skip


def _lane(marks: Sequence[Mapping[str, Any]], number: int) -> dict[str, Any]:
    """Return the event marks; alerts differ in shape and colour."""
    chosen = _chosen(marks)
    return {
        "type": "scatter", "mode": "markers", "name": "Events", "xaxis": "x2", "yaxis": f"y{number}",
        "x": [iso(mark["t_ms"]) for mark in chosen], "y": [0.5] * len(chosen),
        "text": [escaped(mark["text"]) for mark in chosen], "hovertemplate": "%{text}<extra></extra>",
        "marker": {
            "size": 9, "color": [MARK_COLORS.get(mark["kind"], "--ink-3") for mark in chosen],
            "symbol": [SYMBOLS.get(mark["kind"], "triangle-down") for mark in chosen],
        },
    }  # fmt: skip


def _layout(shown: Range, height: int, count: int) -> dict[str, Any]:
    span = [iso(shown.from_ms), iso(shown.to_ms)]
    axis = {
        "type": "date", "range": span, "uirevision": f"{shown.from_ms}-{shown.to_ms}", "gridcolor": "--grid",
        "tickfont": {"color": "--ink-3", "size": 11}, "zeroline": False, "ticks": "",
    }  # fmt: skip
    return {
        "height": height, "autosize": True, "margin": {"l": LEFT, "r": RIGHT, "t": TOP, "b": BOTTOM, "pad": 0},
        "paper_bgcolor": "--panel", "plot_bgcolor": "rgba(0,0,0,0)", "showlegend": False,
        "font": {"family": "Inter, DejaVu Sans, system-ui, sans-serif", "color": "--ink-2", "size": 12},
        "hovermode": "x unified", "hoversubplots": "axis", "dragmode": "zoom", "uirevision": "history",
        "hoverlabel": {"bgcolor": "--raised", "bordercolor": "--line-strong", "font": {"color": "--ink", "size": 11}},
        "selectdirection": "h",
        "xaxis": {
            **axis, "anchor": "free", "position": 0, "showspikes": True, "spikemode": "across",
            "spikesnap": "cursor", "spikethickness": 1, "spikecolor": "--ink-3", "spikedash": "solid",
            "unifiedhovertitle": {"text": "%{x|%d %b %Y, %H:%M:%S} UTC"},
        },
        "xaxis2": {**axis, "matches": "x", "side": "top", "anchor": f"y{count + 1}", "showgrid": False},
    }  # fmt: skip


def _listed(values: Floats) -> list[float | None]:
    return [None if value != value else value for value in values.tolist()]  # noqa: PLR0124  NaN


def escaped(text: str) -> str:
    """Escape a text for plotly, which interprets a few HTML tags, and ``%{`` in templates."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("%{", "% {")
