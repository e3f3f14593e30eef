"""Keys of accounts, uploads, wishes, receipts and the audit log of the service."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from storage.schema import Moment

revision = "0003"
down_revision = "0002"

MYSQL: dict[str, Any] = {"mysql_charset": "utf8mb4", "mysql_collate": "utf8mb4_bin", "mysql_engine": "InnoDB"}
NUMBERED: dict[str, Any] = {"sqlite_autoincrement": True}


def _to_account(table: str) -> sa.ForeignKeyConstraint:
    name = op.f(f"fk_automl_{table}_account_id")
    return sa.ForeignKeyConstraint(["account_id"], ["automl_accounts.id"], name=name, ondelete="CASCADE")


def upgrade() -> None:
    _keys()
    _accounts()
    _uploads()
    op.create_table(
        "automl_wishes",
        sa.Column("search_id", sa.Integer(), nullable=False),
        sa.Column("wish", sa.String(length=16), nullable=False),
        sa.CheckConstraint("wish IN ('pause', 'cancel', 'restart')", name=op.f("ck_automl_wishes_wish")),
        sa.ForeignKeyConstraint(
            ["search_id"], ["automl_searches.id"], name=op.f("fk_automl_wishes_search_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("search_id", name=op.f("pk_automl_wishes")),
        **MYSQL,
    )
    op.create_table(
        "automl_receipts",
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("key", sa.String(length=255), nullable=False),
        sa.Column("request", sa.String(length=64), nullable=False),
        sa.Column("answer", sa.String(length=255), nullable=True),
        sa.Column("created", Moment(), nullable=False),
        _to_account("receipts"),
        sa.PrimaryKeyConstraint("account_id", "key", name=op.f("pk_automl_receipts")),
        **MYSQL,
    )
    op.create_table(
        "automl_audit",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("created", Moment(), nullable=False),
        sa.Column("account", sa.String(length=255), nullable=True),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=2000), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("address", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_automl_audit")),
        **MYSQL,
        **NUMBERED,
    )


def _keys() -> None:
    op.create_table(
        "automl_keys",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=255), nullable=False),
        sa.Column("scope", sa.String(length=16), nullable=False),
        sa.Column("session", sa.Boolean(), nullable=False),
        sa.Column("created", Moment(), nullable=False),
        sa.Column("expires", Moment(), nullable=True),
        sa.Column("revoked", Moment(), nullable=True),
        sa.CheckConstraint("scope IN ('read', 'run', 'admin')", name=op.f("ck_automl_keys_scope")),
        _to_account("keys"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_automl_keys")),
        sa.UniqueConstraint("digest", name=op.f("uq_automl_keys_digest")),
        **MYSQL,
        **NUMBERED,
    )
    op.create_index(op.f("ix_automl_keys_account_id"), "automl_keys", ["account_id"], unique=False)
    if "token_digest" in [column["name"] for column in sa.inspect(op.get_bind()).get_columns("automl_accounts")]:
        _keep_tokens()


def _keep_tokens() -> None:
    """Tokens become keys, once: MySQL may have been stopped after it kept some, or before their column was dropped."""
    no = "0" if op.get_bind().dialect.name == "sqlite" else "FALSE"
    op.execute(
        "INSERT INTO automl_keys (account_id, digest, label, scope, session, created) "  # noqa: S608
        f"SELECT id, token_digest, '', 'run', {no}, created FROM automl_accounts "
        "WHERE token_digest NOT IN (SELECT digest FROM automl_keys)"
    )


def _accounts() -> None:
    with op.batch_alter_table("automl_accounts", table_kwargs=NUMBERED) as batch:
        batch.drop_constraint(op.f("uq_automl_accounts_token_digest"), type_="unique")
        batch.drop_column("token_digest")
        batch.add_column(sa.Column("quotas", sa.JSON(none_as_null=True), nullable=True))


def _uploads() -> None:
    op.create_table(
        "automl_uploads",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("created", Moment(), nullable=False),
        _to_account("uploads"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_automl_uploads")),
        **MYSQL,
        **NUMBERED,
    )
    op.create_index(op.f("ix_automl_uploads_account_id"), "automl_uploads", ["account_id"], unique=False)


def downgrade() -> None:
    raise NotImplementedError("a schema is not taken back; restore the backup")
