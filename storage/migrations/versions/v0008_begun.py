"""With which key a session was begun."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.add_column("automl_keys", sa.Column("begun_with", sa.Integer(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("a schema is not taken back; restore the backup")
