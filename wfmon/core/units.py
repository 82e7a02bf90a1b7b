"""Formats numbers as the page does: the Python counterpart of assets/lib/series/format.mjs. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

ABSENT = "–"
UNIT_OF = {"model.tokens_per_second": "tokens/s", "model.prompt_tokens_per_second": "tokens/s", "ux.fps": "FPS"}
"""Metrics with a special unit name."""
HOVER = {
    "%": "%{{{0}:.1f}} %",
    "B": "%{{{0}:.3s}}B",
    "B/s": "%{{{0}:.3s}}B/s",
    "ms": "%{{{0}:,.1f}} ms",
    "us": "%{{{0}:,.1f}} µs",
    "bit": "%{{{0}:.2f}} bits",
}
"""Plotly's hover template by unit (d3-format); other units get a plain number and the unit's name."""

_BYTES = ("B", "kB", "MB", "GB", "TB", "PB")
_PLAIN = ("", "k", "M", "G", "T")


def unit_of(name: str, unit: str) -> str:
    """Return the unit to display."""
    return UNIT_OF.get(name, unit)


def text(value: float | None, unit: str = "") -> str:
    """Format a value with its unit: ``11.2 GB``; a dash if absent."""
    if value is None or not math.isfinite(value):
        return ABSENT
    writer = _WRITERS.get(unit)
    number, shown = writer(value) if writer else _counted(value, unit)
    return f"{number} {shown}" if shown else number


def change(now: float | None, before: float | None) -> str:
    """Format the relative change of a mean: ``+12 %``; a dash if one is absent or ``before`` is 0."""
    if now is None or before is None:
        return ABSENT
    if now == before:
        return "±0 %"
    if not before:
        return ABSENT
    share = (now - before) / abs(before) * 100
    size = f"{abs(share):,.0f}" if abs(share) >= 9.95 else f"{abs(share):.1f}"
    return f"{'+' if share > 0 else '−'}{size} %"


def ticks(low: float, high: float, count: int = 3) -> list[float]:
    """Return about ``count`` round values within [low, high]."""
    if not high > low:
        return [low]
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(each * power for each in (1, 2, 2.5, 5, 10) if each * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round((first + i) * step, 12) for i in range(math.floor(high / step + 1e-9) - first + 1)]


def tick_texts(values: Sequence[float], unit: str) -> list[str]:
    """Format an axis's values, without trailing zeros."""
    return [_short(text(value, unit)) for value in values]


def hover(field: str, unit: str) -> str:
    """Return plotly's hover template for a value in a unit."""
    form = HOVER.get(unit)
    return form.format(field) if form else f"%{{{field}:,.4~g}}{' ' + unit if unit else ''}"


def _short(words: str) -> str:
    number, space, unit = words.partition(" ")
    if "." in number:
        number = number.rstrip("0").rstrip(".")
    return number + space + unit


def _climb(value: float, steps: Sequence[str], decimals: Callable[[float, int], int]) -> tuple[str, str]:
    rung = 0
    while rung < len(steps) - 1 and float(f"{abs(value):.{decimals(value, rung)}f}") >= 1_000:
        value /= 1_000
        rung += 1
    return _plain(value, decimals(value, rung)), steps[rung]


def _plain(value: float, decimals: int) -> str:
    written = f"{value:.{decimals}f}"
    return written.removeprefix("-") if float(written) == 0 else written


def _under(limit: float, value: float) -> int:
    return 1 if abs(value) < limit else 0


def _bytes(value: float) -> tuple[str, str]:
    return _climb(value, _BYTES, lambda v, rung: 0 if rung == 0 or abs(v) >= 99.95 else 1)


def _per_second(value: float) -> tuple[str, str]:
    number, unit = _bytes(value)
    return number, f"{unit}/s"


def _ms(value: float) -> tuple[str, str]:
    size = abs(value)
    if size >= 999.5:
        return _seconds(value / 1_000)
    if size >= 99.95:
        return _plain(value, 0), "ms"
    return _plain(value, 2 if 0 < size < 0.95 else 1), "ms"


def _seconds(value: float) -> tuple[str, str]:
    size = abs(value)
    if 0 < size < 0.9995:
        return _ms(value * 1_000)
    for least, unit, divisor in ((86_400, "d", 86_400), (5_999.5, "h", 3_600), (119.5, "min", 60)):
        if size >= least:
            return _plain(value / divisor, 1), unit
    return _plain(value, 2 if size < 9.995 else 1), "s"


def _counted(value: float, unit: str) -> tuple[str, str]:
    def decimals(v: float, rung: int) -> int:
        if rung == 0 and float(v).is_integer():
            return 0
        return _under(99.95, v)

    number, prefix = _climb(value, _PLAIN, decimals)
    return number + prefix, unit


def _fixed(decimals: Callable[[float], int], unit: str) -> Callable[[float], tuple[str, str]]:
    return lambda value: (_plain(value, decimals(value)), unit)


_WRITERS: dict[str, Callable[[float], tuple[str, str]]] = {
    "%": _fixed(lambda v: _under(9.95, v), "%"),
    "B": _bytes,
    "B/s": _per_second,
    "ms": _ms,
    "s": _seconds,
    "us": lambda v: _ms(v / 1_000) if abs(v) >= 999.5 else (_plain(v, _under(99.95, v)), "µs"),
    "°C": _fixed(lambda _: 0, "°C"),
    "W": _fixed(lambda v: _under(99.95, v), "W"),
    "bit": _fixed(lambda v: 2 if abs(v) < 0.995 else 1, "bits"),
}
