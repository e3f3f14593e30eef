"""Renews the lease of a search while its process computes."""

import threading
from collections.abc import Callable
from types import TracebackType

from storage.database import Database, StorageError
from storage.leases import Lease, LeaseLost
from storage.searches import renew


class Heartbeat:
    """Renews a lease three times as often as it needs, in a thread, while the context is open.

    When the lease is lost it calls `on_lost` and ends; the next write of the search will say so, too.
    """

    def __init__(self, database: Database, lease: Lease, seconds: float, on_lost: Callable[[], None]) -> None:
        self._database = database.patient(0.0)  # the next beat is another try
        self._lease = lease
        self._seconds = seconds
        self._on_lost = on_lost
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, daemon=True)

    def __enter__(self) -> "Heartbeat":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._ended.wait(self._seconds / 3):
            try:
                renew(self._database, self._lease, self._seconds)
            except LeaseLost:
                self._on_lost()
                return
            except StorageError:
                continue  # the database is busy: two more beats before the lease lapses
