"""The Insights page: the report of the selected period."""

from __future__ import annotations

from typing import Any

from dash import ALL, Dash, Input, Output

from wfmon.ui import services
from wfmon.ui.insights import page as insights
from wfmon.ui.kit import ids

CHOOSE = """function (clicks, names) {
  const hit = window.dash_clientside.callback_context.triggered_id;
  const days = hit && hit.days ? hit.days : 7;
  const pressed = names.map((name) => String(name.days === days));
  const zone = new Intl.DateTimeFormat().resolvedOptions().timeZone;
  return [{ days, zone, east: -new Date().getTimezoneOffset() }, pressed];
}"""


def register(app: Dash) -> None:
    """Register the callbacks."""
    app.clientside_callback(
        CHOOSE,
        Output(insights.SPAN, "data"),
        Output(ids.insights_days(ALL), "aria-pressed"),
        Input(ids.insights_days(ALL), "n_clicks"),
        Input(ids.insights_days(ALL), "id"),
    )

    @app.callback(
        *(
            Output(part, "children")
            for part in (insights.FINDINGS, insights.HEALTH, insights.WEEK, insights.BUDGETS, insights.CAUSES)
        ),
        Input(insights.SPAN, "data"),
        running=[(Output(insights.WORKING, "hidden"), False, True)],
        prevent_initial_call=True,
    )
    def show(span: dict[str, Any]) -> tuple[Any, ...]:
        return insights.show(services(), span)

    @app.callback(
        Output(insights.UNUSUAL, "children"),
        Input(insights.SPAN, "data"),
        Input(insights.MINUTE, "n_intervals"),
        prevent_initial_call=True,
    )
    def unusual(span: dict[str, Any], _minutes: int | None) -> Any:  # noqa: ANN401  Dash's own form
        return insights.unusual(services().insights.unusual(), insights.browser_zone(span))

    @app.callback(Input(insights.CANCEL, "n_clicks"), prevent_initial_call=True)
    def cancel(_clicks: int) -> None:
        services().insights.cancel()
