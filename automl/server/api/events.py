"""What happens in a search, as server-sent events."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from automl.server.access import SeenSearch, service_of
from automl.server.documents import EventDocument
from automl.server.feed import Change
from automl.server.problems import Problem, documented
from storage.events import list_events
from storage.searches import SearchRow

ROUTER = APIRouter(tags=["searches"])
RETRY_MILLISECONDS = 2_000
LastId = Annotated[
    str | None, Header(alias="Last-Event-ID", pattern=r"^[0-9]{1,18}$", description="Go on after this event.")
]


def room_to_watch(request: Request) -> None:
    """Refuse a watcher too many."""
    service = service_of(request)
    if service.feed.watchers >= service.options.limits.watchers:
        raise Problem(503, "too many watch already; try again later", {"Retry-After": "10"})


Room = Annotated[None, Depends(room_to_watch)]


@ROUTER.get("/searches/{name}/events", response_class=EventSourceResponse, responses={**documented(503)})
async def watch_search(
    request: Request, row: SeenSearch, _room: Room, last_event_id: LastId = None
) -> AsyncIterator[ServerSentEvent]:
    """Watch a search: `decision` for each event, with its id; `state` whenever it stands otherwise; then `end`.

    A watcher whose connection was lost sends the id that it saw last as `Last-Event-ID`, and misses nothing.
    """
    async for event in watched(request, row, int(last_event_id or 0)):
        yield event


async def watched(request: Request, row: SearchRow, after: int) -> AsyncIterator[ServerSentEvent]:
    """Yield what a watcher is told of a search."""
    service = service_of(request)
    yield ServerSentEvent(retry=RETRY_MILLISECONDS)
    async for item in service.feed.follow(row, after):
        if isinstance(item, Change):
            yield ServerSentEvent(event="state", data=vars(item))
        else:
            document = EventDocument(id=item.id, created=item.created, kind=item.kind, message=item.message)
            yield ServerSentEvent(event="decision", id=str(item.id), data=document)
    if not service.feed.closed:
        yield ServerSentEvent(event="end", data={})


@ROUTER.get("/searches/{name}/decisions")
def list_decisions(
    request: Request,
    row: SeenSearch,
    after: Annotated[int, Query(ge=0, le=2**62)] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[EventDocument]:
    """List what a search decided and what befell it, after an id."""
    events = list_events(service_of(request).database, row.id, after, limit)
    return [EventDocument(id=e.id, created=e.created, kind=e.kind, message=e.message) for e in events]
