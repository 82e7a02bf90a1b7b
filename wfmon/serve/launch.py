"""Sign-in: a browser gets its cookie for a one-time code, from a private file or typed from the terminal.

The address with the code reaches the browser through a redirect file that only its owner can read, because every user
of the machine can see a program's arguments.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import logging
import secrets
import ssl
import threading
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import orjson
from flask import Blueprint, Response, request

from wfmon.core import commands
from wfmon.serve.guard import LAUNCH
from wfmon.serve.headers import LOCKED
from wfmon.serve.instance import NotRunning, RunningMonitor, read_running
from wfmon.serve.problem import Problem
from wfmon.serve.token import read_token, write_private

if TYPE_CHECKING:
    from collections.abc import Callable

    from wfmon.core.clock import Clock
    from wfmon.serve.guard import Origin
    from wfmon.serve.token import Token

log = logging.getLogger(__name__)

LINK_SECONDS = 30
TERMINAL_SECONDS = 600
ATTEMPTS = 20
"""Wrong typed codes allowed at once, then one per ATTEMPT_SECONDS. Links (256 bits) are not limited."""
ATTEMPT_SECONDS = 3
COOKIE_SECONDS = 400 * 86_400
"""The longest that browsers allow."""
_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's base 32: 5 bits a character, no look-alikes. Twelve characters are 60 bits."""
_READ_AS = str.maketrans("OIL", "011")

_HTML = "text/html; charset=utf-8"
_GO = "location.replace('/')"
_HEAD = '<!doctype html><html lang="en"><meta charset="utf-8"><title>wfmon</title>'
_SIGNED_IN = f'{_HEAD}<script>{_GO}</script><p><a href="/">Go on to wfmon</a></p>'
_SIGNED_IN_CSP = (
    f"default-src 'none'; script-src 'sha256-{base64.b64encode(hashlib.sha256(_GO.encode()).digest()).decode()}'; "
    "frame-ancestors 'none'; base-uri 'none'"
)


class Launcher:
    """Issues and redeems sign-in codes. Any thread; owns the redirect files in ``folder``.

    ``origin`` returns our own origin; ``announce`` gets each new terminal code. Call ``sweep`` once a second.
    """

    def __init__(self, clock: Clock, folder: Path, origin: Callable[[], str], announce: Callable[[str], None]) -> None:
        self._clock = clock
        self._folder = folder
        self._origin = origin
        self._announce = announce
        self._locked = Template(Path(__file__).with_name("locked.html").read_text("utf-8"))
        self._lock = threading.Lock()
        self._links: dict[str, int] = {}
        self._files: dict[str, Path] = {}
        # A link's code -> the monotonic ns at which it expires, and its redirect file if any.
        self._terminal = ("", 0)
        # The code to type, "" once used, and the monotonic ns at which it expires.
        self._wrong = 0.0
        self._wrong_at_ns = 0

    def new_code(self) -> str:
        """Return a code for a link: 256 bits, one use, valid for 30 s."""
        self.sweep()
        code = secrets.token_urlsafe(32)
        with self._lock:
            self._links[code] = self._clock.mono_ns() + LINK_SECONDS * 1_000_000_000
        return code

    def url(self, code: str) -> str:
        """Return the address of a link with this code."""
        return f"{self._origin()}{LAUNCH}?code={code}"

    def redirect_file(self, code: str) -> Path:
        """Write a private file that redirects to a code's address; removed after use or 30 s. Raises OSError."""
        path = self._folder / f"open-{secrets.token_hex(8)}.html"
        address = html.escape(self.url(code))
        write_private(
            path,
            f'{_HEAD}<meta name="referrer" content="no-referrer"><meta http-equiv="refresh" content="0;url={address}">'
            f'<p><a href="{address}">Go on to wfmon</a></p>\n',
        )
        with self._lock:
            self._files[code] = path
        return path

    def terminal_code(self) -> str:
        """Return the code to type from the terminal: 60 bits, one use, valid for 10 minutes. A new one is announced."""
        with self._lock:
            code, expires_ns = self._terminal
            if code and self._clock.mono_ns() < expires_ns:
                return code
            text = "".join(secrets.choice(_ALPHABET) for _ in range(12))
            code = f"{text[:4]}-{text[4:8]}-{text[8:]}"
            self._terminal = (code, self._clock.mono_ns() + TERMINAL_SECONDS * 1_000_000_000)
        self._announce(code)
        return code

    def redeem(self, text: str) -> bool | None:
        """Redeem a code. True if valid (now used up), False if not, None after too many wrong ones."""
        self.sweep()
        with self._lock:
            if self._links.pop(text, None) is not None:
                right: bool | None = True
            else:
                right = self._redeem_terminal(text)
        self.sweep()
        return right

    def _redeem_terminal(self, text: str) -> bool | None:
        now_ns = self._clock.mono_ns()
        self._wrong = max(0.0, self._wrong - (now_ns - self._wrong_at_ns) / (ATTEMPT_SECONDS * 1e9))
        self._wrong_at_ns = now_ns
        if self._wrong > ATTEMPTS - 1:
            return None
        code, expires_ns = self._terminal
        if code and now_ns < expires_ns and secrets.compare_digest(_plain(code).encode(), _plain(text).encode()):
            self._terminal = ("", 0)
            return True
        self._wrong += 1
        return False

    def locked_page(self, why: str = "") -> bytes:
        """Return the sign-in page, and make sure the terminal shows a code."""
        self.terminal_code()
        notice = f'<p class="why" role="alert">{html.escape(why)}</p>' if why else ""
        return self._locked.substitute(why=notice).encode()

    def sweep(self) -> None:
        """Drop expired links, and the redirect files of links that are no longer valid."""
        now_ns = self._clock.mono_ns()
        with self._lock:
            self._links = {code: end for code, end in self._links.items() if now_ns < end}
            void = [self._files.pop(code) for code in list(self._files) if code not in self._links]
        for path in void:
            _remove(path)

    def close(self) -> None:
        """Void every link and remove every redirect file, also those of a killed monitor. Idempotent."""
        with self._lock:
            self._links.clear()
            self._files.clear()
        for path in self._folder.glob("open-*.html"):
            _remove(path)


