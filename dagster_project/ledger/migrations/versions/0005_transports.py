"""By which transport each attempt went, and under which idempotency key."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("attempts", sa.Column("transport", sa.Text(), nullable=True))
    op.add_column("attempts", sa.Column("idempotency_key", sa.Text(), nullable=True))
