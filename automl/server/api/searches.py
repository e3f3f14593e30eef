"""Searches: submitted, listed, paused, resumed, cancelled, extended, deleted."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from automl.server.access import AdmittingRoute, Reader, Runner, RunSearch, SeenSearch, own_search, service_of
from automl.server.api.uploads import Limit
from automl.server.documents import Budget, SearchDocument, Searches, Submitted
from automl.server.idempotency import IdempotencyKey, once, request_digest
from automl.server.lanes import slowly
from automl.server.problems import not_found
from storage.searches import get_search, list_searches

ROUTER = APIRouter(tags=["searches"], route_class=AdmittingRoute)
Before = Annotated[int | None, Query(ge=1, le=2**31 - 1)]
LOCATION: dict[int | str, dict[str, Any]] = {
    202: {
        "description": "It is queued, or will be done; Location says where to look.",
        "headers": {"Location": {"schema": {"type": "string"}, "description": "Where to look."}},
    }
}


@ROUTER.post("/searches", status_code=202, responses={**LOCATION})
async def submit_search(
    request: Request, response: Response, caller: Runner, body: Submitted, key: IdempotencyKey = None
) -> SearchDocument:
    """Submit a task: its data are read, then it is queued for a worker.

    A search of the same name with the same task and data goes on with the budget given.
    """
    service = service_of(request)
    asked = request_digest("submit", body.model_dump_json())

    def make() -> str:
        return service.submit(caller, body.task, body.workers).name

    name = await slowly(request, once, service.database, caller, key, asked, make)
    row = await slowly(request, own_search, service, caller, name)
    response.headers["Location"] = f"/v1/searches/{row.name}"
    return await slowly(request, service.library.document, row)


@ROUTER.get("/searches")
def list_all_searches(request: Request, caller: Reader, before: Before = None, limit: Limit = 50) -> Searches:
    """List the searches of the caller, those of all for an administrator."""
    service = service_of(request)
    seen = [row for row in list_searches(service.database) if caller.may_see(row)]
    older = [row for row in reversed(seen) if before is None or row.id < before]
    items = service.library.documents(older[:limit])
    return Searches(items=items, next=older[limit - 1].id if len(older) > limit else None)


@ROUTER.get("/searches/{name}")
def get_one_search(request: Request, row: SeenSearch) -> SearchDocument:
    """Say how a search stands."""
    return service_of(request).library.document(row)


@ROUTER.post("/searches/{name}/pause", status_code=202, responses={**LOCATION})
def pause_search(request: Request, response: Response, row: RunSearch) -> SearchDocument:
    """Let a search end what it runs and wait; nothing trained is lost."""
    service_of(request).stop(row, "pause")
    return _changed(request, response, row.name)


@ROUTER.post("/searches/{name}/cancel", status_code=202, responses={**LOCATION})
def cancel_search(request: Request, response: Response, row: RunSearch) -> SearchDocument:
    """End a search for good; what it has found can be taken home."""
    service_of(request).stop(row, "cancel")
    return _changed(request, response, row.name)


@ROUTER.post("/searches/{name}/resume", status_code=202, responses={**LOCATION})
async def resume_search(request: Request, response: Response, caller: Runner, row: RunSearch) -> SearchDocument:
    """Queue a search again that was paused or interrupted, or has failed."""

    def work() -> SearchDocument:
        service_of(request).resume(caller, row)
        return _changed(request, response, row.name)

    return await slowly(request, work)


@ROUTER.put("/searches/{name}/budget", status_code=202, responses={**LOCATION})
async def set_search_budget(
    request: Request, response: Response, caller: Runner, row: RunSearch, body: Budget
) -> SearchDocument:
    """Give a search another budget in all; it goes on with it."""

    def work() -> SearchDocument:
        service_of(request).set_budget(caller, row, body.budget)
        return _changed(request, response, row.name)

    return await slowly(request, work)


@ROUTER.delete("/searches/{name}", status_code=204)
async def delete_one_search(
    request: Request,
    row: RunSearch,
    purge: Annotated[bool, Query(description="Also its checkpoints and its data, and copies of them here.")] = False,
) -> None:
    """Delete a search that does not run."""
    await slowly(request, service_of(request).delete, row, purge=purge)


def _changed(request: Request, response: Response, name: str) -> SearchDocument:
    service = service_of(request)
    row = get_search(service.database, name)
    if row is None:
        raise not_found(f"search {name!r}")
    response.headers["Location"] = f"/v1/searches/{name}"
    return service.library.document(row)
