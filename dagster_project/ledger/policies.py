"""Which policies ticks decided by, and since when: kept with the artifacts, so that no warehouse is needed to know it.

A record says what every campaign's policy was, by the hash of its text, and is added by a tick at which that differs from the
tick before.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

import sqlalchemy as sa

from dagster_project.ledger.artifacts import put, store
from dagster_project.ledger.chain import Write, canonical_json
from dagster_project.ledger.database import among
from dagster_project.ledger.schema import artifact_names, artifacts
from dagster_project.lifecycle.message import content_hash
from dagster_project.lifecycle.policy_versions import PolicyVersion

POLICY, RECORD = "policy", "policies"  # kinds of artifacts: one campaign's text; what was in force
Record = tuple[datetime, dict[str, str]]  # since when; campaign_id -> hash of its text


def record(
    write: Write,
    run_id: str,
    as_of: datetime,
    source_pack: str,
    documents: Mapping[str, bytes],
    templates: Mapping[str, bytes],
) -> None:
    """What this tick decides by. Nothing is written where that is what the last one did."""
    write.lock_head()
    policies = {campaign_id: content_hash(document) for campaign_id, document in documents.items()}
    records = _records(write.connection, source_pack)
    if records and records[-1][0] <= as_of and records[-1][1] == policies:
        return
    for campaign_id, document in documents.items():
        put(write, POLICY, campaign_id, document)
    store(write, templates)
    told = {"as_of": as_of.isoformat(), "run_id": run_id, "policies": policies}
    put(write, RECORD, source_pack, canonical_json(told).encode())


def _records(connection: sa.Connection, source_pack: str) -> list[Record]:
    """In order of time. A tick voids what was recorded before it for its own time and later, as it takes back decisions."""
    found: list[Record] = []
    query = (
        sa.select(artifacts.c.content)
        .join_from(artifact_names, artifacts, artifact_names.c.hash == artifacts.c.hash)
        .where(artifact_names.c.kind == RECORD, artifact_names.c.name == source_pack)
        .order_by(artifact_names.c.seq)
    )
    for content in connection.execute(query).scalars():
        told = json.loads(bytes(content))
        as_of = datetime.fromisoformat(told["as_of"])
        while found and found[-1][0] >= as_of:
            found.pop()
        found.append((as_of, told["policies"]))
    return found


def history(connection: sa.Connection, source_pack: str) -> list[PolicyVersion]:
    """Every version of every campaign's policy, by campaign and number."""
    records = _records(connection, source_pack)
    ends = [*[as_of for as_of, _ in records][1:], None]
    spans: dict[str, list[tuple[str, datetime, datetime | None]]] = {}
    for (as_of, policies), end in zip(records, ends, strict=False):  # no record, no end
        for campaign_id, digest in policies.items():
            known = spans.setdefault(campaign_id, [])
            if known and known[-1][0] == digest and known[-1][2] == as_of:
                known[-1] = (digest, known[-1][1], end)
            else:
                known.append((digest, as_of, end))
    texts = _contents(connection, {digest for known in spans.values() for digest, _, _ in known})
    return [
        PolicyVersion(campaign_id, number, texts[digest], begun, ended)
        for campaign_id, known in sorted(spans.items())
        for number, (digest, begun, ended) in enumerate(known, 1)
    ]


def _contents(connection: sa.Connection, hashes: set[str]) -> dict[str, bytes]:
    rows = connection.execute(sa.select(artifacts).where(among(connection, artifacts.c.hash, hashes)))
    return {row.hash: bytes(row.content) for row in rows}
