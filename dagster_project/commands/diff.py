"""`postrider diff`: what the working tree would decide differently from a revision, on the same rows at the same time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from dagster_project.adapters.building import Builds
from dagster_project.adapters.differences import (
    CHANGED,
    audiences,
    candidates,
    candidates_of,
    common_candidates,
    differences,
)
from dagster_project.adapters.revisions import changed_files, check_out
from dagster_project.commands.moment import TRIGGER
from dagster_project.commands.prompt_changes import prompt_changes
from dagster_project.commands.scratch import scratch_folder
from dagster_project.commands.sides import BASE, HEAD, Side, of_base, sides
from dagster_project.home import Home
from dagster_project.lifecycle.comparing import Limit, compare, nothing, over
from dagster_project.lifecycle.cutting import EVERYTHING
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.explanation import closest, named_conditions
from dagster_project.lifecycle.people import PERSON_ID
from dagster_project.lifecycle.planning import planned_messages
from dagster_project.lifecycle.policy_versions import by_reference, changes, line_diff, parts
from dagster_project.lifecycle.reading import Probe, Prober, told

EXAMPLES = 3  # people, or mails, shown of each kind
_MANY = 2_000  # people asked for by name; beyond, everybody is read sooner than such a list
_NOBODY = {"people": 0, "sends": 0}
_NO_MAIL = {"subject": None, "text": None, "failure": None}


def diff(home: Home, revision: str, as_of: datetime | None, limit: Limit | None) -> dict[str, Any]:
    """Per campaign who enters, leaves and gets another verdict, why, and which mails change; `prompts`, what models are told
    differently; `over` are the campaigns beyond the limit. Both are built in a scratch folder; the home, the working tree and the
    repository are only read.

    InputError for a revision that can't be had or built, and where nothing has landed.
    """
    started = time.monotonic()
    _require_landed(home)
    as_of = as_of or _last_tick(home)
    with scratch_folder("diff") as folder:
        project = folder / BASE
        commit = check_out(home.settings.project, revision, project)
        files = changed_files(project, home.settings.project)
        with sides(home, project, folder, as_of) as (builds, base, head):
            campaigns = _campaigns(builds, base, head)
            prompts = prompt_changes(base.home, head.home)
    return {
        "base": {"revision": revision, "commit": commit},
        "as_of": f"{as_of.isoformat()}Z",
        "source_pack": home.pack.name,
        "changed_files": files,
        "campaigns": campaigns,
        "prompts": prompts,
        "fail_over": limit.text if limit else None,
        "over": over(limit, campaigns),
        "seconds": round(time.monotonic() - started, 2),
    }


def _require_landed(home: Home) -> None:
    if not home.settings.warehouse_path.exists():
        raise InputError(f"{home.path}: nothing of pack {home.pack.name} has landed; `postrider run` lands it")


def _last_tick(home: Home) -> datetime:
    with home.ledger() as ledger:
        tick = ledger.last_tick(home.pack.name)
    if tick is None:
        raise InputError(f"{home.path}: no tick of pack {home.pack.name} yet; `postrider run` makes one")
    return tick.as_of


def _campaigns(builds: Builds, base: Side, head: Side) -> list[dict[str, Any]]:
    """One entry per campaign of which anything differs: its own files, or what is decided."""
    found = compare(differences(builds, BASE, HEAD), CHANGED)
    own = _own_changes(base, head)
    before, after = audiences(builds, BASE), audiences(builds, HEAD)
    answer = []
    for campaign_id in sorted(found.keys() | own.keys(), key=lambda one: (one not in own, one)):
        one = found.get(campaign_id) or nothing()
        mails = _mails(builds, base, head, campaign_id, one)
        del one["rewritten"]
        one["entered"] |= _why(base, head, campaign_id, one["entered"]["people"])
        one["left"] |= _why(head, base, campaign_id, one["left"]["people"])
        answer.append(
            {
                "campaign_id": campaign_id,
                "changes": own.get(campaign_id, []),
                "base": before.get(campaign_id, _NOBODY),
                "head": after.get(campaign_id, _NOBODY),
                **one,
                "mails": mails,
            }
        )
    return answer


def _own_changes(base: Side, head: Side) -> dict[str, list[dict[str, Any]]]:
    """campaign -> what changed of its policy, its trigger's SQL and its templates; campaigns without a change are left out."""
    with of_base():
        before = base.home.policy_documents()
    after = head.home.policy_documents()
    files = {side.name: by_reference(side.home.template_files()) for side in (base, head)}
    return {
        campaign_id: changes(
            parts(before[campaign_id], files[BASE]) if campaign_id in before else {},
            parts(after[campaign_id], files[HEAD]) if campaign_id in after else {},
        )
        for campaign_id in sorted(before.keys() | after.keys())
        if before.get(campaign_id) != after.get(campaign_id)
    }


