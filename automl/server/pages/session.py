"""Signing in with a key, and out."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import RedirectResponse, Response

from automl.server.access import AdmittingRoute, service_of
from automl.server.pages.rendering import render
from automl.server.pages.visitors import COOKIE, Looker, check_origin
from automl.server.problems import Problem
from automl.server.service import Service
from storage.keys import KeyRow, Scope, add_key, count_keys, find_key, revoke_key
from storage.schema import utc_now

ROUTER = APIRouter(route_class=AdmittingRoute)
LIFETIME = timedelta(hours=12)
UNKNOWN = "The key is not known, has expired or was revoked."


@ROUTER.get("/login")
def show_login(request: Request) -> Response:
    """Ask for a key."""
    return _asking(request, 200, None)


@ROUTER.post("/login", dependencies=[Depends(check_origin)])
def sign_in(request: Request, token: Annotated[str, Form(max_length=200)]) -> Response:
    """Begin a session with the scope of a key."""
    service = service_of(request)
    found = find_key(service.database, token.strip())
    if found is None:
        return _asking(request, 401, UNKNOWN)
    key, account = found
    request.state.account = account.name
    response = RedirectResponse("/", 303)
    begun(service, response, account.id, key.scope, key)
    return response


def begun(service: Service, response: Response, account: int, scope: Scope, key: KeyRow | None = None) -> None:
    """Begin a session, which ends with the key where it is begun with one, and let a response tell the browser.

    Raises:
        Problem: As many are open as may be (429).
    """
    most = service.options.limits.sessions
    if count_keys(service.database, account, session=True) >= most:
        raise Problem(429, f"{most:,} sessions of this account are open; sign out of one, or wait until one is over")
    label, first = ("", None) if key is None else (key.label, key.id)
    left = LIFETIME if key is None or key.expires is None else min(LIFETIME, key.expires - utc_now())
    _, session = add_key(service.database, account, scope, label, lifetime=left, session=True, begun_with=first)
    secure = service.options.is_secure
    age = int(left.total_seconds())
    response.set_cookie(COOKIE, session, max_age=age, httponly=True, samesite="lax", secure=secure)


@ROUTER.post("/logout")
def sign_out(request: Request, caller: Looker) -> Response:
    """End a session."""
    service = service_of(request)
    revoke_key(service.database, caller.key.id)
    service.keyring.forget()
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE)
    return response


def _asking(request: Request, status: int, wrong: str | None) -> Response:
    page = render(request, "login.html", None, status, wrong=wrong, provider=request.app.state.provider is not None)
    page.headers["Referrer-Policy"] = "same-origin"  # with less, browsers say of its form that it comes from nowhere
    return page
