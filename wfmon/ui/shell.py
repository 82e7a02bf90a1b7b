"""The frame around every page: status bar, sidebar, dialogs. Plain HTML around Dash's entry point.

So it appears before Dash has started and stays when Dash changes the page. Its settings (theme, collapsed sidebar)
are in a cookie, so that the first paint is right without an inline script.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import Any

import dash
import flask
from dash import html
from dash.development.base_component import Component

from wfmon.ui import services
from wfmon.ui.kit import ids, notices

LOOK_COOKIE = "wfmon-look"
"""``theme.side``, written by assets/lib/shell/theme.mjs: ``dark.folded``, ``.open``."""
THEMES = ("dark", "light")

ICONS = {
    "overview": '<path d="M1 8h3l2-5 4 10 2-5h3"/>',
    "models": '<circle cx="8" cy="8" r="2.2"/>'
    '<path d="M8 1.5v2.2M8 12.3v2.2M1.5 8h2.2M12.3 8h2.2M3.4 3.4 5 5M11 11l1.6 1.6M3.4 12.6 5 11M11 5l1.6-1.6"/>',
    "insights": '<path d="M5.5 11a4.2 4.2 0 1 1 5 0v1.5h-5zM6.5 14.5h3"/>',
    "system": '<rect x="3" y="3" width="10" height="10" rx="2"/>'
    '<path d="M6 1v2M10 1v2M6 13v2M10 13v2M1 6h2M1 10h2M13 6h2M13 10h2"/>',
    "experience": '<path d="M2 12V4M6 12V7M10 12V2M14 12V9"/>',
    "network": '<path d="M2 5h10l-3-3M14 11H4l3 3"/>',
    "history": '<circle cx="8" cy="8" r="6"/><path d="M8 4.5V8l2.5 1.8"/>',
    "requests": '<path d="M2 3.5h12M2 8h12M2 12.5h8"/>',
    "settings": '<path d="M2 4.5h6M12 4.5h2M2 11.5h2M8 11.5h6"/><circle cx="10" cy="4.5" r="2"/>'
    '<circle cx="6" cy="11.5" r="2"/>',
}
"""The body of each page's icon: 16 x 16, stroked."""

SHORTCUTS = (
    (("g", "o"), "Overview"),
    (("g", "m"), "Models"),
    (("g", "s"), "System"),
    (("g", "e"), "Experience"),
    (("g", "n"), "Network"),
    (("g", "h"), "History"),
    (("g", "r"), "Requests"),
    (("g", "i"), "Insights"),
    (("g", "d"), "Settings"),
    (("1", "2", "3"), "Show the last 30 seconds, 1 minute or 5 minutes"),
    (("Space",), "Freeze or resume the charts"),
    (("a",), "Arrange panels"),
    (("t",), "Theme: system, dark, light"),
    (("b",), "Collapse the sidebar"),
    (("←", "→"), "On a chart: move the cursor; Esc removes it"),
    (("t",), "On a chart: show it as a table"),
    (("←", "→", "+", "-", "0"), "On the charts of History: earlier, later, zoom in, zoom out, reset"),
    (("Backspace",), "On the charts of History: previous range"),
    (("?",), "Show this list"),
    (("Esc",), "Close, or finish arranging"),
)
"""Keys and what they do; assets/lib/shell/shell.mjs and the engine implement them."""


class App(dash.Dash):
    """Dash, with the frame's parts filled in for each request: the page's token, theme, sidebar.

    An error in a callback becomes the page's notice.
    """

    def __init__(self, *args: Any, **options: Any) -> None:  # noqa: ANN401  Dash's own signature
        super().__init__(*args, on_error=notices.on_error, **options)

    def interpolate_index(self, **parts: Any) -> str:  # noqa: ANN401  Dash's own signature
        """Return the HTML of a page."""
        page = super().interpolate_index(**parts)
        theme, side = parse_look(flask.request.cookies.get(LOOK_COOKIE, ""))
        ours = {
            "token": escape(services().page_token()),
            "theme": theme,
            "side": side,
            "nav": _nav(list(dash.page_registry.values()), flask.request.path),
            "shortcuts": _shortcuts(),
        }
        for name, text in ours.items():
            page = page.replace(f"{{%{name}%}}", text)
        return page


def index_string() -> str:
    """Return the template of every page; `App` fills in what depends on the request."""
    return files("wfmon.ui").joinpath("index.html").read_text("utf-8")


def layout() -> Component:
    """Lay out what Dash owns: the notice and the page itself."""
    return html.Main([notices.notice(), dash.page_container], id=ids.MAIN, tabIndex=-1)


def page_names() -> set[str]:
    """Return the page names used as labels of ux metrics: the first part of each page's path."""
    paths = (page["path"] for page in dash.page_registry.values() if "icon" in page)
    return {path.strip("/").split("/")[0] or "overview" for path in paths}


def parse_look(cookie: str) -> tuple[str, str]:
    """Read the cookie: the theme ("" follows the system), and "folded" or "open" for the sidebar."""
    theme, _, side = cookie.partition(".")
    return theme if theme in THEMES else "", "folded" if side == "folded" else "open"


def _nav(pages: list[Mapping[str, Any]], path: str) -> str:
    links = []
    for page in sorted((page for page in pages if "icon" in page), key=lambda page: page["order"]):
        current = ' aria-current="page"' if page["path"] == path else ""
        name = escape(page["name"])
        links.append(
            f'<a href="{escape(page["path"])}" data-nav="{page["icon"]}" title="{name}"{current}>'
            f'<svg viewBox="0 0 16 16" aria-hidden="true">{ICONS[page["icon"]]}</svg><span>{name}</span></a>'
        )
    return "".join(links)


def _shortcuts() -> str:
    rows = ((" ".join(f"<kbd>{escape(key)}</kbd>" for key in keys), words) for keys, words in SHORTCUTS)
    return "".join(f"<div><dt>{keys}</dt><dd>{escape(words)}</dd></div>" for keys, words in rows)
