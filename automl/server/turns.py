"""Turns: of several threads that want the same thing made, one makes it, and the others wait until it is there."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary


class Turns:
    """A lock for each name, for as long as somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, threading.Lock] = WeakValueDictionary()
        self._lock = threading.Lock()

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        """Let one thread in at a time."""
        with self._lock:
            own = self._locks.setdefault(name, threading.Lock())
        with own:
            yield
