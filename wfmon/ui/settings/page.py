"""The Settings page's parts: every setting and the source of its value; what is recorded, and how much.

Pure functions of data from `Services`, except `data_of` and `switch_recording`.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dash import html
from dash.development.base_component import Component

from wfmon.core import commands as core_commands
from wfmon.core.errors import NotSaved, Unreadable
from wfmon.core.services import Services
from wfmon.core.settings import default_data_dir
from wfmon.ui.kit.panels import Group, Panel
from wfmon.ui.kit.parts import note
from wfmon.ui.settings.parts import bytes_text, moment, origin, span_text, table

SWITCH, STATE_TEXT, DATA = "record-switch", "record-told", "settings-data"
WRONG, AGAIN = "settings-wrong", "settings-again"
"""Ids of what the callback reads and writes."""
LARGEST = 20
"""The most series listed by size."""
STATES = {
    "recording": "Recording",
    "off": "Recording is off",
    "full": "Waiting: the disk is full",
    "locked": "Waiting: the file is locked",
    "newer": "Not recording: the file is from a newer wfmon",
    "failed": "Waiting: the file cannot be written",
}
SECTIONS = {
    "server": "The listener",
    "collect.system": "Collector: CPU, memory, disk, temperatures",
    "collect.gpu": "Collector: graphics cards",
    "collect.network": "Collector: traffic on localhost",
    "collect.monitor": "Collector: wfmon itself",
    "collect.ux": "Collector: open pages",
    "collect.model": "Collector: hooks and the proxy",
    "collect.servers": "Collector: model servers",
    "window": "The live window",
    "stream": "The stream",
    "store": "The history",
    "analyse": "The analysis",
    "log": "Log files",
    "energy": "The energy index",
    "proxy": "The proxy",
    "demo": "The built-in model",
    "": "General",
}
"""Section titles; a section without a title here is shown by its name."""
COMMANDS = (
    ("Show what is recorded", "info"),
    ("Check the whole file", "check"),
    ("Back up, even while wfmon runs", "backup ~/wfmon-backup.db"),
    ("Restore, after stopping wfmon", "restore ~/wfmon-backup.db"),
    ("Delete, after stopping wfmon; add --yes to confirm", 'forget --before "7 days"'),
)
"""Terminal commands for the file."""


@dataclass(frozen=True, slots=True)
class Data:
    """The page's data on the history. ``wrong``: why there is none."""

    store: Mapping[str, Any]
    wrong: str = ""


def data_of(services: Services) -> Data:
    """Read the status of the history; an error becomes ``Data.wrong``."""
    try:
        return Data(services.store.status())
    except Unreadable as error:
        return Data({}, error.sentences)


def switch_recording(services: Services, way: str) -> tuple[Any, ...]:
    """Turn recording "on" or "off", or leave it (""); returns the callback's outputs, in order."""
    failed = ""
    if way:
        try:
            services.store.record(enabled=way == "on")
        except NotSaved as error:
            failed = error.sentences
    data = data_of(services)
    line = wrong_line(replace(data, wrong=failed) if failed else data)
    on = "true" if is_on(data) else "false"
    return on, state_words(data), data_body(data), line.children, line.className, line.hidden


# --- texts


def value_text(value: object) -> str:
    """Format a setting's value as in config.yaml."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value in ("", None):
        return "empty"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def section_of(name: str) -> tuple[str, str]:
    """Split a setting's name into section and rest: ``collect.gpu``, ``rate_hz``."""
    section, _, last = name.rpartition(".")
    return section, last


