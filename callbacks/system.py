"""The System page: the collectors' switches."""

from __future__ import annotations

from dash import MATCH, Dash, Input, Output, State

from wfmon.ui import services
from wfmon.ui.kit import ids


def register(app: Dash) -> None:
    """Register the callbacks."""

    @app.callback(
        Output(ids.switch_of(MATCH), "aria-checked"),
        Input(ids.switch_of(MATCH), "n_clicks"),
        State(ids.switch_of(MATCH), "id"),
        prevent_initial_call=True,
    )
    def switch(_clicks: int, which: dict[str, str]) -> str:
        turned_on = next(
            status.state == "off" for status in services().live.collectors() if status.name == which["name"]
        )
        services().settings.switch_collector(name=which["name"], enabled=turned_on)
        return "true" if turned_on else "false"
