"""Writes the audit log: every request that changes something or signs in, and every one refused for who asks."""

import asyncio
import time
from collections import OrderedDict
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from storage.audit import write_entry
from storage.database import Database, StorageError

READING = ("GET", "HEAD", "OPTIONS")
REFUSED = (401, 403)
SIGNING_IN = "/login/provider/back"
"""A page that is loaded, and begins a session."""
LONGEST_SUBJECT = 200
HOUR, ENTRIES_AN_HOUR, MOST_ADDRESSES = 3600.0, 60, 10_000
"""So much is written down of an address within an hour where nobody knows who asks; the log has every request."""


class Audit:
    """ASGI middleware inside the guard, outside the routes."""

    def __init__(self, app: ASGIApp, database: Database) -> None:
        self._app = app
        self._database = database
        self._strangers = Strangers()

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
                await self._write(*_entry(scope, status))

    async def _write(self, account: str | None, action: str, subject: str, status: int, address: str) -> None:
        if account is None:
            left = self._strangers.left(address, time.monotonic())
            if left < 0:
                return
            subject += "" if left else " (the last of this address that is written down within an hour)"
        with suppress(StorageError):
            await asyncio.to_thread(write_entry, self._database, account, action, subject, status, address)


class Strangers:
    """How many entries an address has left in this hour whose requests no account has made."""

    def __init__(self) -> None:
        self._seen: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def left(self, address: str, now: float) -> int:
        """Take an entry; returns how many are left after it, and less than none where there was none to take."""
        began, taken = self._seen.pop(address, (now, 0))
        if now - began >= HOUR:
            began, taken = now, 0
        self._seen[address] = (began, taken + 1)
        if len(self._seen) > MOST_ADDRESSES:
            self._seen.popitem(last=False)
        return ENTRIES_AN_HOUR - taken - 1


def _is_of_interest(scope: Scope, status: int) -> bool:
    route = scope.get("route")
    path = str(getattr(route, "path", ""))
    changes = scope["method"] not in READING and not path.endswith(("/predict", "/stream"))
    return route is not None and (changes or path == SIGNING_IN or status in REFUSED)


def _entry(scope: Scope, status: int) -> tuple[str | None, str, str, int, str]:
    parameters = scope.get("path_params", {})
    subject = " ".join(str(value) for value in parameters.values())
    address = str((scope.get("client") or ("",))[0])
    return scope.get("state", {}).get("account"), scope["route"].name, subject[:LONGEST_SUBJECT], status, address
