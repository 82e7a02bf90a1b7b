"""Names that layouts, callbacks and the engine in assets/ share."""

from __future__ import annotations

from typing import Any

MAIN = "main"
PAGES_CONTENT = "_pages_content"
"""Where Dash puts the page: its children change when the user goes to another one."""


def switch_of(name: Any) -> dict[str, Any]:  # noqa: ANN401  a name, or Dash's MATCH
    """Give the id of a collector's switch."""
    return {"type": "collector-switch", "name": name}


DEMO_START, DEMO_STOP = "start", "stop"
"""What a button says to the built-in model."""
DEMO_STATE = "demo-state"
"""The type of the element that tells how the built-in model fares."""


def demo_button(page: Any, do: Any = DEMO_START) -> dict[str, Any]:  # noqa: ANN401  names, or Dash's MATCH and ALL
    """Give the id of a page's button that starts (or stops) the built-in model. Beside it stands a demo_state."""
    return {"type": "demo-button", "do": do, "on": page}


def demo_state(page: Any) -> dict[str, Any]:  # noqa: ANN401  a name, or Dash's MATCH
    """Give the id of a page's element that tells how the built-in model fares; its ``data-state`` is the one word."""
    return {"type": DEMO_STATE, "on": page}


def insights_days(days: Any) -> dict[str, Any]:  # noqa: ANN401  a number, or Dash's ALL
    """Give the id of the button that looks at so many days on the Insights page."""
    return {"type": "insights-days", "days": days}


HISTORY_VIEW = "history-view"
"""What is asked for: {query, n}; ``query`` is the address's, ``n`` changes when the same is asked for anew."""
HISTORY_CLIENT = "history-client"
"""What only the browser knows: {zone: its IANA name, east: minutes east of UTC now, narrow}."""
HISTORY_SPEC = "history-spec"
"""What was drawn, as a text of JSON: the figure and what belongs to it."""
HISTORY_DONE = "history-done"
"""The ``n`` of what was answered last, be it with a picture or a sentence."""
HISTORY_GRAPH = "history-graph"
HISTORY_ROWS = "history-rows"
HISTORY_CHIPS = "history-chips"
HISTORY_SAID = "history-said"
HISTORY_DETAIL = "history-detail"
HISTORY_MESSAGE = "history-message"
HISTORY_EVENTS = "history-events"
HISTORY_TYPED = "history-typed"
HISTORY_FROM = "history-from"
HISTORY_TO = "history-to"
HISTORY_OTHER = "history-other"
HISTORY_FIND = "history-find"
HISTORY_AREA = "history-area"
"""The area that the chooser lists, ``*`` for all, empty while it is closed."""
HISTORY_LIST = "history-list"
HISTORY_NAME = "history-name"
HISTORY_SAVED = "history-saved"
HISTORY_CSV = "history-csv"
HISTORY_DOWNLOAD = "history-download"
