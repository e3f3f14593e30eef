"""What stands before every request: known hosts, sizes, times and rates; and what every answer says to browsers."""

import asyncio
import hashlib
import json
import logging
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from automl.server.gauges import Gauges
from automl.server.options import ServerOptions
from automl.server.problems import respond

LOG = logging.getLogger("automl.server")
MOST_CALLERS = 10_000
KEYS_OF_AN_ADDRESS = 10
"""So many times as often as one key may all of an address ask, whatever keys it claims to have."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
    "connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
"""Styles within elements are Plotly's, which positions its drawings by them."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
PIECE = 65_536
"""Bytes of an answer that are sent at a time, so that a client is seen to take them, or not to."""
SIGNS = re.compile(rb'\\.|["\[\]{}]', re.DOTALL)
UPLOADING = re.compile(r"/v1/uploads|/new|/v1/searches/[^/]+/predict/images|/searches/[^/]+/try")


class Refused(Exception):
    """A body that is too large, too slow or too deep."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Buckets:
    """Tokens of each caller: so many a second, and a burst of so many."""

    def __init__(self, rate: float, burst: int) -> None:
        self._rate = rate
        self._burst = burst
        self._held: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, caller: str, now: float) -> bool:
        """Take a token; False if there is none."""
        held, seen = self._held.pop(caller, (float(self._burst), now))
        held = min(self._burst, held + (now - seen) * self._rate)
        self._held[caller] = (held - 1 if held >= 1 else held, now)
        if len(self._held) > MOST_CALLERS:
            self._held.popitem(last=False)
        return held >= 1


class Guard:
    """ASGI middleware around all of the service."""

    def __init__(self, app: ASGIApp, options: ServerOptions, gauges: Gauges) -> None:
        self._app = app
        self._options = options
        self._gauges = gauges
        limits = options.limits
        self._buckets = Buckets(limits.rate, limits.burst)
        self._addresses = Buckets(KEYS_OF_AN_ADDRESS * limits.rate, KEYS_OF_AN_ADDRESS * limits.burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        scope["app"] = self._app  # as it does itself, for answers before it is reached
        call = Call(self._options, self._gauges, scope, receive, send)
        refusal = self._refusal(scope)
        try:
            if refusal is not None:
                await call.refuse(refusal)
            else:
                await self._app(scope, call.receive, call.send)
        except Refused:
            pass  # the call knows
        finally:
            if call.refused is not None:
                await call.refuse(call.refused)
            call.log()

    def _refusal(self, scope: Scope) -> Refused | None:
        headers = Headers(scope=scope)
        if len(headers.getlist("host")) > 1:
            return Refused(400, "a request names one host")
        host = headers.get("host", "")
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if "*" not in self._options.hosts and name.lower() not in self._options.hosts:
            return Refused(421, "this host is not served here; name it by --allowed-host")
        address, now = (scope.get("client") or ("",))[0], time.monotonic()
        if not (self._addresses.take(address, now) and self._buckets.take(_caller(scope), now)):
            return Refused(429, "too many requests; wait a second")
        if len(scope["path"]) > 2_000 or len(scope["query_string"]) > 8_000:
            return Refused(414, "the address is too long")
        if int_of(headers.get("content-length")) > body_limit(self._options, scope["path"]):
            return Refused(413, f"a body may have {body_limit(self._options, scope['path']):,} bytes")
        return None


class Call:
    """One request on its way in, and its answer on the way out.

    Attributes:
        refused: Why its body was not read to the end; the application may take that for a mistake of its own.
    """

    def __init__(self, options: ServerOptions, gauges: Gauges, scope: Scope, receive: Receive, send: Send) -> None:
        self.id = secrets.token_hex(8)
        self._options = options
        self._gauges = gauges
        self._scope = scope
        self._receive = receive
        self._send = send
        self._began = time.monotonic()
        self._waits_since: float | None = None
        self._size = 0
        self._whole = False
        self._depth = Depth(options.limits.depth) if _is_json(scope) else None
        self._status = 0
        self.refused: Refused | None = None
        scope.setdefault("state", {})

    async def receive(self) -> Message:
        """Return the next piece of the body.

        Raises:
            Refused: It is too large, too slow or too deep.
        """
        if self._whole:
            return await self._receive()
        try:
            return await self._piece()
        except Refused as error:
            self.refused = error
            raise

    async def _piece(self) -> Message:
        try:
            message = await asyncio.wait_for(self._receive(), self._patience())
        except TimeoutError:
            raise Refused(408, "the body did not come in time") from None
        body = message.get("body", b"")
        self._size += len(body)
        if self._size > body_limit(self._options, self._scope["path"]):
            raise Refused(413, f"a body may have {body_limit(self._options, self._scope['path']):,} bytes")
        if self._depth is not None and not self._depth.allows(body):
            raise Refused(400, f"JSON may be {self._options.limits.depth} levels deep")
        self._whole = not message.get("more_body", False)
        return message

    def _patience(self) -> float:
        """Return for how many seconds the next piece is waited for: one that is small buys little time for the rest."""
        limits, now = self._options.limits, time.monotonic()
        if self._waits_since is None:
            self._waits_since = now
        left = self._waits_since + limits.body_seconds + self._size / limits.body_rate - now
        return min(left, limits.body_seconds)

    async def send(self, message: Message) -> None:
        """Send a part of the answer, with the headers that all have."""
        if self.refused is not None and self._status == 0:
            return
        if message["type"] == "http.response.start":
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            for name, value in HEADERS.items():
                headers.setdefault(name, value)
            headers.setdefault("Cache-Control", "no-store")
            headers["X-Request-Id"] = self.id
            if self._options.is_secure:
                headers["Strict-Transport-Security"] = "max-age=31536000"
        for piece in pieces(message):
            await self._send(piece)

    async def refuse(self, error: Refused) -> None:
        """Answer that a request is refused, unless an answer has begun, and let the connection go."""
        if self._status == 0:
            self.refused = None
            headers = {"Connection": "close", **({"Retry-After": "1"} if error.status == 429 else {})}
            response = respond(Request(self._scope), error.status, str(error), headers)
            await response(self._scope, self._receive, self.send)

    def log(self) -> None:
        """Write a line on the request: never its query, its body or its headers."""
        seconds = time.monotonic() - self._began
        route = getattr(self._scope.get("route"), "path", None) or ("/assets" if self._is_asset() else "other")
        if self._scope["path"].startswith("/v1/") and not route.startswith("/v1"):
            route = f"/v1{route}"  # of a router within the application
        self._gauges.request(self._scope["method"], route, self._status, seconds)
        account = self._scope["state"].get("account")
        LOG.info(
            "request",
            extra={
                "request": self.id,
                "method": self._scope["method"],
                "route": route,
                "status": self._status,
                "milliseconds": round(1000 * seconds, 1),
                "account": account,
                "address": (self._scope.get("client") or ("",))[0],
            },
        )

    def _is_asset(self) -> bool:
        return str(self._scope["path"]).startswith("/assets/")


def pieces(message: Message) -> Iterator[Message]:
    """Yield a part of an answer as it is sent."""
    body = message.get("body", b"")
    for begin in range(0, len(body) - PIECE, PIECE):
        yield {**message, "body": body[begin : begin + PIECE], "more_body": True}
    yield message if len(body) <= PIECE else {**message, "body": body[(len(body) - 1) // PIECE * PIECE :]}


class Depth:
    """How deep JSON is nested, counted as it comes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._depth = 0
        self._quoted = False
        self._rest = b""

    def allows(self, piece: bytes) -> bool:
        """Read a piece; False as soon as it is too deep."""
        piece = self._rest + piece
        self._rest = b"\\" if (len(piece) - len(piece.rstrip(b"\\"))) % 2 else b""
        for sign in SIGNS.findall(piece.removesuffix(self._rest)):
            if sign == b'"':
                self._quoted = not self._quoted
            elif not self._quoted:
                self._depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(sign, 0)
            if self._depth > self._most:
                return False
        return True


