"""The history's file: its state, recording, retention, deletion. Nothing is deleted unless ``preview`` is false."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response

from wfmon.serve.problem import Problem
from wfmon.serve.routes.answers import as_json, bad, read_body, read_switch

if TYPE_CHECKING:
    from wfmon.core.services import Store

_LOOKS = 'Without "preview": false it only tells what would go.'


def store_routes(store: Store) -> Blueprint:
    """Make the routes."""
    routes = Blueprint("store", __name__)

    @routes.get("/api/v1/store")
    def status() -> Response:
        return as_json(store.status())

    @routes.post("/api/v1/store")
    def record() -> Response:
        store.record(enabled=read_switch("recording"))
        return as_json(store.status())

    @routes.get("/api/v1/store/forget")
    def deletion() -> Response:
        return as_json(store.deletion())

    @routes.post("/api/v1/store/forget")
    def delete() -> Response:
        body = read_body()
        if isinstance(body, dict) and body.keys() == {"cancel"} and body["cancel"] is True:
            return _cancelled(store)
        what, looks = _split(body, {"before_ms", "series", "all"})
        if what is None:
            return bad(looks or "before_ms", "The body does not say what to forget.", f"docs/api.md shows it. {_LOOKS}")
        return as_json(store.preview_deletion(what=what)) if looks else as_json(store.delete(what=what), 202)

    @routes.get("/api/v1/store/retention")
    def retention() -> Response:
        return as_json({"retention": store.retention()})

    @routes.post("/api/v1/store/retention")
    def change_retention() -> Response:
        what, looks = _split(read_body(), {"values"})
        if what is None or not isinstance(what.get("values"), dict):
            fix = f'Send {{"values": {{"store.keep_1s_days": 0.25}}}}; null is back to the default. {_LOOKS}'
            field = looks if isinstance(looks, str) and looks else "values"
            return bad(field, "The body does not say what to keep.", fix)
        if looks:
            return as_json(store.preview_retention(changes=what["values"]))
        return as_json({"retention": store.change_retention(changes=what["values"])})

    return routes


def _split(body: object, known: set[str]) -> tuple[Mapping[str, Any] | None, Any]:
    """Give what is asked and whether it is only looked at; None and the wrong member where that cannot be told."""
    if not isinstance(body, dict):
        return None, ""
    looks = body.get("preview", True)
    if not isinstance(looks, bool):
        return None, "preview"
    unknown = sorted(set(body) - known - {"preview"})
    return (None, unknown[0][:80]) if unknown else ({key: body[key] for key in body if key != "preview"}, looks)


def _cancelled(store: Store) -> Response:
    if store.cancel_deletion():
        return as_json(store.deletion(), 202)
    return Problem(
        409, "done", "Nothing is being forgotten that could be called off.",
        "GET /api/v1/store/forget tells what became of it. What is deleted cannot come back.",
    ).response()  # fmt: skip
