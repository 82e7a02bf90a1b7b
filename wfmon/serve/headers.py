"""Security headers of every response."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

COMMON = (
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Embedder-Policy", "require-corp"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("X-Content-Type-Options", "nosniff"),
    (
        "Permissions-Policy",
        "camera=(), display-capture=(), geolocation=(), microphone=(), midi=(), payment=(), serial=(), usb=()",
    ),
)
REFERRER = ("Referrer-Policy", "no-referrer")
NOTHING = ("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
"""For a response that is not a page."""
LOCKED = (
    # A form posted under `no-referrer` sends `Origin: null`, which the guard refuses; `same-origin` sends ours.
    ("Referrer-Policy", "same-origin"),
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
    ),
)
"""For the sign-in page, which has a style and a form, nothing else."""
_LIVE_TYPES = ("text/html", "application/json", "application/problem+json", "application/openmetrics-text")


class Headers:
    """Adds the headers to a response. ``script_hashes`` is called at the application's first response.

    Not earlier: Dash creates its pages' inline scripts at its first request.
    """

    def __init__(self, authority: Callable[[], str], *, tls: bool, script_hashes: Callable[[], Sequence[str]]) -> None:
        self._authority = authority
        self._tls = tls
        self._script_hashes = script_hashes
        self._policy = ""

    def add(self, given: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Return the response's headers with ours added; headers it already has are kept."""
        result = list(given)
        names = {name.lower(): value for name, value in result}
        added = [*COMMON, REFERRER]
        if "content-security-policy" not in names:
            added.append(("Content-Security-Policy", self._csp()))
        if names.get("content-type", "text/html").startswith(_LIVE_TYPES):
            added.append(("Cache-Control", "no-store"))
        result += [(name, value) for name, value in added if name.lower() not in names]
        return result

    def _csp(self) -> str:
        """Return the page's policy: own scripts, Dash's inline ones by hash, connections to this origin; never eval."""
        if not self._policy:
            scripts = " ".join(("'self'", *self._script_hashes()))
            socket = f"{'wss' if self._tls else 'ws'}://{self._authority()}"
            self._policy = (
                f"default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; "
                f"img-src 'self' data: blob:; font-src 'self'; connect-src 'self' {socket}; worker-src 'self'; "
                "manifest-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
            )
        return self._policy
