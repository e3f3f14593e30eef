"""Batches: what the holder of a lease writes in one go, each batch committed exactly once.

A search costs a transaction a segment: the result of the last one, the decision, and the attempt that begins next.
"""

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec

from storage.database import Database, Transaction
from storage.leases import Lease
from storage.searches import take_turn

P = ParamSpec("P")


class Batch:
    """Collects writes and commits them together.

    Each batch has a number that the search's row counts, so that one whose commit was in doubt is not written twice.
    What is added after such a one is a batch of its own.
    What the rows of trials say is remembered from batch to batch, since the holder of a lease alone writes to them;
    whoever writes to a trial past the batch says so by `forget`.
    """

    def __init__(self, database: Database, lease: Lease) -> None:
        self._database = database
        self._lease = lease
        self._turn = 0
        self._writes: list[Callable[[Transaction], object]] = []
        self._doubted: tuple[int, float] | None = None
        self._trials: dict[Any, Any] = {}
        self._remembers = True

    @property
    def is_due(self) -> bool:
        """Whether there is something to commit."""
        return bool(self._writes)

    def add(
        self, write: Callable[Concatenate[Transaction, Lease, P], object], *arguments: P.args, **options: P.kwargs
    ) -> None:
        """Call `write` with the transaction of the next `commit`; it must bear to be rolled back and called again."""
        self._writes.append(lambda transaction: write(transaction, self._lease, *arguments, **options))

    def commit(self, elapsed: float) -> None:
        """Commit what was added since, and add seconds to what the search has consumed; nothing added is no batch.

        Raises:
            LeaseLost: A newer epoch exists.
            StorageError: The database refuses, or did not answer; it can be tried again.
        """
        if self._doubted is not None and self._doubted[0] < len(self._writes):
            number, before = self._doubted
            self._commit(number, before)
            elapsed -= before
        if self._writes:
            self._commit(len(self._writes), elapsed)

    def forget(self) -> None:
        """Read the rows of trials anew, since they were written to otherwise."""
        self._remembers = False

    def _commit(self, number: int, elapsed: float) -> None:
        """Commit the first so many writes."""

        def work(transaction: Transaction) -> None:
            if not self._remembers:
                self._trials.clear()
            self._remembers = False
            transaction.trials = self._trials
            if take_turn(transaction, self._lease, self._turn + 1, elapsed):
                for write in self._writes[:number]:
                    write(transaction)

        self._doubted = (number, elapsed)
        self._database.transact(work)
        self._turn += 1
        self._doubted = None
        self._remembers = True
        del self._writes[:number]
