"""The Models page's parts: a model's card, the tables of requests and servers, and what stands there before.

The card is a template: `%MODEL%` and `%SERVER%` in its attributes are filled in by
assets/lib/models/model-cards.mjs, once a model, and the engine brings each copy to life like any other markup.
"""

from __future__ import annotations

from collections.abc import Sequence

from dash import html
from dash.development.base_component import Component

from wfmon.core import commands
from wfmon.core.catalogue import METRICS
from wfmon.core.settings import ProxySettings
from wfmon.ui.kit import ids
from wfmon.ui.kit.parts import Column, Content, Stat, chart, meter, value

_FILLED = {"model": "%MODEL%", "server": "%SERVER%"}
STRIP_SERIES = ("model.chunk_tokens", "model.entropy_bits", "model.inter_token_latency_ms", "model.ttft_ms")
"""What the token strip draws; with `model.energy_state`, which says that a stall goes on."""
RAMP = 6
"""Colours between sure and unsure, `--h-0` to `--h-5` in assets/models.css."""


def of_model(metric: str, **labels: str) -> str:
    """Give the selector of a card's series: its labels stand for the card's model. Raises KeyError."""
    given = {**_FILLED, **labels}
    inside = ",".join(f'{name}="{given.get(name, "*")}"' for name in METRICS[metric].labels)
    return f"{metric}{{{inside}}}"


def cards() -> Component:
    """Make the place of the cards, and what stands there while no model was ever seen."""
    return html.Div(
        [
            html.Div(className="cards"),
            html.Div(_unseen(), className="no-models", hidden=True),
            html.P(
                html.Button("Show all models", type="button", className="text", **{"aria-label": "Show all models"}),
                className="all-models",
                hidden=True,
            ),
            _demo(),
        ],
        className="models",
        **{"data-widget": "models", "data-watches": "models"},
    )


def _unseen() -> Content:
    default = ProxySettings()
    ways = (
        (
            "Start a model server",
            "Ollama, llama.cpp, vLLM, SGLang, LM Studio and their like are found by themselves and read once a second.",
            "",
        ),
        (
            "Ask through the proxy",
            "Every client of a local server is seen token by token, without a line of code:",
            commands.wfmon("proxy", "--upstream", default.upstream, "--listen", default.listen),
        ),
        (
            "Add one line to your program",
            "The model's own process tells each token as it comes, with its entropy where the runtime gives it:",
            'from wfmon.hook import observe\nfor token in observe(stream, model="name"): ...',
        ),
    )
    items = [
        html.Li([html.B(title), html.Span(words), *([html.Code(code, className="block")] if code else [])])
        for title, words, code in ways
    ]
    return [html.P("No model was seen yet.", className="lead-line"), html.P(className="why"), html.Ol(items)]


def _demo() -> Component:
    start, stop = "Start the built-in model", "Stop the built-in model"
    return html.Div(
        [
            html.P(
                "The built-in n-gram model is off.",
                id=ids.demo_state("models"),
                className="demo-state off",
                role="status",
                **{"data-state": "off"},
            ),
            html.Button(
                start,
                id=ids.demo_button("models"),
                type="button",
                className="text primary start",
                **{"aria-label": start},
            ),
            html.Button(
                stop,
                id=ids.demo_button("models", ids.DEMO_STOP),
                type="button",
                className="text stop",
                **{"aria-label": stop},
            ),
        ],
        className="demo",
    )


def template() -> Component:
    """Make the card of a model, hidden: what the engine copies. It stands outside of all panels."""
    return html.Div(
        html.Article([_head(), _figures(), _charts(), _strip(), _foot()], className="card"),
        hidden=True,
        **{"data-template": "model-card"},
    )


def _head() -> Component:
    return html.Header(
        [
            html.I(className="swatch", **{"aria-hidden": "true"}),
            html.H3(className="name", **{"data-field": "model"}),
            html.P(className="where", **{"data-field": "where"}),
            html.P(className="pill", **{"data-field": "via"}),
            html.P(className="pill state", **{"data-field": "state", "data-series": "model.energy_state"}),
        ]
    )


def _fact(name: str, metric: str, figure: Content, *more: Component | str, field: str = "") -> Component:
    """One line of a card: its name, its figure, and below it what else there is to say. Hovered, it tells more."""
    small = [html.Small(list(more))] if more else []
    data = {"data-metric": metric, "data-help": METRICS[metric].help}
    if field:
        data["data-fact-of"] = field
    return html.Div([html.Dt(name), html.Dd([html.Span(figure, className="fig"), *small])], **data)


def _value(metric: str, stat: Stat = "last", unit: str = "", absent: str = "n/a", **labels: str) -> Component:
    return value(of_model(metric, **labels), stat=stat, unit=unit, absent=absent)


