"""Accounts, their keys, and the audit log."""

from dataclasses import asdict
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request

from automl.server.access import Admin, AdmittingRoute, Caller, Reader, Runner, service_of
from automl.server.api.searches import Before
from automl.server.api.uploads import Cursor, Limit
from automl.server.documents import (
    AccountDocument,
    Accounts,
    Audit,
    AuditDocument,
    KeyDocument,
    Keys,
    MadeKey,
    Me,
    NewAccount,
    NewKey,
    PersonName,
    Quotas,
)
from automl.server.lanes import slowly
from automl.server.options import QUOTAS
from automl.server.problems import Problem, not_found
from storage.accounts import AccountRow, add_account, disable_account, find_account, list_accounts, set_quotas
from storage.audit import list_entries
from storage.keys import SCOPES, KeyRow, add_key, count_keys, get_key, list_keys, revoke_key
from storage.schema import utc_now

ROUTER = APIRouter(tags=["people"], route_class=AdmittingRoute)


def _key(row: KeyRow) -> KeyDocument:
    names = ("id", "label", "scope", "session", "created", "expires", "revoked")
    return KeyDocument(**{name: getattr(row, name) for name in names})


def _account(row: AccountRow) -> AccountDocument:
    return AccountDocument(name=row.name, created=row.created, disabled=row.disabled, quotas=dict(row.quotas or {}))


@ROUTER.get("/me")
async def get_me(request: Request, caller: Reader) -> Me:
    """Say who calls, and what is used of what may be used."""
    quotas = service_of(request).quotas
    limits = {name: getattr(quotas.limits(caller), name) for name in QUOTAS}
    used = await slowly(request, quotas.used, caller.account.id)
    return Me(account=caller.account.name, key=_key(caller.key), limits=limits, used=used)


@ROUTER.get("/keys")
def list_own_keys(
    request: Request,
    caller: Runner,
    after: Cursor = 0,
    limit: Limit = 50,
    sessions: Annotated[bool, Query(description="Also sessions of browsers.")] = False,
) -> Keys:
    """List the keys of the caller."""
    rows = list_keys(service_of(request).database, caller.account.id, after, limit + 1, sessions=sessions)
    following = rows[limit - 1].id if len(rows) > limit else None
    return Keys(items=[_key(row) for row in rows[:limit]], next=following)


@ROUTER.post("/keys", status_code=201)
def make_key(request: Request, caller: Runner, body: NewKey) -> MadeKey:
    """Make a key, which may do no more than that by which it is made, and for no longer unless that administers.

    The token is shown this once.
    """
    database = service_of(request).database
    if SCOPES.index(body.scope) > SCOPES.index(caller.key.scope):
        raise Problem(403, f"a key that may {caller.key.scope} makes none that may {body.scope}")
    account: AccountRow | None = caller.account
    if body.account is not None and body.account != caller.account.name:
        if not caller.may("admin"):
            raise Problem(403, "only an administrator makes keys for other accounts")
        account = find_account(database, body.account)
    if account is None:
        raise not_found(f"account {body.account!r}")
    most = service_of(request).options.limits.keys
    if count_keys(database, account.id, session=False) >= most:
        raise Problem(409, f"account {account.name!r} has {most:,} keys; revoke one first")
    row, token = add_key(database, account.id, body.scope, body.label, lifetime=_lifetime(caller, body.days))
    return MadeKey(**_key(row).model_dump(), token=token)


def _lifetime(caller: Caller, days: float | None) -> timedelta | None:
    """Return for how long a key opens that a caller makes."""
    wanted = None if days is None else timedelta(days=days)
    if caller.may("admin") or caller.key.expires is None:
        return wanted
    left = caller.key.expires - utc_now()
    return left if wanted is None else min(wanted, left)


@ROUTER.delete("/keys/{key}", status_code=204)
def revoke_one_key(request: Request, caller: Runner, key: Annotated[int, Path(ge=1, le=2**31 - 1)]) -> None:
    """Let a key or a session open nothing from now on: one's own that may no more, or anybody's for an administrator.

    The sessions that it has begun end with it.
    """
    service = service_of(request)
    row = get_key(service.database, key)
    if row is None or not (caller.may("admin") or row.account_id == caller.account.id):
        raise not_found(f"key {key}")
    if not caller.may(row.scope):
        raise Problem(403, f"a key that may {caller.key.scope} revokes none that may {row.scope}")
    if not revoke_key(service.database, key):
        raise not_found(f"key {key}")
    service.keyring.forget()


@ROUTER.get("/accounts")
def list_all_accounts(request: Request, _caller: Admin, after: Cursor = 0, limit: Limit = 50) -> Accounts:
    """List all accounts."""
    rows = list_accounts(service_of(request).database, after, limit + 1)
    following = rows[limit - 1].id if len(rows) > limit else None
    return Accounts(items=[_account(row) for row in rows[:limit]], next=following)


@ROUTER.post("/accounts", status_code=201)
def make_account(request: Request, _caller: Admin, body: NewAccount) -> AccountDocument:
    """Add an account; POST /keys makes its first key."""
    database = service_of(request).database
    if find_account(database, body.name) is not None:
        raise Problem(409, f"there is an account {body.name!r} already; choose another name")
    return _account(add_account(database, body.name, body.quotas.to_mapping()))


Person = Annotated[PersonName, Path(description="Name of an account.")]


@ROUTER.put("/accounts/{name}/quotas")
def set_account_quotas(request: Request, _caller: Admin, name: Person, body: Quotas) -> AccountDocument:
    """Say what an account may use; what is left out is what all may."""
    service = service_of(request)
    if not set_quotas(service.database, name, body.to_mapping()):
        raise not_found(f"account {name!r}")
    service.keyring.forget()
    row = find_account(service.database, name)
    assert row is not None
    return _account(row)


@ROUTER.delete("/accounts/{name}", status_code=204)
def disable_one_account(request: Request, caller: Admin, name: Person) -> None:
    """Let the keys of an account open nothing from now on; what it owns stays."""
    if name == caller.account.name:
        raise Problem(409, "an administrator cannot disable the account of the key in use")
    service = service_of(request)
    if not disable_account(service.database, name):
        raise not_found(f"account {name!r}")
    service.keyring.forget()


@ROUTER.get("/audit")
def read_audit_log(request: Request, _caller: Admin, before: Before = None, limit: Limit = 50) -> Audit:
    """Read the audit log, newest first."""
    rows = list_entries(service_of(request).database, before, limit + 1)
    items = [AuditDocument(**asdict(row)) for row in rows[:limit]]
    return Audit(items=items, next=rows[limit - 1].id if len(rows) > limit else None)
