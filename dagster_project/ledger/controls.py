"""Controls (kill, pause) and suppressions: what stops messages, at once and always as it stands now."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

import sqlalchemy as sa

from dagster_project.ledger.chain import Write, commitment, new_salt
from dagster_project.ledger.database import as_list, listed
from dagster_project.ledger.rows import Control, Suppression
from dagster_project.ledger.schema import controls, messages, recipients, suppressions
from dagster_project.lifecycle.address import canonical
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import content_hash

CHANNEL = "postrider_controls"  # on which PostgreSQL tells every worker of a new control
_SUPPRESSED_WHAT = ("user_id", "address_key", "message_type", "channel")


def control_fields(row: Mapping[str, Any]) -> dict[str, object]:
    """What the event of a control commits to."""
    return {name: row[name] for name in ("name", "campaign_id", "value", "actor", "reason")}


def suppression_fields(row: Mapping[str, Any]) -> dict[str, object]:
    """What the event of a suppression commits to."""
    names = ("suppression_id", "user_id", "address", "address_key", "message_type", "channel", "reason", "actor")
    return {name: row[name] for name in names}


def set_control(write: Write, name: str, campaign_id: str | None, value: str, actor: str, reason: str) -> bool:
    """Set a control; False when it already had that value, and then nothing is written."""
    write.lock_head()
    standing = {(control.name, control.campaign_id): control.value for control in in_force(write.connection)}
    if standing.get((name, campaign_id), "off") == value:
        return False
    row: dict[str, Any] = {
        "name": name,
        "campaign_id": campaign_id,
        "value": value,
        "actor": actor,
        "reason": reason,
        "set_at": write.now,
        "salt": new_salt(),
    }
    payload = {"name": name, "value": value, "commitment": commitment(row["salt"], control_fields(row))}
    row["seq"] = write.append("control", actor=actor, campaign_id=campaign_id, payload=payload)
    write.connection.execute(sa.insert(controls), row)
    if write.connection.dialect.name == "postgresql":
        write.connection.execute(sa.select(sa.func.pg_notify(CHANNEL, name)))
    return True


def in_force(connection: sa.Connection) -> list[Control]:
    """The newest row per name and campaign, without those switched off."""
    rows = connection.execute(_IN_FORCE)
    return [Control(row.name, row.campaign_id, row.value, row.actor, row.reason, row.set_at) for row in rows]


_NEWEST = sa.select(sa.func.max(controls.c.seq)).group_by(controls.c.name, controls.c.campaign_id)
_IN_FORCE = (  # made once: every batch of mails asks
    sa.select(controls)
    .where(controls.c.seq.in_(_NEWEST), controls.c.value != "off")
    .order_by(controls.c.name, controls.c.campaign_id)
)


def stopped(connection: sa.Connection) -> tuple[bool, frozenset[str]]:
    """Whether everything is killed, and which campaigns are paused."""
    standing = in_force(connection)
    paused = frozenset(one.campaign_id for one in standing if one.name == "pause" and one.campaign_id is not None)
    return any(one.name == "kill" for one in standing), paused


def suppress(
    write: Write,
    *,
    reason: str,
    actor: str,
    user_id: str | None,
    address: str | None,
    message_type: str | None,
    channel: str | None,
) -> None:
    """Suppress a person by id, by address, or both. The same suppression twice is one."""
    if not user_id and not (address and address.strip()):
        raise InputError("a suppression names a user_id or an address; found neither")
    write.lock_head()
    row: dict[str, Any] = {
        "user_id": user_id or None,
        "address": address.strip().lower() if address else None,
        "address_key": canonical(address) if address else None,
        "message_type": message_type,
        "channel": channel,
    }
    same = sa.select(suppressions.c.suppression_id).where(
        *(suppressions.c[name].is_not_distinct_from(row[name]) for name in _SUPPRESSED_WHAT)
    )
    if write.connection.execute(same).first() is not None:
        return
    seq = write.next_seq()
    row |= {
        "suppression_id": content_hash(f"suppression|{seq}")[:32],
        "reason": reason,
        "actor": actor,
        "created_at": write.now,
        "salt": new_salt(),
        "seq": seq,
    }
    payload = {"suppression_id": row["suppression_id"], "user_id": user_id, "message_type": message_type}
    payload |= {"channel": channel, "commitment": commitment(row["salt"], suppression_fields(row))}
    write.append("suppressed", actor=actor, reason=reason, payload=payload)
    write.connection.execute(sa.insert(suppressions), row)


def read_suppressions(connection: sa.Connection) -> list[Suppression]:
    """All suppressions, oldest first."""
    columns = [suppressions.c[name] for name in Suppression.__slots__]
    return [Suppression(*row) for row in connection.execute(sa.select(*columns).order_by(suppressions.c.seq))]


def suppressed_among(connection: sa.Connection, message_ids: Collection[str]) -> frozenset[str]:
    """Those of these messages whose person, address, message type and channel a suppression covers."""
    dialect = connection.dialect.name
    return frozenset(connection.execute(_covered(dialect), {"ids": as_list(dialect, message_ids)}).scalars())


@cache
def _covered(dialect: str) -> sa.Executable:
    return (
        sa.select(messages.c.message_id)
        .outerjoin(recipients, recipients.c.message_id == messages.c.message_id)
        .join(
            suppressions,
            sa.and_(
                sa.or_(
                    suppressions.c.user_id == messages.c.user_id, suppressions.c.address_key == recipients.c.address_key
                ),
                sa.or_(suppressions.c.message_type.is_(None), suppressions.c.message_type == messages.c.message_type),
                sa.or_(suppressions.c.channel.is_(None), suppressions.c.channel == messages.c.channel),
            ),
        )
        .where(listed(dialect, messages.c.message_id, "ids"))
    )
