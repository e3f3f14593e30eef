"""The tables of a search: searches, trials, attempts, segments, checkpoints, events."""

import sqlalchemy as sa
from alembic import op

from storage.schema import Message, Moment

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "automl_checkpoints",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("created", Moment(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_automl_checkpoints")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "automl_searches",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("document", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("data_digest", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("created", Moment(), nullable=False),
        sa.Column("updated", Moment(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("rung_tokens", sa.BigInteger(), nullable=True),
        sa.Column("bundle", sa.Text(), nullable=True),
        sa.Column("summary", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("message", Message(length=2000), nullable=True),
        sa.Column("owner", sa.String(length=255), nullable=True),
        sa.Column("epoch", sa.Integer(), nullable=False),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("lease_boot", sa.String(length=64), nullable=True),
        sa.CheckConstraint(
            "state IN ('running', 'finished', 'interrupted', 'failed')", name=op.f("ck_automl_searches_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_automl_searches")),
        sa.UniqueConstraint("name", name=op.f("uq_automl_searches_name")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
        sqlite_autoincrement=True,
    )
    op.create_table(
        "automl_events",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("search_id", sa.Integer(), nullable=False),
        sa.Column("created", Moment(), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("message", Message(length=2000), nullable=False),
        sa.ForeignKeyConstraint(
            ["search_id"], ["automl_searches.id"], name=op.f("fk_automl_events_search_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_automl_events")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_automl_events_search_id"), "automl_events", ["search_id"], unique=False)
    op.create_table(
        "automl_trials",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("search_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("configuration", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("origin", sa.String(length=64), nullable=False),
        sa.Column("parameters", sa.BigInteger(), nullable=True),
        sa.Column("step", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("checkpoint", sa.String(length=64), nullable=True),
        sa.Column("reason", sa.String(length=64), nullable=True),
        sa.Column("message", Message(length=2000), nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("created", Moment(), nullable=False),
        sa.Column("updated", Moment(), nullable=False),
        sa.CheckConstraint("state <> 'FAILED' OR reason IS NOT NULL", name=op.f("ck_automl_trials_reason")),
        sa.CheckConstraint("state IN ('RUNNING', 'PAUSED', 'COMPLETE', 'FAILED')", name=op.f("ck_automl_trials_state")),
        sa.CheckConstraint(
            "state NOT IN ('PAUSED', 'COMPLETE') OR checkpoint IS NOT NULL", name=op.f("ck_automl_trials_checkpoint")
        ),
        sa.ForeignKeyConstraint(
            ["checkpoint"], ["automl_checkpoints.digest"], name=op.f("fk_automl_trials_checkpoint")
        ),
        sa.ForeignKeyConstraint(
            ["search_id"], ["automl_searches.id"], name=op.f("fk_automl_trials_search_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_automl_trials")),
        sa.UniqueConstraint("search_id", "number", name=op.f("uq_automl_trials_search_id")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_automl_trials_checkpoint"), "automl_trials", ["checkpoint"], unique=False)
    op.create_table(
        "automl_attempts",
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("from_step", sa.BigInteger(), nullable=False),
        sa.Column("worker", sa.String(length=255), nullable=True),
        sa.Column("started", Moment(), nullable=False),
        sa.Column("ended", Moment(), nullable=True),
        sa.Column("end_reason", sa.String(length=64), nullable=True),
        sa.ForeignKeyConstraint(
            ["trial_id"], ["automl_trials.id"], name=op.f("fk_automl_attempts_trial_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("trial_id", "number", name=op.f("pk_automl_attempts")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_table(
        "automl_segments",
        sa.Column("trial_id", sa.Integer(), nullable=False),
        sa.Column("index", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("from_step", sa.BigInteger(), nullable=False),
        sa.Column("to_step", sa.BigInteger(), nullable=False),
        sa.Column("tokens", sa.BigInteger(), nullable=False),
        sa.Column("scores", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("seconds", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("checkpoint", sa.String(length=64), nullable=False),
        sa.Column("cooldown", sa.Boolean(), nullable=False),
        sa.Column("worker", sa.String(length=255), nullable=True),
        sa.Column("created", Moment(), nullable=False),
        sa.ForeignKeyConstraint(
            ["checkpoint"], ["automl_checkpoints.digest"], name=op.f("fk_automl_segments_checkpoint")
        ),
        sa.ForeignKeyConstraint(
            ["trial_id"], ["automl_trials.id"], name=op.f("fk_automl_segments_trial_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("trial_id", "index", name=op.f("pk_automl_segments")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_bin",
        mysql_engine="InnoDB",
    )
    op.create_index(op.f("ix_automl_segments_checkpoint"), "automl_segments", ["checkpoint"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_automl_segments_checkpoint"), table_name="automl_segments")
    op.drop_table("automl_segments")
    op.drop_table("automl_attempts")
    op.drop_index(op.f("ix_automl_trials_checkpoint"), table_name="automl_trials")
    op.drop_table("automl_trials")
    op.drop_index(op.f("ix_automl_events_search_id"), table_name="automl_events")
    op.drop_table("automl_events")
    op.drop_table("automl_searches")
    op.drop_table("automl_checkpoints")
