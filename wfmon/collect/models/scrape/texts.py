"""Table of literals: what each kind of server shows, what it lacks, and the one line that would show more."""

from __future__ import annotations

from typing import NamedTuple

from wfmon.core import commands
from wfmon.core.settings import ProxySettings

VIA_PROXY = "for tokens and entropy: {proxy}, and point clients there"


class Visibility(NamedTuple):
    """Three cells of a row. ``{server}`` is replaced by its address, ``{proxy}`` by the command to start a proxy."""

    shows: str
    lacks: str
    fix: str


_ANY = ""
VISIBILITY: dict[tuple[str, str], Visibility] = {
    ("Ollama", "ok"): Visibility("loaded models, graphics memory", "tokens, time to first token, entropy", VIA_PROXY),
    ("Ollama", "no_model"): Visibility("that no model is loaded", "tokens, time to first token, entropy", VIA_PROXY),
    ("llama.cpp", "ok"): Visibility(
        "tokens per second, requests, queue, prompt and answer speed", "time to first token, entropy", VIA_PROXY
    ),
    ("llama.cpp", "no_metrics"): Visibility(
        "tokens per second, requests", "queue, prompt speed, totals, entropy", "start it with --metrics"
    ),
    ("llama.cpp", "no_slots"): Visibility(
        "requests, queue, mean speed of finished requests", "tokens per second during an answer, entropy",
        "start it without --no-slots (older ones: with --slots)",
    ),
    ("llama.cpp", "no_metrics_no_slots"): Visibility(
        "its model", "tokens, requests, queue, entropy", "start it with --metrics, and without --no-slots"
    ),
    ("llama.cpp", "sleeps"): Visibility(
        "its model", "tokens, requests: reading them would keep it awake",
        "start it without --sleep-idle-seconds; " + VIA_PROXY,
    ),
    ("llama.cpp", "router"): Visibility(
        "that it is a router; the servers behind it have their own rows", "metrics of its own", VIA_PROXY
    ),
    ("llama.cpp", "needs_key"): Visibility(
        "that it is there", "everything: it asks for a key", "start it without --api-key; " + VIA_PROXY
    ),
    ("vLLM", "ok"): Visibility(
        "tokens per second, time to first token, inter-token latency, queue, key-value cache, prefix cache", "entropy",
        VIA_PROXY,
    ),
    ("vLLM", "no_metrics"): Visibility("its models", "all metrics", "start it without --disable-log-stats"),
    ("SGLang", "ok"): Visibility(
        "tokens per second, time to first token, inter-token latency, queue, key-value cache", "entropy", VIA_PROXY
    ),
    ("SGLang", "no_metrics"): Visibility("its models", "all metrics", "start it with --enable-metrics"),
    ("LM Studio", "ok"): Visibility("loaded models", "tokens, time to first token, entropy", VIA_PROXY),
    ("LM Studio", "no_model"): Visibility("that no model is loaded", "tokens, time to first token, entropy", VIA_PROXY),
    ("LM Studio", "needs_key"): Visibility(
        "that it is there", "everything: it asks for a key",
        "Developer, Server Settings: switch off Require Authentication; " + VIA_PROXY,
    ),
    (_ANY, "ok"): Visibility("its models", "tokens, time to first token, entropy", VIA_PROXY),
    (_ANY, "no_model"): Visibility("that it is there", "tokens, time to first token, entropy", VIA_PROXY),
    (_ANY, "loading"): Visibility("that it is loading its model", "everything else until then", "wait for it"),
    (_ANY, "needs_key"): Visibility(
        "that it is there", "everything: it asks for a key", "start it without a key; " + VIA_PROXY
    ),
    (_ANY, "odd"): Visibility(
        "that it is there", "everything: its answers have an unknown format",
        "report its version and the answer of http://{server}/v1/models",
    ),
    (_ANY, "silent"): Visibility(
        "that it listens", "everything: it does not answer within half a second", "check its log; it is retried"
    ),
}  # fmt: skip


def visibility(runtime: str, situation: str, server: str) -> Visibility:
    """Return a server's three cells."""
    found = VISIBILITY.get((runtime, situation)) or VISIBILITY[_ANY, situation]
    proxy = commands.wfmon("proxy", "--upstream", f"http://{server}", "--listen", ProxySettings().listen)
    return Visibility(*(text.replace("{server}", server).replace("{proxy}", proxy) for text in found))