def _list(title: str, *facts: Component) -> Component:
    return html.Div([html.P(title, className="title"), html.Dl(list(facts))], className="facts")


def _quantiles(metric: str) -> tuple[Component | str, ...]:
    return ("p50 ", _value(metric, "p50", absent="–"), " · p95 ", _value(metric, "p95", absent="–"))


def _figures() -> Component:
    energy = of_model("model.energy")
    speed = html.Div(
        [
            html.P(_value("model.tokens_per_second", unit="tokens/s"), className="big"),
            html.Dl(
                [
                    _fact("Of its own peak", "model.throughput_percent", [_value("model.throughput_percent")]),
                    _fact(
                        "Energy, 0 to 1",
                        "model.energy",
                        [meter(energy, 1, "%COLOR%"), _value("model.energy", unit="index")],
                    ),
                    _fact("Tokens in all", "model.tokens_total", _value("model.tokens_total")),
                    _fact("Prompt tokens in all", "model.prompt_tokens_total", _value("model.prompt_tokens_total")),
                ]
            ),
        ],
        className="facts speed",
        **{"data-metric": "model.tokens_per_second", "data-help": METRICS["model.tokens_per_second"].help},
    )
    between = "model.inter_token_latency_ms"
    return html.Div(
        [
            speed,
            _list(
                "Time",
                _fact("First token", "model.ttft_ms", _value("model.ttft_ms"), *_quantiles("model.ttft_ms")),
                _fact("Between tokens", between, _value(between), *_quantiles(between)),
                _fact("Per output token", "model.time_per_output_token_ms", _value("model.time_per_output_token_ms")),
                _fact("Request", "model.request_duration_ms", _value("model.request_duration_ms")),
            ),
            _list(
                "Sureness",
                _fact(
                    "Entropy",
                    "model.entropy_bits",
                    _value("model.entropy_bits"),
                    _value("model.entropy_low_bits", absent="–"),
                    " to ",
                    _value("model.entropy_high_bits", absent="–"),
                    " · k ",
                    _value("model.entropy_k", absent="–"),
                    field="entropy",
                ),
                _fact("Certainty", "model.certainty", _value("model.certainty", unit="index"), field="entropy"),
                _fact("Disagreement", "model.disagreement", _value("model.disagreement")),
            ),
            _list(
                "Before the first token",
                _fact(
                    "Prompt read",
                    "model.prompt_tokens_per_second",
                    _value("model.prompt_tokens_per_second", unit="tokens/s"),
                ),
                _fact("Queue wait", "model.queue_wait_ms", _value("model.queue_wait_ms")),
                _fact("Load", "model.load_ms", _value("model.load_ms")),
                _fact(
                    "Open, waiting",
                    "model.requests_active",
                    [_value("model.requests_active"), ", ", _value("model.requests_waiting")],
                ),
                _fact("Prompt from cache", "model.cache_hit_percent", _value("model.cache_hit_percent")),
            ),
            _list(
                "Machine",
                _fact("GPU memory", "model.vram_bytes", _value("model.vram_bytes")),
                _fact("KV cache", "model.kv_cache_percent", _value("model.kv_cache_percent")),
                _fact("Batch", "model.batch_size", _value("model.batch_size")),
                _fact("Joules per token", "model.joules_per_token", _value("model.joules_per_token")),
                _fact(
                    "Requests ended",
                    "model.requests_total",
                    _value("model.requests_total", status="*"),
                    "ok ",
                    _value("model.requests_total", absent="0", status="ok"),
                    " · errors ",
                    _value("model.requests_total", absent="0", status="error"),
                ),
            ),
        ],
        className="figures",
    )


def _charts() -> Component:
    def small(title: str, *metrics: str, colors: Sequence[str] = ("%COLOR%",), high: float | None = None) -> Component:
        picture = chart(*map(of_model, metrics), label=f"{title} of %MODEL%", height=64, colors=colors, high=high)
        of_entropy = {"data-fact-of": "entropy"} if metrics[-1] == "model.entropy_bits" else {}
        return html.Div([html.P(title), picture], className="small", **of_entropy)

    return html.Div(
        [
            small("Tokens a second", "model.tokens_per_second"),
            small("Between tokens", "model.inter_token_latency_ms"),
            small(
                "Entropy and its band",
                "model.entropy_low_bits",
                "model.entropy_high_bits",
                "model.entropy_bits",
                colors=("--s-dim", "--s-dim", "%COLOR%"),
            ),
            small("Energy", "model.energy", high=1),
        ],
        className="set",
    )


