"""The Settings page: the switch of the recording, and looking again."""

from __future__ import annotations

from typing import Any

from dash import Dash, Input, Output, State, ctx

from wfmon.ui import services, settings


def register(app: Dash) -> None:
    """Connect."""

    @app.callback(
        Output(settings.SWITCH, "aria-checked"),
        Output(settings.TOLD, "children"),
        Output(settings.DATA, "children"),
        Output(settings.WRONG, "children"),
        Output(settings.WRONG, "className"),
        Output(settings.WRONG, "hidden"),
        Input(settings.SWITCH, "n_clicks"),
        Input(settings.AGAIN, "n_clicks"),
        State(settings.SWITCH, "aria-checked"),
        prevent_initial_call=True,
    )
    def data(clicks: int | None, _again: int | None, on: str) -> tuple[Any, ...]:
        turned = "" if ctx.triggered_id != settings.SWITCH or not clicks else "off" if on == "true" else "on"
        return settings.turned(services(), turned)
