"""Frequency caps at the mark: what a message was judged by, and a person's other messages found by an index."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Null for what was planned before: it is sent as it was decided, and the next tick's rule goes on counting it.
    op.add_column("messages", sa.Column("caps", sa.Text(), nullable=True))
    op.create_index("messages_by_user", "messages", ["user_id"], unique=False)
