"""plotly.js as a file. Dash reads all of its 4.8 MB into memory for each request: five at once stay for good."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

from flask import Blueprint, Response, abort, send_file

FOLDER = "/_dash-component-suites/plotly/package_data/"
NAME = "plotly.min.js"
YEAR_S = 31_536_000
_ASKED = re.compile(r"plotly(\.v[\w-]+m[0-9a-fA-F]+)?\.min\.js")
"""With Dash's fingerprint of the version the answer may be kept for ever."""


def routes() -> Blueprint:
    """Give the one route: its path is spelled out, so it comes before Dash's own, which has variables in it."""
    blueprint = Blueprint("plotly", __name__)

    @blueprint.get(f"{FOLDER}<name>")
    def plotly(name: str) -> Response:
        match, folder = _ASKED.fullmatch(name), _folder()
        if match is None or folder is None:
            abort(404, "Of plotly.js only the one file is served.")
        return send_file(folder / NAME, mimetype="text/javascript", max_age=YEAR_S if match[1] else 0)

    return blueprint


def _folder() -> Path | None:
    spec = find_spec("plotly")
    return Path(spec.origin).parent / "package_data" if spec is not None and spec.origin else None
