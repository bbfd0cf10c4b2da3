"""What follows from the words of each role: a text goes out, is written anew, waits for a person, or gives way to the template."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dagster_project.lifecycle.budget import Budget, Cost, Purse
from dagster_project.lifecycle.guards.reading import Phrases
from dagster_project.lifecycle.pipeline import DOUBT, OBJECTED, REPAIRED, Outcome, Standard, written
from dagster_project.lifecycle.roles.call import Answer, Question, Role
from dagster_project.lifecycle.roles.classes import CampaignClass
from dagster_project.lifecycle.roles.reviewer import RUBRICS
from dagster_project.lifecycle.roles.writer import WriterRequest
from dagster_project.lifecycle.template import Part, SlotSpec, TemplateSpec

SLOTS = {"opening": SlotSpec(description="Say hello.", max_chars=80, placeholders=("account_name",))}
TEXT = {"opening": "Everything in {{account_name}} is as you left it."}
CLASS = CampaignClass(
    name="any",
    accept=dict.fromkeys(RUBRICS, 4),
    person=dict.fromkeys(RUBRICS, 2),
    unheard="template",
    rules=("Be true.",),
)


def request(number: int = 1) -> WriterRequest:
    return WriterRequest(
        "winback", "default", "Win back", "en", "warm", "v1", SLOTS, {"weeks": number}, ("account_name",)
    )


SPEC = TemplateSpec.model_validate({"tone": "warm", "why": "Because.", "facts": {}})


@dataclasses.dataclass(frozen=True)
class Blank:
    """A template that says nothing itself."""

    name: str = "templates/emails/winback/default"
    spec: TemplateSpec = SPEC
    parts: Mapping[str, Part] = dataclasses.field(default_factory=dict)

    def in_locale(self, locale: str) -> Blank:
        """It has no words in any."""
        return self


def scored(**changes: int) -> dict[str, Any]:
    return {rubric: {"score": changes.get(rubric, 5), "why": f"About {rubric}."} for rubric in RUBRICS}


def objecting(*found: tuple[str, str]) -> dict[str, Any]:
    return {"objections": [{"rule": rule, "words": words, "sentence": "No fact says so."} for rule, words in found]}


class Cast:
    """Each role answers as its script says, the last line of it again and again; a string is a failure."""

    def __init__(self, **scripts: Sequence[Any]) -> None:
        self.scripts = {"writer": [TEXT], "reviewer": [scored()], "policy": [objecting()]} | scripts
        self.asked: list[Question] = []

    def __call__(self, questions: Sequence[Question]) -> list[Answer]:
        return [self.answer(one) for one in questions]

    def answer(self, question: Question) -> Answer:
        before = sum(one.role == question.role for one in self.asked)
        self.asked.append(question)
        script = self.scripts[question.role]
        line = script[min(before, len(script) - 1)]
        return Answer(failure=line) if isinstance(line, str) else Answer(content=line)

    def asked_of(self, role: Role) -> list[dict[str, Any]]:
        return [json.loads(one.content) for one in self.asked if one.role == role]


def run(cast: Cast, demanded: CampaignClass = CLASS, *, has_person: bool = True, patterns: int = 1) -> Outcome:
    return written(
        {request(number).key: request(number) for number in range(patterns)},
        cast,
        template_of=lambda campaign_id, variant: Blank(),  # pyright: ignore[reportArgumentType]
        phrases={"en": Phrases(claims=("free",))},
        standard_of=lambda campaign_id: Standard(demanded, has_person),
    )


def one(outcome: Outcome) -> tuple[bool, str | None, str | None]:
    """Has it a text; why not; why a person may have to see it."""
    (result,) = outcome.results.values()
    return result.slots is not None, result.failure, result.caution


def test_a_text_that_pleases_everybody_goes_out_after_one_call_of_each() -> None:
    """What reviewer and enforcer said is kept with it."""
    cast = Cast()
    outcome = run(cast)
    (result,) = outcome.results.values()
    trace = json.loads(result.trace)

    assert one(outcome) == (True, None, None)
    assert [question.role for question in cast.asked] == ["writer", "reviewer", "policy"]
    assert trace["reviewer"]["answer"] == scored()
    assert trace["policy"]["answer"] == objecting()
    assert trace["class"]["name"] == "any"


def test_the_readers_see_what_the_writer_saw_and_the_text_with_its_tokens() -> None:
    cast = Cast()
    run(cast)
    (asked,), (reviewed,), (enforced,) = (cast.asked_of(role) for role in ("writer", "reviewer", "policy"))
    told = {name: asked[name] for name in ("campaign", "tone", "locale", "facts", "ranges", "placeholders")}

    assert reviewed == told | {"text": TEXT}
    assert enforced == told | {"text": TEXT, "rules": ["Be true."]}


CALM, LOUD = {"opening": "All is as you left it."}, {"opening": "Wow, all is as you left it, you hero."}


@pytest.mark.parametrize(
    ("cast", "said"),
    [
        ({"reviewer": [scored(tone=1), scored()]}, "tone 1 of 5: About tone."),
        ({"reviewer": [scored(tone=3), scored()]}, "tone 3 of 5: About tone."),
        ({"policy": [objecting(("claim", "you hero")), objecting()]}, "claim: 'you hero': No fact says so."),
        ({"policy": [objecting(("disclosure", "")), objecting()]}, "disclosure: No fact says so."),
    ],
)
def test_what_a_reader_objects_to_is_written_anew_once(cast: dict[str, Any], said: str) -> None:
    """The writer is told what was said; all read the new text; the draft says that it is the second."""
    made = Cast(writer=[LOUD, CALM], **cast)
    outcome = run(made)

    assert one(outcome) == (True, None, REPAIRED)
    assert [question.role for question in made.asked] == ["writer", "reviewer", "policy"] * 2
    assert made.asked_of("writer")[1]["previous"] == LOUD
    assert made.asked_of("writer")[1]["objections"] == [said]
    assert made.asked_of("reviewer")[1]["text"] == CALM
    assert outcome.objections == (said,)


@pytest.mark.parametrize(
    ("cast", "has_person", "expected"),
    [
        ({"reviewer": [scored(tone=3)]}, True, (True, None, f"{DOUBT}reviewer:tone")),
        ({"reviewer": [scored(tone=3)]}, False, (False, "reviewer:tone", OBJECTED)),
        ({"reviewer": [scored(tone=1)]}, True, (False, "reviewer:tone", OBJECTED)),
        ({"policy": [objecting(("wording", "as you left"))]}, True, (False, "policy:wording", OBJECTED)),
        ({"writer": [{"opening": "It is free."}]}, True, (False, "guard:claim", OBJECTED)),
    ],
)
def test_what_is_objected_to_twice_goes_to_a_person_or_nowhere(
    cast: dict[str, Any], has_person: bool, expected: tuple[bool, str | None, str | None]
) -> None:
    """Where the policy lets nobody review there is no person to ask."""
    made = Cast(**cast)

    assert one(run(made, has_person=has_person)) == expected
    assert len(made.asked_of("writer")) == 2


@pytest.mark.parametrize("failure", ["timeout", "over_budget", "server_error"])
@pytest.mark.parametrize("role", ["reviewer", "policy"])
@pytest.mark.parametrize(("unheard", "has_person"), [("template", True), ("person", True), ("person", False)])
def test_a_reader_that_is_not_heard_never_lets_a_text_pass(
    role: str, failure: str, unheard: str, has_person: bool
) -> None:
    """The class says what follows; and a text that nobody objected to isn't written anew."""
    made = Cast(**{role: [failure]})
    found = one(run(made, CLASS.model_copy(update={"unheard": unheard}), has_person=has_person))

    assert found == (
        (True, None, f"{DOUBT}{role}:{failure}")
        if unheard == "person" and has_person
        else (False, f"{role}:{failure}", None)
    )
    assert len(made.asked_of("writer")) == 1


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"objections": None},
        {"objections": [{"rule": "claim", "words": "words it never had", "sentence": "x"}]},
        {"objections": [{"rule": "claim", "words": "", "sentence": "x"}]},
        {"objections": [{"rule": "taste", "words": "is as", "sentence": "x"}]},
        {"objections": [{"rule": "claim", "words": "is as"}]},
        {"objections": [{"rule": "disclosure", "words": "", "sentence": "x"}] * 9},
        {"objections": [], "verdict": "fine"},
    ],
)
def test_an_enforcer_that_read_something_else_has_not_read_the_text(answer: dict[str, Any]) -> None:
    """Objections to words that aren't there, and answers out of form, which a remembered one may be."""
    assert one(run(Cast(policy=[answer]))) == (False, "policy:malformed", None)


