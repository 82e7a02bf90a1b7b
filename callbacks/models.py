"""The buttons of the built-in model, on the Overview and on Models."""

from __future__ import annotations

from dash import ALL, MATCH, Dash, Input, Output, ctx, no_update

from wfmon.core.services import DemoCommand
from wfmon.ui import services
from wfmon.ui.kit import ids

STATES = {
    "off": "The built-in n-gram model is off.",
    "starting": "The built-in n-gram model is starting and reads its text.",
    "running": "The built-in n-gram model is running at {url}, limited to {rate:g} tokens/s.",
    "unlimited": "The built-in n-gram model is running at {url} without a speed limit.",
    "failed": "The built-in n-gram model did not start: {reason}",
}


def register(app: Dash) -> None:
    """Register the callbacks. The second waits for the end of "starting", so that the first can show it at once."""

    @app.callback(
        Output(ids.demo_state(MATCH), "children"),
        Output(ids.demo_state(MATCH), "data-state"),
        Input(ids.demo_button(MATCH, ALL), "n_clicks"),
    )
    def demo(clicks: list[int | None]) -> tuple[str, str]:
        return _command(ctx.triggered_id["do"] if any(clicks) else "")

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
        text, state = _command("wait")
        return text, state, f"demo-state {state}"


def _command(what: DemoCommand) -> tuple[str, str]:
    """Send a command to the built-in model; returns a sentence and the word for its state."""
    answer = services().models.demo(command=what)
    state = answer["state"]
    sentence = STATES["unlimited" if state == "running" and not answer["rate"] else state].format(**answer)
    return f"{sentence} ({answer['reason']})" if state == "running" and answer["reason"] else sentence, state
