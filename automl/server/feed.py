"""What happens in searches, as it happens: the database is asked once a second for each search, whoever watches.

What is sent to watchers is written once for all of them.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field

from automl.server.library import state_of
from automl.server.upkeep import Upkeep
from storage.database import Database, StorageError
from storage.events import EventRow, list_events, newest_event
from storage.searches import SearchRow, get_search
from storage.wishes import wish_of

POLL_SECONDS = 1.0
QUIET_SECONDS = 15.0
"""A watcher is told nothing, which keeps its connection open, when there was no news for so long."""
KEPT_EVENTS = 2_000
ENDED = ("finished", "failed", "paused", "cancelled", "interrupted")


@dataclass(frozen=True)
class Change:
    """How a search stands now: its state, and a number that grows with whatever changes."""

    state: str
    seconds: float
    stamp: str


@dataclass
class Channel:
    """A search that somebody watches.

    Attributes:
        last: Id of the last event that is known.
        version: Grows whenever there is news.
        fallen: Id of the last event that is kept no more.
    """

    name: str
    last: int
    events: deque[EventRow] = field(default_factory=lambda: deque(maxlen=KEPT_EVENTS))
    change: Change | None = None
    version: int = 0
    fallen: int = 0
    watchers: int = 0
    gone: bool = False


class Feed:
    """Tells watchers; used in one event loop."""

    def __init__(
        self,
        database: Database,
        seconds: float = POLL_SECONDS,
        on_news: Callable[[], None] = lambda: None,
        upkeep: Upkeep | None = None,
    ) -> None:
        """Look every so many seconds; before watchers are told that a search stands otherwise, `on_news` is."""
        self._upkeep = upkeep or Upkeep()
        self._database = database
        self._on_news = on_news
        self._seconds = seconds
        self._channels: dict[int, Channel] = {}
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self.closed = False

    @property
    def watchers(self) -> int:
        """How many watch now."""
        return sum(channel.watchers for channel in self._channels.values())

    def close(self) -> None:
        """Let every watcher end."""
        self.closed = True
        self._wake()
        if self._task is not None:
            self._task.cancel()

    def close_soon(self) -> None:
        """Let every watcher end; called from another thread."""
        self.closed = True
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.close)

    async def follow(self, search: SearchRow, after: int) -> AsyncIterator[list[EventRow | Change]]:
        """Yield the events with an id above `after`, then what comes, and how the search stands when that changes.

        A batch without anything comes now and then when nothing else does.

        It ends when the search has, or the service does.
        """
        self._loop = asyncio.get_running_loop()
        channel = await self._channel(search)
        channel.watchers += 1
        try:
            async for events in self._replay(search.id, after):
                after = events[-1].id
                yield [*events]
            if self._task is None or self._task.done():
                work = self._upkeep.repeat("watching", self._look_at_all, self._seconds, self._is_watched)
                self._task = asyncio.create_task(work)
            async for batch in self._live(search.id, channel, after):
                yield batch
        finally:
            channel.watchers -= 1
            if channel.watchers == 0 and self._channels.get(search.id) is channel:
                del self._channels[search.id]

    async def _channel(self, search: SearchRow) -> Channel:
        if search.id not in self._channels:
            newest = await asyncio.to_thread(newest_event, self._database, search.id)
            self._channels.setdefault(search.id, Channel(search.name, newest))
        return self._channels[search.id]

    async def _replay(self, search_id: int, after: int) -> AsyncIterator[list[EventRow]]:
        while events := await asyncio.to_thread(list_events, self._database, search_id, after):
            after = events[-1].id
            yield events

    async def _live(self, search_id: int, channel: Channel, after: int) -> AsyncIterator[list[EventRow | Change]]:
        told: Change | None = None
        version, spoken = -1, asyncio.get_running_loop().time()
        while not self.closed:
            now = asyncio.get_running_loop().time()
            if channel.version == version or channel.change is None:
                if channel.gone:
                    return
                if now - spoken > QUIET_SECONDS:
                    spoken = now
                    yield []
                await self._news.wait()
                continue
            if after < channel.fallen:  # a watcher that reads slowly
                async for events in self._replay(search_id, after):
                    after = events[-1].id
                    yield [*events]
            version, spoken = channel.version, now
            batch: list[EventRow | Change] = [event for event in channel.events if event.id > after]
            after = max(after, channel.last)
            if channel.change != told:
                told = channel.change
                batch.append(told)
            yield batch
            if told.state in ENDED and channel.version == version:
                return

    def _is_watched(self) -> bool:
        return bool(self._channels) and not self.closed

    async def _look_at_all(self) -> None:
        """Look at each search that is watched; what is wrong with one keeps no news from those who watch others."""
        wrong: Exception | None = None
        for number, channel in list(self._channels.items()):
            try:
                with suppress(StorageError):  # the next time will do
                    await self._look(number, channel)
            except Exception as error:
                wrong = error
        self._wake()
        if wrong is not None:
            raise wrong

    async def _look(self, number: int, channel: Channel) -> None:
        change, events = await asyncio.to_thread(self._read, number, channel)
        if change is None or channel.change is None or change.state != channel.change.state:
            self._on_news()
        if change is None:
            channel.gone = True
        elif events or change != channel.change:
            surplus = len(channel.events) + len(events) - KEPT_EVENTS
            if surplus > 0:
                channel.fallen = [*channel.events, *events][surplus - 1].id
            channel.events.extend(events)
            channel.last = max([channel.last, *(event.id for event in events)])
            channel.change = change
            channel.version += 1

    def _read(self, number: int, channel: Channel) -> tuple[Change | None, list[EventRow]]:
        row = get_search(self._database, channel.name)
        if row is None or row.id != number:
            return None, []
        wish = wish_of(self._database, number)
        change = Change(state_of(row.standing, wish), round(row.seconds, 1), row.updated.isoformat())
        events: list[EventRow] = []
        while more := list_events(self._database, number, events[-1].id if events else channel.last):
            events += more
        return change, events

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()