@pytest.mark.parametrize(
    "answer",
    [
        {},
        scored() | {"style": {"score": 5, "why": "x"}},
        scored(clarity=6),
        scored(clarity=0),
        dict.fromkeys(RUBRICS, 5),
    ],
)
def test_scores_out_of_form_are_none(answer: dict[str, Any]) -> None:
    assert one(run(Cast(reviewer=[answer]))) == (False, "reviewer:malformed", None)


def test_a_repair_that_nobody_wrote_leaves_what_was_said() -> None:
    """The first text is as good as it was."""
    assert one(run(Cast(writer=[TEXT, "timeout"], reviewer=[scored(tone=3)]))) == (True, None, f"{DOUBT}reviewer:tone")
    assert one(run(Cast(writer=[{"opening": "It is free."}, "timeout"]))) == (False, "guard:claim", OBJECTED)


def test_a_failed_writer_is_asked_once_and_nobody_reads_nothing() -> None:
    made = Cast(writer=["refused"])

    assert one(run(made)) == (False, "refused", None)
    assert len(made.asked) == 1


SCORES = st.fixed_dictionaries(
    {rubric: st.fixed_dictionaries({"score": st.integers(0, 6), "why": st.text(max_size=9)}) for rubric in RUBRICS}
)
OBJECTIONS = st.lists(
    st.fixed_dictionaries(
        {
            "rule": st.sampled_from(["claim", "wording", "disclosure", "taste"]),
            "words": st.sampled_from(["as you left", "", "elsewhere"]),
            "sentence": st.just("No."),
        }
    ),
    max_size=2,
).map(lambda found: {"objections": found})
FAILED = st.sampled_from(["timeout", "malformed", "over_budget"])


