"""Retention settings as fields of the Settings page: a change that keeps less first shows what it deletes.

Pure functions of data from ``Services``, except ``act``, which returns its callback's outputs, in order.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

from dash import dcc, html, no_update
from dash.development.base_component import Component

from wfmon.core.errors import NotSaved, Refused, Unreadable
from wfmon.core.services import Services
from wfmon.ui.kit.panels import Panel
from wfmon.ui.kit.parts import note
from wfmon.ui.settings.parts import buttons, bytes_text, count, moment, origin, span_text, table, trouble

ROWS, SAVE, STATUS, PENDING = "keep-rows", "keep-save", "keep-said", "keep-pending"
MB = 1_000_000
LABELS = {
    "store.keep_1s_days": "Each second",
    "store.keep_10s_days": "Every 10 seconds",
    "store.keep_1min_days": "Each minute",
    "store.keep_5min_days": "Every 5 minutes",
    "store.keep_1h_days": "Each hour",
    "store.keep_requests_days": "Requests to models",
    "store.keep_annotations_days": "Events: starts, sleep, clock",
    "store.keep_alerts_days": "Alerts",
    "store.max_bytes": "Size limit of the file",
}
_TIER = {
    "1s": "each second", "10s": "every 10 seconds", "1min": "each minute", "5min": "every 5 minutes", "1h": "each hour",
}  # fmt: skip
TABLES = {"request": "request", "annotation": "event", "alert": "alert"}
"""The name of one row of each table."""


def value(name: Any) -> dict[str, Any]:  # noqa: ANN401  a name, or Dash's ALL
    """Return the id of a setting's field."""
    return {"type": "keep-value", "name": name}


def do_of(do: Any) -> dict[str, Any]:  # noqa: ANN401  a word, or Dash's ALL
    """Return the id of a button: "confirm", "leave", "back store.keep_1s_days"."""
    return {"type": "keep-do", "do": do}


def panel(retention: Sequence[Mapping[str, Any]]) -> Panel:
    """Make the panel."""
    body = [
        html.Div(rows(retention), id=ROWS),
        html.Div(
            [html.Button("Save", id=SAVE, type="button", className="text primary"), dcc.Store(id=PENDING)],
            className="act",
        ),
        html.Div(id=STATUS, className="said", **{"aria-live": "polite"}),
    ]
    foot = (note("changes take effect immediately; what they delete is shown first"),)
    return Panel("keep", "Retention", body, width=12, charted=False, foot=foot)


def rows(retention: Sequence[Mapping[str, Any]], typed: Mapping[str, str] | None = None, wrong: str = "") -> Component:
    """Make the table of fields. ``typed``: text in the fields that differs from the current value."""
    made = []
    for row in retention:
        name, unit = row["name"], "MB" if row["name"] == "store.max_bytes" else "days"
        shown = (typed or {}).get(name, text_of(name, row["value"]))
        field = dcc.Input(
            id=value(name), type="text", inputMode="decimal", autoComplete="off", value=shown, debounce=False,
            className=f"field{' wrong' if name == wrong else ''}",
        )  # fmt: skip
        back = []
        if row["value"] != row["back"]:
            words = f"Reset to {text_of(name, row['back'])} {unit}"
            back = [
                html.Button(
                    words, id=do_of(f"back {name}"), type="button", className="text",
                    **{"aria-label": f"{LABELS[name]}: {words.lower()}"},
                )
            ]  # fmt: skip
        low, high = (float(text_of(name, row[end])) for end in ("low", "high"))
        spoken = html.Span(LABELS[name], className="aside")
        made.append((
            [LABELS[name], html.Small(f"{low:,.12g} to {high:,.12g} {unit}")],
            html.Div([html.Label([spoken, field, html.Span(unit, className="unit")]), *back], className="act"),
            bytes_text(row["value"]) if unit == "MB" else span_text(row["value"] * 86_400),
            origin(row["origin"]),
        ))  # fmt: skip
    heads = (("Data", ""), ("Kept for", ""), ("Now", "opt"), ("Source", "opt"))
    return table("Retention", heads, made)


