"""optuna-dashboard over the same database, for administrators, to look at and nothing else."""

import asyncio
import re
from importlib.util import find_spec
from typing import cast

from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from automl.server.pages.visitors import COOKIE
from automl.server.problems import answer
from storage.database import Database
from storage.keys import find_key
from storage.studies import open_studies

SHOWN = re.compile(r"/dashboard(/.*)?|/static/[\w.-]+|/api/(studies(/\d+(/param_importances)?)?|meta)|/csv/\d+")
"""What is served of it: pages, scripts, readings. It has no accounts of its own, and would delete studies."""
PREFIXES = ("/dashboard", "/static", "/api", "/csv")


class Dashboard:
    """ASGI application, mounted last, at the addresses that it is built for."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._inner: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request of an administrator."""
        request = Request(scope)
        if request.method not in ("GET", "HEAD") or not SHOWN.fullmatch(request.url.path):
            await answer(404, "there is nothing here")(scope, receive, send)
            return
        token = request.cookies.get(COOKIE, "")
        found = await asyncio.to_thread(find_key, self._database, token, session=True) if token else None
        if found is None:
            await RedirectResponse("/login", 303)(scope, receive, send)
        elif found[0].scope != "admin":
            await answer(403, "the dashboard shows all searches; it needs an administrator")(scope, receive, send)
        else:
            if self._inner is None:
                self._inner = await asyncio.to_thread(_application, self._database)
            await self._inner({**scope, "root_path": ""}, receive, send)


def is_installed() -> bool:
    """Whether the packages are there."""
    return all(find_spec(name) is not None for name in ("optuna_dashboard", "a2wsgi"))


def _application(database: Database) -> ASGIApp:
    from a2wsgi import WSGIMiddleware
    from optuna_dashboard import wsgi

    return cast("ASGIApp", WSGIMiddleware(wsgi(open_studies(database.url))))
