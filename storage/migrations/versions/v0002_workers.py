"""Accounts, workers, queued searches; what ties a segment to its attempt; constraints on what goes together."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from storage.schema import Moment

revision = "0002"
down_revision = "0001"

MYSQL: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}
NUMBERED: dict[str, Any] = {"sqlite_autoincrement": True}


def upgrade() -> None:
    op.create_table(
        "automl_accounts",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("token_digest", sa.String(length=64), nullable=False),
        sa.Column("created", Moment(), nullable=False),
        sa.Column("disabled", Moment(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_automl_accounts")),
        sa.UniqueConstraint("name", name=op.f("uq_automl_accounts_name")),
        sa.UniqueConstraint("token_digest", name=op.f("uq_automl_accounts_token_digest")),
        **MYSQL,
        **NUMBERED,
    )
    _searches()
    _trials()
    _attempts()
    _segments()
    op.create_table(
        "automl_workers",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(length=255), nullable=False),
        sa.Column("search_id", sa.Integer(), nullable=True),
        sa.Column("started", Moment(), nullable=False),
        sa.Column("seen", sa.Double(), nullable=False),
        sa.Column("seen_boot", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(
            ["search_id"], ["automl_searches.id"], name=op.f("fk_automl_workers_search_id"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_automl_workers")),
        sa.UniqueConstraint("owner", name=op.f("uq_automl_workers_owner")),
        **MYSQL,
        **NUMBERED,
    )
    op.create_index(op.f("ix_automl_workers_search_id"), "automl_workers", ["search_id"], unique=False)


def _searches() -> None:
    states = "state IN ('queued', 'running', 'finished', 'interrupted', 'failed')"
    with op.batch_alter_table("automl_searches", table_kwargs=NUMBERED) as batch:
        batch.add_column(sa.Column("detached", sa.Boolean(), nullable=False, server_default=sa.false()))
        batch.add_column(sa.Column("options", sa.JSON(none_as_null=True), nullable=True))
        batch.add_column(sa.Column("takeovers", sa.Integer(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("turn", sa.Integer(), nullable=False, server_default="0"))
        batch.add_column(sa.Column("account_id", sa.Integer(), nullable=True))
        batch.create_foreign_key(
            op.f("fk_automl_searches_account_id"), "automl_accounts", ["account_id"], ["id"], ondelete="SET NULL"
        )
        batch.drop_constraint(op.f("ck_automl_searches_state"), type_="check")
        batch.create_check_constraint(op.f("ck_automl_searches_state"), sa.text(states))
        lease = "(owner IS NULL) = (lease_until IS NULL)"
        batch.create_check_constraint(op.f("ck_automl_searches_lease"), sa.text(lease))
        batch.create_check_constraint(op.f("ck_automl_searches_detached"), sa.text("state <> 'queued' OR detached"))
    op.create_index(op.f("ix_automl_searches_account_id"), "automl_searches", ["account_id"], unique=False)


def _trials() -> None:
    counts = "number >= 0 AND segments >= 0 AND failures >= 0 AND attempts >= failures"
    reason = "(state = 'FAILED') = (reason IS NOT NULL)"
    with op.batch_alter_table("automl_trials", table_kwargs=NUMBERED) as batch:
        batch.add_column(sa.Column("segments", sa.Integer(), nullable=False, server_default="0"))
        batch.drop_constraint(op.f("ck_automl_trials_reason"), type_="check")
        batch.create_check_constraint(op.f("ck_automl_trials_reason"), sa.text(reason))
        batch.create_check_constraint(op.f("ck_automl_trials_counts"), sa.text(counts))
    count = "SELECT count(*) FROM automl_segments WHERE automl_segments.trial_id = automl_trials.id"
    op.execute(f"UPDATE automl_trials SET segments = ({count})")  # noqa: S608


def _attempts() -> None:
    with op.batch_alter_table("automl_attempts") as batch:
        batch.add_column(sa.Column("epoch", sa.Integer(), nullable=True))
        batch.add_column(sa.Column("seconds", sa.Double(), nullable=True))
        ended = "(ended IS NULL) = (end_reason IS NULL)"
        batch.create_check_constraint(op.f("ck_automl_attempts_ended"), sa.text(ended))


def _segments() -> None:
    with op.batch_alter_table("automl_segments") as batch:
        batch.add_column(sa.Column("attempt", sa.Integer(), nullable=True))
        batch.create_unique_constraint(op.f("uq_automl_segments_trial_id"), ["trial_id", "attempt"])
        steps = "to_step > from_step AND from_step >= 0"
        batch.create_check_constraint(op.f("ck_automl_segments_steps"), sa.text(steps))
    _tie_segments_to_attempts()


def _tie_segments_to_attempts() -> None:
    """Within a trial the n-th segment is what the n-th attempt that was committed has brought."""
    segments = sa.table("automl_segments", sa.column("trial_id"), sa.column("index"), sa.column("attempt"))
    attempts = sa.table("automl_attempts", sa.column("trial_id"), sa.column("number"), sa.column("end_reason"))
    bind = op.get_bind()
    committed: dict[int, list[int]] = {}
    ours = sa.select(attempts.c.trial_id, attempts.c.number).where(attempts.c.end_reason == "COMMITTED")
    for trial, number in bind.execute(ours.order_by(attempts.c.trial_id, attempts.c.number)):
        committed.setdefault(trial, []).append(number)
    for trial, index in bind.execute(sa.select(segments.c.trial_id, segments.c.index)).all():
        if index < len(committed.get(trial, ())):
            one = sa.update(segments).where(segments.c.trial_id == trial, segments.c.index == index)
            bind.execute(one.values(attempt=committed[trial][index]))


def downgrade() -> None:
    raise NotImplementedError("a schema is not taken back; restore the backup")
