"""Keys that were found to open are believed for a second, so that a client's next request asks no database."""

import time
from asyncio import Future, ensure_future, shield, to_thread
from collections.abc import Callable
from datetime import UTC, datetime

from storage.accounts import AccountRow
from storage.database import Database
from storage.keys import KeyRow, digest_of, find_key

BELIEVED_SECONDS = 1.0
MOST_KEYS = 10_000
Found = tuple[KeyRow, AccountRow]


class Keyring:
    """Finds keys; used in one event loop.

    What is revoked by this service opens nothing at once, what is revoked elsewhere within `BELIEVED_SECONDS`.
    """

    def __init__(self, database: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._database = database
        self._clock = clock
        self._believed: dict[tuple[str, bool], tuple[float, Found]] = {}
        self._asking: dict[tuple[str, bool], Future[Found | None]] = {}

    async def find(self, token: str, *, session: bool = False) -> Found | None:
        """Return the key of a token and its account, if it opens."""
        name = (digest_of(token), session)
        until, found = self._believed.get(name, (0.0, None))
        if found is not None and self._clock() < until and not _has_expired(found[0]):
            return found
        asking = self._asking.get(name)
        if asking is None:  # many watchers of one key ask at once, whenever there is news
            asking = self._asking[name] = ensure_future(self._ask(token, name))
        return await shield(asking)

    async def _ask(self, token: str, name: tuple[str, bool]) -> Found | None:
        generation, others, now = self._believed, self._asking, self._clock()
        try:
            found = await to_thread(find_key, self._database, token, session=name[1])
        finally:
            others.pop(name, None)
        if found is not None and generation is self._believed:
            if len(self._believed) >= MOST_KEYS:
                self.forget()
            self._believed[name] = (now + BELIEVED_SECONDS, found)
        return found

    def forget(self) -> None:
        """Ask the database about every key again."""
        self._believed, self._asking = {}, {}


def _has_expired(key: KeyRow) -> bool:
    return key.expires is not None and key.expires <= datetime.now(UTC)
