"""Connections that end when they take too long to ask or to be answered, and a server that lets watchers go at last."""

import asyncio
import socket
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from automl.server.options import Limits

LONGEST_HEAD = 32_768
"""Bytes of what is no body: a request's head, and trailers."""


class Patient(HttpToolsProtocol):
    """HTTP/1.1; a connection that has not sent a whole request's head in `seconds`, or sends a long one, is closed.

    Trailers are not read, and an answer to a request that was not read to its end is the last of a connection. What the
    client has not taken in `answer_seconds`, it takes no more.
    """

    seconds = Limits.header_seconds
    answer_seconds = Limits.answer_seconds

    _waiting: asyncio.TimerHandle | None = None
    _unsent: asyncio.TimerHandle | None = None
    _fields = 0
    _unread = 0
    _has_head = False

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=1)  # writing pauses until what was written is with the system
        self._expect()

    def data_received(self, data: bytes) -> None:
        self._unread += len(data)
        super().data_received(data)
        if self._unread > LONGEST_HEAD and not self.transport.is_closing():
            self.transport.close()
        if not self._is_idle():
            self._forget()
        elif self._waiting is None:
            self._expect()

    def on_message_begin(self) -> None:
        self._fields, self._has_head = 0, False
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._has_head:
            self._count(name + value)
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._unread, self._has_head = 0, True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def on_response_complete(self) -> None:
        has_rest = self.cycle is not None and self.cycle.more_body
        super().on_response_complete()
        if has_rest and not self.transport.is_closing():
            self.transport.close()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._unsent = self.loop.call_later(self.answer_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        self._taken()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        self._taken()
        super().connection_lost(exc)

    def _count(self, part: bytes) -> None:
        """Refuse a head that is too long; the parser answers what is raised here with 400, and closes."""
        self._fields += len(part)
        if self._fields > LONGEST_HEAD:
            raise ValueError("the head is too long")

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _expect(self) -> None:
        self._waiting = self.loop.call_later(self.seconds, self._give_up)

    def _forget(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _taken(self) -> None:
        if self._unsent is not None:
            self._unsent.cancel()
            self._unsent = None

    def _give_up(self) -> None:
        self._waiting = None
        if self._is_idle() and not self.transport.is_closing():
            self.transport.close()


def protocol(limits: Limits) -> type[asyncio.Protocol]:
    """Return a protocol with that much patience."""
    return type("Patient", (Patient,), {"seconds": limits.header_seconds, "answer_seconds": limits.answer_seconds})


class Server(uvicorn.Server):
    """A server that tells its watchers when it is to end: they reconnect to the next one.

    Who asks while there are more than `limits.connections` is answered 503. TLS has `limits.header_seconds` to begin,
    and as long to end.
    """

    def __init__(self, config: uvicorn.Config, limits: Limits, on_exit: Callable[[], None]) -> None:
        config.limit_concurrency = limits.connections + 1  # it counts the one that asks
        super().__init__(config)
        self._seconds = limits.header_seconds
        self._on_exit = on_exit

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to serve at sockets."""
        await super().startup(sockets=[])
        loop, backlog, context = asyncio.get_running_loop(), self.config.backlog, self.config.ssl
        patience = None if context is None else self._seconds
        for each in sockets or ():
            server = await loop.create_server(
                self._connection,
                sock=each,
                backlog=backlog,
                ssl=context,
                ssl_handshake_timeout=patience,
                ssl_shutdown_timeout=patience,
            )
            self.servers.append(server)

    def _connection(self) -> asyncio.Protocol:
        kind: Any = self.config.http_protocol_class
        made: asyncio.Protocol = kind(self.config, self.server_state, self.lifespan.state)
        return made

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Answer a signal."""
        self._on_exit()
        super().handle_exit(sig, frame)
