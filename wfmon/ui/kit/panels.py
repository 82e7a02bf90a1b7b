"""The one panel, and the page made of panels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from dash import html
from dash.development.base_component import Component

from wfmon.ui.kit.parts import Content


@dataclass(frozen=True, slots=True)
class Panel:
    """A title, a live value, a body and a footer.

    ``key`` names it in the browser's storage and never changes. ``width``: columns of twelve. ``collector``: without
    its data the panel is empty. ``side`` is beside the body of a wide panel. ``tall``: two rows high. ``charted``: it
    can be shown as a table.
    """

    key: str
    title: str
    body: Content
    width: Literal[3, 4, 6, 8, 12] = 3
    now: Content = ()
    foot: Sequence[Component] = field(default=())
    collector: str = ""
    side: Sequence[Component] = field(default=())
    tall: bool = False
    charted: bool = True


@dataclass(frozen=True, slots=True)
class Group:
    """Panels under one heading; ``title`` is empty for a page's only group."""

    panels: Sequence[Panel]
    title: str = ""
    lead: str = ""


def page(name: str, title: str, *groups: Group) -> Component:
    """Lay out a page: its heading, then its groups on a grid of twelve columns."""
    parts: list[Component] = [html.H1(title, className="aside")]
    for group in groups:
        if group.title:
            lead = [html.P(group.lead)] if group.lead else []
            parts.append(html.Div([html.H2(group.title), *lead], className="heading"))
        level = 3 if group.title else 2
        parts.append(html.Div([_panel(name, panel, level) for panel in group.panels], className="grid"))
    return html.Div(parts, className="page", key=name, id=f"page-{name}", **{"data-page": name})


def _panel(page_name: str, panel: Panel, level: int) -> Component:
    heading = f"h-{page_name}-{panel.key}"
    classes = ["panel", f"w{panel.width}", *(["stage"] if panel.side else []), *(["tall"] if panel.tall else [])]
    title = (html.H2 if level == 2 else html.H3)(panel.title, id=heading)
    head = html.Header([title, _menu_button(panel), html.Div(panel.now, className="now"), _arrange_tools(panel)])
    looked = [html.Span(className="looked", **{"data-looked": panel.collector})] if panel.collector else []
    main = [
        head,
        html.Div(panel.body, className="body"),
        html.P(className="absent"),
        html.Footer([*panel.foot, *looked], className=None if panel.foot else "bare"),
    ]
    inside = (
        [html.Div(main, className="lead"), html.Div(list(panel.side), className="legend-side")] if panel.side else main
    )
    data = {"data-panel": panel.key, "aria-labelledby": heading}
    if panel.collector:
        data["data-collector"] = panel.collector
    return html.Section(inside, className=" ".join(classes), **data)


def _menu_button(panel: Panel) -> Component:
    return html.Button(
        className="icon more",
        type="button",
        **{
            "aria-label": f"{panel.title}: more",
            "aria-haspopup": "menu",
            "aria-expanded": "false",
            "data-menu": "chart" if panel.charted else "plain",
        },
    )


def _arrange_tools(panel: Panel) -> Component:
    tools = (("earlier", "move earlier"), ("later", "move later"), ("hide", "hide"))
    return html.Div(
        [
            html.Button(
                className=f"icon {what}",
                type="button",
                **{"aria-label": f"{panel.title}: {words}", "data-arrange-do": what},
            )
            for what, words in tools
        ],
        className="arranging",
    )


def not_found() -> Component:
    """Lay out the page for an unknown address."""
    words = ["All pages are listed in the sidebar. ", html.A("Go to the Overview", href="/")]
    return html.Div([html.H1("No page at this address"), html.P(words)], className="page nothing")
