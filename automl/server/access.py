"""Who calls, and what they may do: every route says the scope that it needs."""

from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import Depends, Path, Request
from fastapi.dependencies.models import Dependant
from fastapi.responses import Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from automl.server.documents import SEARCH
from automl.server.problems import Problem, not_found
from storage.accounts import AccountRow
from storage.keys import SCOPES, KeyRow, Scope
from storage.searches import SearchRow, get_search

if TYPE_CHECKING:
    from automl.server.service import Service

BEARER = HTTPBearer(auto_error=False, description="A key of the service, as `Authorization: Bearer KEY`.")
BRINGING = ("POST", "PUT", "PATCH")
"""Methods whose requests bring a body along."""
CHALLENGE = {"WWW-Authenticate": "Bearer"}


@dataclass(frozen=True)
class Caller:
    """An account, and the key by which it calls."""

    account: AccountRow
    key: KeyRow

    def may(self, scope: Scope) -> bool:
        """Whether the key has a scope."""
        return SCOPES.index(self.key.scope) >= SCOPES.index(scope)

    def may_see(self, row: SearchRow) -> bool:
        """Whether a search is the caller's, or the caller administers all."""
        return self.may("admin") or row.account_id == self.account.id


def service_of(request: Request) -> "Service":
    """Return the service that a request is for."""
    service: Service = request.app.state.service
    return service


@dataclass(frozen=True)
class Needs:
    """The rule of a route: a key with at least this scope."""

    scope: Scope

    async def __call__(
        self, request: Request, _credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)]
    ) -> Caller:
        """Return who calls.

        Raises:
            Problem: Nobody that we know (401), or somebody who may not (403).
        """
        return await self.admit(request)

    async def admit(self, request: Request) -> Caller:
        """Return likewise who calls, by the head of a request alone."""
        credentials = await BEARER(request)
        if credentials is None:
            raise Problem(401, "give a key as Authorization: Bearer KEY", CHALLENGE)
        found = await service_of(request).keyring.find(credentials.credentials)
        if found is None:
            raise Problem(401, "the key is not known, has expired or was revoked", CHALLENGE)
        caller = Caller(account=found[1], key=found[0])
        request.state.account = caller.account.name
        if not caller.may(self.scope):
            raise Problem(403, f"the key may {caller.key.scope}; this needs one that may {self.scope}")
        return caller


class AdmittingRoute(APIRoute):
    """A route that reads the body of a request only where its rule lets the caller in."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return what answers a request."""
        answer = super().get_route_handler()
        rules = [rule for rule in _calls(self.dependant) if isinstance(rule, Needs)]

        async def admitted(request: Request) -> Response:
            for rule in rules if request.method in BRINGING else ():
                await rule.admit(request)
            return await answer(request)

        return admitted


def _calls(dependant: Dependant) -> Iterator[object]:
    yield dependant.call
    for inner in dependant.dependencies:
        yield from _calls(inner)


Reader = Annotated[Caller, Depends(Needs("read"))]
Runner = Annotated[Caller, Depends(Needs("run"))]
Admin = Annotated[Caller, Depends(Needs("admin"))]
Name = Annotated[str, Path(pattern=f"^{SEARCH}$", description="Name of a search.")]


def own_search(service: "Service", caller: Caller, name: str) -> SearchRow:
    """Return a search that the caller may see.

    Raises:
        Problem: There is none of that name (404).
    """
    return _seen(caller, name, get_search(service.database, name))


def _seen(caller: Caller, name: str, row: SearchRow | None) -> SearchRow:
    if row is None or not caller.may_see(row):
        raise not_found(f"search {name!r}")
    return row


async def read_search(request: Request, caller: Reader, name: Name) -> SearchRow:
    """Return the search of the path, to be looked at."""
    return _seen(caller, name, await service_of(request).rows.find(name))


def run_search(request: Request, caller: Runner, name: Name) -> SearchRow:
    """Return the search of the path, to be changed."""
    return own_search(service_of(request), caller, name)


SeenSearch = Annotated[SearchRow, Depends(read_search)]
RunSearch = Annotated[SearchRow, Depends(run_search)]
