"""Distributions of a range's requests: three figures, drawn by assets/lib/requests/spread.mjs, each with a text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

FIGURES = ("ttft", "rate", "entropy")
SPREAD = ("model", "prompt_tokens", "ttft_ms", "tokens_per_second", "entropy_bits")
"""The fields of a request used by the figures."""
MOST_DOTS = 1_500
MOST_MODELS = 6
"""Models shown separately; the others are one group."""
BINS = 24
REST = "others"
Row = dict[str, Any]
Figure = dict[str, Any]


def figures(shown: Sequence[Row], colours: Mapping[str, int]) -> dict[str, Figure]:
    """Return the three figures; ``text`` is the text alternative.

    ``colours``: each model's place in the palette, from 1.
    """
    colors = colors_of(shown, colours)
    return {"ttft": _dots(shown, colors), "rate": _boxes(shown, colors), "entropy": _bars(shown)}


def colors_of(shown: Sequence[Row], colours: Mapping[str, int]) -> dict[str, str]:
    """Return each model's colour, most requests first; models past ``MOST_MODELS`` share one."""
    counts: dict[str, int] = {}
    for row in shown:
        counts[row["model"]] = counts.get(row["model"], 0) + 1
    order = sorted(counts, key=lambda name: (-counts[name], name))
    return {name: f"--s-{colours[name]}" if at < MOST_MODELS else "--s-dim" for at, name in enumerate(order)}


def _known(row: Row, name: str) -> bool:
    value = row[name]
    return isinstance(value, (int, float)) and math.isfinite(value) and value > 0


def _dots(shown: Sequence[Row], colors: Mapping[str, str]) -> Figure:
    found = [row for row in shown if _known(row, "prompt_tokens") and _known(row, "ttft_ms")]
    step = -(-len(found) // MOST_DOTS) or 1
    figure: Figure = {
        "kind": "dots",
        "x": {"title": "prompt, tokens", "unit": ""},
        "y": {"title": "first token, ms", "unit": "ms"},
        "series": [],
        "empty": "No request in this range reports both its prompt tokens and its time to first token.",
    }
    for name, color in _grouped(colors):
        points = [[row["prompt_tokens"], round(row["ttft_ms"], 1)] for row in found[::step] if row["model"] in name]
        if points:
            figure["series"].append({"name": _named(name), "color": color, "points": points})
    if not found:
        return {**figure, "text": figure["empty"]}
    times, prompts = [row["ttft_ms"] for row in found], [row["prompt_tokens"] for row in found]
    thinned = f", one of {step} drawn" if step > 1 else ""
    text = (
        f"Time to first token against prompt tokens, {len(found):,} requests{thinned}: prompts of {min(prompts):,} to "
        f"{max(prompts):,} tokens; first token after {min(times):,.0f} to {max(times):,.0f} ms, "
        f"median {quantile(times, 0.5):,.0f} ms."
    )
    return {**figure, "text": text}


def _boxes(shown: Sequence[Row], colors: Mapping[str, str]) -> Figure:
    figure: Figure = {
        "kind": "boxes",
        "x": {"title": "tokens/s", "unit": ""},
        "boxes": [],
        "empty": "No request in this range reports its tokens per second.",
    }
    said = []
    for name, color in _grouped(colors):
        own = (row for row in shown if row["model"] in name and _known(row, "tokens_per_second"))
        values = [row["tokens_per_second"] for row in own]
        if not values:
            continue
        marks = [round(quantile(values, share), 2) for share in (0.05, 0.25, 0.5, 0.75, 0.95)]
        figure["boxes"].append({"name": _named(name), "color": color, "count": len(values), "marks": marks})
        said.append(f"{_named(name)}: median {marks[2]:,.1f}, half of them {marks[1]:,.1f} to {marks[3]:,.1f}")
    text = f"Tokens per second by model. {'; '.join(said)}." if said else figure["empty"]
    return {**figure, "text": text}


def _bars(shown: Sequence[Row]) -> Figure:
    values = [row["entropy_bits"] for row in shown if row["entropy_bits"] is not None]
    figure: Figure = {
        "kind": "bars",
        "x": {"title": "mean entropy, bits", "unit": ""},
        "y": {"title": "requests", "unit": ""},
        "bars": [],
        "empty": "No request in this range reports its entropy.",
    }
    if not values:
        return {**figure, "text": figure["empty"]}
    width = bin_width(max(values))
    counts = [0] * (int(max(values) / width) + 1)
    for value in values:
        counts[int(value / width)] += 1
    figure["bars"] = [[round(at * width, 3), round((at + 1) * width, 3), count] for at, count in enumerate(counts)]
    most = max(range(len(counts)), key=counts.__getitem__)
    text = (
        f"Mean entropy of {len(values):,} answers: {min(values):.2f} to {max(values):.2f} bits, median "
        f"{quantile(values, 0.5):.2f}; most, {counts[most]:,}, from {most * width:g} to {(most + 1) * width:g} bits."
    )
    return {**figure, "text": text}


def bin_width(high: float) -> float:
    """Return a round bin width in bits, for at most ``BINS`` bins."""
    return next((width for width in (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0) if high / width < BINS), high / (BINS - 1))


def quantile(values: Sequence[float], share: float) -> float:
    """Return the quantile, interpolated linearly between the two nearest values."""
    ordered = sorted(values)
    at = share * (len(ordered) - 1)
    low = int(at)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (at - low)


def _grouped(colors: Mapping[str, str]) -> list[tuple[tuple[str, ...], str]]:
    """Return groups of models with their colour; models that share a colour are one group."""
    own: list[tuple[tuple[str, ...], str]] = [((name,), color) for name, color in colors.items() if color != "--s-dim"]
    rest = tuple(name for name, color in colors.items() if color == "--s-dim")
    return [*own, (rest, "--s-dim")] if rest else own


def _named(group: Sequence[str]) -> str:
    return group[0] if len(group) == 1 else f"{len(group)} {REST}"
