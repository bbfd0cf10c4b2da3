"""A version's text, its hash, and what changed from one to the next."""

from __future__ import annotations

import json

from dagster_project.lifecycle.message import content_hash
from dagster_project.lifecycle.policy_versions import (
    by_reference,
    changes,
    documents,
    parts,
    policy_hash,
    template_artifacts,
    template_references,
)

FILES = {"welcome": {"default": {"subject.txt.j2": "Hello\nthere", "layouts/default.txt.j2": "{{ body }}"}}}
MANIFEST = {
    "nodes": {
        "model.postrider.int_triggers__welcome": {
            "resource_type": "model",
            "name": "int_triggers__welcome",
            "raw_code": "select 1\nfrom users\nwhere is_new",
            "config": {"meta": {"campaign": {"priority": 3, "caps": {"per_user": {"count": 1}}}}},
        },
        "model.postrider.int_users": {
            "resource_type": "model", "name": "int_users", "raw_code": "select 2", "config": {"meta": {}},
        },
        "model.postrider.int_triggers__bare": {
            "resource_type": "model", "name": "int_triggers__bare", "raw_code": "select 3", "config": {"meta": None},
        },
    }
}  # fmt: skip


def test_a_document_holds_policy_sql_and_references_of_a_trigger_that_has_a_policy() -> None:
    found = documents(MANIFEST, template_references(FILES))

    assert list(found) == ["welcome"]
    said = json.loads(found["welcome"])
    assert (said["policy"]["priority"], said["sql"]) == (3, "select 1\nfrom users\nwhere is_new")
    assert said["templates"] == {"default": template_references(FILES)["welcome"]["default"]}


def test_any_word_of_the_sql_the_policy_or_a_template_makes_another_hash() -> None:
    node = MANIFEST["nodes"]["model.postrider.int_triggers__welcome"]
    sql = {"nodes": {"x": node | {"raw_code": "select 1\nfrom users\nwhere is_old"}}}
    policy = {"nodes": {"x": node | {"config": {"meta": {"campaign": {"priority": 4}}}}}}
    layout = {"welcome": {"default": FILES["welcome"]["default"] | {"layouts/default.txt.j2": "{{ body }}!"}}}
    references = template_references(FILES)

    hashes = [
        policy_hash(documents(manifest, chosen)["welcome"])
        for manifest, chosen in (
            (MANIFEST, references), (sql, references), (policy, references), (MANIFEST, template_references(layout)),
        )
    ]  # fmt: skip

    assert len(set(hashes)) == 4


def test_a_reference_leads_to_its_files() -> None:
    (reference,) = template_references(FILES)["welcome"].values()
    kept = template_artifacts(FILES)

    assert all(content_hash(content) == digest for digest, content in kept.items())
    manifest = json.loads(kept[reference])
    assert {file: kept[digest].decode() for file, digest in manifest.items()} == FILES["welcome"]["default"]


def test_a_change_is_shown_by_its_line_with_one_around_it() -> None:
    (document,) = documents(MANIFEST, template_references(FILES)).values()
    before = parts(document, by_reference(FILES))
    after = {
        **before,
        "policy": ["caps.per_user.count: 2", "priority: 3"],
        "trigger SQL": ["select 1", "from users", "where is_old"],
    }

    assert before["policy"] == ["caps.per_user.count: 1", "priority: 3"]
    assert changes(before, before) == []
    assert changes(before, after) == [
        {"part": "policy", "diff": ["@@ -1,2 +1,2 @@", "-caps.per_user.count: 1", "+caps.per_user.count: 2", " priority: 3"]},
        {"part": "trigger SQL", "diff": ["@@ -2,2 +2,2 @@", " from users", "-where is_new", "+where is_old"]},
    ]  # fmt: skip


def test_a_file_that_is_new_or_gone_is_shown_whole() -> None:
    assert changes({"a": ["1"]}, {"b": ["2"]}) == [
        {"part": "a", "diff": ["@@ -1 +0,0 @@", "-1"]},
        {"part": "b", "diff": ["@@ -0,0 +1 @@", "+2"]},
    ]
