"""What the deleted searches of an account have computed."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("automl_accounts", sa.Column("spent_seconds", sa.Double(), nullable=False, server_default="0"))


def downgrade() -> None:
    raise NotImplementedError("a schema is not taken back; restore the backup")
