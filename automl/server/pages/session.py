"""Signing in with a key, and out."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Form, Request
from fastapi.responses import RedirectResponse, Response

from automl.server.access import service_of
from automl.server.pages.rendering import render
from automl.server.pages.visitors import COOKIE, Looker
from storage.keys import add_key, find_key, revoke_key

ROUTER = APIRouter()
LIFETIME = timedelta(hours=12)


@ROUTER.get("/login")
def show_login(request: Request) -> Response:
    """Ask for a key."""
    return render(request, "login.html", None, wrong=None)


@ROUTER.post("/login")
def sign_in(request: Request, token: Annotated[str, Form(max_length=200)]) -> Response:
    """Begin a session with the scope of a key."""
    service = service_of(request)
    found = find_key(service.database, token.strip())
    if found is None:
        return render(request, "login.html", None, 401, wrong="The key is not known, has expired or was revoked.")
    key, account = found
    left = LIFETIME if key.expires is None else min(LIFETIME, key.expires - key.created)
    _, session = add_key(service.database, account.id, key.scope, key.label, lifetime=left, session=True)
    response = RedirectResponse("/", 303)
    secure = service.options.is_secure
    age = int(left.total_seconds())
    response.set_cookie(COOKIE, session, max_age=age, httponly=True, samesite="lax", secure=secure)
    return response


@ROUTER.post("/logout")
def sign_out(request: Request, caller: Looker) -> Response:
    """End a session."""
    service = service_of(request)
    revoke_key(service.database, caller.key.id)
    service.keyring.forget()
    response = RedirectResponse("/login", 303)
    response.delete_cookie(COOKIE)
    return response