@settings(deadline=None)
@given(
    reviews=st.lists(st.one_of(SCORES, FAILED), min_size=1, max_size=2),
    policies=st.lists(st.one_of(OBJECTIONS, FAILED), min_size=1, max_size=2),
    unheard=st.sampled_from(["template", "person"]),
    has_person=st.booleans(),
)
def test_without_a_person_only_what_everybody_accepted_goes_out(
    reviews: list[Any], policies: list[Any], unheard: str, has_person: bool
) -> None:
    """Whatever is answered, in whatever order: then the last scores reach what is demanded and nobody objects."""
    made = Cast(reviewer=reviews, policy=policies)
    outcome = run(made, CLASS.model_copy(update={"unheard": unheard}), has_person=has_person)
    has_text, failure, caution = one(outcome)
    last = len(made.asked_of("reviewer")) - 1
    review, policy = reviews[min(last, len(reviews) - 1)], policies[min(last, len(policies) - 1)]

    assert has_text == (failure is None)
    assert len(made.asked) <= 6
    if has_text and not (caution or "").startswith(DOUBT):
        assert policy == {"objections": []}
        assert all(4 <= each["score"] <= 5 for each in review.values())
    if has_text and (caution or "").startswith(DOUBT):
        assert has_person


@settings(deadline=None)
@given(patterns=st.integers(0, 25), calls=st.integers(0, 90))
def test_a_budget_is_never_overrun_and_spent_on_whole_texts(patterns: int, calls: int) -> None:
    """A text is begun where its readers can be paid; whoever is left has a reason."""
    purse, cast, made = Purse(Budget(calls=calls), {}), Cast(), list[Question]()

    def ask(questions: Sequence[Question]) -> list[Answer]:
        admitted = [purse.set_aside(one.campaign_id, Cost(1).times(1 + one.followers)) for one in questions]
        purse.settle({"winback": Cost(sum(admitted))})
        made.extend(one for one, fits in zip(questions, admitted, strict=True) if fits)
        return [
            cast.answer(one) if fits else Answer(failure="over_budget")
            for one, fits in zip(questions, admitted, strict=True)
        ]

    outcome = run(ask, patterns=patterns)  # pyright: ignore[reportArgumentType]
    texts = sum(result.slots is not None for result in outcome.results.values())

    assert len(outcome.results) == patterns
    assert len(made) <= calls
    assert texts == min(patterns, calls // 3)
    assert {result.failure for result in outcome.results.values()} <= {None, "over_budget"}


def test_with_all_at_once_every_text_is_written_before_the_first_is_read() -> None:
    """As a batch needs it; by few at a time each is read before the next is written."""
    asked = {request(number).key: request(number) for number in range(7)}
    orders = []
    for at_once in (7, 3):
        cast = Cast()
        written(
            asked,
            cast,
            template_of=lambda campaign_id, variant: Blank(),  # pyright: ignore[reportArgumentType]
            phrases={},
            standard_of=lambda campaign_id: Standard(CLASS, has_person=True),
            at_once=at_once,
        )
        orders.append([one.role for one in cast.asked])

    assert orders[0] == ["writer"] * 7 + ["reviewer", "policy"] * 7
    assert orders[1][:9] == ["writer"] * 3 + ["reviewer", "policy"] * 3
    assert sorted(orders[0]) == sorted(orders[1])


def test_each_text_that_is_turned_down_is_counted_with_its_word() -> None:
    """Of guards every one that objected, of readers the first; a text that pleases, and a reader that is silent, count for nothing."""
    refused = {"opening": "It is free, and 20% off."}
    outcome = run(Cast(writer=[refused, TEXT], reviewer=[scored(tone=1)]))

    assert outcome.rejections == ("guard:claim", "guard:number", "reviewer:tone")
    assert run(Cast()).rejections == ()
    assert run(Cast(reviewer=["timeout"])).rejections == ()
