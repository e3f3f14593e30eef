"""What happens in a search, as server-sent events."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, partial
from typing import Annotated

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.types import Receive, Scope, Send

from automl.server.access import SeenSearch, service_of
from automl.server.documents import EventDocument
from automl.server.feed import Change, Feed
from automl.server.lanes import Seats, account_of
from automl.server.problems import documented, returned
from storage.events import EventRow, list_events
from storage.searches import SearchRow

ROUTER = APIRouter(tags=["searches"])
RETRY_MILLISECONDS = 2_000
STREAM = returned("Server-sent events.", "text/event-stream", {"type": "string"})
LastId = Annotated[
    str | None, Header(alias="Last-Event-ID", pattern=r"^[0-9]{1,18}$", description="Go on after this event.")
]


class EventStream(StreamingResponse):
    """Server-sent events as bytes; FastAPI's own response would write each event anew for each watcher."""

    media_type = "text/event-stream"
    seat: AbstractContextManager[None] = nullcontext()
    """What a watcher has while it is told something."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell a watcher, unless it is one too many."""
        with self.seat:
            await super().__call__(scope, receive, send)


def seated(request: Request, events: EventStream) -> EventStream:
    """Return what a watcher is told once it has a seat: there are so many, and a share of them for an account."""
    seats: Seats = request.app.state.seats
    events.seat = seats.one(account_of(request), service_of(request).options.limits.watchers)
    return events


@ROUTER.get("/searches/{name}/events", response_class=EventStream, responses={**STREAM, **documented(503)})
async def watch_search(request: Request, row: SeenSearch, last_event_id: LastId = None) -> EventStream:
    """Watch a search: `decision` for each event, with its id; `state` whenever it stands otherwise; then `end`.

    A watcher whose connection was lost sends the id that it saw last as `Last-Event-ID`, and misses nothing.
    """
    service, token = service_of(request), request.headers.get("Authorization", "").partition(" ")[2]
    opens = partial(service.keyring.find, token)
    return seated(request, stream(service.feed, row, int(last_event_id or 0), opens))


def stream(feed: Feed, row: SearchRow, after: int, opens: Callable[[], Awaitable[object]]) -> EventStream:
    """Return what a watcher is told of a search, as it comes, for as long as the key of the request opens."""

    async def pieces() -> AsyncIterator[bytes]:
        yield format_sse_event(retry=RETRY_MILLISECONDS)
        async for batch in feed.follow(row, after):
            if await opens() is None:
                return
            yield b"".join(map(written, batch)) or KEEPALIVE_COMMENT
        if not feed.closed:
            yield format_sse_event(event="end", data_str="{}")

    return EventStream(pieces(), headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"})


@lru_cache(maxsize=4096)
def written(item: EventRow | Change) -> bytes:
    """Write an item as it is sent, once for all who watch."""
    if isinstance(item, Change):
        return format_sse_event(event="state", data_str=json.dumps(vars(item)))
    return format_sse_event(event="decision", id=str(item.id), data_str=document_of(item).model_dump_json())


def document_of(event: EventRow) -> EventDocument:
    """Return an event as the service shows it."""
    return EventDocument(id=event.id, created=event.created, kind=event.kind, message=event.message)


@ROUTER.get("/searches/{name}/decisions")
def list_decisions(
    request: Request,
    row: SeenSearch,
    after: Annotated[int, Query(ge=0, le=2**62)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[EventDocument]:
    """List what a search decided and what befell it, after an id."""
    events = list_events(service_of(request).database, row.id, after, limit)
    return [document_of(event) for event in events]
