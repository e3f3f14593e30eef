"""When an upload was used last."""

import sqlalchemy as sa
from alembic import op

from storage.schema import Moment

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("automl_uploads", sa.Column("used", Moment(), nullable=True))


def downgrade() -> None:
    raise NotImplementedError("a schema is not taken back; restore the backup")
