"""Signing in by a provider of identities: there and back."""

import re

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from automl.server.access import service_of
from automl.server.identity import COOKIE, Person, Provider
from automl.server.lanes import slowly
from automl.server.pages.session import begun
from automl.server.problems import Problem, not_found
from automl.server.service import ADMINISTRATOR, Service
from storage.accounts import AccountRow, add_account, find_account

ROUTER = APIRouter()
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,99}")
BACK = "/login/provider/back"


@ROUTER.get("/login/provider")
async def go_there(request: Request) -> Response:
    """Send a browser to where people sign in."""
    back = f"{request.url.scheme}://{request.url.netloc}{BACK}"
    return await _provider(request).begin(request, back)


@ROUTER.get(BACK)
async def come_back(request: Request) -> Response:
    """Begin the session of who has signed in there."""
    person = await _provider(request).complete(request)
    service = service_of(request)
    account = await slowly(request, account_of, service, person)
    request.state.account = account.name
    response = RedirectResponse("/", 303)
    await slowly(request, begun, service, response, account.id, person.scope)
    response.delete_cookie(COOKIE)
    return response


def account_of(service: Service, person: Person) -> AccountRow:
    """Return the account of somebody, made where they are welcome and have none.

    Raises:
        Problem: They have none and get none, or it is disabled, or is nobody's to sign in to (403).
    """
    if person.name == ADMINISTRATOR or not NAME.fullmatch(person.name):
        raise Problem(403, "no account can have the name that the provider of identities gave")
    account = find_account(service.database, person.name)
    if account is None and person.is_welcome:
        account = add_account(service.database, person.name)
    if account is None or account.disabled is not None:
        raise Problem(403, f"there is no account {person.name!r}; ask an administrator for one")
    return account


def _provider(request: Request) -> Provider:
    provider: Provider | None = request.app.state.provider
    if provider is None:
        raise not_found("provider of identities")
    return provider
