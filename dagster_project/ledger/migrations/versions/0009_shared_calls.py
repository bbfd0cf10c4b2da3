"""Which call of a language model a question shared with another one, whose row has what it cost."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("model_calls", sa.Column("asked_with", sa.Text(), nullable=True))
