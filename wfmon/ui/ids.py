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
