"""A History view as one value: the address, a saved view and a shared link all encode it. Pure functions."""

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
"""The series shown if none was selected, as far as they exist."""
COMPARISONS = (
    ("", "nothing"),
    ("previous", "the previous period"),
    ("day", "a day earlier"),
    ("week", "a week earlier"),
)
"""The address's words and the menu's texts. Any other start is in the address as UTC milliseconds."""
DAYS_BEFORE = {"day": 1, "week": 7}
MAX_SELECTORS = 24


@dataclass(frozen=True, slots=True)
class HistoryView:
    """``series``: selectors, empty for the default. ``span``: fixed ends; without them ``text`` is the range."""

    series: tuple[str, ...] = ()
    text: str = ranges.DEFAULT
    span: tuple[int, int] | None = None
    compare: str = ""
    quantiles: bool = False

    @classmethod
    def read(cls, query: str) -> HistoryView:
        """Parse an address's query; missing or invalid parts get their defaults."""
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
        """Return the address's query for this view."""
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
        """Return the range with its ends. Raises NotUnderstood."""
        if self.span is None:
            return ranges.parse(self.text, now_ms, zone)
        return ranges.checked(Range(*self.span), now_ms)

    def compared(self, shown: Range, zone: tzinfo) -> Range | None:
        """Return the comparison period, of the same length; None if none was selected. Raises NotUnderstood.

        A day or a week earlier means the same local time.
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
            raise ranges.NotUnderstood("The comparison period is the same as the range shown. Choose another start.")
        return Range(start, start + shown.span_ms)

    def fixed(self, shown: Range, series: Sequence[str]) -> HistoryView:
        """Return a view that always shows the same data: with explicit ends and series."""
        return replace(self, series=tuple(series), span=(shown.from_ms, shown.to_ms))


def _whole(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= 15 else None
