"""The energy stage at the top of the Overview. Markup only; assets/lib/overview/energy-stage.mjs draws it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from dash import html
from dash.development.base_component import Component

from wfmon.core import commands
from wfmon.core.settings import ProxySettings
from wfmon.ui.kit import ids
from wfmon.ui.kit.panels import Panel
from wfmon.ui.kit.parts import Column, live_table, note

CONSTANTS = (
    "smoothing", "weight_velocity", "weight_certainty", "weight_steadiness", "weight_velocity_alone",
    "weight_steadiness_alone",
)  # fmt: skip
"""Settings of ``energy`` used in the formulas beside the picture."""


def energy_panel(page: str, settings: Iterable[Mapping[str, Any]]) -> Panel:
    """Make the stage's panel. ``settings``: all settings as rows with ``name`` and ``value``."""
    values = {
        row["name"].removeprefix("energy."): row["value"] for row in settings if row["name"].startswith("energy.")
    }
    constants = {name: values[name] for name in CONSTANTS if name in values}
    return Panel(
        "energy",
        "Energy",
        html.Div(
            [_unseen(page)],
            className="energy-stage",
            **{"data-widget": "energy", "data-energy": json.dumps(constants, separators=(",", ":"))},
        ),
        width=12,
        now=html.Button(
            "Evidence",
            type="button",
            className="text",
            title="Show numbers and formulas beside the picture",
            **{"data-energy-evidence": "", "aria-pressed": "false", "aria-label": "Evidence: numbers and formulas"},
        ),
        foot=(note("width = throughput · speed = tokens/s · density = entropy · brightness = energy"),),
        side=(
            html.Div(**{"data-energy-legend": ""}),
            _more(),
            html.P(className="formula", **{"data-energy-formula": ""}),
        ),
        charted=False,
    )


def _more() -> Component:
    link = html.A("More on Models", href="/models", **{"data-nav": "models"})
    return html.P(link, hidden=True, className="more-models", **{"data-energy-more": ""})


def _unseen(page: str) -> Component:
    """Explain how a model is detected, shown while there is none."""
    ways = (
        ("A model server on this machine", "is detected automatically: Ollama, llama.cpp, vLLM, SGLang, LM Studio."),
        ("One line of Python", html.Code("from wfmon.hook import observe")),
        ("Any client, no code", html.Code(commands.wfmon("proxy", "--upstream", ProxySettings().upstream))),
    )
    return html.Div(
        [
            html.P("No model detected yet.", className="when-unseen lead-text"),
            html.P("No model has generated anything yet.", className="when-silent lead-text"),
            html.Ul(**{"data-energy-servers": ""}, className="when-silent"),
            html.Dl([html.Div([html.Dt(name), html.Dd(what)]) for name, what in ways], className="ways"),
            html.P(
                [
                    html.Button(
                        "Start the built-in model",
                        type="button",
                        id=ids.demo_button(page),
                        className="text primary",
                        **{"aria-label": "Start the built-in model"},
                    ),
                    html.Span(id=ids.demo_state(page), className="demo-state", role="status"),
                ],
                className="start",
            ),
        ],
        className="unseen",
    )


def last_requests() -> Component:
    """Make the table of the latest requests."""
    return live_table(
        "requests",
        "The latest requests to models on this machine",
        (
            Column("started_ms", "Start", "time"),
            Column("model", "Model"),
            Column("prompt_tokens", "In", "count", numeric=True, optional=True),
            Column("output_tokens", "Out", "count", numeric=True),
            Column("ttft_ms", "First token", "ms", numeric=True),
            Column("tokens_per_second", "Tokens/s", "rate", numeric=True),
            Column("entropy_bits", "Entropy", "bits", numeric=True, optional=True),
            Column("why", "Why slow", optional=True),
        ),
        empty="No model requests since wfmon started.",
    )


def all_requests_link() -> Component:
    """Make the link from the latest requests to all of them."""
    return html.A("See all on Models", href="/models", className="all", **{"data-nav": "models"})
