"""Texts that share a call: each is asked about with all that is its own, and each has its own answer."""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from dagster_project.lifecycle.budget import Cost
from dagster_project.lifecycle.roles.call import Answer, Question
from dagster_project.lifecycle.roles.policy import policy_question
from dagster_project.lifecycle.roles.reviewer import reviewer_question
from dagster_project.lifecycle.roles.together import Bundle, bundled
from dagster_project.lifecycle.roles.writer import WriterRequest, writer_question
from dagster_project.lifecycle.template import SlotSpec

SLOTS = {"opening": SlotSpec(description="Say hello.", max_chars=80, placeholders=("account_name",))}
TEXT = st.fixed_dictionaries(
    {"opening": st.sampled_from(["All is well.", "Have a look.", "{{account_name}} is here."])}
)
REQUESTS = st.builds(
    lambda campaign, version, facts, quoted: WriterRequest(
        campaign_id=campaign,
        variant="default",
        campaign_title=campaign.title(),
        locale="en",
        tone="warm",
        template_version=version,
        slots=SLOTS,
        facts=facts,
        placeholders=("account_name",),
        quoted=quoted,
    ),
    st.sampled_from(["welcome", "winback"]),
    st.sampled_from(["v1", "v2"]),
    st.fixed_dictionaries({"weeks": st.integers(1, 3)}, optional={"plan": st.sampled_from(["free", "pro"])}),
    st.sampled_from([{}, {}, {"ticket": "cannot sign in"}]),
)
QUESTIONS = st.lists(
    st.one_of(
        st.builds(writer_question, REQUESTS),
        st.builds(reviewer_question, REQUESTS, TEXT),
        st.builds(policy_question, REQUESTS, TEXT, st.just(["No price."])),
    ),
    max_size=20,
)


def read(bundle: Bundle) -> list[dict]:
    """What is asked about each text, as a reader puts it together."""
    said = json.loads(bundle.question.content)
    texts = said.pop("texts", None)
    return [said | own for own in texts.values()] if texts else [said]


@given(questions=QUESTIONS, per_call=st.integers(1, 5))
def test_each_text_is_asked_about_once_and_with_all_that_was_to_be_said_of_it(
    questions: list[Question], per_call: int
) -> None:
    """Whatever shares a call; only texts of one template version do, a writer's never, nor any with words of users."""
    bundles = bundled([(str(number), one) for number, one in enumerate(questions)], per_call)

    assert Counter(key for bundle in bundles for key in bundle.parts) == Counter(map(str, range(len(questions))))
    for bundle in bundles:
        parts = list(bundle.parts.values())
        assert read(bundle) == [json.loads(one.content) for one in parts]
        assert 1 <= len(parts) == bundle.question.texts <= per_call
        assert len({(one.role, one.campaign_id, one.scope) for one in parts}) == 1
        assert len(parts) == 1 or (parts[0].role != "writer" and not any(one.has_users_words for one in parts))
        assert bundle.question.most_chars == sum(one.most_chars for one in parts)


@given(
    number=st.integers(1, 5), tokens=st.none() | st.integers(0, 9_000), price=st.none() | st.decimals(0, 9, places=4)
)
def test_a_shared_call_is_paid_for_once_and_answers_each_by_its_name(
    number: int, tokens: int | None, price: Decimal | None
) -> None:
    """What it cost stands with the first; the others name it, and know no more of its tokens than the server told."""
    request = WriterRequest("winback", "default", "Win back", "en", "warm", "v1", SLOTS, {}, ())
    (bundle,) = bundled(
        [(f"k{place}", reviewer_question(request, {"opening": f"{place}."})) for place in range(number)], number
    )
    content = {f"text_{place + 1}": {"is": place} for place in range(number)}
    cost = Cost(1, tokens or 700, price)
    answer = Answer(
        content if number > 1 else content["text_1"],
        tokens_in=tokens, tokens_out=tokens, cost=cost, seconds=0.5, was_called=True,
    )  # fmt: skip
    told = bundle.answers(answer)

    assert {key: one.content for key, one in told.items()} == {f"k{place}": {"is": place} for place in range(number)}
    assert sum((one.cost for one in told.values()), Cost()) == cost
    assert [one.asked_with for one in told.values()] == [None, *["k0"] * (number - 1)]
    assert sum(one.seconds for one in told.values()) == 0.5
    if tokens is None:
        assert {one.tokens_in for one in told.values()} == {None}
    else:
        assert sum(one.tokens_out or 0 for one in told.values()) == tokens


def test_the_form_of_a_shared_call_has_a_name_for_each_text_and_nothing_else() -> None:
    """As a strict schema, each in the form that it would have alone."""
    request = WriterRequest("winback", "default", "Win back", "en", "warm", "v1", SLOTS, {}, ())
    questions = [
        ("a", reviewer_question(request, {"opening": "A."})),
        ("b", reviewer_question(request, {"opening": "B."})),
    ]
    ((bundle),) = bundled(questions, 3)
    schema = json.loads(bundle.question.schema)

    assert list(schema["properties"]) == schema["required"] == ["text_1", "text_2"]
    assert schema["additionalProperties"] is False
    assert bundle.question.form.model_fields["text_2"].annotation is questions[0][1].form
