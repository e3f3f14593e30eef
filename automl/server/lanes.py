"""Threads for requests: a few for what is read in milliseconds, others for what takes long; none waits for the other.

More threads than that would take turns at one interpreter, and open more connections than the database's pool keeps.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from anyio import CapacityLimiter
from anyio.to_thread import current_default_thread_limiter, run_sync
from fastapi import Request

P = ParamSpec("P")
T = TypeVar("T")

QUICK, SLOW = 4, 12


def slow_lane() -> CapacityLimiter:
    """Return the limit of what takes long."""
    return CapacityLimiter(SLOW)


def narrow() -> None:
    """Let routes that are no coroutines run in so many threads of this event loop."""
    current_default_thread_limiter().total_tokens = QUICK


async def slowly(request: Request, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Do what takes long, such as reading data or predicting, in a thread of its kind."""
    limiter: CapacityLimiter = request.app.state.slow
    return await run_sync(lambda: work(*args, **kwargs), limiter=limiter)
