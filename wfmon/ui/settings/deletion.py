"""Deleting data on the Settings page, in steps: choose, preview, confirm, progress, result.

Pure functions of data from ``Services``, except ``choose``, ``act`` and ``poll``, which a callback each calls.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any

from dash import dcc, html, no_update
from dash.development.base_component import Component

from wfmon.core.answers.store import DELETION_UNDER_WAY
from wfmon.core.errors import Busy, Refused, Unreadable
from wfmon.core.services import Services
from wfmon.ui.kit import ranges
from wfmon.ui.kit.panels import Panel
from wfmon.ui.kit.parts import note
from wfmon.ui.settings.parts import buttons, bytes_text, count, moment, trouble
from wfmon.ui.settings.retention import TABLES

FORM, WHAT, TEXT, PREVIEW = "forget-form", "forget-what", "forget-text", "forget-look"
STATUS, PENDING, TIMER = "forget-said", "forget-pending", "forget-beat"
POLL_MS = 500
"""How often the page polls the progress."""
SUGGESTIONS = "forget-known"
CHOICES = {"before": "Older than", "series": "One series", "all": "Everything"}
AGES = ("1 day", "7 days", "30 days")
UNDERSTOOD = "Write for example “7 days”, “12 h”, “yesterday”, “2026-11-20” or “2026-11-20 14:00”."
LIVE = (
    "The live pages still show the last five minutes from memory, and the latest requests until the monitor stops. "
    "Neither is in the file."
)
STAGES = {
    "waiting": "Starting within a second.",
    "counting": "Finding the data to delete",
    "deleting": "Deleting",
    "wiping": "The data is deleted. The file is being rewritten so that no byte is left; recording goes on.",
}  # fmt: skip


def do_of(do: Any) -> dict[str, Any]:  # noqa: ANN401  a word, or Dash's ALL
    """Return the id of a button: "confirm", "leave", "stop", "what series", "age 7 days"."""
    return {"type": "forget-do", "do": do}


def panel(store: Mapping[str, Any], status: Mapping[str, Any]) -> Panel:
    """Make the panel. ``store``: the status of the store, empty if unreadable; ``status``: of a deletion."""
    busy = status["state"] in DELETION_UNDER_WAY
    body = [
        html.Div(form("before", store), id=FORM, hidden=busy),
        html.Div(
            progress(status) if busy or status["state"] == "remains" else None,
            id=STATUS, className="said", **{"aria-live": "polite"},
        ),
        dcc.Store(id=PENDING), dcc.Store(id=WHAT, data="before"),
        dcc.Interval(id=TIMER, interval=POLL_MS, disabled=not busy),
    ]  # fmt: skip
    foot = (note("deleted data is removed from every byte of the file; your own backups are not touched"),)
    return Panel("forget", "Delete data", body, width=12, charted=False, foot=foot)


def form(what: str, store: Mapping[str, Any], text: str = "") -> list[Component]:
    """Make the first step: what to delete."""
    if store and store["from_ms"] is None and not any(store["usage"]["tables"].values()):
        return [html.P("Nothing is recorded yet, so there is nothing to delete.", className="none")]
    segments = [
        html.Button(
            words, id=do_of(f"what {key}"), type="button", **{"aria-pressed": "true" if key == what else "false"}
        )
        for key, words in CHOICES.items()
    ]
    series = sorted(store["usage"]["series"]) if store else []
    named = {"before": "Older than: a date, a time or an age", "series": "Series name", "all": ""}[what]
    field = dcc.Input(
        id=TEXT, type="text", value=text, autoComplete="off", spellCheck="false", debounce=False,
        list=SUGGESTIONS if what == "series" else "", className="field",
        placeholder={"before": "7 days, 2026-11-20 14:00 …", "series": "Find: cpu, model.ttft_ms …", "all": ""}[what],
    )  # fmt: skip
    ages = [html.Button(age, id=do_of(f"age {age}"), type="button") for age in AGES if what == "before"]
    wrong = []
    if store and store["reason"] and store["state"] != "off":
        wrong = [trouble(store["reason"], "Until then nothing can be deleted.")]
    return [
        *wrong,
        html.Div(segments, className="segments", role="group", **{"aria-label": "What to delete"}),
        html.Div(
            [
                html.Label([html.Span(named, className="aside"), field], hidden=what == "all"),
                html.Datalist([html.Option(value=each) for each in series if what == "series"], id=SUGGESTIONS),
                *([html.Div(ages, className="segments", role="group", **{"aria-label": "Age"})] if ages else []),
                html.Button("Preview", id=PREVIEW, type="button", className="text"),
            ],
            className="act",
        ),
        html.P(
            {
                "before": f"Deletes from every tier, and requests, alerts and events. {UNDERSTOOD}",
                "series": f"One of the {len(series):,} recorded series, or all series of a metric by its name.",
                "all": "The whole history, and the copies of it that were set aside.",
            }[what] + " Series that are still measured are recorded again.",
            className="hint",
        ),
    ]  # fmt: skip


def choose(services: Services, do: str, what: str) -> tuple[Any, ...] | None:
    """Handle a choice of what or an age; returns form, choice, status, focus, or None for any other button."""
    kind, _, which = do.partition(" ")
    if kind not in ("what", "age"):
        return None
    way, text = (which, "") if kind == "what" else (what, which)
    store: Mapping[str, Any] = {}
    with contextlib.suppress(Unreadable):  # the form works without it, and the page reports the error elsewhere
        store = services.store.status()
    return form(way, store, text), way, None, do_of(do)


def before_of(text: str, now_ms: int, zone: tzinfo) -> int:
    """Parse a past instant in the user's zone, or an age, to UTC milliseconds. Raises NotUnderstood."""
    plain = text.strip().lower().removesuffix(" ago")
    found = ranges.instant(plain, now_ms, zone) if plain else None
    if found is None:
        what = f"“{text.strip()[:60]}” is not a valid time." if plain else "The time is empty."
        raise ranges.NotUnderstood(f"{what} {UNDERSTOOD}")
    if not 0 <= found <= now_ms:
        raise ranges.NotUnderstood(f"“{text.strip()[:60]}” is not in the past. {UNDERSTOOD}")
    return found