def grouped(table: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Group the settings by section, in order; those without a section come last."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for row in table:
        found.setdefault(section_of(row["name"])[0], []).append(row)
    bare = found.pop("", None)
    return {**found, "": bare} if bare else found


def wrong_of(data: Data) -> str:
    """Describe in one line what is wrong with the history; "" if nothing is."""
    store = data.store
    return data.wrong or " ".join(filter(None, (store["reason"], store["notice"])))


def largest(store: Mapping[str, Any]) -> list[tuple[str, int, float]]:
    """Return the largest series: name, bytes, share of all series."""
    sizes: Mapping[str, int] = {text: size for text, size in store["usage"]["series"].items() if size}
    whole = sum(sizes.values()) or 1
    order = sorted(sizes.items(), key=lambda each: (-each[1], each[0]))[:LARGEST]
    return [(text, size, size / whole) for text, size in order]


# --- markup


def wrong_line(data: Data) -> Component:
    """Make the line at the top of the page: a problem, or a notice about this start."""
    text = wrong_of(data)
    trouble = bool(data.wrong or data.store.get("reason"))
    return html.P(text, id=WRONG, className=f"page-note{' bad' if trouble else ''}", role="status", hidden=not text)


def groups(table: Sequence[Mapping[str, Any]], data: Data, more: Sequence[Panel] = ()) -> tuple[Group, Group]:
    """Make the page's groups: data with the retention and deletion panels, then one panel per section."""
    record = html.Div([record_switch(on=is_on(data)), html.Div(state_words(data), id=STATE_TEXT)], className="record")
    kept = Panel(
        "data",
        "The history",
        [record, html.Div(data_body(data), id=DATA), _commands(data)],
        width=12,
        now=_again(),
        foot=(note("prompt and answer text is never stored, and nothing leaves this machine"),),
        charted=False,
    )
    sections = [
        Panel(
            f"settings-{section.replace('.', '-') or 'general'}",
            SECTIONS.get(section, section),
            _settings_table(section, rows),
            width=12,
            charted=False,
        )
        for section, rows in grouped(table).items()
    ]
    lead = "Later sources override earlier ones: defaults, config.yaml, changes on a page, the command line."
    about = "What is recorded, how much, how long it is kept, and how to delete it."
    return Group((kept, *more), "Data", about), Group(sections, "Settings", lead)


def _again() -> Component:
    return html.Button(
        "Refresh", id=AGAIN, type="button", className="text", **{"aria-label": "Refresh: update the figures"}
    )


def is_on(data: Data) -> bool:
    """Return whether recording is on, even if it cannot write at the moment."""
    return data.store.get("state", "recording") != "off"


def state_words(data: Data) -> list[Component]:
    """Make the text beside the switch: the state and the reason."""
    if data.wrong:
        return [html.P("Unknown", className="state-line bad"), html.P(data.wrong, className="state-why")]
    store, state = data.store, data.store["state"]
    good = "Earlier recordings are kept." if state == "off" else "Every series, once a second."
    waits = [" Since ", moment(store["since_ms"]), "."] if store["reason"] and store["since_ms"] else []
    return [
        html.P(STATES.get(state, state), className=f"state-line{'' if state in ('recording', 'off') else ' bad'}"),
        html.P([store["reason"] or good, *waits], className="state-why"),
    ]


def data_body(data: Data) -> list[Component]:
    """Make the changing part of the data panel: figures, tiers and series."""
    if data.wrong:
        return [html.P("No figures available.", className="none")]
    store = data.store
    usage = store["usage"]
    since = [moment(store["from_ms"])] if store["from_ms"] is not None else ["nothing yet"]
    limit = store["keep"]["max_bytes"]
    facts = (
        ("Recorded since", since),
        ("File size", [bytes_text(usage["bytes"]), html.Small(f" of at most {bytes_text(limit)}")]),
        ("Write-ahead log", [bytes_text(usage["wal_bytes"])]),
        ("Free space inside the file", [bytes_text(usage["free_bytes"])]),
        ("Requests", _rows(usage, store, "request")),
        ("Events: starts, sleep, clock", _rows(usage, store, "annotation")),
        ("Alerts", _rows(usage, store, "alert")),
        ("Series", [f"{len(usage['series']):,}"]),
    )
    path = html.P(["Stored in ", html.Code(store["path"]), ", readable only by you."], className="path")
    return [
        html.Dl([html.Div([html.Dt(name), html.Dd(what)]) for name, what in facts], className="data-facts"),
        path,
        html.Div([_tiers(store), _largest(store)], className="data-tables"),
    ]


def _rows(usage: Mapping[str, Any], store: Mapping[str, Any], table: str) -> list[Component | str]:
    kept = store["keep"]["tables"].get(table)
    small = [html.Small(f" kept {span_text(kept)}")] if kept else []
    return [f"{usage['tables'].get(table, 0):,}", *small]


def record_switch(*, on: bool) -> Component:
    """Make the switch for recording."""
    return html.Button(
        html.I(),
        id=SWITCH,
        type="button",
        role="switch",
        className="switch",
        **{"aria-checked": "true" if on else "false", "aria-label": "Record measurements"},
    )


def _tiers(store: Mapping[str, Any]) -> Component:
    rows = [
        (
            f"1 {_step(tier['step_s'])}" if tier["step_s"] in (1, 60, 3_600) else _step(tier["step_s"]),
            span_text(kept),
            moment(tier["first_s"] * 1000) if tier["first_s"] is not None else "–",
            f"{tier['chunks']:,}",
            bytes_text(tier["bytes"]),
        )
        for tier, kept in zip(store["usage"]["tiers"], store["keep"]["tiers"], strict=True)
    ]
    heads = (("Resolution", ""), ("Kept for", ""), ("Data since", "opt"), ("Chunks", "num opt"), ("Bytes", "num"))
    return html.Div([html.H4("Tiers"), table("Tiers of the history", heads, rows)])


def _step(seconds: int) -> str:
    return span_text(seconds).removeprefix("1 ")


def _largest(store: Mapping[str, Any]) -> Component:
    found = largest(store)
    title = html.H4("The largest series")
    if not found:
        return html.Div([title, html.P("Nothing is sealed yet; the first chunk takes five minutes.", className="none")])
    rows = [
        (
            html.Code(name, title=name),
            html.Span(html.I(style={"width": f"{share * 100:.1f}%"}), className="share", **{"aria-hidden": "true"}),
            f"{share * 100:.1f} %",
            bytes_text(size),
        )
        for name, size, share in found
    ]
    heads = (("Series", ""), ("", "opt"), ("Share", "num opt"), ("Bytes", "num"))
    return html.Div([title, table("The largest series of the history", heads, rows)])


def commands(path: str) -> list[tuple[str, str]]:
    """Return the terminal commands for the file at ``path``, each with its description."""
    folder = Path(path).parent
    where = "" if not path or folder == default_data_dir() else f" --data {shlex.quote(str(folder))}"
    return [(words, f"{core_commands.wfmon('store')} {what}{where}") for words, what in COMMANDS]


def _commands(data: Data) -> Component:
    rows = [
        html.Div([html.Dt(words), html.Dd(html.Code(command))])
        for words, command in commands(data.store.get("path", ""))
    ]
    return html.Div([html.H4("From a terminal"), html.Dl(rows)], className="commands")


def _settings_table(section: str, rows: Sequence[Mapping[str, Any]]) -> Component:
    heads = (("Setting", ""), ("Value", ""), ("Source", ""), ("A change takes effect", "opt"))
    return table(
        f"Settings: {SECTIONS.get(section, section)}",
        heads,
        [
            (
                [html.Code(row["name"]), html.Small(row["help"])],
                [html.Span(value_text(row["value"]), className="set-value"), *_default(row)],
                origin(row["origin"]),
                "at the next start" if row["restart"] else _where(row["name"]),
            )
            for row in rows
        ],
    )  # fmt: skip


def _default(row: Mapping[str, Any]) -> list[Component]:
    same = row["value"] == row["default"]
    return [] if same else [html.Small(f"default {value_text(row['default'])}")]


def _where(name: str) -> Component | str:
    """Say where to change a setting that takes effect immediately."""
    if name.startswith("collect."):
        return html.A("immediately, on System", href="/system", **{"data-nav": "system"})
    return "immediately, above" if name.startswith("store.") else "immediately"
