"""The fixed contexts: what they say to a template, which cases there are, and what is wrong in the file."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dagster_project.adapters.templates import Library
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.evals.contexts import Case, cases, messages_of, parse_contexts
from dagster_project.lifecycle.template import TemplateSpec, prepare_facts
from tests.shipped import shipped_templates

ROOT = Path(__file__).parents[3]
RAW = yaml.safe_load((ROOT / "templates" / "evals" / "contexts.yml").read_text(encoding="utf-8"))
SPEC = TemplateSpec.model_validate(
    {
        "tone": "warm",
        "why": "Because.",
        "facts": {
            "first_name": {"type": "text"},
            "account_name": {"type": "text"},
            "words": {"type": "text", "to_model": "redact", "required": True},
            "step": {"type": "text", "required": True, "values": ["a", "b"]},
            "count": {"type": "number", "required": True},
            "due": {"type": "date"},
            "share": {"type": "percent"},
            "sum": {"type": "money", "currency": "EUR"},
        },
    }
)


@pytest.fixture(scope="module")
def library() -> Library:
    return shipped_templates()


def test_every_context_fills_every_type_of_fact() -> None:
    """Those that needn't be there are missing where a context says so; a word of a list is one of the list."""
    for one in parse_contexts(RAW).contexts:
        facts = one.of(SPEC)
        prepared = prepare_facts("t", SPEC.facts, facts)

        assert facts["step"] in ("a", "b")
        assert prepared["words"], one.name
        assert (facts["due"] is None) == (not one.optional)


def test_the_shipped_contexts_reach_the_edges() -> None:
    """Nobody's name, zero, one, very many, long names, and words that would take a model over."""
    made = {one.name: one.of(SPEC) for one in parse_contexts(RAW).contexts}

    assert {facts["count"] for facts in made.values()} >= {0, 1, 999_999}
    assert any(facts["first_name"] is None for facts in made.values())
    assert any(len(str(facts["account_name"])) > SPEC.facts["account_name"].max_chars for facts in made.values())
    assert any("Ignore your rules" in str(facts["words"]) for facts in made.values())


def test_each_campaign_that_a_model_writes_for_is_a_case_in_each_locale(library: Library) -> None:
    """As slots, and as a letter where there is one; a template without either is none."""
    found = cases(library.templates, library.campaigns)

    assert {one.campaign_id for one in found if one.mode == "assisted"} == {
        "churn_risk", "feature_next", "setup_stalled", "trial_ending", "welcome", "winback",
    }  # fmt: skip
    assert {one.campaign_id for one in found if one.mode == "autonomous"} == {"churn_risk", "setup_stalled", "winback"}
    assert {one.locale for one in found} == {"en", "de", "fr", "es", "ja", "ar"}
    assert found == sorted(found)
    assert cases(library.templates, ["terms_update"]) == []


def test_messages_are_the_same_each_time_and_to_nobody() -> None:
    contexts, case = parse_contexts(RAW), Case("winback", "default", "assisted", "de")
    made = messages_of(case, contexts, SPEC)

    assert made == messages_of(case, contexts, SPEC)
    assert len({one.message_id for one in made}) == len(contexts.contexts) == len(made)
    assert {(one.email, one.locale) for one in made} == {("nobody@recipient.invalid", "de")}
    assert parse_contexts(RAW | {"contexts": RAW["contexts"][:1]}).version != contexts.version


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"as_of": "soon"}, "evals.as_of: found 'soon', allowed is a date such as 2026-09-01"),
        ({"contexts": []}, "evals.contexts: found [], allowed is a list of contexts"),
        (
            {"contexts": [*RAW["contexts"], RAW["contexts"][0]]},
            "evals.contexts: found 'everyday', allowed is each name once",
        ),
        ({"contexts": [RAW["contexts"][0] | {"percent": 2}]}, "found 2, allowed is a share from 0 to 1"),
    ],
)
def test_what_is_wrong_in_the_file_is_one_line(change: dict, said: str) -> None:
    with pytest.raises(InputError) as error:
        parse_contexts(RAW | change)

    assert str(error.value).startswith("templates/evals/contexts.yml: ")
    assert said in str(error.value)
