"""The OpenAPI document, and the same as a page to read; both are served by the service itself."""

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse

ROUTER = APIRouter(include_in_schema=False)


@ROUTER.get("/openapi.json")
def openapi(request: Request) -> JSONResponse:
    """Return the OpenAPI document."""
    return JSONResponse(request.app.openapi())
