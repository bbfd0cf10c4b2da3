"""Artifacts: templates, prompts, policies, recipes, model cards, stored by the hash of their content."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa

from dagster_project.ledger.bulk import insert_rows
from dagster_project.ledger.chain import Write
from dagster_project.ledger.database import among
from dagster_project.ledger.schema import artifact_names, artifacts
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import content_hash


def store(write: Write, contents: Mapping[str, bytes]) -> None:
    """Store contents by their hash; what is already there stays."""
    write.lock_head()
    known = set(
        write.connection.execute(
            sa.select(artifacts.c.hash).where(among(write.connection, artifacts.c.hash, contents))
        ).scalars()
    )
    rows = [
        {"hash": digest, "content": contents[digest], "recorded_at": write.now}
        for digest in sorted(contents.keys() - known)
    ]
    insert_rows(write.connection, artifacts, rows)


def put(write: Write, kind: str, name: str, content: bytes) -> str:
    """Store one artifact under a kind and a name; returns its hash. The same content twice is one artifact."""
    digest = content_hash(content)
    write.lock_head()
    named = sa.select(artifact_names.c.hash).where(
        artifact_names.c.kind == kind, artifact_names.c.name == name, artifact_names.c.hash == digest
    )
    if write.connection.execute(named).one_or_none() is None:
        store(write, {digest: content})
        seq = write.append("artifact", actor="postrider", payload={"kind": kind, "name": name, "hash": digest})
        row = {"kind": kind, "name": name, "hash": digest, "seq": seq}
        write.connection.execute(sa.insert(artifact_names), row)
    return digest


def get(connection: sa.Connection, digest: str) -> bytes:
    """The content behind a hash. InputError when the ledger doesn't hold it."""
    content = connection.execute(sa.select(artifacts.c.content).where(artifacts.c.hash == digest)).scalar_one_or_none()
    if content is None:
        raise InputError(f"artifact {digest} is not in the ledger")
    return bytes(content)
