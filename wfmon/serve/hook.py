"""``/api/v1/hook``: where hooks, the proxy and programs in other languages tell of models. Behind the guard."""

from __future__ import annotations

from flask import Flask

from wfmon.collect.models.ingest import Ingest


def install_hook(server: Flask, ingest: Ingest) -> None:
    """Add the routes: WebSocket, and POST of lines of JSON."""
