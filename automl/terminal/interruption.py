"""Ctrl-C and SIGTERM during a search: the first ends it in good order, the second at once."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any, Protocol, Self

from automl.terminal.progress import Display

INTERRUPTED = 130
SIGNALS = (signal.SIGINT, signal.SIGTERM)
STOPPING = "stopping: finishing what runs, then saving (Ctrl-C again to leave at once)"


class Interruptible(Protocol):
    """What a signal ends early, such as the controller."""

    def interrupt(self) -> None:
        """End early and keep everything; called from a signal handler."""
        ...


class Interruption:
    """Handles the signals while it is entered; before there is anything to end it raises KeyboardInterrupt."""

    def __init__(self, display: Display, leave: Callable[[int], Any] = os._exit) -> None:
        """Make it; `leave` ends the process at once."""
        self._display = display
        self._leave = leave
        self._running: Interruptible | None = None
        self._asked = False
        self._before: dict[signal.Signals, Any] = {}

    def watch(self, running: Interruptible | None) -> None:
        """Say what the first signal is to end; nothing while there is nothing that must end in good order."""
        self._running = running

    def handle(self, _number: int, _frame: FrameType | None) -> None:
        """Answer a signal."""
        if self._running is None:
            raise KeyboardInterrupt
        if self._asked:
            self._display.abandon()
            self._leave(INTERRUPTED)
            return
        self._asked = True
        self._display.announce(STOPPING)
        self._running.interrupt()

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self.handle) for number in SIGNALS}
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)


@contextmanager
def ended_like_ctrl_c() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does, so that what was begun is cleared away."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