def routes(launcher: Launcher, token: Token, origin: Origin) -> Blueprint:
    """Return the sign-in routes. Only /launch is exempt from the guard's cookie check."""
    blueprint = Blueprint("launch", __name__)

    @blueprint.get(LAUNCH)
    def open_link() -> Response:
        return answer(
            request.args.get("code", ""), "This link was used or has expired. A link works once, within 30 s."
        )

    @blueprint.post(LAUNCH)
    def type_code() -> Response:
        return answer(
            request.form.get("code", ""), "That code is wrong or has expired. The terminal shows a valid one."
        )

    @blueprint.post("/api/v1/launch")
    def new_link() -> Response:
        code = launcher.new_code()
        try:
            file = launcher.redirect_file(code)
        except OSError as error:
            return Problem(
                507, "storage", f"The launch file could not be written ({error.strerror}).", "Free space on the disk."
            ).response()
        return Response(orjson.dumps({"url": launcher.url(code), "file": str(file)}), 201, mimetype="application/json")

    def answer(code: str, why: str) -> Response:
        right = launcher.redeem(code)
        if not right:
            if right is None:
                why = f"Too many wrong codes were tried. Wait a minute, or run: {commands.OPEN}"
            page = launcher.locked_page(why if code else "")
            response = Response(
                page, 401 if right is False else 429, headers=LOCKED, content_type="text/html; charset=utf-8"
            )
            if right is None:
                response.headers["Retry-After"] = str(ATTEMPT_SECONDS)
            return response
        response = Response(_SIGNED_IN, content_type=_HTML)
        response.headers["Content-Security-Policy"] = _SIGNED_IN_CSP
        response.set_cookie(
            origin.cookie_name(), token.cookie(), max_age=COOKIE_SECONDS, path="/", secure=origin.tls, httponly=True,
            samesite="Strict",
        )  # fmt: skip
        return response

    return blueprint


def open_running(folder: Path, opener: Callable[[str], bool]) -> str:
    """Open the page of the monitor that runs on this data folder. Returns its URL.

    Requests a launch file from the monitor and passes its address to ``opener`` (``webbrowser.open``). Raises
    NotRunning if no monitor runs or it does not answer.
    """
    running, token = read_running(folder), read_token(folder)
    if running is None or token is None:
        raise NotRunning(f"No monitor is running on {folder}. Start one with: {commands.app('--data', str(folder))}")
    try:
        status, body = _request_launch_file(running, token)
        if status != 201:
            raise NotRunning(f"The monitor at {running.url} refused ({status}). Restart it, then try again.")
        file = folder / Path(json.loads(body)["file"]).name
    except (OSError, HTTPException, ValueError, LookupError, TypeError) as error:
        raise NotRunning(f"The monitor at {running.url} does not answer correctly ({error}). Restart it.") from None
    if not opener(file.resolve().as_uri()):
        raise NotRunning(f"No browser could be opened. Open {running.url} and type the code from the terminal.")
    return running.url


def _request_launch_file(running: RunningMonitor, token: str) -> tuple[int, bytes]:
    """POST to a running monitor, over loopback, ignoring any proxy of the environment. Returns status and body."""
    parts = urlsplit(running.url)
    host, port = parts.hostname or "", parts.port
    connection = (
        HTTPSConnection(host, port, timeout=5, context=ssl.create_default_context(cafile=running.ca_file or None))
        if parts.scheme == "https"
        else HTTPConnection(host, port, timeout=5)
    )
    try:
        connection.request("POST", "/api/v1/launch", headers={"Authorization": f"Bearer {token}"})
        response = connection.getresponse()
        return response.status, response.read(65_536)
    finally:
        connection.close()


def _plain(code: str) -> str:
    """Normalize a typed code: case, dashes, spaces and look-alikes are ignored."""
    return "".join(code.upper().split()).replace("-", "").translate(_READ_AS)


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        log.warning("A launch file could not be removed (%s); its code is no longer valid.", error.strerror)
