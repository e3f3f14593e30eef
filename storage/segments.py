"""Table of segments: what is learnt about a trial, one row for each stretch that was trained."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import get_args

from sqlalchemy import BigInteger, ForeignKey, String, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from storage.attempts import close_attempt
from storage.checkpoints import Checkpoint, record
from storage.database import Database, StorageError
from storage.leases import Lease
from storage.schema import TABLE_OPTIONS, Base, detach, utc_now
from storage.searches import SEARCHES, write_search
from storage.trials import Trial, TrialRow, TrialState, lock_trial


class SegmentRecord(Base):
    """One committed segment."""

    __tablename__ = "automl_segments"
    __table_args__ = TABLE_OPTIONS

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


@dataclass(frozen=True)
class SegmentRow:
    """A segment as it was when read; `trial` is the trial's number, `index` counts from 0 within the trial."""

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
    for name, value in (*segment.scores.items(), *segment.seconds.items()):
        if not isfinite(value):
            raise ValueError(f"{name} of trial {segment.trial} is not a finite number")

    def work(session: Session) -> SegmentRow:
        trial = lock_trial(session, lease, segment.trial, *get_args(TrialState))
        earlier = _of_trial(session, trial)
        stored = next((known for known in earlier if _is_same(known, segment)), None)
        if stored is None:
            _check(trial, earlier, segment)
            stored = _insert(session, trial, earlier[-1].index + 1 if earlier else 0, segment)
            _advance(session, trial, segment, complete=complete)
            write_search(session, lease, {"seconds": SEARCHES.c.seconds + elapsed, "updated": stored.created})
        return detach(SegmentRow, stored, trial=segment.trial)

    return database.transact(work)


def drop_segments(database: Database, lease: Lease, trial: int, indices: Collection[int]) -> TrialRow:
    """Forget segments of a trial, as when their checkpoints are damaged; the trial goes back to the last one left.

    Returns:
        The trial: PAUSED at that segment, or RUNNING from the beginning where none is left.

    Raises:
        LeaseLost: A newer epoch exists.
        StorageError: The trial has failed or does not exist.
    """

    def work(session: Session) -> TrialRow:
        record = lock_trial(session, lease, trial, "RUNNING", "PAUSED", "COMPLETE")
        chosen = (SegmentRecord.trial_id == record.id, SegmentRecord.index.in_(indices))
        session.execute(delete(SegmentRecord).where(*chosen))
        left = _of_trial(session, record)
        last = left[-1] if left else None
        if last is None or last.checkpoint != record.checkpoint:
            record.state = "PAUSED" if last else "RUNNING"
            record.step, record.tokens = (last.to_step, last.tokens) if last else (0, 0)
            record.checkpoint, record.updated = last.checkpoint if last else None, utc_now()
            session.flush()
        return detach(TrialRow, record)

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


def _of_trial(session: Session, trial: Trial) -> list[SegmentRecord]:
    statement = select(SegmentRecord).where(SegmentRecord.trial_id == trial.id).order_by(SegmentRecord.index)
    return list(session.scalars(statement))


def _is_same(known: SegmentRecord, segment: NewSegment) -> bool:
    names = ("from_step", "to_step", "checkpoint", "cooldown")
    return all(getattr(known, name) == getattr(segment, name) for name in names)


def _check(trial: Trial, earlier: list[SegmentRecord], segment: NewSegment) -> None:
    if trial.state != "RUNNING":
        raise StorageError(f"trial {trial.number} is {trial.state}; a segment can be committed while it is RUNNING")
    if segment.from_step not in {0, *(known.to_step for known in earlier)}:
        raise StorageError(f"trial {trial.number} was never at step {segment.from_step}; it is at step {trial.step}")


def _insert(session: Session, trial: Trial, index: int, segment: NewSegment) -> SegmentRecord:
    record(session, segment.checkpoint, segment.bytes)
    stored = SegmentRecord(
        trial_id=trial.id,
        index=index,
        from_step=segment.from_step,
        to_step=segment.to_step,
        tokens=segment.tokens,
        scores=dict(segment.scores),
        seconds=dict(segment.seconds),
        checkpoint=segment.checkpoint,
        cooldown=segment.cooldown,
        worker=segment.worker,
        created=utc_now(),
    )
    session.add(stored)
    return stored


def _advance(session: Session, trial: Trial, segment: NewSegment, *, complete: bool) -> None:
    close_attempt(session, trial, "COMMITTED")
    trial.state = "COMPLETE" if complete else "PAUSED"
    trial.step, trial.tokens, trial.checkpoint = segment.to_step, segment.tokens, segment.checkpoint
    trial.parameters, trial.failures, trial.updated = segment.parameters, 0, utc_now()
