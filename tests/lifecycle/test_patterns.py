"""A pattern told by what differs is the pattern that the whole request has."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.lifecycle.drafting import writer_request, writer_requests
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import PlannedMessage
from dagster_project.lifecycle.patterns import form_of, offered_to, pattern_of
from dagster_project.lifecycle.template import Part, TemplateSpec, prepare_facts
from tests.contented import Policy

SPEC = TemplateSpec.model_validate(
    {
        "tone": "plain",
        "why": "Because.",
        "locales": ["en", "de"],
        "facts": {
            "plan": {"type": "text", "to_model": "public"},
            "seats": {"type": "number", "to_model": "public"},
            "weeks": {"type": "number", "to_model": "bucket", "buckets": [4, 8]},
            "share": {"type": "percent", "to_model": "bucket", "buckets": [0.5]},
            "first_name": {"type": "text"},
            "company": {"type": "text"},
            "hidden": {"type": "text", "to_model": "never"},
        },
        "slots": {"intro": {"description": "d", "max_chars": 60, "placeholders": ["first_name", "weeks"]}},
    }
)


@dataclasses.dataclass(frozen=True)
class SilentTemplate:
    """All that a request takes from a template."""

    name: str = "templates/emails/hello/default"
    spec: TemplateSpec = SPEC
    version: str = "v"
    layout_hash: str = "l"
    parts: Mapping[str, Part] = dataclasses.field(default_factory=dict)
    letters: Mapping[str, SilentTemplate] = dataclasses.field(default_factory=dict)

    def in_locale(self, locale: str) -> SilentTemplate:
        assert locale in self.spec.locales
        return self


FACTS = st.fixed_dictionaries(
    {
        "plan": st.sampled_from([None, "team", "pro", " team ", "None"]),
        "seats": st.sampled_from([None, 0, 1, 1.0, 2.5, True, "1"]),
        "weeks": st.sampled_from([None, 1, 3, 4, 4.0, 7.9, 8, 80]),
        "share": st.sampled_from([None, 0, 0.25, 0.5, 1]),
        "first_name": st.sampled_from([None, "Ana", "Ben", "www.x.example/a"]),
        "company": st.sampled_from([None, "Quarry"]),
        "hidden": st.sampled_from([None, "Zyxwell"]),
    }
)


def message(number: int, facts: Mapping[str, object], locale: str | None, variant: str) -> PlannedMessage:
    return PlannedMessage(
        message_id=f"m{number}",
        campaign_id="hello",
        user_id=f"u{number}",
        account_id=None,
        occurrence_key="once",
        decision_id=f"d{number}",
        policy_hash="p",
        message_type="product_tips",
        channel="email",
        variant=variant,
        locale=locale,
        email=f"u{number}@mail.example",
        facts=facts,
        send_after=None,
        send_before=None,
    )


PEOPLE = st.lists(
    st.tuples(FACTS, st.sampled_from([None, "en", "de", "de-AT"]), st.sampled_from(["default", "short"])), max_size=30
).map(lambda people: [message(number, *one) for number, one in enumerate(people)])


@given(messages=PEOPLE)
def test_messages_share_a_request_exactly_where_their_whole_requests_are_equal(messages: list[PlannedMessage]) -> None:
    """1 and 1.0 are written differently and asked for apart; whose facts don't fit is asked for in no way."""
    template, policy = SilentTemplate(), Policy(mode="assisted")
    expected = {}
    for one in messages:
        try:
            expected[one.message_id] = writer_request(one, policy, template)  # pyright: ignore[reportArgumentType]
        except InputError:
            continue

    key_of, requests = writer_requests(messages, {"hello": policy}, lambda *_: template)  # pyright: ignore[reportArgumentType]

    assert {name: requests[key] for name, key in key_of.items()} == expected
    assert key_of == {name: one.key for name, one in expected.items()}


def test_a_pattern_holds_nothing_that_a_model_may_not_see() -> None:
    """So it may stand in a log."""
    facts = {
        "plan": "team",
        "seats": 3,
        "weeks": 5,
        "share": 0.75,
        "first_name": "Quuxbury",
        "company": "Z",
        "hidden": "Y",
    }

    pattern = pattern_of(
        message(1, facts, "ar", "default"), SPEC, prepare_facts("t", SPEC.facts, facts), "ar", offered_to(SPEC.slots)
    )

    ranges = ("at least 4, below 8", True, "few", "at least 0.5")
    assert pattern == ("hello", "default", "ar", "'team'", "3", *ranges, True, None)


def test_whether_a_token_that_no_slot_may_use_has_a_value_is_nobody_s_pattern() -> None:
    """A greeting by name is the template's: who has a company and who has none read the same text."""
    people = [message(number, {"company": company}, "en", "default") for number, company in enumerate((None, "Quarry"))]
    policy = Policy(mode="assisted")
    key_of, requests = writer_requests(people, {"hello": policy}, lambda *_: SilentTemplate())  # pyright: ignore[reportArgumentType]

    assert len(requests) == len(set(key_of.values())) == 1
    assert next(iter(requests.values())).placeholders == ()


@pytest.mark.parametrize(
    ("locale", "weeks", "form"),
    [
        ("en", 1, "one"), ("en", 2, None), ("fr", 0, "one"), ("fr", 2, None), ("ja", 1, None), ("de", 1.5, None),
        ("ar", 2, "two"), ("ar", 10, "few"), ("ar", 11, "many"), ("ar", 100, None), ("en", None, None),
    ],
)  # fmt: skip
def test_a_number_that_nobody_sees_tells_the_form_of_the_noun_beside_it(
    locale: str, weeks: float | None, form: str | None
) -> None:
    """As CLDR has it: 1 week and 4 weeks are two texts, and Arabic counts 10 otherwise than 11."""
    assert form_of(SPEC.facts["weeks"], weeks, locale) == form
    assert form_of(SPEC.facts["seats"], weeks, locale) is None, "the writer sees this one"
    assert form_of(SPEC.facts["share"], weeks, locale) is None


def test_one_and_many_are_two_texts_though_their_range_is_one() -> None:
    """Asked for apart, kept under two keys, and two patterns to a canary."""
    people = [message(number, {"weeks": weeks}, "en", "default") for number, weeks in enumerate((1, 3))]
    policy = Policy(mode="assisted")
    _, requests = writer_requests(people, {"hello": policy}, lambda *_: SilentTemplate())  # pyright: ignore[reportArgumentType]

    assert [one.ranges for one in requests.values()] == [{"weeks": "below 4"}] * 2
    assert len({one.pattern for one in requests.values()}) == 2
