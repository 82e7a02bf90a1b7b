"""Joules per token: the energy drawn by all graphics cards over the tokens of all models, in the last ten seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable

from wfmon.collect.models.meter.model import NO_POWER, NO_TOKENS, NOT_EXACT, ModelMeter
from wfmon.collect.models.meter.requests import OpenRequest

SPAN_US = 10_000_000.0
CHECK_US = 100_000.0
"""Cards are read ten times a second."""
LONGEST_US = 1_000_000.0
"""Energy over a longer interval between two readings is unknown."""
_NAN = float("nan")


class Joules:
    """Integrates power while models work. One thread. Times: the monitor's monotonic microseconds."""

    def __init__(self, power_watts: Callable[[], float | None]) -> None:
        self._power_watts = power_watts
        self._checked_us = self._drawn_us = float("-inf")
        self._watts: float | None = None
        self._drawn: deque[tuple[float, float]] = deque()
        self._joules = 0.0
        self._tokens: deque[tuple[float, int]] = deque()
        self._count = 0

    def count(self, us: float, tokens: int) -> None:
        """Count tokens of any model."""
        self._tokens.append((us, tokens))
        self._count += tokens

    def update(self, now_us: float, models: Iterable[ModelMeter], requests: Iterable[OpenRequest]) -> None:
        """Read the power if due, and set each model's joules per token, or the reason why there are none."""
        if now_us - self._checked_us < CHECK_US:
            return
        self._expire(now_us - SPAN_US)
        open_ = list(requests)
        if not open_ and not self._tokens:
            self._drawn.clear()
            self._joules, self._watts = 0.0, None
            self._checked_us = now_us
            for model in models:
                model.joules_per_token, model.joules_reason = _NAN, NO_TOKENS
            return
        self._checked_us = now_us
        self.settle(now_us, open_)
        self._watts, self._drawn_us = self._power_watts(), now_us
        if self._watts is None:  # the energy since then is unknown, and so is the cost of its tokens
            self._drawn.clear()
            self._tokens.clear()
            self._joules, self._count = 0.0, 0
        self._publish(now_us, list(models), measured=self._watts is not None)

    def settle(self, now_us: float, requests: Iterable[OpenRequest]) -> None:
        """Assign the energy drawn up to now to the open requests, before one of them starts or ends."""
        since_us = now_us - self._drawn_us
        if self._watts is None or not 0 < since_us <= LONGEST_US:
            return
        self._drawn_us = now_us
        self._draw(now_us, self._watts * since_us / 1e6, list(requests))

    def _draw(self, now_us: float, joules: float, requests: list[OpenRequest]) -> None:
        self._drawn.append((now_us, joules))
        self._joules += joules
        if len(requests) == 1:
            requests[0].joules = (requests[0].joules or 0.0) + joules
        else:
            for each in requests:
                each.alone = False

    def _publish(self, now_us: float, models: list[ModelMeter], *, measured: bool) -> None:
        exact = not any(
            not each.pushed and each.reading is not None and (each.reading.tokens_per_second or 0.0) > 0
            and now_us - each.reading_us < SPAN_US
            for each in models
        )  # fmt: skip
        for model in models:
            value, reason = _NAN, NO_TOKENS
            if now_us - model.token_us < SPAN_US:
                if not measured:
                    reason = NO_POWER
                elif not exact:
                    reason = NOT_EXACT
                elif self._joules > 0 and self._count:
                    value, reason = self._joules / self._count, ""
            model.joules_per_token, model.joules_reason = value, reason

    def _expire(self, edge_us: float) -> None:
        while self._drawn and self._drawn[0][0] <= edge_us:
            self._joules -= self._drawn.popleft()[1]
        while self._tokens and self._tokens[0][0] <= edge_us:
            self._count -= self._tokens.popleft()[1]
