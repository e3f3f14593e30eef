"""Table of checkpoints: what lies in the folder of objects, by digest."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, BindParameter, Insert, String, bindparam, delete, func, select, union
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Mapped, mapped_column

from storage.database import Database, Transaction
from storage.objects import DIGEST
from storage.schema import KEYED_TABLE_OPTIONS, Base, insertion, utc_now

ROWS_AT_ONCE = 500


class Checkpoint(Base):
    """One object; it is on disk before its row exists."""

    __tablename__ = "automl_checkpoints"
    __table_args__ = KEYED_TABLE_OPTIONS

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    bytes: Mapped[int] = mapped_column(BigInteger)
    created: Mapped[datetime]


CHECKPOINTS = Checkpoint.rows()
COLUMNS: dict[str, BindParameter[Any]] = {name: bindparam(name) for name in ("digest", "bytes", "created")}
ADD: dict[str, Insert] = {
    "sqlite": sqlite.insert(CHECKPOINTS).values(COLUMNS).on_conflict_do_nothing(),
    "postgresql": postgresql.insert(CHECKPOINTS).values(COLUMNS).on_conflict_do_nothing(),
}
ADD_ELSEWHERE = insertion(CHECKPOINTS, *COLUMNS).prefix_with("IGNORE")


def record(transaction: Transaction, digest: str, size: int) -> None:
    """Add the row of an object of so many bytes unless it is there."""
    add = ADD.get(transaction.dialect, ADD_ELSEWHERE)
    transaction.run(add, {"digest": digest, "bytes": size, "created": transaction.moment})


def named(summary: Mapping[str, Any] | None) -> dict[str, str]:
    """What the summary of a search needs of the objects: by digest, what of its winner that is.

    A winner that was distilled is another search's. What teachers expect is needed until a student has learnt from it.
    """
    best = _mapping(_mapping(summary).get("best"))
    others = best.get("members")
    models = [(_mapping(each), "a part of the winner") for each in (others if isinstance(others, list) else ())]
    found = {model.get("checkpoint"): what for model, what in (*models, (best, "the winner"))}
    if "finishes" not in best:
        found[_mapping(best.get("teacher")).get("soft_targets")] = "what is to be learnt from the winner"
    return {digest: what for digest, what in found.items() if isinstance(digest, str) and DIGEST.fullmatch(digest)}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def referenced(database: Database, search_id: int | None = None) -> set[str]:
    """Digests that a search points to: its trials, its segments, its winner, and the data it was queued with; or all.

    What was uploaded is pointed to, too, where no search is named.
    """
    from storage.searches import SEARCHES
    from storage.segments import SEGMENTS
    from storage.trials import TRIALS
    from storage.uploads import UPLOADS

    trials = select(TRIALS.c.checkpoint).where(TRIALS.c.checkpoint.is_not(None))
    segments = select(SEGMENTS.c.checkpoint).join(TRIALS, TRIALS.c.id == SEGMENTS.c.trial_id)
    searches = select(SEARCHES.c.options, SEARCHES.c.summary)
    pointed = union(trials, segments, select(UPLOADS.c.digest))
    if search_id is not None:
        trials, segments = (statement.where(TRIALS.c.search_id == search_id) for statement in (trials, segments))
        searches = searches.where(SEARCHES.c.id == search_id)
        pointed = union(trials, segments)
    with database.read() as session:
        found = set(session.scalars(pointed))
        for options, summary in session.execute(searches):
            found.update(named(summary), (file[0] for file in ((options or {}).get("data") or {}).values()))
    return found


def kept_bytes(database: Database, account_id: int) -> int:
    """Bytes of the checkpoints that the searches of an account point to, each counted once."""
    from storage.searches import SEARCHES
    from storage.segments import SEGMENTS
    from storage.trials import TRIALS

    mine = select(TRIALS.c.id).join(SEARCHES, SEARCHES.c.id == TRIALS.c.search_id)
    mine = mine.where(SEARCHES.c.account_id == account_id)
    pointed = union(
        select(TRIALS.c.checkpoint).where(TRIALS.c.id.in_(mine)),
        select(SEGMENTS.c.checkpoint).where(SEGMENTS.c.trial_id.in_(mine)),
    )
    statement = select(func.coalesce(func.sum(CHECKPOINTS.c.bytes), 0)).where(CHECKPOINTS.c.digest.in_(pointed))
    with database.read() as session:
        return int(session.scalar(statement) or 0)


def sizes(database: Database) -> dict[str, int]:
    """Bytes of every object that has a row, by digest."""
    with database.read() as session:
        return {row[0]: row[1] for row in session.execute(select(CHECKPOINTS.c.digest, CHECKPOINTS.c.bytes))}


def forget_unreferenced(database: Database, seconds: float = 0.0) -> int:
    """Delete the rows that no search points to, as after one was deleted; returns how many.

    Args:
        seconds: Rows that were added since then are left.
    """
    from storage.searches import SEARCHES
    from storage.segments import SEGMENTS
    from storage.trials import TRIALS

    pointed = union(select(SEGMENTS.c.checkpoint), select(TRIALS.c.checkpoint).where(TRIALS.c.checkpoint.is_not(None)))
    old = CHECKPOINTS.c.created <= utc_now() - timedelta(seconds=seconds)
    unused = (CHECKPOINTS.c.digest.not_in(pointed), old)

    def work(transaction: Transaction) -> int:
        connection, number = transaction.connection, 0
        summaries = connection.scalars(select(SEARCHES.c.summary).where(SEARCHES.c.summary.is_not(None)))
        kept = {digest for summary in summaries for digest in named(summary)}
        left = [each for each in connection.scalars(select(CHECKPOINTS.c.digest).where(*unused)) if each not in kept]
        for place in range(0, len(left), ROWS_AT_ONCE):
            some = CHECKPOINTS.c.digest.in_(left[place : place + ROWS_AT_ONCE])
            number += connection.execute(delete(CHECKPOINTS).where(some, *unused)).rowcount
        return number

    return database.transact(work)
