"""Fewer pages for every segment: SQLite keeps two tables by their keys alone, and a trial's checkpoint has no index.

A trial stands at the checkpoint of one of its segments, whose row refers to the table of checkpoints.
"""

from alembic import op

revision = "0005"
down_revision = "0004"

KEYED = {"sqlite_with_rowid": False}
NUMBERED = {"sqlite_autoincrement": True}


def upgrade() -> None:
    with op.batch_alter_table("automl_trials", table_kwargs=NUMBERED) as batch:
        batch.drop_constraint(op.f("fk_automl_trials_checkpoint"), type_="foreignkey")
    op.drop_index(op.f("ix_automl_trials_checkpoint"), table_name="automl_trials")
    if op.get_bind().dialect.name == "sqlite":
        for table in ("automl_checkpoints", "automl_attempts"):
            with op.batch_alter_table(table, recreate="always", table_kwargs=KEYED):
                pass


def downgrade() -> None:
    raise NotImplementedError("a schema is not taken back; restore the backup")
