"""What a campaign was at a time: its policy, its trigger's SQL, its templates' files; and what changed from one to the next. Pure."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from dagster_project.lifecycle.campaign import TRIGGER_PREFIX
from dagster_project.lifecycle.message import content_hash
from dagster_project.lifecycle.template import canonical

TemplateFiles = Mapping[str, Mapping[str, Mapping[str, str]]]
"""campaign_id -> variant -> file -> text."""
POLICY, SQL = "policy", "trigger SQL"


@dataclasses.dataclass(frozen=True, slots=True)
class PolicyVersion:
    """One version of one campaign's policy; `valid_to` is None for the one in force."""

    campaign_id: str
    version: int
    document: bytes
    valid_from: datetime
    valid_to: datetime | None

    @property
    def policy_hash(self) -> str:
        return policy_hash(self.document)


def policy_hash(document: bytes) -> str:
    """As `campaign_policies()` makes it in dbt, and as it stands on every decision."""
    return hashlib.md5(document, usedforsecurity=False).hexdigest()


def template_references(files: TemplateFiles) -> dict[str, dict[str, str]]:
    """campaign_id -> variant -> the hash under which its files' hashes are kept."""
    return {
        campaign_id: {variant: content_hash(_manifest(texts)) for variant, texts in variants.items()}
        for campaign_id, variants in files.items()
    }


def by_reference(files: TemplateFiles) -> dict[str, Mapping[str, str]]:
    """reference -> file -> text: what `parts` asks for, of the templates as they lie in a project."""
    return {content_hash(_manifest(texts)): texts for variants in files.values() for texts in variants.values()}


def template_artifacts(files: TemplateFiles) -> dict[str, bytes]:
    """Content hash -> bytes: what the references of `files` lead to."""
    found = {}
    for texts in (texts for variants in files.values() for texts in variants.values()):
        found[content_hash(_manifest(texts))] = canonical(_manifest(texts))
        found |= {content_hash(text): text.encode() for text in texts.values()}
    return found


def _manifest(texts: Mapping[str, str]) -> dict[str, object]:
    return {file: content_hash(text) for file, text in sorted(texts.items())}


def documents(manifest: Mapping[str, Any], references: Mapping[str, Mapping[str, str]]) -> dict[str, bytes]:
    """campaign_id -> the text that its policy hash is over, of every trigger in a dbt manifest that has a policy."""
    found = {}
    for node in manifest["nodes"].values():
        policy = (node["config"].get("meta") or {}).get("campaign")
        if node["resource_type"] == "model" and node["name"].startswith(TRIGGER_PREFIX) and policy:
            campaign_id = node["name"].removeprefix(TRIGGER_PREFIX)
            document = {"policy": policy, "sql": node["raw_code"], "templates": references.get(campaign_id, {})}
            found[campaign_id] = json.dumps(document, sort_keys=True).encode()
    return dict(sorted(found.items()))


def parts(document: bytes, template_files: Mapping[str, Mapping[str, str]]) -> dict[str, list[str]]:
    """A version as named lists of lines. `template_files` are those of its variants, by reference."""
    said = json.loads(document)
    found = {POLICY: sorted(_flat(said["policy"])), SQL: said["sql"].splitlines()}
    for variant, reference in sorted(said["templates"].items()):
        for file, text in sorted(template_files[reference].items()):
            found[f"{variant}/{file}"] = text.splitlines()
    return found


def _flat(value: object, path: str = "") -> Iterator[str]:
    """`caps.per_user.count: 1`: a line per value, so that a changed value is a changed line."""
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flat(inner, f"{path}.{name}" if path else str(name))
    else:
        yield f"{path}: {json.dumps(value, ensure_ascii=False)}"


def changes(before: Mapping[str, Sequence[str]], after: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """`part` and its unified `diff` for each part that is not the same; a part that is missing has no lines."""
    names = [*before, *(name for name in after if name not in before)]
    return [
        {"part": name, "diff": line_diff(before.get(name, ()), after.get(name, ()))}
        for name in names
        if list(before.get(name, ())) != list(after.get(name, ()))
    ]


def line_diff(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Changed lines with one line around them, as `diff -u` has them, without its header."""
    return list(difflib.unified_diff(before, after, n=1, lineterm=""))[2:]