def _strip() -> Component:
    series = " ".join((*STRIP_SERIES, "model.energy_state"))
    data = {"data-widget": "token-strip", "data-model": "%MODEL%", "data-server": "%SERVER%", "data-series": series}
    return html.Div(
        [html.P(["Tokens, one line each", ramp()], className="strip-head"), html.Div(className="strip", **data)]
    )


def ramp() -> Component:
    """Make the legend of a token's colour."""
    steps = [html.I(style={"background": f"var(--h-{i})"}) for i in range(RAMP)]
    return html.Span(
        [
            "0 bits, sure ",
            html.Span(steps, className="steps", **{"aria-hidden": "true"}),
            " 6 bits and more · grey: n/a",
        ],
        className="ramp",
    )


def _foot() -> Component:
    return html.Footer([html.Span(**{"data-field": "entropy_reason"}), html.Span(**{"data-field": "note"})])


REQUEST_COLUMNS = (
    Column("started_ms", "Start"),
    Column("model", "Model"),
    Column("via", "Seen by", optional=True),
    Column("prompt_tokens", "In", numeric=True, optional=True),
    Column("output_tokens", "Out", numeric=True, optional=True),
    Column("queue_ms", "Queue", "ms", numeric=True, optional=True),
    Column("load_ms", "Load", "ms", numeric=True, optional=True),
    Column("ttft_ms", "First token", "ms", numeric=True),
    Column("duration_ms", "Duration", "ms", numeric=True, optional=True),
    Column("tokens_per_second", "Tokens/s", "/s", numeric=True),
    Column("entropy_bits", "Entropy", "bit", numeric=True, optional=True),
    Column("energy", "Energy", "index", numeric=True, optional=True),
    Column("status", "Status", optional=True),
    Column("why", "Why slow"),
)
"""The last requests, as a row shows them."""
SERVER_COLUMNS = (
    Column("server", "Server"),
    Column("runtime", "Runtime"),
    Column("process", "Process", optional=True),
    Column("models", "Models", optional=True),
    Column("gpu_bytes", "GPU memory", "B", numeric=True, optional=True),
    Column("state", "State"),
)
"""A server's first line; what it shows, lacks and needs stands below it."""


def _table(widget: str, caption: str, columns: Sequence[Column], empty: str) -> Component:
    heads = [
        html.Th(
            column.title,
            scope="col",
            className=" ".join(word for word, on in (("num", column.numeric), ("opt", column.optional)) if on) or None,
            **{"data-col": column.name, "data-unit": column.unit},
        )
        for column in columns
    ]
    table = html.Table(
        [html.Caption(caption, className="aside"), html.Thead(html.Tr(heads)), html.Tbody()], className=widget
    )
    place = html.Div(table, className="scroll", tabIndex=0, role="region", **{"aria-label": caption})
    return html.Div(
        [*(_filters() if widget == "requests" else ()), place, html.P(empty, className="none", hidden=True)],
        **{"data-widget": widget, "data-watches": widget},
    )


def _filters() -> tuple[Component, ...]:
    def choice(name: str, title: str, *options: tuple[str, str]) -> Component:
        listed = [html.Option(text, value=each) for each, text in (("", "all"), *options)]
        return html.Label([f"{title} ", html.Select(listed, **{"data-filter": name})])

    states = (("open", "running"), ("ok", "ok"), ("aborted", "aborted"), ("error", "error"), ("lost", "lost"))
    chosen = (choice("model", "Model"), choice("status", "Status", *states, ("slow", "slow")))
    return (html.Div(chosen, className="filters"),)


def requests() -> Component:
    """Make the table of the last requests; each row opens its timeline."""
    return _table(
        "requests",
        "The last requests, the newest first; the start opens a request's timeline",
        REQUEST_COLUMNS,
        "No request was seen yet. Requests are seen by the hook and by the proxy; a server that is only read shows "
        "its figures in its card, and no single request.",
    )


def servers() -> Component:
    """Make the table of the model servers on this machine."""
    return _table(
        "servers",
        "Model servers found on this machine",
        SERVER_COLUMNS,
        "No model server listens on this machine. Once a second the listening sockets of this machine are looked at "
        "for Ollama, llama.cpp, vLLM, SGLang, LM Studio and anything that answers /v1/models; nothing else is asked.",
    )


def request_dialog() -> Component:
    """Make the dialog of one request: its timeline, its figures, and why it was slow."""
    close = html.Button(className="icon close", type="button", **{"aria-label": "Close", "data-close": True})
    return html.Dialog(
        [
            html.Header([html.H2("Request", id="request-title"), close]),
            html.Div(className="request-body"),
        ],
        id="request",
        className="request",
        **{"aria-labelledby": "request-title"},
    )
