"""The OpenAPI document, and the same as a page to read; neither needs anything from elsewhere."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from automl.server.pages.rendering import render
from automl.server.pages.visitors import Looker

ROUTER = APIRouter()


@ROUTER.get("/openapi.json")
def openapi(request: Request) -> JSONResponse:
    """Return the OpenAPI document."""
    return JSONResponse(request.app.openapi())


@ROUTER.get("/reference")
def show_reference(request: Request, caller: Looker) -> Response:
    """Show all routes of the API."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for path, methods in request.app.openapi()["paths"].items():
        for method, route in methods.items():
            groups[route.get("tags", ["other"])[0]].append(_described(path, method, route))
    return render(request, "reference.html", caller, groups=groups)


def _described(path: str, method: str, route: Mapping[str, Any]) -> dict[str, Any]:
    content = route.get("requestBody", {}).get("content", {})
    schemas = [body["schema"].get("$ref", "").rpartition("/")[2] for body in content.values() if "schema" in body]
    return {
        "method": method.upper(),
        "path": path,
        "description": route.get("description", route.get("summary", "")),
        "parameters": route.get("parameters", []),
        "body": ", ".join(f"{kind} {schema}" for kind, schema in zip(content, schemas, strict=False)),
        "statuses": [status for status in route["responses"] if status.startswith("2")],
    }
