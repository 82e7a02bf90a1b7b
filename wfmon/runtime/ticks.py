"""The ticker's stages, and its work once a second and at clock steps. The ticker's thread."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from wfmon.collect.power import on_battery
from wfmon.core.types import Burst, ClockStep, CollectorState, CollectorStatus, Frame, Series, Table, TokenBatch
from wfmon.ticker import Stages

if TYPE_CHECKING:
    from wfmon.analyse.unusual import Unusual
    from wfmon.collect.loop import CollectorLoop
    from wfmon.collect.models.meter.meters import Meters
    from wfmon.collect.ux import UxInbox
    from wfmon.core.clock import Clock
    from wfmon.core.registry import Registry
    from wfmon.core.settings import Settings
    from wfmon.process import Processor
    from wfmon.proxy.supervise import ProxyProcess
    from wfmon.store.writer import Writer
    from wfmon.stream.hub import Hub
    from wfmon.window.cache import HotCache

log = logging.getLogger("wfmon.runtime")
POWER_CHECK_S = 10
ECO_SHARE = 0.5
KEPT_TABLES = ("models", "requests", "servers")
"""Tables published only when they change: a page opened in between receives the last one."""


class Ticks:
    """The ticker's stages. ``statuses`` returns every collector's state; ``loops`` is called when needed."""

    def __init__(
        self, *, clock: Clock, settings: Settings, registry: Registry, ux: UxInbox, meters: Meters,
        processor: Processor, cache: HotCache, hub: Hub, writer: Writer, unusual: Unusual, proxy: ProxyProcess,
        loops: Callable[[], Mapping[str, CollectorLoop]], statuses: Callable[[], list[CollectorStatus]],
    ) -> None:  # fmt: skip
        self._clock = clock
        self._settings = settings
        self._registry = registry
        self._ux = ux
        self._meters = meters
        self._processor = processor
        self._cache = cache
        self._hub = hub
        self._writer = writer
        self._unusual = unusual
        self._proxy = proxy
        self._loops = loops
        self._statuses = statuses
        self._errors = 0
        self._power_ticks = 0
        # Written by each collector's thread when its state changes, and by the ticker, which detects hanging ones.
        self._states: dict[str, CollectorState] = {}

    def stages(self) -> Stages:
        """Return the callables of the ticker, in the order in which samples travel."""
        return Stages(
            drain=self._drain, step=self._processor.step, burst=self._processor.burst, tokens=self._processor.tokens,
            gaps=self._processor.on_absent, stalled=self._processor.on_stall, append=self._cache.append,
            publish=self._hub.publish, table=self._table, clock_step=self._on_clock_step, absent=self._on_absent,
            states=self._states.copy, each_second=self._each_second, watched=self._hub.anyone, on_error=self._on_error,
        )  # fmt: skip

    def on_status(self, status: CollectorStatus) -> None:
        """Record and log a polled collector's new state. Its own thread."""
        self._states[status.name] = status.state
        log.info("collector %s: %s%s", status.name, status.state, f" ({status.reason})" if status.reason else "")

    def _drain(self) -> list[Frame | Burst | TokenBatch]:
        return [*self._ux.drain(), *self._meters.drain()]

    def _table(self, name: str, table: Table, t_ms: int) -> None:
        self._hub.set_table(name, table, t_ms, keep=name in KEPT_TABLES)

    def _on_clock_step(self, step: ClockStep) -> None:
        log.warning("the wall clock moved by %d ms (%s)", step.step_ms, step.kind)
        self._processor.on_clock_step(step)
        self._cache.on_clock_step(step)
        self._writer.on_clock_step(step)
        self._unusual.on_clock_step(step)
        self._hub.clock_step(step)

    def _on_absent(self, reasons: dict[str, str]) -> None:
        """Pass the reasons to the stream by series id; a reason for a whole metric keeps the metric's name."""
        by_id: dict[int | str, str] = {}
        for text, reason in reasons.items():
            number = self._registry.find(Series.parse(text))
            by_id[text if number is None else number] = reason
        self._hub.set_absent(by_id)

    def _each_second(self) -> None:
        self._cache.fold()
        for name, table in self._meters.each_second().items():
            self._table(name, table, self._clock.now_ms())
        self._proxy.each_second()
        statuses, polled = self._statuses(), self._loops()
        self._states.update({status.name: status.state for status in statuses if status.name in polled})
        self._hub.set_collectors(statuses)
        if self._settings.power == "eco":
            self._save_power()

    def _save_power(self) -> None:
        """Halve the collectors' rates while on battery; checked every ten seconds."""
        self._power_ticks = (self._power_ticks + 1) % POWER_CHECK_S
        if self._power_ticks == 0:
            share = ECO_SHARE if on_battery() else 1.0
            for name, loop in self._loops().items():
                loop.set_rate(getattr(self._settings.collect, name).rate_hz * share)

    def _on_error(self, error: BaseException) -> None:
        self._errors += 1
        if self._errors in (1, 10, 100) or self._errors % 1000 == 0:
            log.error("error in the ticker (%d so far)", self._errors, exc_info=error)
