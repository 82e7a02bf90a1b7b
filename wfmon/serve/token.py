"""The access token: one random secret per data folder, and the values derived from it.

The token itself is for scripts (``Authorization: Bearer``). A browser never sees it: its cookie and the page token are
HMACs of it under fixed labels, so both survive a restart and neither reveals the token.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
import secrets
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

log = logging.getLogger(__name__)

FILE = "token"
_FORM = re.compile(r"[A-Za-z0-9_-]{43}")
"""32 bytes, URL-safe base64 without padding."""


class Token:
    """Checks credentials in constant time. Immutable; any thread."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()
        self._cookie = self._derive("wfmon cookie v1")
        self._page = self._derive("wfmon page token v1")

    def cookie(self) -> str:
        """Return the value of the browser's cookie."""
        return self._cookie

    def page_token(self) -> str:
        """Return the token that a page sends in the first message of its stream."""
        return self._page

    def check(self, text: str) -> bool:
        """Return whether this is the token itself."""
        return _same(self._secret, text)

    def check_cookie(self, text: str) -> bool:
        """Return whether this is the cookie's value."""
        return _same(self._cookie.encode(), text)

    def check_page_token(self, text: str) -> bool:
        """Return whether this opens a stream: the page token or the token itself."""
        return _same(self._page.encode(), text) | _same(self._secret, text)

    def _derive(self, label: str) -> str:
        return hmac.new(self._secret, label.encode(), hashlib.sha256).hexdigest()


def load_token(folder: Path) -> Token:
    """Read ``<folder>/token``, creating it on first use. Raises OSError.

    A malformed token, or one that other users could read, is replaced; pages and scripts must then sign in again.
    The folder is private and locked (see ``instance``), so no other process creates one at the same time.
    """
    path = folder / FILE
    text = _read(path)
    if text is None:
        text = secrets.token_urlsafe(32)
        write_private(path, text + "\n")
    return Token(text)


def read_token(folder: Path) -> str | None:
    """Return the token's text for a client of the same user, or None if there is none."""
    try:
        text = (folder / FILE).read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return None
    return text if _FORM.fullmatch(text) else None


def write_private(path: Path, text: str) -> None:
    """Write a file atomically, readable only by its owner: a scratch file, synced, then renamed."""
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        scratch.replace(path)
    except OSError:
        scratch.unlink(missing_ok=True)
        raise


def _read(path: Path) -> str | None:
    """Return the stored token, or None if it cannot be trusted."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return None
    if os.name == "posix" and (found.st_mode & 0o077 or found.st_uid != os.geteuid()):
        log.warning("Other users could read the token file: it is replaced, and open pages must sign in again.")
        return None
    text = read_token(path.parent)
    if text is None:
        log.warning("The token file was malformed: it is replaced, and open pages must sign in again.")
    return text


def _same(known: bytes, given: str) -> bool:
    return hmac.compare_digest(known, given.encode("utf-8", "replace"))
