"""The history database: status, recording, retention, deletion. Nothing is deleted unless ``preview`` is false."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response

from wfmon.serve.problem import Problem
from wfmon.serve.routes.answers import as_json, bad, read_body, read_switch

if TYPE_CHECKING:
    from wfmon.core.services import Store

_PREVIEW = 'Without "preview": false, only a preview is returned.'


def store_routes(store: Store) -> Blueprint:
    """Return the routes."""
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
        what, preview = _split(body, {"before_ms", "series", "all"})
        if what is None:
            return bad(
                preview or "before_ms", "The body does not say what to delete.", f"docs/api.md has examples. {_PREVIEW}"
            )
        return as_json(store.preview_deletion(what=what)) if preview else as_json(store.delete(what=what), 202)

    @routes.get("/api/v1/store/retention")
    def retention() -> Response:
        return as_json({"retention": store.retention()})

    @routes.post("/api/v1/store/retention")
    def change_retention() -> Response:
        what, preview = _split(read_body(), {"values"})
        if what is None or not isinstance(what.get("values"), dict):
            fix = f'Send {{"values": {{"store.keep_1s_days": 0.25}}}}; null restores the default. {_PREVIEW}'
            field = preview if isinstance(preview, str) and preview else "values"
            return bad(field, "The body does not say what to keep.", fix)
        if preview:
            return as_json(store.preview_retention(changes=what["values"]))
        return as_json({"retention": store.change_retention(changes=what["values"])})

    return routes


def _split(body: object, known: set[str]) -> tuple[Mapping[str, Any] | None, Any]:
    """Return the request without ``preview``, and ``preview`` itself; None and the wrong member if it is malformed."""
    if not isinstance(body, dict):
        return None, ""
    preview = body.get("preview", True)
    if not isinstance(preview, bool):
        return None, "preview"
    unknown = sorted(set(body) - known - {"preview"})
    return (None, unknown[0][:80]) if unknown else ({key: body[key] for key in body if key != "preview"}, preview)


def _cancelled(store: Store) -> Response:
    if store.cancel_deletion():
        return as_json(store.deletion(), 202)
    return Problem(
        409, "done", "No deletion is running that could be cancelled.",
        "GET /api/v1/store/forget has the last deletion's result. Deleted data cannot be restored.",
    ).response()  # fmt: skip
