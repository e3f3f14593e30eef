"""Table of events: what a search decided and what befell it, one line each for people to read."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ForeignKey, String, func, select
from sqlalchemy.orm import Mapped, mapped_column

from storage.database import Database, Transaction
from storage.leases import Lease
from storage.schema import NUMBERED_TABLE_OPTIONS, Base, Message, detach, insertion
from storage.searches import Search, guard


class Event(Base):
    """One event."""

    __tablename__ = "automl_events"
    __table_args__ = NUMBERED_TABLE_OPTIONS

    id: Mapped[int] = mapped_column(primary_key=True)
    search_id: Mapped[int] = mapped_column(ForeignKey(Search.id, ondelete="CASCADE"), index=True)
    created: Mapped[datetime]
    kind: Mapped[str] = mapped_column(String(32))
    message: Mapped[str] = mapped_column(Message)


@dataclass(frozen=True)
class EventRow:
    """An event as it was when read; ids grow."""

    id: int
    created: datetime
    kind: str
    message: str


def append_event(database: Database, lease: Lease, kind: str, message: str) -> None:
    """Add an event.

    Raises:
        LeaseLost: A newer epoch exists.
    """

    database.transact(lambda transaction: note(transaction, lease, kind, message))


EVENTS = Event.rows()
NOTE = insertion(EVENTS, "search_id", "created", "kind", "message")


def note(transaction: Transaction, lease: Lease, kind: str, message: str) -> None:
    """`append_event` within a transaction."""
    guard(transaction, lease)
    values = {"search_id": lease.search_id, "created": transaction.moment, "kind": kind, "message": message}
    transaction.run(NOTE, values)


def list_events(database: Database, search_id: int, after: int = 0, limit: int = 1000) -> list[EventRow]:
    """The first events with an id above `after`, in order."""
    statement = select(Event).where(Event.search_id == search_id, Event.id > after).order_by(Event.id).limit(limit)
    with database.read() as session:
        return [detach(EventRow, event) for event in session.scalars(statement)]


def newest_events(database: Database, search_id: int, kinds: Collection[str], limit: int = 1000) -> list[EventRow]:
    """The last events of some kinds, in order."""
    chosen = select(Event).where(Event.search_id == search_id, Event.kind.in_(kinds))
    with database.read() as session:
        found = session.scalars(chosen.order_by(Event.id.desc()).limit(limit))
        return [detach(EventRow, event) for event in found][::-1]


def newest_event(database: Database, search_id: int) -> int:
    """The id of a search's newest event; 0 where it has none."""
    with database.read() as session:
        return session.scalar(select(func.max(Event.id)).where(Event.search_id == search_id)) or 0
