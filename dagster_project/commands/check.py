"""`postrider check`: everything that can be wrong before a tick, looked at without running one."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from dagster_project.adapters.binding import refused, trigger_problem, value_type_problem
from dagster_project.adapters.compiled import COMPILED, CompiledTemplate
from dagster_project.adapters.templates import extremes
from dagster_project.commands import inspection, knowledge
from dagster_project.commands.controls import roster
from dagster_project.commands.scratch import scratch_folder
from dagster_project.commands.settings import setting_names
from dagster_project.commands.translations import locales_of, translation_problems
from dagster_project.home import Home
from dagster_project.ledger.landing import LANDED
from dagster_project.lifecycle.campaign import TRIGGER_PREFIX, json_schema
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.explanation import form_problem
from dagster_project.lifecycle.expression import columns_of, exit_problem, people_of, value_problem
from dagster_project.lifecycle.inspection.reading import html_findings
from dagster_project.lifecycle.inspection.specimen import told
from dagster_project.lifecycle.lint.catalogue import Finding
from dagster_project.lifecycle.message import Draft
from dagster_project.lifecycle.mime_encoding import BuildError
from dagster_project.settings import Settings

PEOPLE = "int_users_enriched"
SCHEMA = "dbt_project/campaign.schema.json"


def check(home: Home, with_settings: bool, *, with_templates: bool = False, with_links: bool = False) -> dict[str, Any]:
    """Counts of what was looked at, and one line for each problem. The campaigns' JSON schema is written for editors.

    One part that can't be read doesn't hide the problems of the others. `with_templates` also has each mail inspected by tools, and gives
    what is `accepted` of their findings: InputError at once for a tool that isn't installed. `with_links` asks for each fixed link.
    """
    tools = inspection.open_tools(home) if with_templates else None
    problems: list[str] = []
    checked: dict[str, int] = {}
    for name, look in (
        ("campaign policies", _policies),
        ("triggers on the roster", _roster),
        ("triggers that can be explained", _forms),
        ("ends of sequences", _exits),
        ("values of campaigns", _values),
        ("models that can be built", _models),
        ("templates", _templates),
        ("translations", _translations),
        ("mails", _mails),
        ("instructions for models", _instructions),
        ("articles of knowledge", knowledge.problems),
        ("limits", _limits),
    ):
        try:
            checked[name], found = look(home)
        except InputError as error:
            found = [str(error)]
        problems += [problem for problem in found if problem not in problems]
    accepted: dict[str, Any] = {}
    if tools:
        checked["inspected mails"], found, accepted["accepted"] = inspection.inspect(home, tools)
        problems += found
    if with_links:
        checked["links that answer"], found = inspection.ask_links(home)
        problems += found
    answer: dict[str, Any] = accepted | {
        "ok": not problems,
        "checked": checked,
        "problems": problems,
        "warnings": _warnings(),
    }
    return answer | ({"settings": _settings(home.settings)} if with_settings else {})


def _policies(home: Home) -> tuple[int, list[str]]:
    schema = json.dumps(json_schema(), indent=2) + "\n"
    written = home.settings.project / SCHEMA
    if not written.exists() or written.read_text() != schema:
        written.write_text(schema)
    return len(home.policies), []


def _roster(home: Home) -> tuple[int, list[str]]:
    live = roster(home)
    problems = [
        f"int_triggers__{name}: not on the roster; add its line to int_candidates_unioned or remove it"
        for name in sorted(set(home.policies) - live)
    ]
    return len(live), problems


def _forms(home: Home) -> tuple[int, list[str]]:
    """Each trigger as `explain` will ask it."""
    problems = [
        form_problem(name, sql) for name, sql in sorted(_queries(home).items()) if name.startswith(TRIGGER_PREFIX)
    ]
    found = [problem for problem in problems if problem]
    return len(problems) - len(found), found


def _models(home: Home) -> tuple[int, list[str]]:
    """Each model made of no rows at all: what the engine refuses would stop a tick, and for all campaigns. Where there is no data
    yet nobody knows the types of its columns, and nothing is tried."""
    if not home.data.is_dir():
        return 0, []
    with _scratch(home) as scratch:
        as_of = home.default_as_of()
        scratch.warehouse.land(home.pack, home.data, rows=0)
        scratch.warehouse.write({name: schema.empty_table() for name, schema in LANDED.items()}, schema="raw")
        seeds = scratch.models.run(["resource_type:seed"], as_of, "check", without=("test", "unit_test"))
        if found := [seed.message for seed in seeds if seed.is_bad]:
            return 0, found
        queries = scratch.models.queries(as_of)
        with scratch.warehouse.connect() as connection:
            lines = {
                name: f"dbt_project/{home.models.files[name]}: {line}"
                for name, line in refused(connection, queries).items()
            }
            for name in filter(lambda name: name.startswith(TRIGGER_PREFIX), queries):
                # A condition of a wrong type is often what the engine has refused, in other words.
                if problem := trigger_problem(connection, name, queries[name]):
                    lines[name] = problem
            scores = [name for name in people_of(queries) if name not in columns_of(queries[PEOPLE])]
            values = [
                problem
                for name, policy in sorted(home.policies.items())
                if policy.value and (problem := value_type_problem(connection, name, policy.value, scores))
            ]
            if values:  # by campaign and key, in place of the engine's words on the model that holds them all
                lines.pop("int_candidate_values", None)
    return len(queries) - len(lines) - bool(values), [*lines.values(), *values]


def _instructions(home: Home) -> tuple[int, list[str]]:
    """Prompts, those of a canary, classes, and the contexts that all of it is measured on, where there are any."""
    of_canary = home.writing.canary_arm
    _ = home.writing.classes, home.writing.eval_contexts if home.writing.evals.is_dir() else None
    return len({*home.writing.prompts.values(), *(of_canary[1].values() if of_canary else ())}), []


def _exits(home: Home) -> tuple[int, list[str]]:
    """Each `exit_when` by itself: a model that holds a broken one fails for all campaigns at once."""
    exits = {
        name: policy.sequence.exit_when
        for name, policy in home.policies.items()
        if policy.sequence and policy.sequence.exit_when
    }
    columns = columns_of(_queries(home)[PEOPLE]) if exits else []
    problems = [exit_problem(name, condition, columns) for name, condition in exits.items()]
    found = [problem for problem in problems if problem]
    return len(exits) - len(found), found


def _values(home: Home) -> tuple[int, list[str]]:
    """Each campaign's `value` by itself, for the same reason."""
    values = {name: policy.value for name, policy in home.policies.items() if policy.value}
    columns = people_of(_queries(home)) if values else []
    problems = [value_problem(name, value, columns) for name, value in values.items()]
    found = [problem for problem in problems if problem]
    return len(values) - len(found), found


