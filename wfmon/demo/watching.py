"""The model under the project's own hook: told as any other program tells, and no other way leads to the monitor."""

from __future__ import annotations

from collections.abc import Mapping

from wfmon.demo.engine import Model, Timing
from wfmon.demo.sampling import Drawn


class Nobody:
    """Nobody is told."""

    def phase(self, name: str) -> None: ...

    def prompt(self, tokens: int) -> None: ...

    def token(self, drawn: Drawn) -> None: ...

    def end(self, status: str, reason: str, timing: Timing) -> None: ...


class Seen:
    """Tells of each request."""

    def __init__(self, models: Mapping[str, Model]) -> None:
        self._models = models
        self._server = ""

    def listens(self, server: str) -> None:
        """Say where the models answer."""
        self._server = server

    def request(self, model: Model, number: str) -> Nobody:
        """Begin to tell of one request."""
        return Nobody()

    def close(self) -> None:
        """Send what is left."""
