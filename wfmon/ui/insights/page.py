"""The Insights page's parts: findings, health, the week, budgets, causes, from ``services().insights.report``."""

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
"""So much before what is unusual is shown with it."""
NONE = (
    "Nothing stands out: no figure changed by a tenth or more with 95 % confidence, as far as there is enough to "
    "compare (12 requests in the span and 12 in the one before)."
)
FEW = "There is too little to compare yet: a figure needs 12 requests in the span and 12 in the one before."
CAUSE_WORDS = {
    "load": "the model was loaded first", "queue": "waited in the queue", "prompt": "long prompt",
    "gpu_busy": "GPU busy before it began", "memory": "memory pressure", "swap": "swapping", "disk": "the disk",
    "stall": "stalls between tokens", "long_answer": "long answer", "": "no cause that the measures support",
}  # fmt: skip
Json = Mapping[str, Any]


def chooser() -> Component:
    """Let the person choose how many days are looked at; as many before are compared."""
    buttons = [
        html.Button(words, id=ids.insights_days(days), type="button", **{"aria-pressed": str(days == 7).lower()})
        for days, words in SPANS
    ]
    return html.Div(
        [
            html.Div(buttons, className="segments", role="group", **{"aria-label": "Days"}),
            html.P(
                "Compared with as many days before. A process of its own reads the history and ends.", className="muted"
            ),
            html.Div(
                [
                    html.Progress(**{"aria-labelledby": f"{WORKING}-words"}),
                    html.Span("Reading and comparing", id=f"{WORKING}-words"),
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
    """Give a place that a callback fills; it shows how much is to come until then."""
    return html.Div([html.Div(className="bone") for _ in range(rows)], id=id_, className="insights-part")


def zone(span: Json) -> tzinfo:
    """Give the zone of the browser that asks."""
    return zone_of(span["zone"], 60 * int(span["east"]))


def show(services: Services, span: Json) -> tuple[Any, ...]:
    """Give the children of findings, health, week, budgets, causes; where there is no answer, each says why."""
    days, there = int(span["days"]), zone(span)
    try:
        told = services.insights.report(days=days, zone=there)
    except Cancelled as error:
        again = html.P(f"{error} Choose the days again to ask anew.", className="muted")
        return again, *(html.P("–", className="muted") for _ in range(4))
    except (Failed, Refused) as error:
        sentence = html.P(error.sentences, className="trouble", role="alert")
        return sentence, *(html.P("–", className="muted") for _ in range(4))
    return (
        findings(told, there), health(told["health"]), week(told["week"], there), budgets(told["budgets"]),
        causes(told["causes"]),
    )  # fmt: skip


def unusual(told: Json, there: tzinfo) -> Component:
    """List what is unusual for this hour of the day; where nothing is, say what was looked at, or why nothing was."""
    if told["state"] != "judging":
        return html.P(f"Nothing is judged now. {told['reason']}", className="muted")
    looked = (
        f"{_count(told['judged'])} series were compared with the same hour of up to {told['days']} earlier days. "
        "A mark, not an alert."
    )
    if not told["now"]:
        return html.P(f"Nothing is unusual for this hour of the day: {looked}", className="muted")
    rows = html.Ol([_odd(each, int(told["at_ms"]), there) for each in told["now"]], className="findings")
    return html.Div([rows, html.P(looked, className="muted")])


def _odd(each: Json, at_ms: int, there: tzinfo) -> Component:
    view = HistoryView((each["series"],), span=(int(each["since_ms"]) - AROUND_MS, at_ms))
    since = f"since {local(each['since_ms'], there):%H:%M} · z {each['z']:+.1f} · "
    link = html.A("show in History", href=f"/history?{view.query()}")
    return html.Li([html.P(each["text"]), html.P([since, link], className="muted")], className="odd")


def findings(told: Json, there: tzinfo) -> Component:
    """List the findings in plain words, each with how sure it is, and a link that opens the chart there."""
    if not told["findings"]:
        return html.P(NONE if told["requests"] else FEW, className="muted")
    return html.Ol([_finding(each, there) for each in told["findings"]], className="findings")


def _finding(each: Json, there: tzinfo) -> Component:
    begin, end = (_day(each[name], there) for name in ("from_ms", "to_ms"))
    sure = f"{100 * each['confidence']:.4g} % sure · {each['method']} · {begin} to {end}"
    words = [html.Strong("worse: " if each["worse"] else "better: ", className="aside"), each["text"]]
    return html.Li(
        [
            html.P(words),
            html.P([sure, " · ", html.A("show in History", href=history_link(each))], className="muted"),
        ],
        className="worse" if each["worse"] else "better",
    )


def history_link(each: Json) -> str:
    """Give the address that opens the finding's chart at its span, with the span before beside it."""
    view = HistoryView(tuple(each["series"]), span=(int(each["from_ms"]), int(each["to_ms"])), compare="previous")
    return f"/history?{view.query()}"


def health(told: Json) -> Component:
    """Show the score and what it is made of."""
    if told["score"] is None:
        return html.P("Nothing was measured that a score could be made of.", className="muted")
    parts = [_bar(each["name"], each["share"], f"weight {each['weight']}") for each in told["parts"]]
    return html.Div(
        [html.P([html.Span(str(told["score"]), className="figure"), html.Span(" of 100", className="unit")]), *parts]
    )


def budgets(told: Sequence[Json]) -> Component:
    """Show how much of what was promised was kept."""
    if not told:
        return html.P("No page was open and no request ended in this span.", className="muted")
    return html.Div([
        _bar(
            each["name"], each["share"],
            f"{each['text']}; {_count(each['of'])} of them; target {100 * each['target']:.0f} %",
            missed=each["share"] < each["target"],
        )
        for each in told
    ])  # fmt: skip


def causes(told: Sequence[Json]) -> Component:
    """Show what made requests slow."""
    if not told:
        return html.P("No request was slow.", className="muted")
    return html.Div([
        _bar(
            CAUSE_WORDS.get(str(each["code"]), str(each["code"])), each["share"],
            f"{_count(each['requests'])} requests" + (f", {each['cost_ms']:,.0f} ms each" if each["cost_ms"] else ""),
        )
        for each in told
    ])  # fmt: skip


def week(told: Json, there: tzinfo) -> Component:
    """Show seven days by 24 hours: the darker, the more requests; CPU and the number are told by each cell."""
    most = max((max(row) for row in told["requests"]), default=0)
    head = html.Tr([html.Td(), *(html.Th(f"{hour}" if hour % 3 == 0 else "", scope="col") for hour in range(24))])
    body = []
    for day, (begin_ms, counts) in enumerate(zip(told["days_ms"], told["requests"], strict=True)):
        name = local(begin_ms, there).strftime("%a %d %b")
        cells = []
        for hour, count in enumerate(counts):
            cpu = told["cpu_percent"][day][hour] if told["cpu_percent"] else None
            text = f"{name}, {hour}:00: {_count(count)} requests" + (f", CPU {cpu:.0f} %" if cpu is not None else "")
            known = cpu is not None or count > 0
            cells.append(html.Td(
                html.Span(text, className="aside"), title=text, className="cell" if known else "cell unknown",
                style={"--v": f"{count / most if most else 0:.3f}"},
            ))  # fmt: skip
        body.append(html.Tr([html.Th(name, scope="row"), *cells]))
    note = f"Requests an hour, {_count(most)} at most; hatched: nothing was recorded. Hours of your zone."
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


def _day(ms: int, there: tzinfo) -> str:
    return local(ms, there).strftime("%d %b")


def _count(number: int) -> str:
    return f"{number:,}"