@contextlib.contextmanager
def _scratch(home: Home) -> Iterator[Home]:
    """The same project beside a scratch warehouse: this home's may be in use."""
    with scratch_folder("check") as folder:
        scratch = Home(home.settings.model_copy(update={"home": folder, "data": home.data}))
        scratch.models.adopt(home.models)
        yield scratch


def _queries(home: Home) -> dict[str, str]:
    """The models' SQL, compiled once for all that look at it."""
    with _scratch(home) as scratch:
        return scratch.models.queries(home.default_as_of())


def _templates(home: Home) -> tuple[int, list[str]]:
    campaigns = home.templates.campaigns
    problems = [
        f"templates/emails/{name}: no campaign by this name; allowed are {', '.join(home.policies)}"
        for name in sorted(set(campaigns) - set(home.policies))
    ]
    return len(campaigns), problems + home.template_problems()


def _translations(home: Home) -> tuple[int, list[str]]:
    """Each locale that a template offers: whole, and nothing against what stands in its catalogue."""
    return len(locales_of(home.templates)), translation_problems(home)


def _mails(home: Home) -> tuple[int, list[str]]:
    """Each variant in each of its locales as it would leave under these settings: a mail that breaks a rule is cancelled for good.
    What the settings break is one line, and not one per template."""
    home.mailing.preflight()
    variants = [(name, variant) for name, policy in home.policies.items() for variant in policy.variants]
    return len(variants), [line for name, variant in variants for line in _broken(home, name, variant)]


def _broken(home: Home, campaign_id: str, variant: str) -> list[str]:
    """One line for each rule that the mail breaks with the longest or the shortest facts."""
    if campaign_id not in home.templates.campaigns:
        return []  # told with the templates
    try:
        template = home.templates.get(campaign_id, variant)
    except InputError as error:
        return [str(error)]
    return [line for locale in template.spec.locales for line in _broken_in(home, campaign_id, template, locale)]


def _broken_in(home: Home, campaign_id: str, base: CompiledTemplate, locale: str) -> list[str]:
    try:
        template = base.in_locale(locale)
    except InputError:
        return []  # told with the templates
    context = home.mailing.context(home.policies[campaign_id])
    link = context.unsubscribe_url
    lines: list[str] = []
    for facts in extremes(template.spec).values():
        try:
            words = dataclasses.asdict(template.render(facts, None, context))
            draft = Draft("probe", "template", "template", None, locale, **words, unsubscribe_url=link, recipe={})
            lines += [_line(template, finding) for finding in home.mailing.findings(draft)]
            lines += told(template.name, html_findings(draft.html, locale))
        except BuildError as error:
            lines.append(f"{template.name}: found {error}, allowed: a mail that can be built")
        except InputError:
            continue  # told with the templates
    return list(dict.fromkeys(lines))


def _line(template: CompiledTemplate, finding: Finding) -> str:
    """The files in which the found words stand, else the template's folder; the rule; what was found; what is allowed."""
    words = finding.found.encode()
    places = [
        f"templates/{file}" if file.startswith("layouts/") else f"{template.name}/{file}"
        for file, part in template.parts.items()
        if words and file != COMPILED and words in part.content
    ]
    where = ", ".join(places) or template.name
    return f"{where}: {finding.code}: found {finding.found or 'otherwise'}, allowed: {finding.allowed}"


def _limits(home: Home) -> tuple[int, list[str]]:
    flow = home.flow
    return len(flow.channels) + len(flow.domains) + len(flow.warm_up), []


def _warnings() -> list[str]:
    """Imports without bytecode are two to three times slower; a run of 25 s becomes one of 40."""
    dagster = importlib.util.find_spec("dagster")
    cached = Path(importlib.util.cache_from_source(dagster.origin)) if dagster and dagster.origin else None
    if os.environ.get("PYTHONDONTWRITEBYTECODE") and cached and not cached.exists():
        return ["PYTHONDONTWRITEBYTECODE is set and the libraries aren't compiled: every start takes twice as long"]
    return []


def _settings(settings: Settings) -> dict[str, str]:
    """Every setting by its name in the environment; a secret shows only whether it is set."""
    shown = {}
    for variable, name in setting_names().items():
        value = getattr(settings, name)
        shown[variable] = "********" if isinstance(value, SecretStr) else "" if value is None else str(value)
    return shown
