"""Table of searches: what is searched, how far it is, and who holds the lease."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypedDict, Unpack

from sqlalchemy import BigInteger, CheckConstraint, Double, Select, String, Text, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Mapped, Session, mapped_column

from storage.database import Database, StorageError
from storage.leases import Instant, Lease, LeaseHeld, LeaseLost, is_dead, read_clock
from storage.schema import NUMBERED_TABLE_OPTIONS, Base, Message, detach, utc_now

SearchState = Literal["running", "finished", "interrupted", "failed"]


class SearchExists(StorageError):
    """A search of this name is there already."""


class Search(Base):
    """One search; `lease_until` counts on the lease clock under `lease_boot`."""

    __tablename__ = "automl_searches"
    __table_args__ = (
        CheckConstraint("state IN ('running', 'finished', 'interrupted', 'failed')", name="state"),
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


SEARCHES = Search.rows()


@dataclass(frozen=True)
class SearchRow:
    """A search as it was when read.

    Attributes:
        document: The resolved task document.
        seconds: Budget consumed so far, over all runs.
        held: Whether a live process held the lease.
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
    held: bool


class SearchFields(TypedDict, total=False):
    """What `update_search` can set."""

    state: SearchState
    seconds: float
    rung_tokens: int | None
    bundle: str | None
    summary: Mapping[str, Any] | None
    message: str | None


def create_search(database: Database, name: str, document: Mapping[str, Any], data_digest: str) -> SearchRow:
    """Add a search that nobody holds yet, with the state `interrupted`.

    Raises:
        SearchExists: The name is taken.
    """

    def work(session: Session) -> SearchRow:
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
        )
        session.add(search)
        try:
            session.flush()
        except IntegrityError:
            raise SearchExists(f"database {database.place} has a search {name!r}; choose another name") from None
        return _row(search, read_clock(session))

    return database.transact(work, repeatable=False)


def get_search(database: Database, name: str) -> SearchRow | None:
    """The search of that name."""
    with database.read() as session:
        search = session.scalar(_named(name))
        return None if search is None else _row(search, read_clock(session))


def list_searches(database: Database) -> list[SearchRow]:
    """All searches, oldest first."""
    with database.read() as session:
        now = read_clock(session)
        return [_row(search, now) for search in session.scalars(select(Search).order_by(Search.id))]


def claim(database: Database, name: str, owner: str, seconds: float) -> Lease:
    """Take the lease of a search for so many seconds and set its state to running.

    An owner that claims again gets a new epoch, too.

    Raises:
        LeaseHeld: Another live process holds it.
        StorageError: There is no search of that name.
    """

    def work(session: Session) -> Lease:
        search = session.scalar(_named(name).with_for_update())
        if search is None:
            raise StorageError(f"database {database.place} has no search {name!r}")
        now = read_clock(session)
        if search.owner not in (None, owner) and _is_held(search, now):
            raise LeaseHeld(name, str(search.owner))
        search.owner, search.epoch = owner, search.epoch + 1
        search.lease_boot, search.lease_until = now.boot, now.seconds + seconds
        search.state, search.message, search.updated = "running", None, utc_now()
        return Lease(search.id, search.epoch)

    return database.transact(work)


def renew(database: Database, lease: Lease, seconds: float) -> None:
    """Hold the lease for so many seconds from now.

    Raises:
        LeaseLost: A newer epoch exists.
    """

    def work(session: Session) -> None:
        now = read_clock(session)
        write_search(session, lease, {"lease_boot": now.boot, "lease_until": now.seconds + seconds})

    database.transact(work)


def release(database: Database, lease: Lease) -> None:
    """Give the lease back; nothing happens if it was lost."""
    nobody = {"owner": None, "lease_boot": None, "lease_until": None}
    with suppress(LeaseLost):
        database.transact(lambda session: write_search(session, lease, nobody))


def update_search(database: Database, lease: Lease, **changes: Unpack[SearchFields]) -> None:
    """Set fields of a search.

    Raises:
        LeaseLost: A newer epoch exists.
    """
    values = {**changes, "updated": utc_now()}
    database.transact(lambda session: write_search(session, lease, values))


def delete_search(database: Database, name: str, owner: str | None = None) -> bool:
    """Delete a search with everything that belongs to it but the checkpoints; False if there was none.

    Raises:
        LeaseHeld: A live process other than `owner` holds it.
    """

    def work(session: Session) -> bool:
        search = session.scalar(_named(name).with_for_update())
        if search is None:
            return False
        if search.owner != owner and _is_held(search, read_clock(session)):
            raise LeaseHeld(name, str(search.owner))
        session.execute(delete(Search).where(Search.id == search.id))
        return True

    return database.transact(work)


def guard(session: Session, lease: Lease) -> None:
    """Lock the search for the rest of the transaction.

    Raises:
        LeaseLost: A newer epoch exists, or the search is no more.
    """
    epoch = session.scalar(select(Search.epoch).where(Search.id == lease.search_id).with_for_update())
    if epoch != lease.epoch:
        raise LeaseLost


def write_search(session: Session, lease: Lease, values: Mapping[str, Any]) -> None:
    """Set columns of a search, which locks it for the rest of the transaction.

    Raises:
        LeaseLost: A newer epoch exists, or the search is no more.
    """
    statement = update(SEARCHES).where(SEARCHES.c.id == lease.search_id, SEARCHES.c.epoch == lease.epoch)
    if session.connection().execute(statement.values(values)).rowcount == 0:
        raise LeaseLost


def _named(name: str) -> Select[Search]:
    return select(Search).where(Search.name == name)


def _is_held(search: Search, now: Instant) -> bool:
    if search.owner is None or search.lease_until is None or search.lease_boot != now.boot:
        return False
    return search.lease_until > now.seconds and not is_dead(search.owner)


def _row(search: Search, now: Instant) -> SearchRow:
    return detach(SearchRow, search, held=_is_held(search, now))
