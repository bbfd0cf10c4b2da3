"""Which role each call of a model was made in, what it counts as, and why a draft went the way it went."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Null in calls that were made before there were roles: their events have neither.
    with op.batch_alter_table("model_calls") as table:
        table.alter_column("slots", new_column_name="answer", existing_type=sa.Text(), existing_nullable=True)
        table.alter_column("tokens_in", existing_type=sa.BigInteger(), nullable=True)
        table.alter_column("tokens_out", existing_type=sa.BigInteger(), nullable=True)
        table.add_column(sa.Column("role", sa.Text(), nullable=True))
        table.add_column(sa.Column("input_hash", sa.Text(), nullable=True))
        table.add_column(sa.Column("tokens_charged", sa.BigInteger(), nullable=True))
    op.add_column("drafts", sa.Column("caution", sa.Text(), nullable=True))
    op.add_column("reviews", sa.Column("route_reason", sa.Text(), nullable=True))
