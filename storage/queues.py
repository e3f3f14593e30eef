"""The queue: searches that wait for a worker, and how many of an account may."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from sqlalchemy import delete, select

from storage.accounts import Account
from storage.database import Database, StorageError, Transaction
from storage.leases import Instant, LeaseHeld, read_clock
from storage.schema import utc_now
from storage.searches import OPEN_STATES, SEARCHES, Search, is_held, named
from storage.wishes import drop_wish


class Quota(NamedTuple):
    """How many searches of an account may wait or run at a time."""

    account_id: int
    searches: int


def queue_search(
    database: Database, name: str, options: Mapping[str, Any] | None = None, quota: Quota | None = None
) -> bool:
    """Let any worker run a search that nobody holds, the one that waits longest first; what was asked of it is done.

    Args:
        options: How it is to be run; none leaves them as they were.
        quota: Of several searches at once those are queued that come first.

    Returns:
        Whether it is queued; where it would be too many it is not, and is gone if it was made to be queued now.

    Raises:
        LeaseHeld: A live process holds it.
        StorageError: There is no search of that name.
    """

    def work(transaction: Transaction) -> bool:
        search = transaction.session.scalar(named(name).with_for_update())
        if search is None:
            raise StorageError(f"database {database.place} has no search {name!r}")
        now = read_clock(transaction.connection)
        if is_held(search, now):
            raise LeaseHeld(name, str(search.owner))
        if quota is not None and _open_beside(transaction, search.id, quota.account_id, now) >= quota.searches:
            if not search.detached and search.epoch == 0:
                transaction.connection.execute(delete(SEARCHES).where(SEARCHES.c.id == search.id))
            return False
        search.owner = search.lease_until = search.lease_boot = None
        search.state, search.detached, search.takeovers, search.updated = "queued", True, 0, utc_now()
        if options is not None:
            search.options = dict(options)
        drop_wish(transaction, search.id)
        return True

    return database.transact(work)


def carry(database: Database, name: str, options: Mapping[str, Any]) -> None:
    """Note what a search that is to be queued brings along, before its bytes are written: they are kept from then on.

    How a search that was queued before is run stays as it was until it is queued again.
    """

    def work(transaction: Transaction) -> None:
        search = transaction.session.scalar(named(name).with_for_update())
        if search is not None:
            search.options = {**(search.options or options), "data": options["data"]}

    database.transact(work)


def revise(database: Database, name: str, document: Mapping[str, Any]) -> None:
    """Keep another document of a search; while a live process holds it, it stays as it is."""

    def work(transaction: Transaction) -> None:
        search = transaction.session.scalar(named(name).with_for_update())
        if search is not None and not is_held(search, read_clock(transaction.connection)):
            search.document = dict(document)

    database.transact(work)


def _open_beside(transaction: Transaction, search_id: int, account_id: int, now: Instant) -> int:
    """How many other searches of an account wait or run, which is so until the transaction ends."""
    transaction.session.execute(select(Account.id).where(Account.id == account_id).with_for_update())
    others = select(Search).where(Search.account_id == account_id, Search.id != search_id)
    found = transaction.session.scalars(others.where(Search.state.in_(OPEN_STATES)))
    return len([search for search in found if search.detached or is_held(search, now)])


def withdraw_search(database: Database, name: str) -> bool:
    """Let no worker take a search that waits for one; False if it does not wait, as while a live process holds it."""

    def work(transaction: Transaction) -> bool:
        search = transaction.session.scalar(named(name).with_for_update())
        if search is None or search.state not in OPEN_STATES:
            return False
        if is_held(search, read_clock(transaction.connection)):
            return False
        search.state, search.updated = "interrupted", utc_now()
        return True

    return database.transact(work)