# ---------------------------------------------------------------- the conditions that made the difference


def _why(lacking: Side, having: Side, campaign_id: str, people: Sequence[str]) -> dict[str, Any]:
    """Of people who are candidates on one side: what they fail on the other. `conditions`, most people first, with the SQL of each
    side; `not_considered`, whom its trigger has no row for; `examples`, with the values read."""
    if not people or not lacking.has(campaign_id):
        return {"conditions": [], "not_considered": len(people), "examples": []}
    names, probe = _probe(lacking, campaign_id)
    texts = {side.name: _texts(side, campaign_id) for side in (lacking, having)}
    demand = frozenset({(PERSON_ID, frozenset(people))}) if len(people) <= _MANY else EVERYTHING
    considered: dict[str, list[dict[str, Any]]] = {}
    for row in lacking.slices.rows(probe.node if probe else f"{TRIGGER}{campaign_id}/conditions", demand):
        considered.setdefault(row[PERSON_ID], []).append(row)
    failed = {
        person: [name for name in names if not row[name]]
        for person in people
        for row in [closest(names, considered.get(person, ()), None)]
        if row is not None
    }
    counts = Counter(name for of_person in failed.values() for name in of_person)
    return {
        "conditions": [
            {"condition": name, "people": count, **{side: texts.get(side, {}).get(name) for side in (BASE, HEAD)}}
            for name, count in counts.most_common()
        ],
        "not_considered": sum(person not in failed for person in people),
        "examples": [
            {
                "user_id": person,
                "failed": [
                    {"condition": name, "reads": _reads(probe, name, closest(names, considered[person], None), lacking)}
                    for name in failed[person]
                ],
            }
            for person in list(failed)[:EXAMPLES]
        ],
    }


def _probe(side: Side, campaign_id: str) -> tuple[list[str], Probe | None]:
    trigger = f"{TRIGGER}{campaign_id}"
    names = named_conditions(trigger, side.queries[trigger])
    return names, Prober(side.slices.selects, side.as_of).probe(f"{trigger}/conditions", *names)


def _texts(side: Side, campaign_id: str) -> dict[str, str]:
    """The SQL of each condition, as its author would read it."""
    probe = _probe(side, campaign_id)[1] if side.has(campaign_id) else None
    return {name: reading.sql for name, reading in probe.readings.items()} if probe else {}


def _reads(probe: Probe | None, name: str, row: Mapping[str, Any] | None, side: Side) -> list[dict[str, Any]]:
    if probe is None or row is None:
        return []
    reads = told(probe.readings[name], row, side.as_of)["reads"]
    return [{"name": read["name"], "value": read["value"]} for read in reads]


# ---------------------------------------------------------------- mails


def _mails(builds: Builds, base: Side, head: Side, campaign_id: str, found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A few mails that would read differently, or that only one side would send: the same person before and after."""
    chosen = found["rewritten"][:EXAMPLES] or common_candidates(builds, BASE, HEAD, campaign_id, EXAMPLES)
    people = found["entered"]["people"][:1] + found["left"]["people"][:1]
    chosen += candidates_of(builds, (BASE, HEAD), campaign_id, people)
    rows = {side.name: candidates(builds, side.name, chosen) for side in (base, head)}
    mails = []
    for message_id in chosen:
        before = _mail(base, rows[BASE].get(message_id))
        after = _mail(head, rows[HEAD].get(message_id))
        if before != after:
            row = rows[HEAD].get(message_id) or rows[BASE][message_id]
            mails.append(
                {
                    "message_id": message_id,
                    "user_id": row["user_id"],
                    "before": before if message_id in rows[BASE] else None,
                    "after": after if message_id in rows[HEAD] else None,
                    "diff": line_diff(_lines(before), _lines(after)),
                }
            )
    return mails


def _mail(side: Side, row: Mapping[str, Any] | None) -> dict[str, Any]:
    """One candidate's mail in the deterministic words; `failure` says why there is none."""
    if row is None:
        return _NO_MAIL
    try:
        variant = row["variant"] or "default"
        (message,) = planned_messages([{**row, "verdict": "send", "variant": variant, "decision_id": "diff"}])
        batch = side.home.draft([message])
    except (InputError, KeyError) as error:  # a base of before a column was made has no mail to show
        return _NO_MAIL | {"failure": f"can't be drafted: {error}"}
    if batch.failures:
        return _NO_MAIL | {"failure": f"can't be drafted: {batch.failures[message.message_id]}"}
    (draft,) = batch.drafts
    return {"subject": draft.subject, "text": f"{draft.preheader}\n\n{draft.text}", "failure": None}


def _lines(mail: Mapping[str, Any]) -> list[str]:
    if mail["failure"]:
        return [mail["failure"]]
    return [f"Subject: {mail['subject']}", *mail["text"].splitlines()] if mail["text"] is not None else []
