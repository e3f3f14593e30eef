"""Table of searches: what is searched, how far it is, and who holds the lease."""

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypedDict, Unpack

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Double,
    ForeignKey,
    Select,
    String,
    Text,
    bindparam,
    case,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, mapped_column

from storage.accounts import Account
from storage.database import Database, StorageError, Transaction
from storage.leases import Instant, Lease, LeaseHeld, LeaseLost, is_dead, read_clock
from storage.schema import NUMBERED_TABLE_OPTIONS, Base, Message, detach, utc_now

SearchState = Literal["queued", "running", "finished", "interrupted", "failed"]

OPEN_STATES: tuple[SearchState, ...] = ("queued", "running")
"""Of searches that wait or run, or did when their process was lost."""

BLAMELESS_TAKEOVERS = 2
"""From the next loss in a row on, the trials that were in flight are held to be what kills their holder."""

MOST_TAKEOVERS = 8
"""A queued search whose worker was lost so many times in a row, without a commit between, is given to no other."""


CLAIMED = ("id", "epoch", "owner", "lease_boot", "lease_until")
"""By what a claim is known again: the end of its lease, to the microsecond, tells it from others of its process."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""What a search may be called: its winner's folder is called the same."""


class SearchExists(StorageError):
    """A search of this name is there already."""


