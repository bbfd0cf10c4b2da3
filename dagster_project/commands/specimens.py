"""Every campaign's mail in every locale with sample facts: what inspections look at and what the contact sheets show."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from dagster_project.adapters.compiled import CompiledTemplate
from dagster_project.adapters.inspecting import read_samples
from dagster_project.home import Home
from dagster_project.lifecycle.inspection.specimen import Specimen, sample_facts
from dagster_project.lifecycle.message import Draft
from dagster_project.lifecycle.mime import read_sender
from dagster_project.lifecycle.template import Context


def specimens(home: Home) -> Iterator[Specimen]:
    """One per campaign, variant and locale that the variant is offered in, in the templates' own words."""
    samples = read_samples(home.settings.project)
    for (campaign_id, variant), template in sorted(home.templates.templates.items()):
        if campaign_id in home.policies:
            for locale in template.spec.locales:
                told = template.in_locale(locale)
                draft = _drafted(home, campaign_id, told, samples, f"{campaign_id}.{variant}.{locale}")
                yield Specimen(campaign_id, variant, template.name, draft, told.mjml)


def _drafted(
    home: Home, campaign_id: str, template: CompiledTemplate, samples: Mapping[str, object], name: str
) -> Draft:
    policy, sender = home.policies[campaign_id], read_sender(home.settings.sender)
    link = None if policy.legal_basis == "transactional" else home.link_for_nobody
    context = Context(sender.name or sender.address, home.settings.postal_address, policy.title, link)
    locale = template.language.locale
    words = dataclasses.asdict(template.render(sample_facts(template.spec, samples, locale), None, context))
    return Draft(name, "template", "template", None, locale, **words, unsubscribe_url=link, recipe={})
