"""The guard: WSGI middleware around everything. Only same-origin, authenticated requests get past it.

Loopback is no trust boundary: another user's process, another local program's page and a rebound DNS name all reach
127.0.0.1. So each request must name our host and port, come from our own origin, and carry the cookie or the token.
"""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

from wfmon.core import commands
from wfmon.serve.headers import LOCKED, NOTHING
from wfmon.serve.problem import CONTENT_TYPE, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from wfmon.core.clock import Clock
    from wfmon.serve.headers import Headers
    from wfmon.serve.token import Token

log = logging.getLogger(__name__)

METHODS = ("GET", "HEAD", "POST")
SAFE = ("GET", "HEAD")
LAUNCH = "/launch"
LOG_EVERY_S = 10
"""At most one log line per cause in this time; the next line counts the refusals in between."""
_TARGET = re.compile(r"/[\x21-\x7e]*")
_BAD_IN_PATH = re.compile(  # after decoding: a remaining % was malformed or doubly encoded
    rb"[\x00-\x1f\x7f\\%]|//|(?:^|/)\.\.?(?:/|$)"
)


class Origin:
    """The server's own host, port and scheme. The port is read on each call: it is known once the listener is bound."""

    def __init__(self, host: str, port: Callable[[], int], *, tls: bool) -> None:
        self._host = host
        self._port = port
        self.tls = tls

    def authority(self, host: str = "") -> str:
        """Return the expected Host header. Browsers omit the scheme's default port."""
        port, own = self._port(), 443 if self.tls else 80
        return (host or self._host) if port == own else f"{host or self._host}:{port}"

    def url(self) -> str:
        """Return the origin as a URL without a trailing slash."""
        return f"{'https' if self.tls else 'http'}://{self.authority()}"

    def cookie_name(self) -> str:
        """Return the cookie's name. It contains the port, since all ports of a host share cookies."""
        return f"{'__Host-' if self.tls else ''}wfmon-{self._port()}"


class Guard:
    """Refuses, redirects or passes on each request. Any thread. Each refusal's cause goes to ``on_refusal``.

    ``locked_page`` returns the sign-in page; ``same_user`` checks that the client process belongs to our user.
    """

    def __init__(
        self,
        app: WSGIApplication,
        *,
        token: Token,
        origin: Origin,
        headers: Headers,
        clock: Clock,
        on_refusal: Callable[[str], None],
        locked_page: Callable[[], bytes],
        same_user: Callable[[WSGIEnvironment], bool],
    ) -> None:
        self._app = app
        self._token = token
        self._own = origin
        self._headers = headers
        self._clock = clock
        self._on_refusal = on_refusal
        self._locked_page = locked_page
        self._same_user = same_user
        self._silent: dict[str, tuple[int, int]] = {}
        # cause -> (monotonic ns of its last log line, refusals since). A race between threads costs at most a line.

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        problem = self._judge(environ)
        if problem is not None:
            return self._refuse(environ, start_response, problem)

        def start(status: str, headers: list[tuple[str, str]], exc_info: object = None) -> object:
            return start_response(status, self._headers.add(headers), exc_info)  # type: ignore[arg-type]

        return self._app(environ, start)  # type: ignore[arg-type]

    def _judge(self, environ: WSGIEnvironment) -> Problem | None:
        """Run the checks, cheapest first, and return the first failure."""
        target = environ.get("REQUEST_URI") or environ.get("RAW_URI") or _rebuilt(environ)
        return (
            _method(environ)
            or _target(environ, target)
            or self._host(environ, target)
            or self._site(environ)
            or self._origin(environ)
            or self._signed_in(environ)
        )

    def _host(self, environ: WSGIEnvironment, target: str) -> Problem | None:
        host = environ.get("HTTP_HOST", "")
        if host == self._own.authority():
            return None
        there = self._own.url() + target
        if host == self._own.authority("localhost") and _is_navigation(environ):
            return Problem(308, "localhost", "wfmon lives at 127.0.0.1.", f"Go to {there}", (("Location", there),))
        return Problem(
            421, "host", "The Host header does not name this monitor.", f"Use {self._own.url()}/ as the address."
        )

    def _site(self, environ: WSGIEnvironment) -> Problem | None:
        if environ.get("HTTP_SEC_FETCH_SITE", "none") in ("none", "same-origin") or _is_launch(environ):
            return None
        return Problem(
            403, "site", "This request comes from another site; only this monitor's own pages may send it.",
            f"Type {self._own.url()}/ into the address bar, or run: {commands.OPEN}",
        )  # fmt: skip

    def _origin(self, environ: WSGIEnvironment) -> Problem | None:
        origin = environ.get("HTTP_ORIGIN")
        if origin == self._own.url() or (origin is not None and _is_launch(environ)):
            return None
        if origin is not None:
            return Problem(
                403, "origin", "This request comes from another origin; only this monitor's own pages may send it.",
                "Open the monitor's own page, or send a script's request without an Origin header.",
            )  # fmt: skip
        upgrade = "HTTP_UPGRADE" in environ
        if (environ["REQUEST_METHOD"] in SAFE and not upgrade) or bearer(environ) is not None:
            return None
        return Problem(
            403, "origin", "A POST or a WebSocket needs an Origin header or a token.",
            "In a script, send: Authorization: Bearer <contents of the file `token` in the data folder>",
        )  # fmt: skip

    def _signed_in(self, environ: WSGIEnvironment) -> Problem | None:
        given = bearer(environ)
        if given is not None:
            if self._token.check(given):
                return None
        elif self._has_cookie(environ):
            return None if self._same_user(environ) else Problem(
                403, "user", "Your cookie came from a program of another user of this machine.",
                "Delete the file `token` in the data folder and start the monitor again: the cookie is then void.",
            )  # fmt: skip
        if environ["PATH_INFO"] == LAUNCH and environ["REQUEST_METHOD"] in ("GET", "POST"):
            return None  # the route asks for a code instead
        return Problem(
            401, "auth", "No valid cookie or token came with this request.",
            f"In a browser: run {commands.OPEN} in wfmon's folder. In a script, send: Authorization: Bearer "
            "<contents of the file `token` in the data folder>",
            (("WWW-Authenticate", 'Bearer realm="wfmon"'),),
        )  # fmt: skip

    def _has_cookie(self, environ: WSGIEnvironment) -> bool:
        """Return whether any cookie of our name is valid: another port of this host may have set one too."""
        name = self._own.cookie_name()
        right = False
        for pair in environ.get("HTTP_COOKIE", "").split(";"):
            key, _, value = pair.strip().partition("=")
            if key == name:
                right |= self._token.check_cookie(value)
        return right

    def _refuse(self, environ: WSGIEnvironment, start_response: StartResponse, problem: Problem) -> Iterable[bytes]:
        if problem.status >= 400:
            self._on_refusal(problem.cause)
            self._log(problem)
        body, headers = problem.body(), [("Content-Type", CONTENT_TYPE), NOTHING, *problem.headers]
        if problem.cause == "auth" and _is_navigation(environ):
            body, headers = self._locked_page(), [("Content-Type", "text/html; charset=utf-8"), *LOCKED]
        start_response(problem.status_line, self._headers.add([*headers, ("Content-Length", str(len(body)))]))
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _log(self, problem: Problem) -> None:
        now, (last, since) = self._clock.mono_ns(), self._silent.get(problem.cause, (None, 0))
        if last is not None and now - last < LOG_EVERY_S * 1_000_000_000:
            self._silent[problem.cause] = (last, since + 1)
            return
        self._silent[problem.cause] = (now, 0)
        log.warning("Refused a request (%d, %s): %s%s", problem.status, problem.cause, problem.detail,
                    f" {since} more since the last line." if since else "")  # fmt: skip


