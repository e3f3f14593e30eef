"""Table of attempts: every time that a worker was given a segment of a trial."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Double, ForeignKey, String, bindparam, func, select, update
from sqlalchemy.orm import Mapped, mapped_column

from storage.database import Database, Transaction
from storage.leases import Lease
from storage.schema import KEYED_TABLE_OPTIONS, Base, detach, insertion
from storage.trials import TRIALS, LockedTrial, Trial, change_trial, lock_trial


class Attempt(Base):
    """One attempt; open until `ended`."""

    __tablename__ = "automl_attempts"
    __table_args__ = (
        CheckConstraint("(ended IS NULL) = (end_reason IS NULL)", name="ended"),
        KEYED_TABLE_OPTIONS,
    )

    trial_id: Mapped[int] = mapped_column(ForeignKey(Trial.id, ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    from_step: Mapped[int] = mapped_column(BigInteger)
    worker: Mapped[str | None] = mapped_column(String(255))
    started: Mapped[datetime]
    ended: Mapped[datetime | None]
    end_reason: Mapped[str | None] = mapped_column(String(64))
    epoch: Mapped[int | None]
    seconds: Mapped[float | None] = mapped_column(Double)


ATTEMPTS = Attempt.rows()


@dataclass(frozen=True)
class AttemptRow:
    """An attempt as it was when read.

    Attributes:
        trial: Number of the trial.
        number: Counts from 1 within the trial.
        end_reason: `COMMITTED`, `LOST` (nobody saw it end), or the reason given.
        epoch: Of the lease under which it was begun.
        seconds: That a worker spent on it, whatever came of it; where its controller was lost, as far as that was seen.
            None where an earlier version kept no such number.
    """

    trial: int
    number: int
    from_step: int
    worker: str | None
    started: datetime
    ended: datetime | None
    end_reason: str | None
    epoch: int | None
    seconds: float | None


def begin_attempt(database: Database, lease: Lease, trial: int, from_step: int, worker: str | None = None) -> int:
    """Record that a segment is submitted and make the trial RUNNING; returns the attempt's number.

    An attempt of the trial that is still open is closed as LOST.

    Raises:
        LeaseLost: A newer epoch exists.
        StorageError: The trial is COMPLETE, FAILED or does not exist.
    """

    return database.transact(lambda transaction: open_attempt(transaction, lease, trial, from_step, worker))


def end_attempt(
    database: Database, lease: Lease, trial: int, reason: str, *, failure: bool = True, seconds: float | None = None
) -> int:
    """Record that the open attempt gave no result; the trial goes back to its checkpoint (PAUSED) if it has one.

    Args:
        failure: Whether it counts in the trial's `failures`; an interruption does not.
        seconds: That a worker spent on it.

    Returns:
        The trial's failures in a row.

    Raises:
        LeaseLost: A newer epoch exists.
        StorageError: The trial is COMPLETE, FAILED or does not exist.
    """

    return database.transact(
        lambda transaction: end_open_attempt(transaction, lease, trial, reason, failure=failure, seconds=seconds)
    )


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


def wasted_seconds(database: Database, search_id: int) -> float:
    """Seconds of computing that brought nothing, of all attempts that have ended."""
    spent = select(func.coalesce(func.sum(ATTEMPTS.c.seconds), 0.0)).join(TRIALS, TRIALS.c.id == ATTEMPTS.c.trial_id)
    with database.read() as session:
        ours = spent.where(TRIALS.c.search_id == search_id, ATTEMPTS.c.end_reason != "COMMITTED")
        return float(session.scalar(ours) or 0.0)


OPEN = insertion(ATTEMPTS, "trial_id", "number", "from_step", "worker", "started", "epoch")
CLOSE = (
    update(ATTEMPTS)
    .where(ATTEMPTS.c.trial_id == bindparam("trial"), ATTEMPTS.c.number == bindparam("attempt"))
    .where(ATTEMPTS.c.ended.is_(None))
    .values(ended=bindparam("moment"), end_reason=bindparam("why"), seconds=bindparam("spent"))
)


def open_attempt(transaction: Transaction, lease: Lease, trial: int, from_step: int, worker: str | None = None) -> int:
    """`begin_attempt` within a transaction."""
    locked = lock_trial(transaction, lease, trial, "RUNNING", "PAUSED")
    if locked.state == "RUNNING":
        close_attempt(transaction, locked, "LOST")
    number = locked.attempts + 1
    change_trial(transaction, locked, state="RUNNING", attempts=number)
    values = {"trial_id": locked.id, "number": number, "from_step": from_step, "started": transaction.moment}
    transaction.run(OPEN, {**values, "worker": worker, "epoch": lease.epoch})
    return number


def end_open_attempt(
    transaction: Transaction,
    lease: Lease,
    trial: int,
    reason: str,
    *,
    failure: bool = True,
    seconds: float | None = None,
) -> int:
    """`end_attempt` within a transaction."""
    locked = lock_trial(transaction, lease, trial, "RUNNING", "PAUSED")
    if close_attempt(transaction, locked, reason, seconds):
        state = "RUNNING" if locked.checkpoint is None else "PAUSED"
        change_trial(transaction, locked, state=state, failures=locked.failures + int(failure))
    return locked.failures


def close_attempt(transaction: Transaction, trial: LockedTrial, reason: str, seconds: float | None = None) -> bool:
    """End the trial's open attempt; False if none is open."""
    values = {
        "trial": trial.id,
        "attempt": trial.attempts,
        "moment": transaction.moment,
        "why": reason,
        "spent": seconds,
    }
    return transaction.run(CLOSE, values) > 0


def was_fruitful(transaction: Transaction, search_id: int, epoch: int) -> bool:
    """Whether an attempt that was begun under an epoch has brought a segment."""
    ours = select(ATTEMPTS.c.number).join(TRIALS, TRIALS.c.id == ATTEMPTS.c.trial_id)
    brought = (TRIALS.c.search_id == search_id, ATTEMPTS.c.epoch == epoch, ATTEMPTS.c.end_reason == "COMMITTED")
    return transaction.connection.execute(ours.where(*brought).limit(1)).first() is not None


def close_lost(transaction: Transaction, search_id: int, seen: datetime, *, charged: bool) -> None:
    """End every open attempt of a search whose holder is gone; trials go back to their checkpoints.

    Args:
        seen: When the holder wrote last: up to then it has computed, if not longer.
        charged: It counts in the failures of the trials.
    """
    ours = select(TRIALS.c.id).where(TRIALS.c.search_id == search_id, TRIALS.c.state == "RUNNING")
    running = list(transaction.connection.scalars(ours))
    unended = (ATTEMPTS.c.trial_id.in_(running), ATTEMPTS.c.ended.is_(None))
    found = transaction.connection.execute(select(ATTEMPTS.c.trial_id, ATTEMPTS.c.started).where(*unended)).all()
    lost, now = [trial for trial, _ in found], transaction.moment
    for trial, started in found:
        spent = max((seen - started).total_seconds(), 0.0)
        ended = update(ATTEMPTS).where(ATTEMPTS.c.trial_id == trial, ATTEMPTS.c.ended.is_(None))
        transaction.connection.execute(ended.values(ended=now, end_reason="LOST", seconds=spent))
    failures = update(TRIALS).where(TRIALS.c.id.in_(lost)).values(failures=TRIALS.c.failures + int(charged))
    transaction.connection.execute(failures)
    paused = update(TRIALS).where(TRIALS.c.id.in_(running), TRIALS.c.checkpoint.is_not(None))
    transaction.connection.execute(paused.values(state="PAUSED", updated=now))
