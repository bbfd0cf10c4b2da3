"""Which canary of prompts or models a draft was part of, and in which arm."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("drafts", sa.Column("trial", sa.Text(), nullable=True))
    is_tried = sa.text("trial is not null")
    op.create_index(
        "drafts_by_trial",
        "drafts",
        ["trial", "fallback_reason", "caution"],
        sqlite_where=is_tried,
        postgresql_where=is_tried,
    )
