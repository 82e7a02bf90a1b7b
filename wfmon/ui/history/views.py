"""What the History page shows, as one value: the address carries it, a saved view is it, a link reproduces it. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import tzinfo
from urllib.parse import parse_qs, urlencode

from wfmon.ui.kit import ranges
from wfmon.ui.kit.ranges import Range

DEFAULT_SERIES = (
    "system.cpu_percent",
    "system.memory_percent",
    "gpu.utilisation_percent",
    "model.tokens_per_second",
    "model.ttft_ms",
)
"""What is shown where nothing was chosen, as far as there is any of it."""
COMPARISONS = (
    ("", "nothing"),
    ("previous", "the period before"),
    ("day", "a day earlier"),
    ("week", "a week earlier"),
)
"""Words of the address, and what the menu says. Any other start stands in the address as UTC milliseconds."""
DAYS_BEFORE = {"day": 1, "week": 7}
MAX_SELECTORS = 24


@dataclass(frozen=True, slots=True)
class HistoryView:
    """``series``: selectors, empty for the default. ``span``: fixed ends, else ``text`` says what is meant."""

    series: tuple[str, ...] = ()
    text: str = ranges.DEFAULT
    span: tuple[int, int] | None = None
    compare: str = ""
    quantiles: bool = False

    @classmethod
    def read(cls, query: str) -> HistoryView:
        """Read an address's query; what it does not say, or says badly, is the default."""
        given = parse_qs(query.removeprefix("?"))
        first = {name: values[0] for name, values in given.items()}
        span = _whole(first.get("from", "")), _whole(first.get("to", ""))
        compare = first.get("compare", "")
        known = compare in dict(COMPARISONS) or _whole(compare) is not None
        return cls(
            tuple(dict.fromkeys(given.get("series", ())))[:MAX_SELECTORS],
            first.get("range", "")[:80] or ranges.DEFAULT,
            None if span[0] is None or span[1] is None else (span[0], span[1]),
            compare if known else "",
            first.get("quantiles") == "1",
        )

    def query(self) -> str:
        """Give the address's query that reads as this view."""
        pairs = [("series", each) for each in self.series]
        if self.span:
            pairs += [("from", str(self.span[0])), ("to", str(self.span[1]))]
        elif self.text != ranges.DEFAULT:
            pairs.append(("range", self.text))
        if self.compare:
            pairs.append(("compare", self.compare))
        if self.quantiles:
            pairs.append(("quantiles", "1"))
        return urlencode(pairs)

    def range(self, now_ms: int, zone: tzinfo) -> Range:
        """Give the ends. Raises NotUnderstood."""
        if self.span is None:
            return ranges.parse(self.text, now_ms, zone)
        return ranges.checked(Range(*self.span), now_ms)

    def compared(self, shown: Range, zone: tzinfo) -> Range | None:
        """Give the period to compare with, of the same length; None where none was chosen. Raises NotUnderstood.

        A day or a week earlier is the same time of the user's clock.
        """
        if not self.compare:
            return None
        if self.compare == "previous":
            start = shown.from_ms - shown.span_ms
        elif self.compare in DAYS_BEFORE:
            start = ranges.days_before(shown.from_ms, DAYS_BEFORE[self.compare], zone)
        else:
            start = int(self.compare)
        if start < 0 or start == shown.from_ms:
            raise ranges.NotUnderstood("The period to compare with is the one shown. Choose another start.")
        return Range(start, start + shown.span_ms)

    def fixed(self, shown: Range, series: Sequence[str]) -> HistoryView:
        """Give the view that shows the same whenever it is opened: ends and series are named."""
        return replace(self, series=tuple(series), span=(shown.from_ms, shown.to_ms))


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 15 else None
