"""Requests that are done once however often they are sent with the same `Idempotency-Key`."""

import hashlib
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated

from fastapi import Header

from automl.server.access import Caller
from automl.server.problems import Problem
from storage.database import Database
from storage.receipts import close_receipt, open_receipt
from storage.schema import utc_now

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        pattern=r"^[!-~]+$",
        description="The same key within a day is the same request: it is done once.",
    ),
]
ABANDONED = timedelta(minutes=15)
"""A request that has no answer for so long was lost with its server; the key can be used again."""


def request_digest(*parts: str) -> str:
    """Return what tells one request from another with the same idempotency key."""
    return hashlib.sha256("\x00".join(parts).encode("utf-8", "replace")).hexdigest()


def once(database: Database, caller: Caller, key: str | None, request: str, make: Callable[[], str]) -> str:
    """Return the name of what `make` makes, or made when the request was sent first.

    Raises:
        Problem: The key was used for another request, or the first is still being served (409).
    """
    if key is None:
        return make()
    account = caller.account.id
    held = open_receipt(database, account, key, request)
    if held is not None and held.answer is None and utc_now() - held.created > ABANDONED:
        close_receipt(database, account, key, None)
        held = open_receipt(database, account, key, request)
    if held is not None and held.request != request:
        raise Problem(409, "this Idempotency-Key was used for another request; choose a new one")
    if held is not None and held.answer is None:
        raise Problem(
            409, "the first request with this Idempotency-Key is being served; ask again", {"Retry-After": "2"}
        )
    if held is not None and held.answer is not None:
        return held.answer
    try:
        answer = make()
    except BaseException:
        close_receipt(database, account, key, None)
        raise
    close_receipt(database, account, key, answer)
    return answer
