"""What Alembic runs: our migrations, on the connection that it is given."""

from alembic import context

from storage import (
    accounts,
    attempts,
    audit,
    checkpoints,
    events,
    keys,
    receipts,
    searches,
    segments,
    trials,
    uploads,
    wishes,
    workers,
)
from storage.migrations import VERSION_TABLE
from storage.schema import PREFIX, Base

TABLES = (
    *(accounts, attempts, audit, checkpoints, events, keys, receipts, searches, segments, trials, uploads, wishes),
    workers,
)


def is_ours(name: str | None, kind: str, _parents: object) -> bool:
    """Optuna's tables in the same database are none of our business."""
    return kind != "table" or (name is not None and name.startswith(PREFIX))


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=VERSION_TABLE,
    include_name=is_ours,
)
with context.begin_transaction():
    context.run_migrations()
