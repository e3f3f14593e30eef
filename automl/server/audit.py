"""Writes the audit log: every request that changes something or signs in, and every one refused for who asks."""

import asyncio
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storage.audit import write_entry
from storage.database import Database, StorageError

READING = ("GET", "HEAD", "OPTIONS")
REFUSED = (401, 403)
SIGNING_IN = "/login/provider/back"
"""A page that is loaded, and begins a session."""


class Audit:
    """ASGI middleware inside the guard, outside the routes."""

    def __init__(self, app: ASGIApp, database: Database) -> None:
        self._app = app
        self._database = database

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, and write it down where it is of interest."""
        status = 500

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            await self._app(scope, receive, noted)
        finally:
            if _is_of_interest(scope, status):
                with suppress(StorageError):
                    await asyncio.to_thread(write_entry, self._database, *_entry(scope, status))


def _is_of_interest(scope: Scope, status: int) -> bool:
    route = scope.get("route")
    path = str(getattr(route, "path", ""))
    changes = scope["method"] not in READING and not path.endswith(("/predict", "/stream"))
    return route is not None and (changes or path == SIGNING_IN or status in REFUSED)


def _entry(scope: Scope, status: int) -> tuple[str | None, str, str, int, str]:
    parameters = scope.get("path_params", {})
    subject = " ".join(str(value) for value in parameters.values())
    address = str((scope.get("client") or ("",))[0])
    return scope.get("state", {}).get("account"), scope["route"].name, subject, status, address