def _method(environ: WSGIEnvironment) -> Problem | None:
    if environ["REQUEST_METHOD"] in METHODS:
        return None
    return Problem(405, "method", "No route uses this method.", "Use GET, HEAD or POST.",
                   (("Allow", ", ".join(METHODS)),))  # fmt: skip


def _target(environ: WSGIEnvironment, target: str) -> Problem | None:
    """Refuse a target with a host, path traversal, control characters or double encoding."""
    path, _, query = target.partition("?")
    fits = (
        _TARGET.fullmatch(target)
        and not environ.get("SCRIPT_NAME")
        and not _BAD_IN_PATH.search(unquote_to_bytes(path))
        and not _BAD_IN_PATH.search(environ.get("PATH_INFO", "").encode("latin-1", "replace"))
        and "%00" not in query
    )
    return None if fits else Problem(
        400, "target", "The path of this request is malformed.", "Request a plain path, such as /api/v1/health."
    )  # fmt: skip


def _rebuilt(environ: WSGIEnvironment) -> str:
    """Rebuild the request target for a WSGI server that does not provide it."""
    path, query = quote(environ.get("PATH_INFO", "").encode("latin-1", "replace")), environ.get("QUERY_STRING", "")
    return f"{path}?{query}" if query else path


def _is_navigation(environ: WSGIEnvironment) -> bool:
    """Return whether a browser is loading a page."""
    mode = environ.get("HTTP_SEC_FETCH_MODE", "navigate")
    return environ["REQUEST_METHOD"] == "GET" and mode == "navigate" and "text/html" in environ.get("HTTP_ACCEPT", "")


def _is_launch(environ: WSGIEnvironment) -> bool:
    """Return whether this opens a launch link. It comes cross-site, from a local file; its code authenticates it."""
    return (
        environ["PATH_INFO"] == LAUNCH
        and environ["REQUEST_METHOD"] == "GET"
        and "HTTP_UPGRADE" not in environ
        and environ.get("HTTP_SEC_FETCH_MODE", "navigate") == "navigate"
        and environ.get("HTTP_SEC_FETCH_DEST", "document") == "document"
    )


def bearer(environ: WSGIEnvironment) -> str | None:
    """Return the Bearer token; "" for another scheme, None without the header."""
    given = environ.get("HTTP_AUTHORIZATION")
    if given is None:
        return None
    scheme, _, text = given.partition(" ")
    return text.strip() if scheme.lower() == "bearer" else ""