class Formatter(logging.Formatter):
    """A record as one JSON document on a line."""

    fields = ("request", "method", "route", "status", "milliseconds", "account", "address", "kind", "place", "path")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
        line: dict[str, Any] = {"time": moment, "level": record.levelname.lower(), "message": record.getMessage()}
        line |= {name: getattr(record, name) for name in self.fields if getattr(record, name, None) is not None}
        return json.dumps(line, ensure_ascii=False)


def body_limit(options: ServerOptions, path: str) -> int:
    """Return how many bytes a body to a path may have."""
    limits = options.limits
    return limits.upload_bytes + 65_536 if UPLOADING.fullmatch(path) else limits.body_bytes


def int_of(text: str | None) -> int:
    """Return a number, or nothing where a text is none."""
    return int(text[:18]) if text is not None and text.isascii() and text.isdigit() else 0


def _caller(scope: Scope) -> str:
    given: Iterable[tuple[bytes, bytes]] = scope["headers"]
    key = next((value for name, value in given if name == b"authorization"), b"")
    address = (scope.get("client") or ("",))[0]
    return hashlib.sha256(address.encode() + b"\x00" + key).hexdigest() if key else address


def _is_json(scope: Scope) -> bool:
    return "json" in Headers(scope=scope).get("content-type", "json").lower()
