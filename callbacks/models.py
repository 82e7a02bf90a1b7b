"""The buttons of the built-in model, wherever they stand: on the Overview, on Models, or on neither."""

from __future__ import annotations

from dash import ALL, MATCH, Dash, Input, Output, ctx, no_update

from wfmon.core.services import DemoCommand
from wfmon.ui import services
from wfmon.ui.kit import ids

STATES = {
    "off": "The built-in n-gram model is off.",
    "starting": "The built-in n-gram model is starting: it reads its text.",
    "running": "The built-in n-gram model runs at {url}, at most {rate:g} tokens a second by choice.",
    "unlimited": "The built-in n-gram model runs at {url}, with no speed limit.",
    "failed": "The built-in n-gram model did not start: {reason}",
}


def register(app: Dash) -> None:
    """Connect. The second callback waits for the end of "starting", so that the first can show it at once."""

    @app.callback(
        Output(ids.demo_state(MATCH), "children"),
        Output(ids.demo_state(MATCH), "data-state"),
        Input(ids.demo_button(MATCH, ALL), "n_clicks"),
    )
    def demo(clicks: list[int | None]) -> tuple[str, str]:
        return _told(ctx.triggered_id["do"] if any(clicks) else "")

    @app.callback(
        Output(ids.demo_state(MATCH), "children", allow_duplicate=True),
        Output(ids.demo_state(MATCH), "data-state", allow_duplicate=True),
        Output(ids.demo_state(MATCH), "className"),
        Input(ids.demo_state(MATCH), "data-state"),
        prevent_initial_call=True,
    )
    def settled(state: str) -> tuple[object, object, str]:
        if state != "starting":
            return no_update, no_update, f"demo-state {state}"
        text, state = _told("wait")
        return text, state, f"demo-state {state}"


def _told(what: DemoCommand) -> tuple[str, str]:
    """Say it to the built-in model; gives the sentence and the word of its state."""
    told = services().models.demo(command=what)
    state = told["state"]
    sentence = STATES["unlimited" if state == "running" and not told["rate"] else state].format(**told)
    return f"{sentence} ({told['reason']})" if state == "running" and told["reason"] else sentence, state
