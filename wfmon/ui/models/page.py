"""The Models page's parts: a model's card, the tables of requests and servers, and the page without any model.

The card is a template: assets/lib/models/model-cards.mjs copies it once per model and replaces `%MODEL%` and
`%SERVER%` in its attributes; each copy then works like any other markup.
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
"""What the token strip draws, together with `model.energy_state`, which marks an ongoing stall."""
RAMP = 6
"""Colours from certain to uncertain, `--h-0` to `--h-5` in assets/models.css."""


def of_model(metric: str, **labels: str) -> str:
    """Return the selector of a card's series, with placeholders for the card's model. Raises KeyError."""
    given = {**_FILLED, **labels}
    inside = ",".join(f'{name}="{given.get(name, "*")}"' for name in METRICS[metric].labels)
    return f"{metric}{{{inside}}}"


def cards() -> Component:
    """Make the container of the cards, and its content while no model has been detected."""
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
            "Ollama, llama.cpp, vLLM, SGLang, LM Studio and similar servers are found automatically, without setup.",
            "",
        ),
        (
            "Send requests through the proxy",
            "Every client of a local server is measured token by token, without any code:",
            commands.wfmon("proxy", "--upstream", default.upstream, "--listen", default.listen),
        ),
        (
            "Add one line to your program",
            "The model's own process reports each token as it arrives, with its entropy if the runtime provides it:",
            'from wfmon.hook import observe\nfor token in observe(stream, model="name"): ...',
        ),
    )
    items = [
        html.Li([html.B(title), html.Span(words), *([html.Code(code, className="block")] if code else [])])
        for title, words, code in ways
    ]
    return [html.P("No model detected yet.", className="lead-line"), html.P(className="why"), html.Ol(items)]


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
    """Make the hidden template of a model's card, outside all panels."""
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
    """Make one line of a card: name, figure, and smaller details below. Hovering shows the metric's description."""
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
    return html.Div([_speed(), _latency(), _uncertainty(), _before_first_token(), _machine()], className="figures")


def _speed() -> Component:
    energy = [meter(of_model("model.energy"), 1, "%COLOR%"), _value("model.energy", unit="index")]
    return html.Div(
        [
            html.P(_value("model.tokens_per_second", unit="tokens/s"), className="big"),
            html.Dl(
                [
                    _fact("Share of its peak", "model.throughput_percent", [_value("model.throughput_percent")]),
                    _fact("Energy, 0 to 1", "model.energy", energy),
                    _fact("Tokens, total", "model.tokens_total", _value("model.tokens_total")),
                    _fact("Prompt tokens, total", "model.prompt_tokens_total", _value("model.prompt_tokens_total")),
                ]
            ),
        ],
        className="facts speed",
        **{"data-metric": "model.tokens_per_second", "data-help": METRICS["model.tokens_per_second"].help},
    )


def _latency() -> Component:
    between = "model.inter_token_latency_ms"
    return _list(
        "Latency",
        _fact("First token", "model.ttft_ms", _value("model.ttft_ms"), *_quantiles("model.ttft_ms")),
        _fact("Between tokens", between, _value(between), *_quantiles(between)),
        _fact("Per output token", "model.time_per_output_token_ms", _value("model.time_per_output_token_ms")),
        _fact("Request", "model.request_duration_ms", _value("model.request_duration_ms")),
    )


def _uncertainty() -> Component:
    entropy = (
        _value("model.entropy_low_bits", absent="–"), " to ", _value("model.entropy_high_bits", absent="–"),
        " · k ", _value("model.entropy_k", absent="–"),
    )  # fmt: skip
    return _list(
        "Uncertainty",
        _fact("Entropy", "model.entropy_bits", _value("model.entropy_bits"), *entropy, field="entropy"),
        _fact("Certainty", "model.certainty", _value("model.certainty", unit="index"), field="entropy"),
        _fact("Disagreement", "model.disagreement", _value("model.disagreement")),
    )


