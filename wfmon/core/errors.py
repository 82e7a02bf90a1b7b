"""What can go wrong, as routes and pages see it: one hierarchy. Each error is a sentence for the user, and the fix.

    WfmonError
    ├── Refused            the request cannot be met as it was made; names the field
    │   ├── Unknown        the field names something that does not exist
    │   └── SettingsError  a setting cannot have this value, or a settings file cannot be used
    ├── Busy               something else is under way that has to end first
    ├── Unreadable         what is stored cannot be read now: a damaged file, a disk error, a lock
    ├── NotSaved           a change could not be written into the data folder; nothing was changed
    ├── Failed             an analysis ended without an answer
    │   └── Cancelled      somebody cancelled it
    └── CommandError       a command of the terminal cannot do what it was asked

A stage raises these at its edge, in place of ``sqlite3.Error``, ``OSError`` or ``KeyError``; what is raised and caught
within one package has classes of its own. ``wfmon.serve.routes.errors`` turns them into HTTP answers, in one place.
"""

from __future__ import annotations


class WfmonError(Exception):
    """The message says what happened; ``fix`` says what to do about it, or is empty."""

    def __init__(self, detail: str, fix: str = "") -> None:
        super().__init__(detail)
        self.fix = fix

    @property
    def sentences(self) -> str:
        """The message and the fix, as a person reads them."""
        return f"{self} {self.fix}".strip()


class Refused(WfmonError):
    """The request cannot be met as it was made. ``field``: the parameter, member or setting that is wrong."""

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
    """Something else is under way that has to end first."""


class Unreadable(WfmonError):
    """What is stored cannot be read now."""


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
    """A command of the terminal cannot do what it was asked; it ends with 2 and this sentence."""
