"""Some 240 good answers in six languages: a guard that refuses one of them costs a recipient a better mail."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import yaml

from dagster_project.adapters.templates import load_phrases
from dagster_project.lifecycle.pipeline import judged
from dagster_project.lifecycle.roles.writer import WriterRequest, WriterResult
from tests.shipped import shipped_templates

ROOT = Path(__file__).parents[1]
DRAFTS = yaml.safe_load((ROOT / "tests" / "data" / "clean_drafts.yml").read_text(encoding="utf-8"))
FACTS = {
    "winback": {},
    "welcome": {"next_setup_step": "Connect a data source"},
    "churn_risk": {},
    "trial_ending": {},
    "setup_stalled": {"next_setup_step": "Connect a data source"},
    "feature_next": {"used_feature": "dashboards", "next_feature": "alerts"},
}


def test_clean_drafts_are_taken() -> None:
    """At most 2 % are refused; each would be named here with what was found."""
    library, phrases = shipped_templates(), load_phrases(ROOT / "templates")
    refused, counts = [], Counter[str]()
    for locale, campaigns in DRAFTS.items():
        for campaign, answers in campaigns.items():
            template = library.get(campaign, "default")
            slots = template.spec.slots
            request = WriterRequest(
                campaign_id=campaign,
                variant="default",
                campaign_title=campaign,
                locale=locale,
                tone=template.spec.tone,
                template_version=template.version,
                slots=slots,
                facts=FACTS[campaign],
                placeholders=tuple(template.spec.facts),
            )
            for answer in answers:
                counts[locale] += 1
                result = WriterResult(slots=dict(zip(slots, answer, strict=True)))
                made = judged(request, result, template, phrases)
                if made.failure:
                    refused.append((locale, campaign, made.failure, [one.sentence for one in made.findings], answer))

    assert counts.total() == 236
    assert min(counts.values()) >= 33
    assert len(refused) <= 0.02 * counts.total(), refused
