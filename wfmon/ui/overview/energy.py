"""The energy stage: what leads the Overview. Markup only; assets/lib/overview/energy-stage.mjs brings it to life."""

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
"""Settings of ``energy`` that the formulas beside the picture name."""


def energy_panel(page: str, settings: Iterable[Mapping[str, Any]]) -> Panel:
    """Make the stage's panel. ``settings``: rows with ``name`` and ``value``, of which those of energy are taken."""
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
            title="Numbers and formulas beside the picture",
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
    link = html.A("and more on Models", href="/models", **{"data-nav": "models"})
    return html.P(link, hidden=True, className="more-models", **{"data-energy-more": ""})


def _unseen(page: str) -> Component:
    """Say how a model is seen, for those who have none to look at yet."""
    ways = (
        ("A model server on this machine", "is found by itself: Ollama, llama.cpp, vLLM, SGLang, LM Studio."),
        ("One line of Python", html.Code("from wfmon.hook import observe")),
        ("Any client, no code", html.Code(commands.wfmon("proxy", "--upstream", ProxySettings().upstream))),
    )
    return html.Div(
        [
            html.P("No model was seen yet.", className="when-unseen lead-text"),
            html.P("No model was seen at work yet.", className="when-silent lead-text"),
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
    """Make the table of the newest requests."""
    return live_table(
        "requests",
        "The newest requests to models of this machine",
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
        empty="No request to a model was seen since wfmon started.",
    )


def all_requests_link() -> Component:
    """Make the way from the newest requests to all of them."""
    return html.A("All on Models", href="/models", className="all", **{"data-nav": "models"})
