"""Whether the service lives and can serve, and its counts."""

import os
from collections import Counter
from pathlib import Path

from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse

from automl.server.access import Needs, service_of
from automl.server.documents import Health
from automl.server.problems import Problem, documented
from storage.database import StorageError
from storage.searches import list_searches
from storage.workers import list_workers

ROUTER = APIRouter(tags=["operation"], responses=documented(400, 408, 413, 414, 429, 503))


@ROUTER.get("/healthz")
def is_alive() -> Health:
    """Say that the service lives."""
    return Health()


@ROUTER.get("/readyz")
def is_ready(request: Request) -> Health:
    """Say that the database answers, checkpoints can be written, and nothing fails that is done beside requests."""
    service = service_of(request)
    try:
        list_workers(service.database)
    except StorageError:
        raise Problem(503, "the database does not answer") from None
    place = service.options.checkpoints
    if isinstance(place, Path) and not os.access(place, os.W_OK | os.X_OK):
        raise Problem(503, "the folder of checkpoints cannot be written")
    if service.upkeep.failing:
        raise Problem(503, f"{' and '.join(service.upkeep.failing)} failed, and is tried again; the log says where")
    return Health()


@ROUTER.get(
    "/metrics",
    response_class=PlainTextResponse,
    responses={**documented(401, 403)},
    dependencies=[Depends(Needs("admin"))],
)
def count_all(request: Request) -> PlainTextResponse:
    """Return counts in the text format of Prometheus; they are of all accounts, and so for administrators."""
    service = service_of(request)
    states = Counter(service.state(row) for row in list_searches(service.database))
    workers = list_workers(service.database)
    text = request.app.state.gauges.text(
        {
            "automl_searches": dict(states),
            "automl_workers": {"": len(workers)},
            "automl_workers_busy": {"": sum(worker.search_id is not None for worker in workers)},
            "automl_watchers": {"": service.feed.watchers},
            "automl_predictors": {"": service.predictors.count},
        }
    )
    return PlainTextResponse(text, media_type="text/plain; version=0.0.4")
