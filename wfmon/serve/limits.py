"""Limits of the listener, in seconds, bytes and counts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on every wait and every buffer of the listener."""

    handshake_s: float = 5.0
    """The whole TLS handshake."""
    silence_s: float = 5.0
    """Longest silence of a client that owes bytes: the first request, the rest of a head or of a body."""
    head_s: float = 10.0
    """The whole head of a request, however slowly it arrives."""
    body_s: float = 30.0
    """The whole body of a request, however slowly it arrives."""
    keep_alive_s: float = 30.0
    """An HTTP/1.1 connection between two requests, an HTTP/2 connection without a stream."""
    send_s: float = 3.0
    """A write or an HTTP/2 window without progress: the client has stopped reading."""
    linger_s: float = 0.5
    """How long a refused client may go on sending, so that it reads the refusal instead of a reset."""
    accept_pause_s: float = 0.1
    """The pause after a failed accept (out of file descriptors)."""

    request_line_bytes: int = 8_192
    head_bytes: int = 32_768
    head_count: int = 100
    body_bytes: int = 1 << 20
    send_buffer_bytes: int = 128 << 10
    """The kernel's send buffer per connection. Auto-tuned up to 4 MiB, it would hide a client that stopped reading."""

    streams: int = 32
    """HTTP/2 streams per connection (advertised). Also bounds threads: a reset stream's thread may still run."""
    unsent_bytes: int = 1 << 20
    """HTTP/2 replies (to pings, settings, resets) queued for a client that does not read them."""
    flood_s: float = 10.0
    """Window of the counts below; one more ends the connection with ENHANCE_YOUR_CALM."""
    flood_resets: int = 100
    """Streams reset by the client or because of its errors (CVE-2023-44487, CVE-2025-8671)."""
    flood_refusals: int = 200
    """Streams opened past the bound of open streams."""
    flood_pings: int = 100
    flood_settings: int = 50
    flood_empty: int = 200
    """Frames without effect: empty DATA, unknown types."""
    flood_bytes: int = 1 << 20
    """All bytes outside request bodies: h2 ignores some frames without an event (ALTSVC)."""
    flood_cheap: int = 20_000
    """WINDOW_UPDATE and PRIORITY: many in honest use, and cheap."""
