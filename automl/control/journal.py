"""What a search writes: collected, and committed with the time that it took before anything else begins."""

from collections.abc import Callable
from typing import Concatenate, ParamSpec

from storage.batches import Batch
from storage.database import Database, Transaction
from storage.events import note
from storage.leases import Lease
from storage.searches import set_fields

P = ParamSpec("P")

SAVE_SECONDS = 3.0
"""The consumed time is saved so often where nothing else is written."""


class Journal:
    """The rows and events of one search, and the seconds that it has consumed."""

    def __init__(self, database: Database, lease: Lease, consumed: Callable[[], float], saved: float) -> None:
        """Begin to write.

        Args:
            consumed: Seconds that the search has consumed up to now.
            saved: Those that are in the database.
        """
        self._batch = Batch(database, lease)
        self._consumed = consumed
        self._saved = saved
        self._touched = consumed()
        self._recorded = ("", "")

    @property
    def decision(self) -> str:
        """What was decided last, for people to read."""
        return self._recorded[1]

    def add(
        self, write: Callable[Concatenate[Transaction, Lease, P], object], *arguments: P.args, **options: P.kwargs
    ) -> None:
        """Write at the next `commit`."""
        self._batch.add(write, *arguments, **options)

    def record(self, kind: str, message: str) -> None:
        """Note a decision, unless it is the last one again."""
        if (kind, message) != self._recorded:
            self._recorded = (kind, message)
            self._batch.add(note, kind, message)

    def warn(self, message: str) -> None:
        """Note what a person should know."""
        self._batch.add(note, "warning", message)

    def commit(self) -> None:
        """Commit what was written, and the time that it took."""
        if self._batch.is_due:
            consumed = self._consumed()
            self._batch.commit(consumed - self._saved)
            self._saved = self._touched = consumed

    def save_time(self) -> None:
        """Save the consumed time where nothing was committed for some seconds."""
        if self._consumed() - self._touched >= SAVE_SECONDS:
            self.add(set_fields)
            self.commit()

    def forget(self) -> None:
        """Read the rows of trials anew, since they were written to otherwise."""
        self._batch.forget()
