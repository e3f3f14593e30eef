"""Table of workers: the processes that take queued searches, and when each was last heard of."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Double, ForeignKey, String, delete, select, update
from sqlalchemy.orm import Mapped, mapped_column

from storage.database import Database, Transaction
from storage.leases import is_dead, read_clock
from storage.schema import NUMBERED_TABLE_OPTIONS, Base, detach, utc_now
from storage.searches import Search


class Worker(Base):
    """One worker; `seen` counts on the lease clock under `seen_boot`."""

    __tablename__ = "automl_workers"
    __table_args__ = NUMBERED_TABLE_OPTIONS

    id: Mapped[int] = mapped_column(primary_key=True)
    owner: Mapped[str] = mapped_column(String(255), unique=True)
    search_id: Mapped[int | None] = mapped_column(ForeignKey(Search.id, ondelete="SET NULL"), index=True)
    started: Mapped[datetime]
    seen: Mapped[float] = mapped_column(Double)
    seen_boot: Mapped[str] = mapped_column(String(64))


WORKERS = Worker.rows()


@dataclass(frozen=True)
class WorkerRow:
    """A worker as it was when read.

    Attributes:
        owner: The process, as in `storage.leases.current_owner`.
        search_id: The search that it runs.
        silent: Seconds since it was last heard of; none where another boot of its machine heard of it.
    """

    id: int
    owner: str
    search_id: int | None
    started: datetime
    silent: float | None


def see_worker(database: Database, owner: str, search_id: int | None = None) -> None:
    """Note that a worker lives, and which search it runs."""

    def work(transaction: Transaction) -> None:
        now = read_clock(transaction.connection)
        seen = {"search_id": search_id, "seen": now.seconds, "seen_boot": now.boot}
        known = update(WORKERS).where(WORKERS.c.owner == owner).values(seen)
        if transaction.connection.execute(known).rowcount == 0:
            transaction.session.add(Worker(owner=owner, started=utc_now(), **seen))

    database.transact(work)


def forget_worker(database: Database, owner: str) -> None:
    """Take a worker that ends off the list."""
    statement = delete(WORKERS).where(WORKERS.c.owner == owner)
    database.transact(lambda transaction: transaction.connection.execute(statement))


def list_workers(database: Database) -> list[WorkerRow]:
    """All workers that are not known to be dead, oldest first."""
    with database.read() as session:
        now = read_clock(session.connection())
        rows = session.scalars(select(Worker).order_by(Worker.id)).all()
        silences = [now.seconds - row.seen if row.seen_boot == now.boot else None for row in rows]
        pairs = zip(rows, silences, strict=True)
        return [detach(WorkerRow, row, silent=silent) for row, silent in pairs if not is_dead(row.owner)]
