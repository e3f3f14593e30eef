"""Rows of searches that run are believed for a moment, so that whoever looks next asks no database."""

import time
from asyncio import to_thread
from collections.abc import Callable

from storage.database import Database
from storage.searches import SearchRow, get_search

BELIEVED_SECONDS = 0.5
MOST_ROWS = 1_000


class Rows:
    """Finds searches for those who only look; used in one event loop, `forget` from any thread.

    What is changed by this service, or told to watchers, is seen at once; what is changed elsewhere within
    `BELIEVED_SECONDS`.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._believed: dict[str, tuple[float, SearchRow]] = {}

    async def find(self, name: str) -> SearchRow | None:
        """Return the search of a name."""
        believed = self._believed
        until, row = believed.get(name, (0.0, None))
        if row is not None and self._clock() < until:
            return row
        until = self._clock() + BELIEVED_SECONDS
        row = await to_thread(get_search, self._database, name)
        if row is not None and row.held and row.state == "running" and believed is self._believed:
            if len(believed) >= MOST_ROWS:
                believed.clear()
            believed[name] = (until, row)
        return row

    def forget(self) -> None:
        """Ask the database about every search again."""
        self._believed = {}
