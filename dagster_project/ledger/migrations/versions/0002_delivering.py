"""Delivering in full: messages go out in the order of their expiry, limits count per recipient domain."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("recipients", sa.Column("domain", sa.Text(), nullable=False, server_default=""))
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    domain = "substr(address_key, instr(address_key, '@') + 1)" if is_sqlite else "split_part(address_key, '@', -1)"
    op.execute(f"UPDATE recipients SET domain = {domain}")
    op.drop_index("messages_by_state", table_name="messages")
    op.create_index("messages_due", "messages", ["state", "send_before", "planned_as_of", "message_id"], unique=False)
