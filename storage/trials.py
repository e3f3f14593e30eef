"""Table of trials: one configuration each, with its state and its newest checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import cache
from typing import Any, Literal, get_args

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    String,
    UniqueConstraint,
    Update,
    bindparam,
    func,
    select,
    update,
)
from sqlalchemy.orm import Mapped, mapped_column

from storage.database import Database, StorageError, Transaction
from storage.leases import Lease
from storage.schema import NUMBERED_TABLE_OPTIONS, Base, Message, detach, insertion, utc_now
from storage.searches import Search, guard

TrialState = Literal["RUNNING", "PAUSED", "COMPLETE", "FAILED"]
"""RUNNING: a segment is in flight or lost. PAUSED: has a checkpoint and may go on. FAILED: has a reason."""


BRANCH = "branch of "
"""How the origin of a branch begins; the number of its parent follows."""
CONTINUED = "continued "
"""The same of a trial that goes on where another stood before it was trained out."""
WIDER = "wider"
"""The origin of a trial that was begun as a wider version of the best one."""


class Trial(Base):
    """One trial; its checkpoint is that of a segment, whose row refers to it."""

    __tablename__ = "automl_trials"
    __table_args__ = (
        CheckConstraint("state IN ('RUNNING', 'PAUSED', 'COMPLETE', 'FAILED')", name="state"),
        CheckConstraint("state NOT IN ('PAUSED', 'COMPLETE') OR checkpoint IS NOT NULL", name="checkpoint"),
        CheckConstraint("(state = 'FAILED') = (reason IS NOT NULL)", name="reason"),
        CheckConstraint("number >= 0 AND segments >= 0 AND failures >= 0 AND attempts >= failures", name="counts"),
        UniqueConstraint("search_id", "number"),
        NUMBERED_TABLE_OPTIONS,
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    search_id: Mapped[int] = mapped_column(ForeignKey(Search.id, ondelete="CASCADE"))
    number: Mapped[int]
    state: Mapped[TrialState] = mapped_column(String(16))
    configuration: Mapped[dict[str, Any]]
    seed: Mapped[int] = mapped_column(BigInteger)
    origin: Mapped[str] = mapped_column(String(64))
    parameters: Mapped[int | None] = mapped_column(BigInteger)
    step: Mapped[int] = mapped_column(BigInteger)
    tokens: Mapped[int] = mapped_column(BigInteger)
    checkpoint: Mapped[str | None] = mapped_column(String(64))
    reason: Mapped[str | None] = mapped_column(String(64))
    message: Mapped[str | None] = mapped_column(Message)
    attempts: Mapped[int]
    failures: Mapped[int]
    segments: Mapped[int]
    created: Mapped[datetime]
    updated: Mapped[datetime]


TRIALS = Trial.rows()


@dataclass(frozen=True)
class TrialRow:
    """A trial as it was when read.

    Attributes:
        number: Counts from 0 within the search.
        origin: Where the configuration comes from: `default`, `family default`, `wider`, `sampler`; `branch of N` where
            the trial began at a checkpoint of trial N to be cooled down, `continued N` where it goes on in its place.
        parameters: Parameters of the model; none before the first segment is committed.
        step: Optimizer steps up to `checkpoint`, those of its parent included; 0 before.
        tokens: Target tokens up to `checkpoint`, likewise; 0 before.
        attempts: Attempts begun.
        failures: Attempts in a row, up to now, that ended with a failure.
        segments: Segments committed, those that were dropped since included.
    """

    number: int
    state: TrialState
    configuration: Mapping[str, Any]
    seed: int
    origin: str
    parameters: int | None
    step: int
    tokens: int
    checkpoint: str | None
    reason: str | None
    message: str | None
    attempts: int
    failures: int
    created: datetime
    updated: datetime
    segments: int = 0

    @property
    def parent(self) -> int | None:
        """The trial at whose checkpoint it began; none where it began by itself."""
        number = self.origin.removeprefix(BRANCH).removeprefix(CONTINUED)
        return int(number) if number != self.origin and number.isdecimal() else None

    @property
    def is_branch(self) -> bool:
        """Whether it began at a checkpoint of another trial to be cooled down."""
        return self.origin.startswith(BRANCH)

    @property
    def is_continued(self) -> bool:
        """Whether it goes on in the place of another trial."""
        return self.origin.startswith(CONTINUED)


class BudgetSpent(StorageError):
    """The search has as many trials as it may have."""


def add_trial(
    database: Database,
    lease: Lease,
    configuration: Mapping[str, Any],
    seed: int,
    origin: str,
    *,
    most: int | None = None,
) -> TrialRow:
    """Add a trial, RUNNING, with the next number.

    Args:
        most: Trials that the search may have, counted in the same transaction.

    Raises:
        BudgetSpent: It has them already.
        LeaseLost: A newer epoch exists.
    """

    def work(transaction: Transaction) -> TrialRow:
        guard(transaction, lease)
        number = transaction.connection.scalar(NEXT, {"search": lease.search_id}) or 0
        if most is not None and number >= most:
            raise BudgetSpent(f"the search has its {most} trials")
        row = new_trial(number, configuration, seed, origin)
        insert_trial(transaction, lease, row)
        return row

    return database.transact(work, repeatable=False)


def new_trial(number: int, configuration: Mapping[str, Any], seed: int, origin: str) -> TrialRow:
    """A trial as it begins: RUNNING, without a checkpoint."""
    now = utc_now()
    return TrialRow(
        number=number,
        state="RUNNING",
        configuration=dict(configuration),
        seed=seed,
        origin=origin,
        parameters=None,
        step=0,
        tokens=0,
        checkpoint=None,
        reason=None,
        message=None,
        attempts=0,
        failures=0,
        created=now,
        updated=now,
    )


INSERT = insertion(TRIALS, "search_id", *(item.name for item in fields(TrialRow)))


def insert_trial(transaction: Transaction, lease: Lease, row: TrialRow) -> None:
    """Add a trial; the database refuses a number that is there."""
    guard(transaction, lease)
    transaction.run(INSERT, {**vars(row), "search_id": lease.search_id})


def get_trial(database: Database, search_id: int, number: int) -> TrialRow | None:
    """The trial of that number."""
    with database.read() as session:
        trial = session.scalar(select(Trial).where(Trial.search_id == search_id, Trial.number == number))
        return None if trial is None else detach(TrialRow, trial)


def list_trials(database: Database, search_id: int) -> list[TrialRow]:
    """All trials of a search by number."""
    statement = select(Trial).where(Trial.search_id == search_id).order_by(Trial.number)
    with database.read() as session:
        return [detach(TrialRow, trial) for trial in session.scalars(statement)]


def count_trials(database: Database, search_id: int) -> dict[TrialState, int]:
    """Trials by state; states without one are 0."""
    statement = select(Trial.state, func.count()).where(Trial.search_id == search_id).group_by(Trial.state)
    with database.read() as session:
        found = {row[0]: row[1] for row in session.execute(statement)}
    return {state: found.get(state, 0) for state in get_args(TrialState)}


def fail_trial(database: Database, lease: Lease, number: int, reason: str, message: str) -> None:
    """End a RUNNING or PAUSED trial, and its open attempt, with a reason; again is a no-op.

    Raises:
        LeaseLost: A newer epoch exists.
        StorageError: The trial is COMPLETE or does not exist.
    """
    database.transact(lambda transaction: end_trial(transaction, lease, number, reason, message))


def end_trial(
    transaction: Transaction, lease: Lease, number: int, reason: str, message: str, seconds: float | None = None
) -> None:
    """`fail_trial` within a transaction; `seconds` were spent on the attempt that is open."""
    from storage.attempts import close_attempt

    trial = lock_trial(transaction, lease, number, "RUNNING", "PAUSED", "FAILED")
    if trial.state != "FAILED":
        close_attempt(transaction, trial, reason, seconds)
        change_trial(transaction, trial, state="FAILED", reason=reason, message=message)


def complete_trial(database: Database, lease: Lease, number: int) -> None:
    """Declare a PAUSED trial finished as it is; again is a no-op.

    Raises:
        LeaseLost: A newer epoch exists.
        StorageError: The trial has no checkpoint, has failed, is RUNNING or does not exist.
    """

    def work(transaction: Transaction) -> None:
        trial = lock_trial(transaction, lease, number, "PAUSED", "COMPLETE")
        if trial.state != "COMPLETE":
            change_trial(transaction, trial, state="COMPLETE")

    database.transact(work)


@dataclass
class LockedTrial:
    """What a write has to know of a trial that stays locked for the rest of its transaction."""

    id: int
    number: int
    state: TrialState
    step: int
    checkpoint: str | None
    attempts: int
    failures: int
    segments: int
    changes: dict[str, Any] = field(default_factory=dict)


KNOWN_OF_TRIAL = {item.name for item in fields(LockedTrial)} - {"changes"}
NEXT = select(func.max(TRIALS.c.number) + 1).where(TRIALS.c.search_id == bindparam("search"))
LOCKED = select(*(TRIALS.c[item.name] for item in fields(LockedTrial) if item.name in KNOWN_OF_TRIAL)).where(
    TRIALS.c.search_id == bindparam("search"), TRIALS.c.number == bindparam("wanted")
)


def lock_trial(transaction: Transaction, lease: Lease, number: int, *states: TrialState) -> LockedTrial:
    """The trial of a search that stays locked for the rest of the transaction, by the lock on its search.

    Raises:
        LeaseLost: A newer epoch exists.
        StorageError: The trial does not exist or is in none of `states`.
    """
    guard(transaction, lease)
    key = (lease.search_id, number)
    trial: LockedTrial | None = transaction.trials.get(key)
    if trial is None:
        rows = transaction.rows(LOCKED, {"search": lease.search_id, "wanted": number})
        if not rows:
            raise StorageError(f"search has no trial {number}")
        trial = transaction.trials[key] = LockedTrial(*rows[0])
    if trial.state not in states:
        raise StorageError(f"trial {number} is {trial.state}; it would have to be {' or '.join(states)}")
    return trial


@cache
def _change(names: tuple[str, ...]) -> Update:
    values: dict[str, Any] = {name: bindparam(name) for name in names}
    return update(TRIALS).where(TRIALS.c.id == bindparam("trial")).values(values)


def change_trial(transaction: Transaction, trial: LockedTrial, **values: Any) -> None:
    """Set columns of a locked trial: at once in what is known of it, in the table before the transaction ends."""
    if not trial.changes:
        transaction.before_end(lambda: flush_trial(transaction, trial))
    trial.changes.update(values)
    for name in values.keys() & KNOWN_OF_TRIAL:
        setattr(trial, name, values[name])


def flush_trial(transaction: Transaction, trial: LockedTrial) -> None:
    """Write the changes of a locked trial that were put off."""
    if trial.changes:
        statement = _change((*trial.changes, "updated"))
        transaction.run(statement, {**trial.changes, "updated": transaction.moment, "trial": trial.id})
        trial.changes.clear()
