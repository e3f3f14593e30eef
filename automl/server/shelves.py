"""What was made of searches, kept until they change; of a search that runs, a little longer."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from storage.searches import SearchRow

T = TypeVar("T")

MOST_KEPT = 64
COSTS = 20.0
"""What took a second to make is made anew after 20 s at the earliest, while the search runs."""


@dataclass(frozen=True)
class Kept(Generic[T]):
    """Something that was made of a search, when, and what that cost."""

    stamp: "Stamp"
    value: T
    made: float
    cost: float

    def serves(self, stamp: "Stamp", now: float, patience: float) -> bool:
        """Whether it will do: nothing has changed, or a search that runs on has got on a little only."""
        if self.stamp == stamp:
            return True
        return stamp.running and self.stamp.run == stamp.run and now < self.made + max(patience, COSTS * self.cost)


class Shelf(Generic[T]):
    """What was made of searches last; safe to use from several threads.

    While one thread makes something anew, others are given what there was.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._kept: OrderedDict[int, Kept[T]] = OrderedDict()
        self._making: dict[int, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, row: SearchRow, make: Callable[[], T]) -> T:
        """Return what `make` makes of a search, or has made."""
        stamp = Stamp.of(row)
        with self._lock:
            kept = self._kept.get(row.id)
            making = self._making.setdefault(row.id, threading.Lock())
        if kept is not None and kept.serves(stamp, time.monotonic(), self._patience):
            return kept.value
        has_old = kept is not None and kept.stamp.run == stamp.run and stamp.running
        if has_old and kept is not None and not making.acquire(blocking=False):
            return kept.value
        if not has_old:
            making.acquire()
        try:
            return self._made(row.id, stamp, make)
        finally:
            making.release()

    def _made(self, number: int, stamp: "Stamp", make: Callable[[], T]) -> T:
        with self._lock:
            kept = self._kept.get(number)
        if kept is not None and kept.stamp == stamp:  # another thread was first
            return kept.value
        began = time.monotonic()
        value = make()
        now = time.monotonic()
        with self._lock:
            self._kept[number] = Kept(stamp, value, now, now - began)
            self._kept.move_to_end(number)
            while len(self._kept) > MOST_KEPT:
                self._making.pop(self._kept.popitem(last=False)[0], None)
        return value


@dataclass(frozen=True)
class Stamp:
    """What changes whenever a search does; `run` is the same for as long as one process runs it."""

    updated: datetime
    run: tuple[object, ...]
    running: bool

    @staticmethod
    def of(row: SearchRow) -> "Stamp":
        """Return that of a search."""
        run = (row.state, row.epoch, row.held, "best" in (row.summary or {}))
        return Stamp(row.updated, run, row.held and row.state == "running")
