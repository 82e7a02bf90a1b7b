"""Names that layouts, callbacks and the engine in assets/ share."""

from __future__ import annotations

from typing import Any

MAIN = "main"
PAGES_CONTENT = "_pages_content"
"""Where Dash puts the page: its children change when the user goes to another one."""


def switch_of(name: Any) -> dict[str, Any]:  # noqa: ANN401  a name, or Dash's MATCH
    """Give the id of a collector's switch."""
    return {"type": "collector-switch", "name": name}
