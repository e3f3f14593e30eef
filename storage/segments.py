"""Table of segments: what is learnt about a trial, one row for each stretch that was trained."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import Any, get_args

from sqlalchemy import JSON, BigInteger, CheckConstraint, ForeignKey, String, UniqueConstraint, delete, select
from sqlalchemy.orm import Mapped, mapped_column

from storage.attempts import close_attempt
from storage.checkpoints import Checkpoint, record
from storage.database import Database, StorageError, Transaction
from storage.leases import Lease
from storage.schema import TABLE_OPTIONS, Base, detach, insertion, utc_now
from storage.searches import spend
from storage.trials import LockedTrial, Trial, TrialRow, TrialState, change_trial, flush_trial, lock_trial


class SegmentRecord(Base):
    """One committed segment."""

    __tablename__ = "automl_segments"
    __table_args__ = (
        CheckConstraint("to_step > from_step AND from_step >= 0", name="steps"),
        UniqueConstraint("trial_id", "attempt"),
        TABLE_OPTIONS,
    )

    trial_id: Mapped[int] = mapped_column(ForeignKey(Trial.id, ondelete="CASCADE"), primary_key=True)
    index: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    from_step: Mapped[int] = mapped_column(BigInteger)
    to_step: Mapped[int] = mapped_column(BigInteger)
    tokens: Mapped[int] = mapped_column(BigInteger)
    scores: Mapped[dict[str, float]]
    seconds: Mapped[dict[str, float]]
    checkpoint: Mapped[str] = mapped_column(ForeignKey(Checkpoint.digest), index=True)
    cooldown: Mapped[bool]
    worker: Mapped[str | None] = mapped_column(String(255))
    created: Mapped[datetime]
    attempt: Mapped[int | None]
    execution: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


SEGMENTS = SegmentRecord.rows()


@dataclass(frozen=True)
class NewSegment:
    """What a worker brought back, to be committed.

    Attributes:
        trial: Number of the trial.
        to_step: Optimizer steps since the trial's start.
        tokens: Target tokens since the trial's start.
        scores: Finite numbers by name.
        seconds: Seconds of the segment by part.
        checkpoint: Sha256 of the state at `to_step`, already on disk.
        bytes: Size of the checkpoint.
        parameters: Parameters of the model.
        cooldown: Whether the learning rate fell to zero over the segment.
        execution: How it was computed, for people to read.
    """

    trial: int
    from_step: int
    to_step: int
    tokens: int
    scores: Mapping[str, float]
    checkpoint: str
    bytes: int
    parameters: int
    seconds: Mapping[str, float] = field(default_factory=dict)
    cooldown: bool = False
    worker: str | None = None
    execution: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class SegmentRow:
    """A segment as it was when read.

    Attributes:
        trial: The trial's number.
        index: Counts from 0 within the trial.
        attempt: Number of the attempt that brought it; none where an earlier version kept no such number.
        execution: How it was computed; none where an earlier version kept nothing of it.
    """

    trial: int
    index: int
    from_step: int
    to_step: int
    tokens: int
    scores: Mapping[str, float]
    seconds: Mapping[str, float]
    checkpoint: str
    cooldown: bool
    worker: str | None
    created: datetime
    attempt: int | None = None
    execution: Mapping[str, Any] | None = None

    @staticmethod
    def of(segment: NewSegment, *, index: int, attempt: int, created: datetime | None = None) -> "SegmentRow":
        """A segment that is committed now."""
        return SegmentRow(
            trial=segment.trial,
            index=index,
            from_step=segment.from_step,
            to_step=segment.to_step,
            tokens=segment.tokens,
            scores=dict(segment.scores),
            seconds=dict(segment.seconds),
            checkpoint=segment.checkpoint,
            cooldown=segment.cooldown,
            worker=segment.worker,
            created=created or utc_now(),
            attempt=attempt,
            execution=segment.execution,
        )


def commit_segment(
    database: Database, lease: Lease, segment: NewSegment, *, complete: bool = False, elapsed: float = 0.0
) -> SegmentRow:
    """Commit a segment in one transaction: its row, its checkpoint, the trial's state, the attempt's end, the budget.

    The same segment again changes nothing and returns the stored row.

    Args:
        complete: The trial is COMPLETE after it, else PAUSED.
        elapsed: Seconds of the budget to add to the search.

    Raises:
        LeaseLost: A newer epoch exists.
        StorageError: The trial is not RUNNING, or never stood at `from_step`.
        ValueError: A score is not finite.
    """
    check_finite(segment)

    def work(transaction: Transaction) -> SegmentRow:
        return write_segment(transaction, lease, segment, complete=complete, elapsed=elapsed)

    return database.transact(work)


def drop_segments(database: Database, lease: Lease, trial: int, indices: Collection[int]) -> TrialRow:
    """Forget segments of a trial, as when their checkpoints are damaged; the trial goes back to the last one left.

    Returns:
        The trial: PAUSED at that segment, or RUNNING from the beginning where none is left.

    Raises:
        LeaseLost: A newer epoch exists.
        StorageError: The trial has failed or does not exist.
    """

    def work(transaction: Transaction) -> TrialRow:
        locked = lock_trial(transaction, lease, trial, "RUNNING", "PAUSED", "COMPLETE")
        chosen = (SEGMENTS.c.trial_id == locked.id, SEGMENTS.c.index.in_(indices))
        transaction.connection.execute(delete(SEGMENTS).where(*chosen))
        left = _of_trial(transaction, locked)
        last = left[-1] if left else None
        if last is None:
            change_trial(transaction, locked, state="RUNNING", step=0, tokens=0, checkpoint=None)
        elif last.checkpoint != locked.checkpoint:
            place = {"step": last.to_step, "tokens": last.tokens, "checkpoint": last.checkpoint}
            change_trial(transaction, locked, state="PAUSED", **place)
        flush_trial(transaction, locked)
        return detach(TrialRow, transaction.session.get_one(Trial, locked.id))

    return database.transact(work)


def list_segments(database: Database, search_id: int) -> list[SegmentRow]:
    """All segments of a search by trial and index."""
    statement = (
        select(SegmentRecord, Trial.number)
        .join(Trial, Trial.id == SegmentRecord.trial_id)
        .where(Trial.search_id == search_id)
        .order_by(Trial.number, SegmentRecord.index)
    )
    with database.read() as session:
        return [detach(SegmentRow, segment, trial=number) for segment, number in session.execute(statement)]


COLUMNS = tuple(column.name for column in SEGMENTS.columns)
INSERT = insertion(SEGMENTS, *COLUMNS)


def check_finite(segment: NewSegment) -> None:
    """Refuse a segment with a number that is not finite.

    Raises:
        ValueError: There is one.
    """
    for name, value in (*segment.scores.items(), *segment.seconds.items()):
        if not isfinite(value):
            raise ValueError(f"{name} of trial {segment.trial} is not a finite number")


def write_segment(
    transaction: Transaction, lease: Lease, segment: NewSegment, *, complete: bool = False, elapsed: float = 0.0
) -> SegmentRow:
    """`commit_segment` within a transaction."""
    trial = lock_trial(transaction, lease, segment.trial, *get_args(TrialState))
    stands_there = trial.state == "RUNNING" and segment.from_step in (0, trial.step)
    stored = None if stands_there and trial.segments == 0 else _known(transaction, trial, segment, stands_there)
    if stored is not None:
        _settle(transaction, trial, segment, complete=complete)
        return stored
    record(transaction, segment.checkpoint, segment.bytes)
    row = SegmentRow.of(segment, index=trial.segments, attempt=trial.attempts, created=transaction.moment)
    transaction.run(INSERT, {**vars(row), "trial_id": trial.id})
    close_attempt(transaction, trial, "COMMITTED", sum(segment.seconds.values()))
    _advance(transaction, trial, segment, complete=complete)
    if elapsed:
        spend(transaction, lease, elapsed)
    return row


def _settle(transaction: Transaction, trial: LockedTrial, segment: NewSegment, *, complete: bool) -> None:
    """An attempt that went back has brought what was there: the trial stands there again."""
    if trial.state == "RUNNING" and close_attempt(transaction, trial, "REPEATED", sum(segment.seconds.values())):
        place = {"step": segment.to_step, "tokens": segment.tokens, "checkpoint": segment.checkpoint}
        state = "COMPLETE" if complete else "PAUSED"
        change_trial(transaction, trial, state=state, parameters=segment.parameters, failures=0, **place)


def _advance(transaction: Transaction, trial: LockedTrial, segment: NewSegment, *, complete: bool) -> None:
    change_trial(
        transaction,
        trial,
        state="COMPLETE" if complete else "PAUSED",
        step=segment.to_step,
        tokens=segment.tokens,
        checkpoint=segment.checkpoint,
        parameters=segment.parameters,
        failures=0,
        segments=trial.segments + 1,
    )


def _of_trial(transaction: Transaction, trial: LockedTrial) -> list[SegmentRecord]:
    statement = select(SegmentRecord).where(SegmentRecord.trial_id == trial.id).order_by(SegmentRecord.index)
    return list(transaction.session.scalars(statement))


def _known(transaction: Transaction, trial: LockedTrial, segment: NewSegment, stands_there: bool) -> SegmentRow | None:
    """The segment as it is stored, if it is.

    Raises:
        StorageError: It is not, and cannot be: the trial is not RUNNING, or never stood where it begins.
    """
    if stands_there and segment.to_step > trial.step:
        return None
    earlier = _of_trial(transaction, trial)
    names = ("from_step", "to_step", "checkpoint", "cooldown")
    for known in earlier:
        if all(getattr(known, name) == getattr(segment, name) for name in names):
            return detach(SegmentRow, known, trial=trial.number)
    if trial.state != "RUNNING":
        raise StorageError(f"trial {trial.number} is {trial.state}; a segment can be committed while it is RUNNING")
    if not stands_there and segment.from_step not in {known.to_step for known in earlier}:
        raise StorageError(f"trial {trial.number} was never at step {segment.from_step}; it is at step {trial.step}")
    return None
