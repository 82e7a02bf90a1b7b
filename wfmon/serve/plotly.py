"""Serves plotly.js from its file. Dash would read its 4.8 MB into memory for each request, and never free some."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from flask import Blueprint, Response, abort, send_file

FOLDER = "/_dash-component-suites/plotly/package_data/"
NAME = "plotly.min.js"
YEAR_S = 31_536_000
_FILE_NAME = re.compile(r"plotly(\.v[\w-]+m[0-9a-fA-F]+)?\.min\.js")
"""With Dash's version fingerprint in its name, the file may be cached for a year."""


def routes() -> Blueprint:
    """Return the route. Its literal path takes precedence over Dash's own route, which has variables."""
    blueprint = Blueprint("plotly", __name__)

    @blueprint.get(f"{FOLDER}<name>")
    def plotly(name: str) -> Response:
        match, folder = _FILE_NAME.fullmatch(name), _folder()
        if match is None or folder is None:
            abort(404, "No such file of plotly.js is served.")
        return send_file(folder / NAME, mimetype="text/javascript", max_age=YEAR_S if match[1] else 0)

    return blueprint


def _folder() -> Path | None:
    spec = find_spec("plotly")
    return Path(spec.origin).parent / "package_data" if spec is not None and spec.origin else None