def _before_first_token() -> Component:
    prompt = "model.prompt_tokens_per_second"
    waiting = [_value("model.requests_active"), ", ", _value("model.requests_waiting")]
    return _list(
        "Before the first token",
        _fact("Prompt speed", prompt, _value(prompt, unit="tokens/s")),
        _fact("Queue wait", "model.queue_wait_ms", _value("model.queue_wait_ms")),
        _fact("Load", "model.load_ms", _value("model.load_ms")),
        _fact("Requests open, waiting", "model.requests_active", waiting),
        _fact("Prompt from cache", "model.cache_hit_percent", _value("model.cache_hit_percent")),
    )


def _machine() -> Component:
    requests_total = "model.requests_total"
    by_status = (
        "ok ", _value(requests_total, absent="0", status="ok"),
        " · errors ", _value(requests_total, absent="0", status="error"),
    )  # fmt: skip
    return _list(
        "Machine",
        _fact("GPU memory", "model.vram_bytes", _value("model.vram_bytes")),
        _fact("KV cache", "model.kv_cache_percent", _value("model.kv_cache_percent")),
        _fact("Batch", "model.batch_size", _value("model.batch_size")),
        _fact("Joules per token", "model.joules_per_token", _value("model.joules_per_token")),
        _fact("Requests finished", requests_total, _value(requests_total, status="*"), *by_status),
    )


def _charts() -> Component:
    def small(title: str, *metrics: str, colors: Sequence[str] = ("%COLOR%",), high: float | None = None) -> Component:
        picture = chart(*map(of_model, metrics), label=f"{title} of %MODEL%", height=64, colors=colors, high=high)
        of_entropy = {"data-fact-of": "entropy"} if metrics[-1] == "model.entropy_bits" else {}
        return html.Div([html.P(title), picture], className="small", **of_entropy)

    return html.Div(
        [
            small("Tokens per second", "model.tokens_per_second"),
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
        [html.P(["Tokens, one line per token", ramp()], className="strip-head"), html.Div(className="strip", **data)]
    )


def ramp() -> Component:
    """Make the legend of the token colours."""
    steps = [html.I(style={"background": f"var(--h-{i})"}) for i in range(RAMP)]
    return html.Span(
        [
            "0 bits, certain ",
            html.Span(steps, className="steps", **{"aria-hidden": "true"}),
            " 6 bits or more · grey: n/a",
        ],
        className="ramp",
    )


def _foot() -> Component:
    return html.Footer([html.Span(**{"data-field": "entropy_reason"}), html.Span(**{"data-field": "note"})])


REQUEST_COLUMNS = (
    Column("started_ms", "Start"),
    Column("model", "Model"),
    Column("via", "Source", optional=True),
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
"""Columns of the latest requests."""
SERVER_COLUMNS = (
    Column("server", "Server"),
    Column("runtime", "Runtime"),
    Column("process", "Process", optional=True),
    Column("models", "Models", optional=True),
    Column("gpu_bytes", "GPU memory", "B", numeric=True, optional=True),
    Column("state", "State"),
)
"""A server's first line; a second line says what it reports, what is missing and how to get it."""


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
    """Make the table of the latest requests; each row opens its timeline."""
    return _table(
        "requests",
        "The latest requests, newest first; the start time opens a request's timeline",
        REQUEST_COLUMNS,
        "No requests yet. The hook and the proxy report single requests; for a server that is only polled, its card "
        "shows totals.",
    )


def servers() -> Component:
    """Make the table of the model servers on this machine."""
    return _table(
        "servers",
        "Model servers found on this machine",
        SERVER_COLUMNS,
        "No model server is listening on this machine. Once a second wfmon checks the listening sockets for Ollama, "
        "llama.cpp, vLLM, SGLang, LM Studio and anything that answers /v1/models. It queries nothing else.",
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
