"""What the service does again and again beside its requests; an error that nobody expected ends none of it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from automl.server.problems import raised_at

LOG = logging.getLogger("automl.server")
LONGEST_PAUSE = 60.0


class Upkeep:
    """Repeats work in one event loop, and knows which of it fails now."""

    def __init__(self) -> None:
        self._failing: set[str] = set()

    @property
    def failing(self) -> list[str]:
        """Names of the work that has failed when it was done last."""
        return sorted(self._failing)

    async def repeat(
        self,
        name: str,
        work: Callable[[], Awaitable[None]],
        seconds: float,
        goes_on: Callable[[], bool] = lambda: True,
    ) -> None:
        """Do work every so many seconds; after an error sooner or later, the longer the more of them come in a row."""
        failures = 0
        try:
            while goes_on():
                failures = 0 if await self._succeeds(name, work) else failures + 1
                await asyncio.sleep(seconds if failures == 0 else min(2.0 ** (failures - 1), LONGEST_PAUSE))
        finally:
            self._failing.discard(name)

    async def _succeeds(self, name: str, work: Callable[[], Awaitable[None]]) -> bool:
        try:
            await work()
        except Exception as error:
            LOG.error(f"{name} failed", extra={"kind": type(error).__name__, "place": raised_at(error)})
            self._failing.add(name)
            return False
        self._failing.discard(name)
        return True
