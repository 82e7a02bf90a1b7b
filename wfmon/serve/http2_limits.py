"""What one HTTP/2 client may cost: the settings advertised to it, and counters of frames sent in bad faith."""

from __future__ import annotations

from typing import TYPE_CHECKING

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    Event,
    PingAckReceived,
    PingReceived,
    PriorityUpdated,
    RemoteSettingsChanged,
    SettingsAcknowledged,
    StreamReset,
    UnknownFrameReceived,
    WindowUpdated,
)
from h2.settings import SettingCodes, Settings

if TYPE_CHECKING:
    from wfmon.core.clock import Clock
    from wfmon.serve.limits import Limits

FLOOD_LIMITS: dict[type[Event], str] = {
    StreamReset: "flood_resets",
    PingReceived: "flood_pings",
    PingAckReceived: "flood_pings",
    RemoteSettingsChanged: "flood_settings",
    SettingsAcknowledged: "flood_settings",
    UnknownFrameReceived: "flood_empty",
    PriorityUpdated: "flood_cheap",
    WindowUpdated: "flood_cheap",
}
"""The limit that each event counts against."""

HEADER_TABLE_BYTES = 4_096
"""Size of the table of headers sent (the default). A client may offer a larger one, to be kept in our memory."""


class FloodCounter:
    """Counts frames that cost us more than the client, in windows of `flood_s`."""

    def __init__(self, clock: Clock, limits: Limits) -> None:
        self._clock = clock
        self._limits = limits
        self._since_ns = clock.mono_ns()
        self._counts: dict[str, int] = {}

    def allows(self, kind: str, count: int = 1) -> bool:
        """Add to the count of `kind` (a field of Limits). False once it exceeds its limit."""
        now_ns = self._clock.mono_ns()
        if now_ns - self._since_ns > self._limits.flood_s * 1e9:
            self._since_ns, self._counts = now_ns, {}
        self._counts[kind] = total = self._counts.get(kind, 0) + count
        return total <= int(getattr(self._limits, kind))


def new_connection(limits: Limits) -> H2Connection:
    """Return h2's state machine of a server, with our limits."""
    result = H2Connection(H2Configuration(client_side=False, header_encoding=None))
    result.local_settings = new_settings(limits, limits.streams)
    result.decoder.max_header_list_size = limits.head_bytes
    return result


def new_settings(limits: Limits, streams: int) -> Settings:
    """Return the server's settings with a bound on open streams."""
    values = {SettingCodes.MAX_CONCURRENT_STREAMS: streams, SettingCodes.MAX_HEADER_LIST_SIZE: limits.head_bytes}
    return Settings(client=False, initial_values=values)
