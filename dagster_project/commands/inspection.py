"""`postrider check --templates` and `--links`: each mail in each locale under the eyes of others' tools."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from dagster_project.adapters.inspecting import Inspectors, find_spamassassin, read_declared, spam_scores
from dagster_project.adapters.link_status import dead_links
from dagster_project.adapters.markup import fixed_links
from dagster_project.commands.specimens import specimens
from dagster_project.home import Home
from dagster_project.lifecycle.inspection.declared import Declared
from dagster_project.lifecycle.inspection.specimen import Finding, Specimen, told, told_together
from dagster_project.settings import PROJECT_ROOT

READER = "reader@mail.example"  # somebody else: a mail to one's own brand is suspicious


@dataclasses.dataclass(frozen=True, slots=True)
class Tools:
    """What an inspection needs, all of it there."""

    inspectors: Inspectors
    spamassassin: str
    declared: Declared


def open_tools(home: Home) -> Tools:
    """InputError for the first tool that is missing, and for what is wrong in templates/inspection.yml."""
    return Tools(Inspectors(PROJECT_ROOT / "inspectors"), find_spamassassin(), read_declared(home.settings.project))


def inspect(home: Home, tools: Tools) -> tuple[int, list[str], Sequence[Mapping[str, str]]]:
    """How many mails were looked at; one line for each finding that isn't accepted and each acceptance without a finding; what is
    accepted."""
    mails = list(specimens(home, with_letters=True))
    judged = tools.declared.judged(_found(home, mails, tools))
    return len(mails), [*told_together(judged.standing), *judged.unused], judged.accepted


def _found(home: Home, mails: Sequence[Specimen], tools: Tools) -> Iterator[tuple[Specimen, Finding]]:
    messages = {mail.name: home.mailing.as_it_would_leave(mail.draft, READER) for mail in mails}
    with ThreadPoolExecutor(1) as beside:
        scoring = beside.submit(spam_scores, tools.spamassassin, messages)
        seen = tools.inspectors.look(mails, tools.declared.clients)
        scores = scoring.result()
    limit = tools.declared.max_spam_score
    for mail in mails:
        yield from ((mail, finding) for finding in seen[mail.name])
        score, tests = scores[mail.name]
        if score >= limit:
            yield mail, Finding("spamassassin", "score", f"{score:g} by {tests}", f"less than {limit:g}")


def ask_links(home: Home) -> tuple[int, list[str]]:
    """How many of the templates' fixed links answer, and one line for each that doesn't, by the templates that have it."""
    places: dict[str, list[str]] = {}
    for template in home.templates.templates.values():
        in_bodies = fixed_links(template.mjml)
        for link in dict.fromkeys([*(cta.url for cta in template.spec.ctas.values()), *in_bodies]):
            places.setdefault(link, []).append(template.name)
    dead = dead_links(list(places))
    lines = [
        line
        for link, problem in dead.items()
        for line in told(", ".join(places[link]), [Finding("link", link, problem, "an address that answers")])
    ]
    return len(places) - len(dead), lines
