"""Who looks at pages: a browser with a cookie, a key of its own, whose forms carry what other sites do not know."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Annotated

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


@dataclass(frozen=True)
class PageNeeds(Needs):
    """The rule of a page: a session with at least this scope, and, where something changes, the token of its forms."""

    async def __call__(self, request: Request) -> Caller:  # type: ignore[override]
        """Return who looks.

        Raises:
            SignedOut: Nobody that we know.
            Problem: Somebody who may not, or a form of another site (403).
        """
        token = request.cookies.get(COOKIE, "")
        found = await service_of(request).keyring.find(token, session=True) if token else None
        if found is None:
            raise SignedOut
        caller = Caller(account=found[1], key=found[0])
        request.state.account = caller.account.name
        if not caller.may(self.scope):
            raise Problem(403, f"this session may {caller.key.scope}; this needs one that may {self.scope}")
        if request.method not in ("GET", "HEAD"):
            given = (await request.form()).get(FORM_TOKEN, "")
            if not hmac.compare_digest(str(given).encode(), form_token(request).encode()):
                raise Problem(403, "this form is not ours, or of an earlier session; load the page again")
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
