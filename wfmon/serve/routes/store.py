"""What is forgotten of the history, and how long the rest is kept: routes that delete only when they are told twice."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wfmon.core.settings import SettingsError
from wfmon.serve.problem import Problem
from wfmon.serve.routes.answers import as_json, bad, not_kept, read_body
from wfmon.store.deletion_job import Busy, Refused

if TYPE_CHECKING:
    from flask import Blueprint, Response

    from wfmon.core.types import Services

_LOOKS = 'Without "preview": false it only tells what would go.'


def store_routes(blueprint: Blueprint, services: Services) -> None:
    """Add them to the API's."""

    @blueprint.get("/api/v1/store/forget")
    def forgetting() -> Response:
        return as_json(services.forgetting())

    @blueprint.post("/api/v1/store/forget")
    def forget() -> Response:
        body = read_body()
        if isinstance(body, dict) and body.keys() == {"cancel"} and body["cancel"] is True:
            return _called_off(services)
        what, looks = _split(body, {"before_ms", "series", "all"})
        if what is None:
            return bad(looks or "before_ms", "The body does not say what to forget.", f"docs/api.md shows it. {_LOOKS}")
        try:
            return as_json(services.forget_preview(what)) if looks else as_json(services.forget(what), 202)
        except Refused as error:
            return bad(error.field, str(error), error.fix)
        except Busy as error:
            return Problem(
                409, "busy", str(error), "GET /api/v1/store/forget tells how far it is; ask again when it is done."
            ).response()
        except (sqlite3.Error, OSError) as error:
            return _unread(error)

    @blueprint.get("/api/v1/store/retention")
    def retention() -> Response:
        return as_json({"retention": services.retention()})

    @blueprint.post("/api/v1/store/retention")
    def retain() -> Response:
        body = read_body()
        what, looks = _split(body, {"values"})
        if what is None or not isinstance(what.get("values"), dict):
            fix = f'Send {{"values": {{"store.keep_1s_days": 0.25}}}}; null is back to the default. {_LOOKS}'
            field = looks if isinstance(looks, str) and looks else "values"
            return bad(field, "The body does not say what to keep.", fix)
        try:
            if looks:
                return as_json(services.retain_preview(what["values"]))
            return as_json({"retention": services.retain(what["values"])})
        except Refused as error:
            return bad(error.field, str(error), error.fix)
        except sqlite3.Error as error:
            return _unread(error)
        except (SettingsError, OSError) as error:
            return not_kept(error)


def _split(body: object, known: set[str]) -> tuple[Mapping[str, Any] | None, Any]:
    """Give what is asked and whether it is only looked at; None and the wrong member where that cannot be told."""
    if not isinstance(body, dict):
        return None, ""
    looks = body.get("preview", True)
    if not isinstance(looks, bool):
        return None, "preview"
    unknown = sorted(set(body) - known - {"preview"})
    return (None, unknown[0][:80]) if unknown else ({key: body[key] for key in body if key != "preview"}, looks)


def _called_off(services: Services) -> Response:
    if services.call_off():
        return as_json(services.forgetting(), 202)
    return Problem(
        409, "done", "Nothing is being forgotten that could be called off.",
        "GET /api/v1/store/forget tells what became of it. What is deleted cannot come back.",
    ).response()  # fmt: skip


def _unread(error: Exception) -> Response:
    return Problem(
        503, "store", f"The history could not be read ({error}).", "Try again; GET /api/v1/store tells how it fares."
    ).response()
