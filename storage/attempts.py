"""Table of attempts: every time that a worker was given a segment of a trial."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, ForeignKey, String, insert, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from storage.database import Database
from storage.leases import Lease
from storage.schema import TABLE_OPTIONS, Base, detach, utc_now
from storage.trials import Trial, lock_trial


class Attempt(Base):
    """One attempt; open until `ended`."""

    __tablename__ = "automl_attempts"
    __table_args__ = TABLE_OPTIONS

    trial_id: Mapped[int] = mapped_column(ForeignKey(Trial.id, ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    from_step: Mapped[int] = mapped_column(BigInteger)
    worker: Mapped[str | None] = mapped_column(String(255))
    started: Mapped[datetime]
    ended: Mapped[datetime | None]
    end_reason: Mapped[str | None] = mapped_column(String(64))


ATTEMPTS = Attempt.rows()


@dataclass(frozen=True)
class AttemptRow:
    """An attempt as it was when read.

    Attributes:
        trial: Number of the trial.
        number: Counts from 1 within the trial.
        end_reason: `COMMITTED`, `LOST` (nobody saw it end), or the reason given.
    """

    trial: int
    number: int
    from_step: int
    worker: str | None
    started: datetime
    ended: datetime | None
    end_reason: str | None


def begin_attempt(database: Database, lease: Lease, trial: int, from_step: int, worker: str | None = None) -> int:
    """Record that a segment is submitted and make the trial RUNNING; returns the attempt's number.

    An attempt of the trial that is still open is closed as LOST.

    Raises:
        LeaseLost: A newer epoch exists.
        StorageError: The trial is COMPLETE, FAILED or does not exist.
    """

    def work(session: Session) -> int:
        record = lock_trial(session, lease, trial, "RUNNING", "PAUSED")
        close_attempt(session, record, "LOST")
        now = utc_now()
        record.state, record.attempts, record.updated = "RUNNING", record.attempts + 1, now
        values = {"trial_id": record.id, "number": record.attempts, "from_step": from_step, "started": now}
        session.execute(insert(ATTEMPTS).values(**values, worker=worker))
        return record.attempts

    return database.transact(work)


def end_attempt(database: Database, lease: Lease, trial: int, reason: str, *, failure: bool = True) -> int:
    """Record that the open attempt gave no result; the trial goes back to its checkpoint (PAUSED) if it has one.

    Args:
        failure: Whether it counts in the trial's `failures`; an interruption does not.

    Returns:
        The trial's failures in a row.

    Raises:
        LeaseLost: A newer epoch exists.
        StorageError: The trial is COMPLETE, FAILED or does not exist.
    """

    def work(session: Session) -> int:
        record = lock_trial(session, lease, trial, "RUNNING", "PAUSED")
        if close_attempt(session, record, reason):
            record.failures += int(failure)
            record.state = "RUNNING" if record.checkpoint is None else "PAUSED"
            record.updated = utc_now()
        return record.failures

    return database.transact(work)


def list_attempts(database: Database, search_id: int) -> list[AttemptRow]:
    """All attempts of a search by trial and number."""
    statement = (
        select(Attempt, Trial.number)
        .join(Trial, Trial.id == Attempt.trial_id)
        .where(Trial.search_id == search_id)
        .order_by(Trial.number, Attempt.number)
    )
    with database.read() as session:
        return [detach(AttemptRow, attempt, trial=number) for attempt, number in session.execute(statement)]


def close_attempt(session: Session, trial: Trial, reason: str) -> bool:
    """End the trial's open attempt; False if none is open."""
    statement = (
        update(ATTEMPTS)
        .where(ATTEMPTS.c.trial_id == trial.id, ATTEMPTS.c.number == trial.attempts, ATTEMPTS.c.ended.is_(None))
        .values(ended=utc_now(), end_reason=reason)
    )
    return session.connection().execute(statement).rowcount > 0
