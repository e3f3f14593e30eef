"""How each segment was computed."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    with op.batch_alter_table("automl_segments") as batch:
        batch.add_column(sa.Column("execution", sa.JSON(none_as_null=True), nullable=True))
