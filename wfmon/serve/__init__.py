"""The HTTP server: listener (HTTP/1.1, HTTP/2, TLS), access guard, sign-in, routes."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from flask import request

from wfmon.serve import launch, plotly
from wfmon.serve.guard import Guard, Origin, bearer
from wfmon.serve.headers import Headers
from wfmon.serve.peer import same_user
from wfmon.serve.routes import install_routes
from wfmon.serve.routes.hook import Hooks, install_hook
from wfmon.serve.routes.stream import install_live

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from flask import Flask

    from wfmon.collect.models.ingest.inbox import Ingest
    from wfmon.core.clock import Clock
    from wfmon.core.services import Services
    from wfmon.serve.launch import Launcher
    from wfmon.serve.token import Token
    from wfmon.stream.hub import Hub

log = logging.getLogger(__name__)

__all__ = ["Origin", "install"]


def install(
    server: Flask,
    services: Services,
    *,
    hub: Hub,
    ingest: Ingest,
    token: Token,
    launcher: Launcher,
    origin: Origin,
    script_hashes: Callable[[], Sequence[str]],
    clock: Clock,
    on_refusal: Callable[[str], None],
) -> Hooks:
    """Install the routes and the guard. Returns the hooks' connections: ``close`` them when the monitor stops.

    ``script_hashes`` is called at the application's first response (``app.csp_hashes``). ``on_refusal`` gets the cause
    of each refusal. The guard wraps ``server.wsgi_app``: middleware added later runs outside it, unguarded.
    """
    server.extensions["wfmon"] = services
    server.register_blueprint(launch.routes(launcher, token, origin))
    server.register_blueprint(plotly.routes())
    install_routes(server, services)
    install_live(
        server, hub, token.check_page_token, authorized=lambda: token.check(bearer(request.environ) or ""),
        on_error=lambda where, error: log.error("%s failed", where, exc_info=error),
    )  # fmt: skip
    hooks = install_hook(server, ingest)
    server.wsgi_app = Guard(  # type: ignore[method-assign]
        server.wsgi_app,
        token=token,
        origin=origin,
        headers=Headers(origin.authority, tls=origin.tls, script_hashes=script_hashes),
        clock=clock,
        on_refusal=on_refusal,
        locked_page=launcher.locked_page,
        same_user=same_user,
    )
    return hooks
