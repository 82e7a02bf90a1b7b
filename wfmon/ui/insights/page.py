"""The Insights page's parts: findings, health, the week, budgets and causes, from ``services().insights.report``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any

from dash import dcc, html
from dash.development.base_component import Component

from wfmon.core.errors import Cancelled, Failed, Refused
from wfmon.core.services import Services
from wfmon.core.zones import local, zone_of
from wfmon.ui.history.views import HistoryView
from wfmon.ui.kit import ids

SPANS = ((7, "7 days"), (14, "14 days"), (30, "30 days"))
SPAN, HOST, FINDINGS, HEALTH, WEEK, BUDGETS, CAUSES = (
    "insights-span", "insights", "insights-findings", "insights-health", "insights-week", "insights-budgets",
    "insights-causes",
)  # fmt: skip
UNUSUAL, MINUTE, WORKING, CANCEL = "insights-unusual", "insights-minute", "insights-working", "insights-cancel"
AROUND_MS = 3_600_000
"""A link to an anomaly starts this long before it."""
NONE = (
    "Nothing stands out: no figure changed by 10 % or more with 95 % confidence. A comparison needs 12 requests in "
    "this period and 12 in the one before."
)
FEW = "Not enough data to compare yet: a figure needs 12 requests in this period and 12 in the one before."
CAUSE_WORDS = {
    "load": "the model had to load", "queue": "waited in the queue", "prompt": "long prompt",
    "gpu_busy": "GPU already busy", "memory": "memory pressure", "swap": "swapping", "disk": "busy disk",
    "stall": "stalls between tokens", "long_answer": "long answer", "": "no cause found in the measurements",
}  # fmt: skip
Json = Mapping[str, Any]


def chooser() -> Component:
    """Make the choice of the period, in days; it is compared with the same number of days before."""
    buttons = [
        html.Button(words, id=ids.insights_days(days), type="button", **{"aria-pressed": str(days == 7).lower()})
        for days, words in SPANS
    ]
    return html.Div(
        [
            html.Div(buttons, className="segments", role="group", **{"aria-label": "Days"}),
            html.P(
                "Compared with the same number of days before. A separate process reads the history, then exits.",
                className="muted",
            ),
            html.Div(
                [
                    html.Progress(**{"aria-labelledby": f"{WORKING}-words"}),
                    html.Span("Reading the history and comparing…", id=f"{WORKING}-words"),
                    html.Button("Cancel", id=CANCEL, type="button", className="text"),
                ],
                id=WORKING,
                className="working",
                role="status",
                hidden=True,
            ),
            dcc.Store(id=SPAN),
            dcc.Interval(id=MINUTE, interval=60_000),
        ],
        className="insights-head",
    )


def part(id_: str, rows: int) -> Component:
    """Make a container that a callback fills, with as many placeholder rows as to expect."""
    return html.Div([html.Div(className="bone") for _ in range(rows)], id=id_, className="insights-part")


def browser_zone(span: Json) -> tzinfo:
    """Return the time zone of the browser."""
    return zone_of(span["zone"], 60 * int(span["east"]))


def show(services: Services, span: Json) -> tuple[Any, ...]:
    """Return the children of findings, health, week, budgets and causes; on an error, the first one says why."""
    days, zone = int(span["days"]), browser_zone(span)
    try:
        report = services.insights.report(days=days, zone=zone)
    except Cancelled as error:
        again = html.P(f"{error} Select a period to try again.", className="muted")
        return again, *(html.P("–", className="muted") for _ in range(4))
    except (Failed, Refused) as error:
        sentence = html.P(error.sentences, className="trouble", role="alert")
        return sentence, *(html.P("–", className="muted") for _ in range(4))
    return (
        findings(report, zone), health(report["health"]), week(report["week"], zone), budgets(report["budgets"]),
        causes(report["causes"]),
    )  # fmt: skip


def unusual(report: Json, zone: tzinfo) -> Component:
    """List the series that are unusual for this hour of the day; if none, say what was checked, or why nothing was."""
    if report["state"] != "judging":
        return html.P(f"Nothing is checked at the moment. {report['reason']}", className="muted")
    checked = (
        f"{_count(report['judged'])} series were compared with the same hour on up to {report['days']} earlier days. "
        "This is a hint, not an alert."
    )
    if not report["now"]:
        return html.P(f"Nothing is unusual for this hour of the day: {checked}", className="muted")
    rows = html.Ol([_odd(each, int(report["at_ms"]), zone) for each in report["now"]], className="findings")
    return html.Div([rows, html.P(checked, className="muted")])


def _odd(each: Json, at_ms: int, zone: tzinfo) -> Component:
    view = HistoryView((each["series"],), span=(int(each["since_ms"]) - AROUND_MS, at_ms))
    since = f"since {local(each['since_ms'], zone):%H:%M} · z {each['z']:+.1f} · "
    link = html.A("show in History", href=f"/history?{view.query()}")
    return html.Li([html.P(each["text"]), html.P([since, link], className="muted")], className="odd")


def findings(report: Json, zone: tzinfo) -> Component:
    """List the findings in plain words, each with its confidence and a link to the chart."""
    if not report["findings"]:
        return html.P(NONE if report["requests"] else FEW, className="muted")
    return html.Ol([_finding(each, zone) for each in report["findings"]], className="findings")


def _finding(each: Json, zone: tzinfo) -> Component:
    begin, end = (_day(each[name], zone) for name in ("from_ms", "to_ms"))
    sure = f"{100 * each['confidence']:.4g} % confidence · {each['method']} · {begin} to {end}"
    words = [html.Strong("worse: " if each["worse"] else "better: ", className="aside"), each["text"]]
    return html.Li(
        [
            html.P(words),
            html.P([sure, " · ", html.A("show in History", href=history_link(each))], className="muted"),
        ],
        className="worse" if each["worse"] else "better",
    )


def history_link(each: Json) -> str:
    """Return the address of the finding's chart, compared with the period before."""
    view = HistoryView(tuple(each["series"]), span=(int(each["from_ms"]), int(each["to_ms"])), compare="previous")
    return f"/history?{view.query()}"