def act(
    services: Services, do: str, what: str, text: str, pending: Mapping[str, Any] | None, now_ms: int, zone: tzinfo
) -> tuple[Any, ...]:
    """Handle preview, confirm, cancel, stop; returns status, pending step, timer off, form hidden, focus."""
    try:
        if do == "preview":
            request = _request(what, text, now_ms, zone)
            preview = services.store.preview_deletion(what=request)
            focus = do_of("confirm") if _deletes_anything(preview) else PREVIEW
            return confirmation(preview, sure=False), request, True, False, focus
        if do == "confirm" and pending == {"all": True}:
            preview = services.store.preview_deletion(what=pending)
            return confirmation(preview, sure=True), {**pending, "sure": True}, True, False, do_of("confirm")
        if do == "confirm" and pending:
            request = {name: value for name, value in pending.items() if name != "sure"}
            return progress(services.store.delete(what=request)), None, False, True, ""
        if do == "stop":
            services.store.cancel_deletion()
            return progress(services.store.deletion()), None, False, True, ""
    except Refused as error:
        fix = "Choose one of the suggested series." if error.field == "series" else error.fix
        return [trouble(str(error), fix)], None, True, False, TEXT
    except (Busy, Unreadable) as error:
        return [trouble(str(error), error.fix)], None, isinstance(error, Unreadable), False, PREVIEW
    return [html.P("Nothing was deleted.")], None, True, False, PREVIEW


def poll(services: Services) -> tuple[Any, ...]:
    """Poll the progress; returns status, timer off, form hidden, focus."""
    status = services.store.deletion()
    busy = status["state"] in DELETION_UNDER_WAY
    again = status["state"] == "remains"  # polled until the bytes are wiped; the form is usable meanwhile
    return progress(status), not (busy or again), busy, no_update if busy or again else PREVIEW


def confirmation(preview: Mapping[str, Any], *, sure: bool) -> list[Component]:
    """Describe what would be deleted, with the buttons of the second step."""
    if not _deletes_anything(preview):
        return [html.P("Nothing to delete: no recorded data matches.")]
    everything = preview["asked"] == {"all": True}
    yes = "Delete" if not everything else "Yes, delete everything" if sure else "Delete everything"
    head = "This cannot be undone. " if sure else ""
    return [
        html.P([head, "This deletes ", *summary(preview), "."], className="ask"),
        *details(preview),
        buttons((yes, do_of("confirm"), "text danger"), ("Cancel", do_of("leave"), "text")),
    ]


def summary(preview: Mapping[str, Any]) -> list[Any]:
    """Summarise the deleted data in one line: parts, series, bytes, end."""
    until = [", all before ", moment(preview["before_ms"])] if preview["before_ms"] is not None else []
    parts = count(preview["parts"] + preview["cut"], "part")
    return [f"{parts} of {preview['touched']:,} series, {bytes_text(preview['bytes'])}", *until]


def details(preview: Mapping[str, Any]) -> list[Component]:
    """List what else is deleted, and which copies are not."""
    rows = [count(number, TABLES[name]) for name, number in preview["rows"].items() if number]
    names = preview["series"][:5] if preview["asked"] != {"all": True} else []
    more = len(preview["series"]) - len(names)
    lines = [
        *([f"Also deleted: {_listed(rows)}."] if rows else []),
        *(
            [["Including these series names: ", *_codes(names), f" and {more:,} more" if more else "", "."]]
            if names
            else []
        ),
        *(
            [f"Not deleted, your copies in the same folder: {', '.join(each['name'] for each in preview['copies'])}."]
            if preview["copies"]
            else []
        ),
    ]
    return [html.Ul([html.Li(line) for line in lines])] if lines else []


def progress(status: Mapping[str, Any]) -> list[Component]:
    """Show the progress, or the result."""
    state = status["state"]
    if state in DELETION_UNDER_WAY:
        bar = html.Progress(**({"value": status["done"], "max": status["of"]} if status["of"] else {}))
        share = f", {100 * status['done'] / status['of']:.0f} %" if status["of"] else ""
        stop = [buttons(("Cancel the deletion", do_of("stop"), "text"))] if status["can_stop"] else []
        return [html.P(f"{STAGES[state]}{share if state in ('counting', 'deleting') else ''}"), bar, *stop]
    if state == "called_off":
        return [html.P("The deletion was cancelled; nothing was deleted.")]
    if state == "failed":
        return [trouble(status["reason"])]
    if state not in ("done", "remains") or status["gone"] is None:
        return []
    wiped = [trouble(status["reason"])] if state == "remains" else []
    return [
        html.P(["Deleted: ", *summary(status["gone"]), "."], className="done"),
        *wiped, *details(status["gone"]), html.P(LIVE, className="hint"),
    ]  # fmt: skip


def _request(what: str, text: str, now_ms: int, zone: tzinfo) -> dict[str, Any]:
    if what == "all":
        return {"all": True}
    return {"series": text.strip()} if what == "series" else {"before_ms": before_of(text, now_ms, zone)}


def _deletes_anything(preview: Mapping[str, Any]) -> bool:
    return bool(preview["parts"] or preview["cut"] or preview["series"] or any(preview["rows"].values()))


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _codes(names: Sequence[str]) -> list[Any]:
    return [part for name in names for part in (", ", html.Code(name))][1:]
