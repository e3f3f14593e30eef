"""The pages: the service in a browser, rendered here; they work without scripts, and better with them."""

import re
from http import HTTPStatus

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import RedirectResponse, Response

from automl.server.documents import SEARCH
from automl.server.pages import assets, creation, reference, searches, session, sign_on, trials
from automl.server.pages.rendering import render
from automl.server.pages.visitors import SignedOut

WITHIN = re.compile(rf"/searches/(?P<name>{SEARCH})/")
"""Addresses of what belongs to a search."""


def router() -> APIRouter:
    """Return all routes of the pages."""
    whole = APIRouter(include_in_schema=False)
    for part in (assets, session, sign_on, reference, creation, trials, searches):
        whole.include_router(part.ROUTER)
    return whole


def install(app: FastAPI) -> None:
    """Let errors of pages be pages, and send who is signed out to where one signs in."""
    app.state.problem_page = _problem_page
    app.add_exception_handler(SignedOut, _sign_in)


def _sign_in(_request: Request, _error: Exception) -> Response:
    return RedirectResponse("/login", 303)


def _problem_page(request: Request, status: int, detail: str) -> Response:
    found = WITHIN.match(request.scope["path"])
    within = None if found is None else found["name"]
    title = HTTPStatus(status).phrase
    return render(request, "problem.html", None, status, title=title, detail=detail, within=within)
