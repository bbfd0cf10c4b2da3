"""Every campaign's mail in every locale with sample facts: what inspections look at and what the contact sheets show."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping

from dagster_project.adapters.compiled import CompiledTemplate
from dagster_project.adapters.inspecting import read_samples
from dagster_project.home import Home
from dagster_project.lifecycle.inspection.specimen import Specimen, sample_facts
from dagster_project.lifecycle.message import Draft


def specimens(home: Home, *, with_letters: bool = False) -> Iterator[Specimen]:
    """One per campaign, variant and locale that the variant is offered in, in the templates' own words; `with_letters` also one per letter
    that a model may write, each of its places filled with the preview line."""
    samples = read_samples(home.settings.project)
    for (campaign_id, variant), template in sorted(home.templates.templates.items()):
        for locale in template.spec.locales if campaign_id in home.policies else ():
            told = template.in_locale(locale)
            facts = sample_facts(told.spec, samples, locale)
            draft = _drafted(home, campaign_id, told, facts, f"{campaign_id}.{variant}.{locale}")
            yield Specimen(campaign_id, variant, template.name, draft, told.mjml)
            for cta, letter in told.letters.items() if with_letters else ():
                said = dict.fromkeys(letter.spec.slots, draft.preheader)
                written = _drafted(
                    home, campaign_id, letter, facts, f"{campaign_id}.{variant}.letter-{cta}.{locale}", said
                )
                yield Specimen(
                    campaign_id, f"{variant}.letter-{cta}", f"{template.name} (letter)", written, letter.mjml
                )


def _drafted(
    home: Home,
    campaign_id: str,
    template: CompiledTemplate,
    facts: Mapping[str, object],
    name: str,
    slots: Mapping[str, str] | None = None,
) -> Draft:
    context = home.mailing.context(home.policies[campaign_id])
    words = dataclasses.asdict(template.render(facts, slots, context))
    locale = template.language.locale
    link = context.unsubscribe_url
    return Draft(name, "template", "template", None, locale, **words, unsubscribe_url=link, recipe={})
