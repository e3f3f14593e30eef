"""Task documents, before anything is searched."""

from typing import Any

from fastapi import APIRouter, Request

from automl.server.access import AdmittingRoute, Reader, Runner, service_of
from automl.server.documents import Task, Validated
from automl.server.lanes import slowly
from search_spaces.presets import PRESETS

ROUTER = APIRouter(tags=["data"], route_class=AdmittingRoute)


@ROUTER.post("/tasks/validate")
async def validate_task(request: Request, caller: Runner, body: Task) -> Validated:
    """Check a task document; its data are read when it is submitted."""
    document, dials = await slowly(request, service_of(request).validate, caller, body.task)
    mapping = document.to_mapping()
    given = body.task.model_dump(mode="json", by_alias=True, exclude_none=True)
    return Validated(document={**mapping, "data": given["data"]}, dials=dials)


@ROUTER.get("/presets")
def list_presets(_caller: Reader) -> dict[str, Any]:
    """List the presets that a task document can name."""
    return {"presets": list(PRESETS)}