def text_of(name: str, value: float) -> str:
    """Format a value for its field, in days or MB."""
    return f"{value / MB if name == 'store.max_bytes' else value:.12g}"


def changes_of(retention: Sequence[Mapping[str, Any]], typed: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the typed values that differ from the current ones, in the settings' units; a non-number stays text."""
    found: dict[str, Any] = {}
    for row in retention:
        name, text = row["name"], (typed.get(row["name"]) or "").strip()
        if name not in typed or text == text_of(name, row["value"]):
            continue
        try:
            number = float(text)
        except ValueError:
            found[name] = text
            continue
        found[name] = _whole(number * MB) if name == "store.max_bytes" else number
    return found


def act(
    services: Services, do: str, typed: Mapping[str, str | None], pending: Mapping[str, Any] | None
) -> tuple[Any, ...]:
    """Handle save, confirm, cancel and reset; returns rows, status, pending changes, focus."""
    retention = services.store.retention()
    if do == "leave":
        return rows(retention), [html.P("Nothing was changed.")], None, SAVE
    if do.startswith("back "):
        changes: dict[str, Any] = {do.removeprefix("back "): None}
    else:
        changes = dict(pending or {}) if do == "confirm" else changes_of(retention, typed)
    if not changes:
        return no_update, [html.P("Nothing was changed: these values are already in effect.")], None, SAVE
    try:
        if do != "confirm":
            preview = services.store.preview_retention(changes=changes)
            if preview["shorter"]:
                return no_update, confirmation(preview), changes, do_of("confirm")
        after = services.store.change_retention(changes=changes)
    except Refused as error:
        typed_again = {name: text or "" for name, text in typed.items()}
        again = rows(retention, typed_again, error.field)
        return again, [trouble(str(error), error.fix)], None, value(error.field) if error.field in LABELS else SAVE
    except (NotSaved, Unreadable) as error:
        return no_update, [trouble(str(error), error.fix)], None, SAVE
    names = ", ".join(LABELS[name].lower() if name != "store.max_bytes" else "the size" for name in changes)
    held = 0
    with contextlib.suppress(Unreadable):  # saved, even if the store cannot be read
        held = services.store.status().get("held_s", 0) if do == "confirm" else 0
    when = f" Nothing is deleted for another {span_text(held)}, because the clock may be wrong." if held else ""
    deleted = f" Older data is deleted over the next minutes.{when}" if do == "confirm" else ""
    return rows(after), [html.P(f"Saved and in effect: {names}.{deleted}")], None, SAVE


def confirmation(preview: Mapping[str, Any]) -> list[Component]:
    """Describe what a change would delete, with the buttons of the second step."""
    lines = [
        *(_line(count(row["rows"], "part"), row) for row in preview["tiers"] if row["rows"]),
        *(
            [f"{count(row['rows'], TABLES[name])}, {bytes_text(row['bytes'])}: up to ", moment(row["until_ms"])]
            for name, row in preview["tables"].items() if row["rows"]
        ),
        *(
            _line(f"for the size limit, about {count(row['rows'], 'part')}", row)
            for row in preview["over"] if row["rows"]
        ),
    ]  # fmt: skip
    if lines:
        head = f"This deletes {bytes_text(preview['bytes'])} of the history permanently:"
    else:
        head = "This deletes nothing now; from now on data is deleted sooner."
    yes = "Delete and keep less" if lines else "Keep less"
    return [
        html.P(head, className="ask"),
        html.Ul([html.Li(line) for line in lines]),
        *(html.P(hint) for hint in preview["hints"]),
        buttons((yes, do_of("confirm"), "text danger"), ("Cancel", do_of("leave"), "text")),
    ]


def _line(parts: str, row: Mapping[str, Any]) -> list[Any]:
    what = f"{parts} of {_TIER[row['name']]}, {bytes_text(row['bytes'])}: everything before "
    return [what, moment(row["until_ms"])]


def _whole(number: float) -> float | int:
    return round(number) if abs(number) < 1e18 and abs(number - round(number)) < 1e-3 else number