class Search(Base):
    """One search; `lease_until` counts on the lease clock under `lease_boot`, `turn` the batches of the holder."""

    __tablename__ = "automl_searches"
    __table_args__ = (
        CheckConstraint("state IN ('queued', 'running', 'finished', 'interrupted', 'failed')", name="state"),
        CheckConstraint("(owner IS NULL) = (lease_until IS NULL)", name="lease"),
        CheckConstraint("state <> 'queued' OR detached", name="detached"),
        NUMBERED_TABLE_OPTIONS,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    document: Mapped[dict[str, Any]]
    data_digest: Mapped[str] = mapped_column(String(64))
    state: Mapped[SearchState] = mapped_column(String(16))
    created: Mapped[datetime]
    updated: Mapped[datetime]
    seconds: Mapped[float] = mapped_column(Double)
    rung_tokens: Mapped[int | None] = mapped_column(BigInteger)
    bundle: Mapped[str | None] = mapped_column(Text)
    summary: Mapped[dict[str, Any] | None]
    message: Mapped[str | None] = mapped_column(Message)
    owner: Mapped[str | None] = mapped_column(String(255))
    epoch: Mapped[int]
    lease_until: Mapped[float | None] = mapped_column(Double)
    lease_boot: Mapped[str | None] = mapped_column(String(64))
    detached: Mapped[bool]
    options: Mapped[dict[str, Any] | None]
    takeovers: Mapped[int]
    turn: Mapped[int]
    account_id: Mapped[int | None] = mapped_column(ForeignKey(Account.id, ondelete="SET NULL"), index=True)


SEARCHES = Search.rows()


@dataclass(frozen=True)
class SearchRow:
    """A search as it was when read.

    Attributes:
        document: The resolved task document.
        seconds: Budget consumed so far, over all runs.
        held: Whether a live process held the lease.
        detached: Whether any worker may run it, as against the process that was told to.
        options: How a worker is to run it.
        takeovers: How many times in a row, up to now, its holder was lost without a commit.
        account_id: Whose it is, where the service made it.
    """

    id: int
    name: str
    document: Mapping[str, Any]
    data_digest: str
    state: SearchState
    created: datetime
    updated: datetime
    seconds: float
    rung_tokens: int | None
    bundle: str | None
    summary: Mapping[str, Any] | None
    message: str | None
    owner: str | None
    epoch: int
    detached: bool
    options: Mapping[str, Any] | None
    takeovers: int
    account_id: int | None
    held: bool

    @property
    def carried(self) -> set[str]:
        """Digests of the data that it was queued with."""
        return {file[0] for file in ((self.options or {}).get("data") or {}).values()}

    @property
    def standing(self) -> SearchState:
        """Its state, but of one that has lost its worker: another one is to take it, or nobody will by itself."""
        if self.held or self.state != "running":
            return self.state
        return "queued" if self.detached else "interrupted"


class SearchFields(TypedDict, total=False):
    """What `update_search` can set."""

    state: SearchState
    document: Mapping[str, Any]
    seconds: float
    rung_tokens: int | None
    bundle: str | None
    summary: Mapping[str, Any] | None
    message: str | None


def create_search(
    database: Database, name: str, document: Mapping[str, Any], data_digest: str, *, account_id: int | None = None
) -> SearchRow:
    """Add a search that nobody holds yet, with the state `interrupted`.

    Raises:
        SearchExists: The name is taken.
    """

    def work(transaction: Transaction) -> SearchRow:
        now = utc_now()
        search = Search(
            name=name,
            document=dict(document),
            data_digest=data_digest,
            state="interrupted",
            created=now,
            updated=now,
            seconds=0.0,
            epoch=0,
            detached=False,
            takeovers=0,
            turn=0,
            account_id=account_id,
        )
        transaction.session.add(search)
        try:
            transaction.session.flush()
        except IntegrityError:
            raise SearchExists(f"database {database.place} has a search {name!r}; choose another name") from None
        return _row(search, read_clock(transaction.connection))

    return database.transact(work, repeatable=False)


def get_search(database: Database, name: str) -> SearchRow | None:
    """The search of that name."""
    with database.read() as session:
        search = session.scalar(named(name))
        return None if search is None else _row(search, read_clock(session.connection()))


def as_it_is(database: Database, search: SearchRow) -> SearchRow:
    """A search as it is now; as it was where it is no more."""
    found = get_search(database, search.name)
    return search if found is None or found.id != search.id else found


def list_searches(database: Database) -> list[SearchRow]:
    """All searches, oldest first."""
    with database.read() as session:
        now = read_clock(session.connection())
        return [_row(search, now) for search in session.scalars(select(Search).order_by(Search.id))]


def claim(database: Database, name: str, owner: str, seconds: float) -> Lease:
    """Take the lease of a search for so many seconds and set its state to running.

    In the same transaction the attempts that an earlier holder left open are closed as LOST, and their trials go back
    to their checkpoints. An owner that claims again gets a new epoch, too; a call whose commit was in doubt does not.

    Raises:
        LeaseHeld: Another live process holds it.
        StorageError: There is no search of that name.
    """
    claims = _Claims(owner, seconds)

    def work(transaction: Transaction) -> Lease:
        search = transaction.session.scalar(named(name).with_for_update())
        if search is None:
            raise StorageError(f"database {database.place} has no search {name!r}")
        now = read_clock(transaction.connection)
        if claims.has(search):
            return Lease(search.id, search.epoch)
        if search.owner not in (None, owner) and is_held(search, now):
            raise LeaseHeld(name, str(search.owner))
        return claims.take(transaction, search, now)

    return database.transact(work)


def set_options(database: Database, search_id: int, options: Mapping[str, Any]) -> None:
    """Say how a search is to be run from its next run on; whoever holds it goes on as it was told."""
    statement = update(SEARCHES).where(SEARCHES.c.id == search_id).values(options=dict(options))
    database.transact(lambda transaction: transaction.connection.execute(statement))


def claim_next(database: Database, owner: str, seconds: float) -> tuple[SearchRow, Lease] | None:
    """Claim the queued search that waits longest, or one whose worker is lost; none if there is neither.

    A search that was lost with `MOST_TAKEOVERS` workers in a row is given to none; its state becomes failed.
    """
    claims = _Claims(owner, seconds)

    def work(transaction: Transaction) -> tuple[SearchRow, Lease] | None:
        now = read_clock(transaction.connection)
        mine = claims.found(transaction)
        if mine is not None:
            return _row(mine, now), Lease(mine.id, mine.epoch)
        open_ = SEARCHES.c.state.in_(OPEN_STATES)
        waiting = select(SEARCHES.c.id).where(SEARCHES.c.detached, open_).order_by(SEARCHES.c.updated, SEARCHES.c.id)
        for number in transaction.connection.scalars(waiting).all():
            one = select(Search).where(Search.id == number, open_).with_for_update(skip_locked=True)
            search = transaction.session.scalar(one.execution_options(populate_existing=True))
            if search is None or is_held(search, now):
                continue
            lease = claims.take(transaction, search, now)
            if search.takeovers >= MOST_TAKEOVERS:
                _give_up(search)
                continue
            return _row(search, now), lease
        return None

    return database.transact(work)


def renew(database: Database, lease: Lease, seconds: float) -> None:
    """Hold the lease for so many seconds from now.

    Raises:
        LeaseLost: A newer epoch exists.
    """

    def work(transaction: Transaction) -> None:
        now = read_clock(transaction.connection)
        write_search(transaction, lease, {"lease_boot": now.boot, "lease_until": now.seconds + seconds})

    database.transact(work)


def release(database: Database, lease: Lease, *, queue: bool = False) -> None:
    """Give the lease back; nothing happens if it was lost. What has not ended is interrupted then.

    Args:
        queue: A worker drains, so that another one is to go on with the search where it has not ended.
    """
    values: dict[str, Any] = {"owner": None, "lease_boot": None, "lease_until": None, "takeovers": 0}
    then = "queued" if queue else "interrupted"
    values["state"] = case((SEARCHES.c.state == "running", then), else_=SEARCHES.c.state)
    if queue:
        values |= {"detached": True, "updated": utc_now()}
    with suppress(LeaseLost):
        database.transact(lambda transaction: write_search(transaction, lease, values))


def update_search(database: Database, lease: Lease, **changes: Unpack[SearchFields]) -> None:
    """Set fields of a search.

    Raises:
        LeaseLost: A newer epoch exists.
    """
    database.transact(lambda transaction: set_fields(transaction, lease, **changes))


FENCE = select(SEARCHES.c.epoch, SEARCHES.c.turn).where(SEARCHES.c.id == bindparam("search")).with_for_update()
SPEND = (
    update(SEARCHES)
    .where(SEARCHES.c.id == bindparam("search"), SEARCHES.c.epoch == bindparam("fence"))
    .values(seconds=SEARCHES.c.seconds + bindparam("elapsed"), updated=bindparam("moment"))
)
TURN = SPEND.where(SEARCHES.c.turn == bindparam("next_turn") - 1).values(turn=bindparam("next_turn"))


def guard(transaction: Transaction, lease: Lease) -> None:
    """Lock the search for the rest of the transaction, once.

    Raises:
        LeaseLost: A newer epoch exists, or the search is no more.
    """
    if lease not in transaction.known:
        _fence(transaction, lease)


def spend(transaction: Transaction, lease: Lease, elapsed: float) -> None:
    """Add seconds to what the search has consumed.

    Raises:
        LeaseLost: A newer epoch exists, or the search is no more.
    """
    values = {"search": lease.search_id, "fence": lease.epoch, "elapsed": elapsed, "moment": transaction.moment}
    if transaction.run(SPEND, values) == 0:
        raise LeaseLost


def take_turn(transaction: Transaction, lease: Lease, turn: int, elapsed: float) -> bool:
    """Begin the holder's batch of that number, counted from 1; False if it was committed before.

    Raises:
        LeaseLost: A newer epoch exists, or the search is no more.
    """
    values = {"search": lease.search_id, "fence": lease.epoch, "elapsed": elapsed, "moment": transaction.moment}
    if transaction.run(TURN, {**values, "next_turn": turn}) == 0:
        _fence(transaction, lease)
        return False
    transaction.known[lease] = True
    return True


def _fence(transaction: Transaction, lease: Lease) -> None:
    rows = transaction.rows(FENCE, {"search": lease.search_id})
    if not rows or rows[0][0] != lease.epoch:
        raise LeaseLost
    transaction.known[lease] = True


def set_fields(transaction: Transaction, lease: Lease, **changes: Unpack[SearchFields]) -> None:
    """`update_search` within a transaction."""
    write_search(transaction, lease, {**changes, "updated": transaction.moment})


def write_search(transaction: Transaction, lease: Lease, values: Mapping[str, Any]) -> None:
    """Set columns of a search, which locks it for the rest of the transaction.

    Raises:
        LeaseLost: A newer epoch exists, or the search is no more.
    """
    statement = update(SEARCHES).where(SEARCHES.c.id == lease.search_id, SEARCHES.c.epoch == lease.epoch)
    if transaction.connection.execute(statement.values(values)).rowcount == 0:
        raise LeaseLost
    transaction.known[lease] = True


class _Claims:
    """What one call has claimed: where its commit was in doubt, the next try finds what the last one took."""

    def __init__(self, owner: str, seconds: float) -> None:
        self._owner = owner
        self._seconds = seconds
        self._last: dict[str, Any] = {}

    def take(self, transaction: Transaction, search: Search, now: Instant) -> Lease:
        """Claim a search, and close the attempts that were left open in it."""
        from storage.attempts import close_lost, was_fruitful

        lost_again = search.owner is not None and not was_fruitful(transaction, search.id, search.epoch)
        search.takeovers, seen = search.takeovers + 1 if lost_again else 0, search.updated
        search.owner, search.epoch = self._owner, search.epoch + 1
        search.lease_boot, search.lease_until = now.boot, now.seconds + self._seconds
        search.state, search.message, search.updated, search.turn = "running", None, utc_now(), 0
        transaction.session.flush()
        self._last = {name: getattr(search, name) for name in CLAIMED}
        close_lost(transaction, search.id, seen, charged=search.takeovers > BLAMELESS_TAKEOVERS)
        return Lease(search.id, search.epoch)

    def has(self, search: Search) -> bool:
        """Say whether a search is as this call has claimed it."""
        return self._last == {name: getattr(search, name) for name in CLAIMED}

    def found(self, transaction: Transaction) -> Search | None:
        """Return what this call has claimed, if it has and nobody has taken it since."""
        if not self._last:
            return None
        search = transaction.session.get(Search, self._last["id"], with_for_update=True)
        return search if search is not None and self.has(search) else None


def _give_up(search: Search) -> None:
    search.state, search.owner, search.lease_until, search.lease_boot = "failed", None, None, None
    search.message = f"its worker was lost {search.takeovers} times in a row; queue it again to try once more"
    search.updated = utc_now()


def named(name: str) -> Select[Search]:
    """Return the statement that selects a search."""
    return select(Search).where(Search.name == name)


def is_held(search: Search, now: Instant) -> bool:
    """Say whether a live process holds a search."""
    if search.owner is None or search.lease_until is None or search.lease_boot != now.boot:
        return False
    return search.lease_until > now.seconds and not is_dead(search.owner)


def _row(search: Search, now: Instant) -> SearchRow:
    return detach(SearchRow, search, held=is_held(search, now))
