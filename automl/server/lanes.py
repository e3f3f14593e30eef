"""Threads for requests: a few for what is read in milliseconds, others for what takes long, others for models that
predict; none waits for the other, and no account has more than its share of them.

More threads than that would take turns at one interpreter, and open more connections than the database's pool keeps.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar
from weakref import WeakValueDictionary

from anyio import CapacityLimiter
from anyio.to_thread import current_default_thread_limiter, run_sync
from fastapi import Request

from automl.server.problems import Problem

P = ParamSpec("P")
T = TypeVar("T")

QUICK, SLOW, PREDICTING = 4, 12, 6
THREADS_SHARE, SEATS_SHARE = 3, 10
"""An account has a third of the threads at most, and a tenth of the seats."""
MOST_WAITING = 64


class Lane:
    """Threads for requests of one kind; what an account asks for beyond its share waits for its own alone."""

    def __init__(self, threads: int) -> None:
        self._threads = CapacityLimiter(threads)
        self._share = threads // THREADS_SHARE
        self._shares: WeakValueDictionary[str, CapacityLimiter] = WeakValueDictionary()

    async def run(self, account: str, work: Callable[[], T]) -> T:
        """Do something in a thread, for an account.

        Raises:
            Problem: Too much of that account waits already (503).
        """
        own = self._shares.get(account)
        if own is None:
            self._shares[account] = own = CapacityLimiter(self._share)
        if own.statistics().tasks_waiting >= MOST_WAITING:
            raise Problem(503, "too much of your account waits already; try again", {"Retry-After": "5"})
        async with own:
            return await run_sync(work, limiter=self._threads)


class Seats:
    """Places for those who stay; used in one event loop."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    @contextmanager
    def one(self, account: str, most: int) -> Iterator[None]:
        """Have a place, of so many in all, for a while.

        Raises:
            Problem: All are taken, or as many as one account may have (503).
        """
        if self._taken.total() >= most or self._taken[account] >= max(most // SEATS_SHARE, 1):
            raise Problem(503, "too many watch already; try again later", {"Retry-After": "10"})
        self._taken[account] += 1
        try:
            yield
        finally:
            self._taken[account] -= 1
            self._taken += Counter()  # drops who has none


def narrow() -> None:
    """Let routes that are no coroutines run in so many threads of this event loop."""
    current_default_thread_limiter().total_tokens = QUICK


def account_of(request: Request) -> str:
    """Return the name of the account that calls; nothing where nobody knows yet."""
    name: str = getattr(request.state, "account", "")
    return name


async def slowly(request: Request, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do what takes long, such as reading data, in a thread of its kind."""
    lane: Lane = request.app.state.slow
    return await lane.run(account_of(request), lambda: work(*args, **kwargs))


async def predicting(request: Request, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Let a model predict, in a thread of its kind."""
    lane: Lane = request.app.state.predicting
    return await lane.run(account_of(request), lambda: work(*args, **kwargs))
