"""The Settings page: the recording switch, refresh, retention, and deletion."""

from __future__ import annotations

from datetime import UTC
from typing import Any

from dash import ALL, ClientsideFunction, Dash, Input, Output, State, ctx, no_update

from wfmon.core.clock import SystemClock
from wfmon.core.zones import zone_of
from wfmon.ui import services
from wfmon.ui.settings import deletion, retention
from wfmon.ui.settings import page as settings
from wfmon.ui.settings.parts import CLIENT, FOCUS


def register(app: Dash) -> None:
    """Register the callbacks."""

    @app.callback(
        Output(settings.SWITCH, "aria-checked"),
        Output(settings.STATE_TEXT, "children"),
        Output(settings.DATA, "children"),
        Output(settings.WRONG, "children"),
        Output(settings.WRONG, "className"),
        Output(settings.WRONG, "hidden"),
        Input(settings.SWITCH, "n_clicks"),
        Input(settings.AGAIN, "n_clicks"),
        State(settings.SWITCH, "aria-checked"),
        prevent_initial_call=True,
    )
    def record_or_refresh(clicks: int | None, _again: int | None, on: str) -> tuple[Any, ...]:
        way = "" if ctx.triggered_id != settings.SWITCH or not clicks else "off" if on == "true" else "on"
        return settings.switch_recording(services(), way)

    _register_retention(app)
    _register_deletion(app)
    app.clientside_callback(
        ClientsideFunction("wfmon_settings", "client"), Output(CLIENT, "data"), Input("page-settings", "id")
    )
    app.clientside_callback(
        ClientsideFunction("wfmon_settings", "focus"), Output(FOCUS, "modified_timestamp"), Input(FOCUS, "data"),
        prevent_initial_call=True,
    )  # fmt: skip


def _register_retention(app: Dash) -> None:
    @app.callback(
        Output(retention.ROWS, "children"),
        Output(retention.STATUS, "children"),
        Output(retention.PENDING, "data"),
        Output(FOCUS, "data", allow_duplicate=True),
        Input(retention.SAVE, "n_clicks"),
        Input(retention.do_of(ALL), "n_clicks"),
        State(retention.value(ALL), "value"),
        State(retention.value(ALL), "id"),
        State(retention.PENDING, "data"),
        prevent_initial_call=True,
    )
    def act_on_retention(_save: Any, _do: Any, values: list[str], which: list[dict[str, str]], pending: Any) -> Any:  # noqa: ANN401
        do = _pressed("save")
        typed = {each["name"]: value for each, value in zip(which, values, strict=True)}
        return retention.act(services(), do, typed, pending) if do else (no_update,) * 4


def _register_deletion(app: Dash) -> None:
    @app.callback(
        Output(deletion.FORM, "children"),
        Output(deletion.WHAT, "data"),
        Output(deletion.STATUS, "children", allow_duplicate=True),
        Output(FOCUS, "data", allow_duplicate=True),
        Input(deletion.do_of(ALL), "n_clicks"),
        State(deletion.WHAT, "data"),
        prevent_initial_call=True,
    )
    def choose(_do: Any, what: str) -> Any:  # noqa: ANN401  Dash's own form
        found = deletion.choose(services(), _pressed(""), what)
        return found or (no_update,) * 4

    @app.callback(
        Output(deletion.STATUS, "children", allow_duplicate=True),
        Output(deletion.PENDING, "data"),
        Output(deletion.TIMER, "disabled", allow_duplicate=True),
        Output(deletion.FORM, "hidden", allow_duplicate=True),
        Output(FOCUS, "data", allow_duplicate=True),
        Input(deletion.PREVIEW, "n_clicks"),
        Input(deletion.do_of(ALL), "n_clicks"),
        State(deletion.WHAT, "data"),
        State(deletion.TEXT, "value"),
        State(deletion.PENDING, "data"),
        State(CLIENT, "data"),
        prevent_initial_call=True,
    )
    def act_on_deletion(_preview: Any, _do: Any, what: str, text: str | None, pending: Any, client: Any) -> Any:  # noqa: ANN401
        do = _pressed("preview")
        if do not in ("preview", "confirm", "leave", "stop"):
            return (no_update,) * 5
        zone = zone_of(client["zone"], 60 * client["east"]) if client else UTC
        return deletion.act(services(), do, what, text or "", pending, SystemClock().now_ms(), zone)

    @app.callback(
        Output(deletion.STATUS, "children", allow_duplicate=True),
        Output(deletion.TIMER, "disabled", allow_duplicate=True),
        Output(deletion.FORM, "hidden", allow_duplicate=True),
        Output(FOCUS, "data", allow_duplicate=True),
        Output(settings.DATA, "children", allow_duplicate=True),
        Input(deletion.TIMER, "n_intervals"),
        prevent_initial_call=True,
    )
    def poll(_ticks: int) -> tuple[Any, ...]:
        found = deletion.poll(services())
        return *found, settings.data_body(settings.data_of(services())) if found[1] else no_update


def _pressed(alone: str) -> str:
    """Return the pressed button's action; "" if none was pressed: Dash also calls when buttons appear."""
    which = ctx.triggered_id
    if not ctx.triggered or not ctx.triggered[0]["value"]:
        return ""
    return which["do"] if isinstance(which, dict) else alone