def health(report: Json) -> Component:
    """Show the score and its components."""
    if report["score"] is None:
        return html.P("Not enough was measured to compute a score.", className="muted")
    parts = [_bar(each["name"], each["share"], f"weight {each['weight']}") for each in report["parts"]]
    return html.Div(
        [html.P([html.Span(str(report["score"]), className="figure"), html.Span(" of 100", className="unit")]), *parts]
    )


def budgets(report: Sequence[Json]) -> Component:
    """Show how far each budget was met."""
    if not report:
        return html.P("No page was open and no request finished in this period.", className="muted")
    return html.Div([
        _bar(
            each["name"], each["share"],
            f"{each['text']}; {_count(each['of'])} of them; target {100 * each['target']:.0f} %",
            missed=each["share"] < each["target"],
        )
        for each in report
    ])  # fmt: skip


def causes(report: Sequence[Json]) -> Component:
    """Show what made requests slow."""
    if not report:
        return html.P("No request was slow.", className="muted")
    return html.Div([
        _bar(
            CAUSE_WORDS.get(str(each["code"]), str(each["code"])), each["share"],
            f"{_count(each['requests'])} requests" + (f", {each['cost_ms']:,.0f} ms each" if each["cost_ms"] else ""),
        )
        for each in report
    ])  # fmt: skip


def week(report: Json, zone: tzinfo) -> Component:
    """Show seven days by 24 hours, darker for more requests; each cell's text has the number and the CPU."""
    most = max((max(row) for row in report["requests"]), default=0)
    head = html.Tr([html.Td(), *(html.Th(f"{hour}" if hour % 3 == 0 else "", scope="col") for hour in range(24))])
    body = []
    for day, (begin_ms, counts) in enumerate(zip(report["days_ms"], report["requests"], strict=True)):
        name = local(begin_ms, zone).strftime("%a %d %b")
        cells = []
        for hour, count in enumerate(counts):
            cpu = report["cpu_percent"][day][hour] if report["cpu_percent"] else None
            text = f"{name}, {hour}:00: {_count(count)} requests" + (f", CPU {cpu:.0f} %" if cpu is not None else "")
            known = cpu is not None or count > 0
            cells.append(html.Td(
                html.Span(text, className="aside"), title=text, className="cell" if known else "cell unknown",
                style={"--v": f"{count / most if most else 0:.3f}"},
            ))  # fmt: skip
        body.append(html.Tr([html.Th(name, scope="row"), *cells]))
    note = f"Requests per hour, at most {_count(most)}; hatched: nothing recorded. Hours are in your time zone."
    table = html.Table([html.Thead(head), html.Tbody(body)], className="week")
    return html.Div([html.Div(table, className="scroll"), html.P(note, className="muted")])


def _bar(name: str, share: float, text: str, *, missed: bool = False) -> Component:
    figure = f"{100 * share:.1f} %".replace(".0 %", " %")
    return html.Div(
        [
            html.P([html.Span(name, className="what"), html.Span(figure, className="much")]),
            html.Span(html.I(), className="meter", style={"--v": f"{share:.3f}"}),
            html.P(f"{text}; missed" if missed else text, className="muted"),
        ],
        className="portion missed" if missed else "portion",
    )


def _day(ms: int, zone: tzinfo) -> str:
    return local(ms, zone).strftime("%d %b")


def _count(number: int) -> str:
    return f"{number:,}"
