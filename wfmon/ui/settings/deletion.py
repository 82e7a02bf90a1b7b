"""Forgetting, in steps on the Settings page: what; what would go; how far it is; what became of it.

Pure functions of what ``Services`` gives; ``forgot``, ``chosen`` and ``watched`` ask, for a callback each.
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

FORM, WHAT, TEXT, LOOK = "forget-form", "forget-what", "forget-text", "forget-look"
SAID, PENDING, BEAT = "forget-said", "forget-pending", "forget-beat"
BEAT_MS = 500
"""How often the page looks how far it is."""
KNOWN = "forget-known"
WAYS = {"before": "What is older than", "series": "One series", "all": "Everything"}
AGES = ("1 day", "7 days", "30 days")
UNDERSTOOD = "Write it as “7 days”, “12 h”, “yesterday”, “2026-11-20” or “2026-11-20 14:00”."
LIVE = (
    "The live pages show the last five minutes out of memory, and the last requests until the monitor ends: "
    "neither is in the file."
)
STAGES = {
    "waiting": "It begins within a second.",
    "counting": "Looking for what goes",
    "deleting": "Deleting",
    "wiping": "It is deleted. The file is made anew, so that no byte is left; what is measured is kept meanwhile.",
}  # fmt: skip


def do_of(do: Any) -> dict[str, Any]:  # noqa: ANN401  a word, or Dash's ALL
    """Give the id of a button: "confirm", "leave", "stop", "what series", "age 7 days"."""
    return {"type": "forget-do", "do": do}


def panel(store: Mapping[str, Any], status: Mapping[str, Any]) -> Panel:
    """Make the panel. ``store``: as ``Services.store`` tells it, empty where it cannot; ``status``: how far it is."""
    busy = status["state"] in DELETION_UNDER_WAY
    body = [
        html.Div(form("before", store), id=FORM, hidden=busy),
        html.Div(
            progress(status) if busy or status["state"] == "remains" else None,
            id=SAID, className="said", **{"aria-live": "polite"},
        ),
        dcc.Store(id=PENDING), dcc.Store(id=WHAT, data="before"),
        dcc.Interval(id=BEAT, interval=BEAT_MS, disabled=not busy),
    ]  # fmt: skip
    foot = (note("what is forgotten is gone from every byte of the file; backups of yours stay"),)
    return Panel("forget", "Forget", body, width=12, charted=False, foot=foot)


def form(what: str, store: Mapping[str, Any], text: str = "") -> list[Component]:
    """Make the first step: what to forget."""
    if store and store["from_ms"] is None and not any(store["usage"]["tables"].values()):
        return [html.P("Nothing is recorded yet, so there is nothing to forget.", className="none")]
    segments = [
        html.Button(
            words, id=do_of(f"what {key}"), type="button", **{"aria-pressed": "true" if key == what else "false"}
        )
        for key, words in WAYS.items()
    ]
    series = sorted(store["usage"]["series"]) if store else []
    named = {"before": "Older than: a date, a time or an age", "series": "The series' name", "all": ""}[what]
    field = dcc.Input(
        id=TEXT, type="text", value=text, autoComplete="off", spellCheck="false", debounce=False,
        list=KNOWN if what == "series" else "", className="field",
        placeholder={"before": "7 days, 2026-11-20 14:00 …", "series": "Find: cpu, model.ttft_ms …", "all": ""}[what],
    )  # fmt: skip
    ages = [html.Button(age, id=do_of(f"age {age}"), type="button") for age in AGES if what == "before"]
    wrong = []
    if store and store["reason"] and store["state"] != "off":
        wrong = [trouble(store["reason"], "Until then nothing can be deleted.")]
    return [
        *wrong,
        html.Div(segments, className="segments", role="group", **{"aria-label": "What to forget"}),
        html.Div(
            [
                html.Label([html.Span(named, className="aside"), field], hidden=what == "all"),
                html.Datalist([html.Option(value=each) for each in series if what == "series"], id=KNOWN),
                *([html.Div(ages, className="segments", role="group", **{"aria-label": "Age"})] if ages else []),
                html.Button("See what would go", id=LOOK, type="button", className="text"),
            ],
            className="act",
        ),
        html.P(
            {
                "before": f"From every tier, the requests, the alerts and what happened. {UNDERSTOOD}",
                "series": f"One of the {len(series):,} kept, or all of a metric by its name.",
                "all": "The whole history, and the copies of it that were set aside.",
            }[what] + " What is still measured is recorded again.",
            className="hint",
        ),
    ]  # fmt: skip


def chosen(services: Services, do: str, what: str) -> tuple[Any, ...] | None:
    """Choose a way or an age: the form, the way, what is said, the focus; None for what is no choice."""
    kind, _, which = do.partition(" ")
    if kind not in ("what", "age"):
        return None
    way, text = (which, "") if kind == "what" else (what, which)
    store: Mapping[str, Any] = {}
    with contextlib.suppress(Unreadable):  # the form needs little of it, and the page says elsewhere what is wrong
        store = services.store.status()
    return form(way, store, text), way, None, do_of(do)


def before_of(text: str, now_ms: int, zone: tzinfo) -> int:
    """Read an instant that is past, or an age, in the user's zone; gives UTC milliseconds. Raises NotUnderstood."""
    plain = text.strip().lower().removesuffix(" ago")
    found = ranges.instant(plain, now_ms, zone) if plain else None
    if found is None:
        what = f"“{text.strip()[:60]}” is no time that is understood." if plain else "No time was given."
        raise ranges.NotUnderstood(f"{what} {UNDERSTOOD}")
    if not 0 <= found <= now_ms:
        raise ranges.NotUnderstood(f"“{text.strip()[:60]}” is not past. {UNDERSTOOD}")
    return found


