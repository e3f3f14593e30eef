"""Who looks at pages: a browser with a cookie, a key of its own, whose forms carry what other sites do not know."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request

from automl.server.access import Caller, Name, Needs, own_search, service_of
from automl.server.problems import Problem
from storage.searches import SearchRow

COOKIE = "automl_session"
FORM_TOKEN = "csrf"  # noqa: S105


class SignedOut(Exception):
    """Nobody that we know: the browser is sent to where it can sign in."""


def form_token(request: Request) -> str:
    """Return what forms of this browser carry."""
    session = request.cookies.get(COOKIE, "")
    return hashlib.sha256(b"form\x00" + session.encode("utf-8", "replace")).hexdigest()


def check_origin(request: Request) -> None:
    """Refuse a form of another site where there is no session yet whose forms could carry what that does not know.

    Browsers say where a form comes from; what is no browser says nothing, and has no cookies that could be replaced.

    Raises:
        Problem: It comes from elsewhere (403).
    """
    origin, fetched = request.headers.get("Origin"), request.headers.get("Sec-Fetch-Site")
    ours = origin is None or urlsplit(origin).netloc == request.headers.get("Host")
    if not ours if fetched is None else fetched not in ("same-origin", "none"):
        raise Problem(403, "this form is of another site; sign in at /login")


@dataclass(frozen=True)
class PageNeeds(Needs):
    """The rule of a page: a session with at least this scope, and, where something changes, the token of its forms."""

    async def __call__(self, request: Request) -> Caller:  # type: ignore[override]
        """Return who looks.

        Raises:
            SignedOut: Nobody that we know.
            Problem: Somebody who may not, or a form of another site (403).
        """
        caller = await self.admit(request)
        if request.method not in ("GET", "HEAD"):
            given = (await request.form()).get(FORM_TOKEN, "")
            if not hmac.compare_digest(str(given).encode(), form_token(request).encode()):
                raise Problem(403, "this form is not ours, or of an earlier session; load the page again")
        return caller

    async def admit(self, request: Request) -> Caller:
        """Return who looks, by the head of a request alone; raises likewise."""
        token = request.cookies.get(COOKIE, "")
        found = await service_of(request).keyring.find(token, session=True) if token else None
        if found is None:
            raise SignedOut
        caller = Caller(account=found[1], key=found[0])
        request.state.account = caller.account.name
        if not caller.may(self.scope):
            raise Problem(403, f"this session may {caller.key.scope}; this needs one that may {self.scope}")
        return caller


Looker = Annotated[Caller, Depends(PageNeeds("read"))]
Doer = Annotated[Caller, Depends(PageNeeds("run"))]


def seen_search(request: Request, caller: Looker, name: Name) -> SearchRow:
    """Return the search of the path, to be looked at."""
    return own_search(service_of(request), caller, name)


def changed_search(request: Request, caller: Doer, name: Name) -> SearchRow:
    """Return the search of the path, to be changed."""
    return own_search(service_of(request), caller, name)


SeenPage = Annotated[SearchRow, Depends(seen_search)]
ChangedPage = Annotated[SearchRow, Depends(changed_search)]
