"""The API under `/v1`: one file for what belongs together."""

from fastapi import APIRouter

from automl.server.api import events, keys, models, searches, tasks, trials, uploads
from automl.server.problems import ProblemDocument, documented


def router() -> APIRouter:
    """Return all routes of the API."""
    whole = APIRouter(
        prefix="/v1",
        responses={
            "default": {"model": ProblemDocument},
            **documented(400, 401, 403, 404, 408, 409, 413, 414, 422, 429, 503),
        },
    )
    for part in (uploads, tasks, searches, events, trials, models, keys):
        whole.include_router(part.ROUTER)
    return whole
