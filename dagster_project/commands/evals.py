"""`postrider drafts eval`: the fixed contexts through the product's own pipeline, asked of a model or answered from a recording."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dagster_project.adapters.cassette import Recorder, heard, read_cassette, write_cassette
from dagster_project.home import Home
from dagster_project.lifecycle.drafting import Model, writer_requests
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.evals.comparing import Threshold, difference, failed, read_report
from dagster_project.lifecycle.evals.contexts import Case, cases, held_against, messages_of
from dagster_project.lifecycle.evals.figures import Figures, counted, in_all, rows
from dagster_project.lifecycle.message import content_hash
from dagster_project.lifecycle.roles.call import Ask

CASSETTE, BASELINE = "cassette.jsonl", "baseline.json"  # in templates/evals: the shipped recording, and its report
_NOBODY = "nobody: the configured model answered"


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What the command is asked for. `cassette` answers instead of a model, `record` keeps what a model answers; both is a mistake."""

    cassette: Path | None = None
    record: Path | None = None
    note: str = ""
    campaign: str | None = None
    locale: str | None = None
    base: Path | None = None
    thresholds: Sequence[Threshold] = ()


def evaluate(home: Home, asked: Asked) -> dict[str, Any]:
    """Figures per campaign, mode and locale and in all; `difference` from the base, which is the shipped report where none is named;
    `failed`, a line per threshold that was passed.

    InputError where there is nobody to ask, for a recording that lacks an answer, and for names that nobody has. A recording is
    written when every call of it has been answered.
    """
    if asked.cassette and asked.record:
        raise InputError("drafts eval: found --cassette and --record, allowed: one of them")
    chosen = _chosen(home, asked)
    base = _base(home, asked)
    names, note, ask, recorder = _answering(home, asked)
    report = measured(home, chosen, ask, names, note)
    if recorder and asked.record:
        write_cassette(
            recorder.cassette(str(asked.record), asked.note or f"answered by {', '.join(names)}"), asked.record
        )
    report["difference"] = difference(base, report) if base else None
    report["failed"] = failed(report, asked.thresholds)
    return report


def measured(home: Home, chosen: Sequence[Case], ask: Ask, names: Sequence[str], note: str) -> dict[str, Any]:
    """The report without a comparison."""
    found = {case: _figures(home, case, ask) for case in chosen}
    return {
        "contexts": home.writing.eval_contexts.version,
        "prompts": {role: content_hash(prompt) for role, prompt in home.writing.prompts.items()},
        "models": list(names),
        "answered_by": note,
        "cases": rows(found),
        "all": in_all(found.values()),
    }


def replayed(home: Home, cassette: Path) -> dict[str, Any]:
    """The report of every case from a recording; InputError where it lacks an answer."""
    recorded = read_cassette(cassette)
    every = cases(home.templates.templates, list(home.policies))
    return measured(home, every, recorded.replaying(home.writing.prompts), recorded.models, recorded.note)


def _figures(home: Home, case: Case, ask: Ask) -> Figures:
    policy = home.policies[case.campaign_id]
    policy = policy.model_copy(update=held_against(policy, case.mode))
    policies = {case.campaign_id: policy}
    template = home.templates.get(case.campaign_id, case.variant)
    messages = messages_of(case, home.writing.eval_contexts, template.spec)
    asking, calls = heard(ask)
    inform = functools.partial(home.writing.retriever.inform, as_of=home.writing.eval_contexts.at, nearest=None)
    batch = home.draft(messages, Model(asking, home.writing.classes, inform, home.writing.patterns), policies)
    _, patterns = writer_requests(messages, policies, home.templates.get, home.writing.patterns)
    return counted(case, policy, batch, len(patterns), calls, len(messages))


def _chosen(home: Home, asked: Asked) -> list[Case]:
    """Those of the campaign and locale asked for. InputError for one that no case has."""
    every = cases(home.templates.templates, list(home.policies))
    found = every
    for option, name, known in (
        ("--campaign", asked.campaign, {one.campaign_id for one in every}),
        ("--locale", asked.locale, {one.locale for one in every}),
    ):
        if name is not None and name not in known:
            raise InputError(
                f"{option} {name}: no template that a model writes for; allowed are {', '.join(sorted(known))}"
            )
    return [one for one in found if asked.campaign in (None, one.campaign_id) and asked.locale in (None, one.locale)]


def _answering(home: Home, asked: Asked) -> tuple[Sequence[str], str, Ask, Recorder | None]:
    """The models' names, who answers, how they are asked, and what keeps the answers."""
    if asked.cassette:
        recorded = read_cassette(asked.cassette)
        return recorded.models, recorded.note, recorded.replaying(home.writing.prompts), None
    chain = home.writing.chain({})
    if chain is None:
        raise InputError(
            "drafts eval: found no OPENAI_API_KEY and no OPENAI_BASE_URL, allowed: a model that can be asked, or --cassette "
            f"such as templates/evals/{CASSETTE}"
        )
    ask = chain.remembering(lambda _: {}, lambda _: None)
    if not asked.record:
        return home.writing.model_names, _NOBODY, ask, None
    before = read_cassette(asked.record) if asked.record.exists() else None
    recorder = Recorder(before, ask, home.writing.prompts, home.writing.model_names)
    return home.writing.model_names, asked.note or _NOBODY, recorder.ask, recorder


def _base(home: Home, asked: Asked) -> Mapping[str, Any] | None:
    """The report to compare with: a kept one, or made from a recording. Rows that nobody asked for are left out."""
    path = asked.base or home.writing.evals / BASELINE
    if not path.exists() and asked.base is None:
        return None
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--base {path}: found {error}, allowed: a report or a recording of drafts eval") from None
    try:
        report = read_report(json.loads(text), str(path))
    except ValueError:  # several lines of JSON: a recording
        report = replayed(home, path)
    kept = [
        row
        for row in report["cases"]
        if asked.campaign in (None, row["campaign_id"]) and asked.locale in (None, row["locale"])
    ]
    return report | {"cases": kept}
