"""Errors as `application/problem+json` (RFC 9457): what is wrong, in one line."""

import logging
import re
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import PurePath
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

from automl.errors import InputError
from automl.tasks.document import explained
from storage.buckets import Unreachable
from storage.database import StorageError
from storage.engines import BusyError, ConnectionLost

MEDIA_TYPE = "application/problem+json"
LOG = logging.getLogger("automl.server")
LOCATION = re.compile(r"(?<![\w.:/-])(?:[a-z0-9+]+:/)?(?:/[^\s/'\"(),;:]+){2,}")
"""A path, or a URL, in a sentence."""


class Problem(Exception):
    """A request that is refused: status, and one line that says what would be right."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers


class ProblemDocument(BaseModel):
    """What is wrong with a request."""

    type: str
    title: str
    status: int
    detail: str


def plain(sentence: str) -> str:
    """Return a sentence with the names alone of files, and without what only who runs the service could do about it."""
    named = LOCATION.sub(lambda found: PurePath(found[0]).name, sentence)
    return named.partition("; let AUTOML_")[0]


def told(error: Exception) -> str:
    """Return the line that says what is wrong with a request."""
    match error:
        case Problem():
            return str(error)
        case BusyError() | ConnectionLost():
            return "the database does not answer; try again"
        case Unreachable():
            return "where data and models are kept does not answer; try again"
    line = plain(str(error))
    return line.partition("; ")[0] if isinstance(error, StorageError) and "database" in line else line


def not_found(what: str) -> Problem:
    """Say that something is not there, or is not the caller's, which is the same to the caller."""
    return Problem(404, f"there is no {what}")


def status_of(error: Problem | InputError) -> int:
    """Return the status of the answer to what is wrong with a request."""
    return error.status if isinstance(error, Problem) else 422


def answer(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem as a response."""
    title = HTTPStatus(status).phrase
    content = ProblemDocument(type="about:blank", title=title, status=status, detail=detail).model_dump()
    return JSONResponse(content, status, dict(headers or {}), MEDIA_TYPE)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI has to know of the problems with these statuses."""
    schema = {"$ref": "#/components/schemas/ProblemDocument"}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def returned(description: str, media_type: str, schema: Mapping[str, Any]) -> dict[int | str, dict[str, Any]]:
    """Return what OpenAPI has to know of an answer that is no JSON."""
    return {200: {"description": description, "content": {media_type: {"schema": dict(schema)}}}}


def raised_at(error: Exception) -> str:
    """Return the file and the line where an error was raised, which hold nothing of what it was about."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return "" if trace is None else f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}"


def install(app: FastAPI) -> None:
    """Let an application answer every error with a problem."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(InputError, _input)
    app.add_exception_handler(StorageError, _storage)
    app.add_exception_handler(Exception, _unexpected)


def respond(request: Request, status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    """Return a problem as a page where somebody looks at one, and as JSON anywhere else.

    Of the request it takes what its head says, and nothing of that for granted.
    """
    is_page = not request.scope["path"].startswith("/v1/") and "text/html" in request.headers.get("accept", "")
    if is_page and hasattr(request.app.state, "problem_page"):
        page: Response = request.app.state.problem_page(request, status, detail)
        page.headers.update(headers or {})
        return page
    return answer(status, detail, headers)


def _problem(request: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return respond(request, error.status, str(error), error.headers)


def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return respond(request, error.status_code, str(error.detail), error.headers)


def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return respond(request, 422, _wrong(error.errors()[0])[:1000].encode("utf-8", "replace").decode())


def _wrong(error: Any) -> str:
    """Say which part of a request is wrong; of a task document as the command line does."""
    where, *path = error["loc"]
    inner = path[1:] if path[:1] == ["task"] else path if path[:1] == ["budget"] else []
    if where == "body" and inner and inner != ["budget"]:
        of_document: Any = {**error, "loc": tuple(inner)}
        return f"task document: {explained(of_document)}"
    return f"{'.'.join(map(str, error['loc']))}: {error['msg']}"


def _input(request: Request, error: Exception) -> Response:
    return respond(request, 422, told(error)[:1000].encode("utf-8", "replace").decode())


def _storage(request: Request, error: Exception) -> Response:
    if isinstance(error, BusyError | ConnectionLost | Unreachable):
        return respond(request, 503, told(error), {"Retry-After": "5"})
    return respond(request, 409, told(error))


def _unexpected(request: Request, error: Exception) -> Response:
    where = {"place": raised_at(error), "path": request.url.path}
    LOG.error("unexpected error", extra={"kind": type(error).__name__, **where})
    return respond(request, 500, "an error of ours; the log says where")