def forgot(
    services: Services, do: str, what: str, text: str, pending: Mapping[str, Any] | None, now_ms: int, zone: tzinfo
) -> tuple[Any, ...]:
    """Look, confirm, leave, stop: what is said, what awaits the next step, whether to watch, form hidden, the focus."""
    try:
        if do == "look":
            asked = _asked(what, text, now_ms, zone)
            told = services.store.preview_deletion(what=asked)
            return goes(told, sure=False), asked, True, False, do_of("confirm") if _any(told) else LOOK
        if do == "confirm" and pending == {"all": True}:
            told = services.store.preview_deletion(what=pending)
            return goes(told, sure=True), {**pending, "sure": True}, True, False, do_of("confirm")
        if do == "confirm" and pending:
            asked = {name: value for name, value in pending.items() if name != "sure"}
            return progress(services.store.delete(what=asked)), None, False, True, ""
        if do == "stop":
            services.store.cancel_deletion()
            return progress(services.store.deletion()), None, False, True, ""
    except Refused as error:
        fix = "Choose one of those that the field offers." if error.field == "series" else error.fix
        return [trouble(str(error), fix)], None, True, False, TEXT
    except (Busy, Unreadable) as error:
        return [trouble(str(error), error.fix)], None, isinstance(error, Unreadable), False, LOOK
    return [html.P("Nothing was deleted.")], None, True, False, LOOK


def watched(services: Services) -> tuple[Any, ...]:
    """Look how far it is: what is said, whether to stop watching, whether the form is hidden, where the focus goes."""
    status = services.store.deletion()
    busy = status["state"] in DELETION_UNDER_WAY
    again = status["state"] == "remains"  # it is looked at until the bytes are wiped, and the form is free meanwhile
    return progress(status), not (busy or again), busy, no_update if busy or again else LOOK


def goes(told: Mapping[str, Any], *, sure: bool) -> list[Component]:
    """Say what would go, with the buttons of the second step."""
    if not _any(told):
        return [html.P("Nothing would go: there is no such thing in the history.")]
    everything = told["asked"] == {"all": True}
    yes = "Delete it" if not everything else "Yes, delete everything" if sure else "Delete everything"
    head = "There is no way back. " if sure else ""
    return [
        html.P([head, "This deletes ", *sentence(told), "."], className="ask"),
        *details(told),
        buttons((yes, do_of("confirm"), "text danger"), ("Leave it", do_of("leave"), "text")),
    ]


def sentence(told: Mapping[str, Any]) -> list[Any]:
    """Say what goes in one line: parts, series, bytes, until when."""
    until = [", all before ", moment(told["before_ms"])] if told["before_ms"] is not None else []
    return [
        f"{count(told['parts'] + told['cut'], 'part')} of {told['touched']:,} series, {bytes_text(told['bytes'])}",
        *until,
    ]


def details(told: Mapping[str, Any]) -> list[Component]:
    """Say what goes beside the parts, and what stays that one might take for gone."""
    rows = [count(number, TABLES[name]) for name, number in told["rows"].items() if number]
    names = told["series"][:5] if told["asked"] != {"all": True} else []
    more = len(told["series"]) - len(names)
    lines = [
        *([f"With it go {_listed(rows)}."] if rows else []),
        *([["With their names: ", *_codes(names), f" and {more:,} more" if more else "", "."]] if names else []),
        *([f"Copies beside it stay: {', '.join(each['name'] for each in told['copies'])}."] if told["copies"] else []),
    ]
    return [html.Ul([html.Li(line) for line in lines])] if lines else []


def progress(status: Mapping[str, Any]) -> list[Component]:
    """Say how far it is, or what became of it."""
    state = status["state"]
    if state in DELETION_UNDER_WAY:
        bar = html.Progress(**({"value": status["done"], "max": status["of"]} if status["of"] else {}))
        share = f", {status['done'] / status['of']:.0%}" if status["of"] else ""
        stop = [buttons(("Call it off", do_of("stop"), "text"))] if status["can_stop"] else []
        return [html.P(f"{STAGES[state]}{share if state in ('counting', 'deleting') else ''}"), bar, *stop]
    if state == "called_off":
        return [html.P("It was called off: nothing was deleted.")]
    if state == "failed":
        return [trouble(status["reason"])]
    if state not in ("done", "remains") or status["gone"] is None:
        return []
    wiped = [trouble(status["reason"])] if state == "remains" else []
    return [
        html.P(["Deleted: ", *sentence(status["gone"]), "."], className="done"),
        *wiped, *details(status["gone"]), html.P(LIVE, className="hint"),
    ]  # fmt: skip


def _asked(what: str, text: str, now_ms: int, zone: tzinfo) -> dict[str, Any]:
    if what == "all":
        return {"all": True}
    return {"series": text.strip()} if what == "series" else {"before_ms": before_of(text, now_ms, zone)}


def _any(told: Mapping[str, Any]) -> bool:
    return bool(told["parts"] or told["cut"] or told["series"] or any(told["rows"].values()))


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _codes(names: Sequence[str]) -> list[Any]:
    return [part for name in names for part in (", ", html.Code(name))][1:]
