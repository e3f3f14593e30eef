"""Table of checkpoints: what lies in the folder of objects, by digest."""

from datetime import datetime

from sqlalchemy import BigInteger, String, delete, insert, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from storage.database import Database
from storage.schema import TABLE_OPTIONS, Base, utc_now


class Checkpoint(Base):
    """One object; it is on disk before its row exists."""

    __tablename__ = "automl_checkpoints"
    __table_args__ = TABLE_OPTIONS

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
    created: Mapped[datetime]


def record(session: Session, digest: str, size: int) -> None:
    """Add the row of an object of so many bytes unless it is there."""
    if session.scalar(select(Checkpoint.digest).where(Checkpoint.digest == digest)) is None:
        session.execute(insert(Checkpoint.rows()).values(digest=digest, bytes=size, created=utc_now()))


def referenced(database: Database, search_id: int | None = None) -> set[str]:
    """Digests that the segments of a search point to; without a search, those of all."""
    from storage.segments import SegmentRecord
    from storage.trials import Trial

    statement = select(SegmentRecord.checkpoint).distinct()
    if search_id is not None:
        statement = statement.join(Trial, Trial.id == SegmentRecord.trial_id).where(Trial.search_id == search_id)
    with database.read() as session:
        return set(session.scalars(statement))


def forget_unreferenced(database: Database) -> int:
    """Delete the rows that no segment points to, as after a search was deleted; returns how many."""
    from storage.segments import SegmentRecord

    statement = delete(Checkpoint.rows()).where(Checkpoint.digest.not_in(select(SegmentRecord.checkpoint)))

    def work(session: Session) -> int:
        return session.connection().execute(statement).rowcount

    return database.transact(work)
