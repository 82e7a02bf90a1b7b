"""Names that layouts, callbacks and the engine in assets/ share."""

from __future__ import annotations

from typing import Any

MAIN = "main"
PAGES_CONTENT = "_pages_content"
"""Where Dash puts the page: its children change when the user opens another page."""


def switch_of(name: Any) -> dict[str, Any]:  # noqa: ANN401  a name, or Dash's MATCH
    """Return the id of a collector's switch."""
    return {"type": "collector-switch", "name": name}


DEMO_START, DEMO_STOP = "start", "stop"
"""The command that a button sends to the built-in model."""
DEMO_STATE = "demo-state"
"""The type of the element that shows the state of the built-in model."""


def demo_button(page: Any, do: Any = DEMO_START) -> dict[str, Any]:  # noqa: ANN401  names, or Dash's MATCH and ALL
    """Return the id of a page's button that starts (or stops) the built-in model. It needs a demo_state beside it."""
    return {"type": "demo-button", "do": do, "on": page}


def demo_state(page: Any) -> dict[str, Any]:  # noqa: ANN401  a name, or Dash's MATCH
    """Return the id of a page's element that shows the built-in model's state, also in ``data-state`` as one word."""
    return {"type": DEMO_STATE, "on": page}


def insights_days(days: Any) -> dict[str, Any]:  # noqa: ANN401  a number, or Dash's ALL
    """Return the id of the Insights page's button for a period of so many days."""
    return {"type": "insights-days", "days": days}


HISTORY_VIEW = "history-view"
"""The requested view: {query, n}; ``query`` is the address's, ``n`` changes when the same view is requested again."""
HISTORY_CLIENT = "history-client"
"""What only the browser knows: {zone: IANA name, east: minutes east of UTC now, narrow: whether the page is}."""
HISTORY_SPEC = "history-spec"
"""What is drawn, as JSON text: the figure and its description."""
HISTORY_DONE = "history-done"
"""The ``n`` of the last answer, whether a figure or a message."""
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
"""The area listed in the chooser, ``*`` for all, empty while it is closed."""
HISTORY_LIST = "history-list"
HISTORY_NAME = "history-name"
HISTORY_SAVED = "history-saved"
HISTORY_CSV = "history-csv"
HISTORY_DOWNLOAD = "history-download"
