"""The errors that routes and pages may get: one hierarchy. Each has a sentence for the user, and a fix.

    WfmonError
    ├── Refused            the request cannot be met as made; names the field
    │   ├── Unknown        the field names something that does not exist
    │   └── SettingsError  a setting cannot have this value, or a settings file cannot be used
    ├── Busy               another operation must finish first
    ├── Unreadable         stored data cannot be read now: a damaged file, a disk error, a lock
    ├── NotSaved           a change could not be written into the data folder; nothing was changed
    ├── Failed             an analysis ended without an answer
    │   └── Cancelled      somebody cancelled it
    └── CommandError       a terminal command cannot be carried out

A stage raises these at its edge, in place of ``sqlite3.Error``, ``OSError`` or ``KeyError``; errors raised and caught
within one package have their own classes. ``wfmon.serve.routes.errors`` turns them into HTTP responses, in one place.
"""

from __future__ import annotations


class WfmonError(Exception):
    """The message says what happened; ``fix`` says what to do about it, or is empty."""

    def __init__(self, detail: str, fix: str = "") -> None:
        super().__init__(detail)
        self.fix = fix

    @property
    def sentences(self) -> str:
        """The message and the fix, for display."""
        return f"{self} {self.fix}".strip()


class Refused(WfmonError):
    """The request cannot be met as made. ``field``: the wrong parameter, member or setting."""

    def __init__(self, field: str, detail: str, fix: str = "") -> None:
        super().__init__(detail, fix)
        self.field = field


class Unknown(Refused):
    """``field`` names something that does not exist. ``what``: its kind in a word, such as "series"."""

    def __init__(self, what: str, field: str, detail: str, fix: str = "") -> None:
        super().__init__(field, detail, fix)
        self.what = what


class SettingsError(Refused, ValueError):
    """A setting cannot be used; the message names the file, the line or the setting, and the fix."""

    def __init__(self, detail: str) -> None:
        super().__init__("", detail)


class Busy(WfmonError):
    """Another operation must finish first."""


class Unreadable(WfmonError):
    """Stored data cannot be read now."""


class NotSaved(WfmonError):
    """A change could not be written into the data folder; nothing was changed."""

    def __init__(self, cause: Exception) -> None:
        super().__init__(f"The change could not be saved ({cause}).", "Repair or free the data folder, then try again.")


class Failed(WfmonError):
    """An analysis ended without an answer."""


class Cancelled(Failed):
    """An analysis was cancelled before it was done."""

    def __init__(self) -> None:
        super().__init__("The analysis was cancelled before it was done.")


class CommandError(WfmonError):
    """A terminal command cannot be carried out; it exits with code 2 and this sentence."""
