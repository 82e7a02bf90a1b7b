"""What one listener allows its clients: one table of literals, seconds and bytes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """How long, how much and how many. Every wait and every buffer of the listener is bounded by one of these."""

    handshake_s: float = 5.0
    """The whole TLS handshake."""
    silence_s: float = 5.0
    """The longest silence of a client that owes us bytes: a request begun, a body announced, a first request."""
    head_s: float = 10.0
    """The whole head of a request, however it drips."""
    body_s: float = 30.0
    """The whole body of a request, however it drips."""
    keep_alive_s: float = 30.0
    """An HTTP/1.1 connection between two requests, an HTTP/2 connection without a stream."""
    send_s: float = 3.0
    """A write, or an HTTP/2 window, that makes no progress: the client has stopped reading."""
    linger_s: float = 0.5
    """How long a refused client may still send, so that it reads the refusal instead of a reset."""
    accept_pause_s: float = 0.1
    """The pause after a failed accept (out of file descriptors)."""

    request_line_bytes: int = 8_192
    head_bytes: int = 32_768
    head_count: int = 100
    body_bytes: int = 1 << 20
    send_buffer_bytes: int = 128 << 10
    """The kernel's buffer a connection. Its own growth, up to 4 MiB, would hide for minutes that nobody reads."""

    streams: int = 32
    """HTTP/2 streams a connection, advertised; also threads, since a reset stream may still be at work."""
    unsent_bytes: int = 1 << 20
    """HTTP/2 answers (to pings, settings, resets) that wait for a client which does not read them."""
    flood_s: float = 10.0
    """The span over which what follows is counted; one more and the connection ends with ENHANCE_YOUR_CALM."""
    flood_resets: int = 100
    """Streams reset by the client or by its errors (CVE-2023-44487, CVE-2025-8671)."""
    flood_refusals: int = 200
    """Streams over the bound of those that are open."""
    flood_pings: int = 100
    flood_settings: int = 50
    flood_empty: int = 200
    """Frames that ask for nothing: empty DATA, unknown types."""
    flood_bytes: int = 1 << 20
    """Bytes beside the bodies, whatever they are: h2 passes over some frames without a word (ALTSVC)."""
    flood_cheap: int = 20_000
    """WINDOW_UPDATE and PRIORITY: many in honest use, and cheap."""
