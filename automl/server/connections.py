"""Connections that end when they take too long to ask for anything, and a server that lets watchers go at its end."""

import asyncio
from collections.abc import Callable
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LONGEST_HEAD = 32_768
"""Bytes of a request before its body, about."""


class Patient(HttpToolsProtocol):
    """HTTP/1.1; a connection that has not sent a whole request's head in `seconds`, or sends a long one, is closed."""

    seconds = 10.0

    _waiting: asyncio.TimerHandle | None = None
    _head = 0

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._expect()

    def data_received(self, data: bytes) -> None:
        self._head += len(data)
        super().data_received(data)
        if not self._is_idle():
            self._head = 0
            self._forget()
        elif self._head > LONGEST_HEAD and not self.transport.is_closing():
            self.send_400_response("The head of the request is too long.")
        elif self._waiting is None:
            self._expect()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        super().connection_lost(exc)

    def _is_idle(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def _expect(self) -> None:
        self._waiting = self.loop.call_later(self.seconds, self._give_up)

    def _forget(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        if self._is_idle() and not self.transport.is_closing():
            self.transport.close()


def protocol(seconds: float) -> type[asyncio.Protocol]:
    """Return a protocol with that much patience."""
    return type("Patient", (Patient,), {"seconds": seconds})


class Server(uvicorn.Server):
    """A server that tells its watchers when it is to end: they reconnect to the next one."""

    def __init__(self, config: uvicorn.Config, on_exit: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_exit = on_exit

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Answer a signal."""
        self._on_exit()
        super().handle_exit(sig, frame)
