"""One draft per decision: the same for ever, and never worse than the deterministic words."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from dagster_project.lifecycle.drafting import (
    NO_LETTER,
    NO_MODEL,
    Batch,
    Model,
    draft,
    draft_all,
    template_artifacts,
    writer_request,
    writer_requests,
)
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.guards.reading import Phrases
from dagster_project.lifecycle.knowledge import Consulted, Excerpt, read_consulted
from dagster_project.lifecycle.message import Mode, PlannedMessage, content_hash
from dagster_project.lifecycle.pipeline import judged, own_words
from dagster_project.lifecycle.roles.call import CALL_FAILURES, Answer, Question
from dagster_project.lifecycle.roles.classes import parse_classes
from dagster_project.lifecycle.roles.reviewer import RUBRICS
from dagster_project.lifecycle.roles.writer import WriterResult
from dagster_project.lifecycle.template import Context, Part, Rendered, TemplateSpec, canonical, prepare_facts
from tests.contented import Policy

SPEC = TemplateSpec.model_validate(
    {
        "tone": "plain",
        "why": "Because.",
        "locales": ["en", "de"],
        "facts": {
            "first_name": {"type": "text"},
            "plan": {"type": "text", "required": True, "to_model": "public"},
            "weeks": {"type": "number", "to_model": "public"},
        },
        "slots": {"intro": {"description": "d", "max_chars": 60, "placeholders": ["first_name", "plan"]}},
    }
)


@dataclasses.dataclass(frozen=True)
class FakeTemplate:
    """Prints everything it was given, so that a test sees what reached it."""

    name: str = "templates/emails/hello/default"
    spec: TemplateSpec = SPEC
    letters: Mapping[str, FakeTemplate] = dataclasses.field(default_factory=dict)
    layout_hash: str = content_hash({"layouts/default.txt.j2": Part(b"layout").hash})

    def in_locale(self, locale: str) -> FakeTemplate:
        assert locale in self.spec.locales
        return self

    @property
    def parts(self) -> Mapping[str, Part]:
        return {"body.txt.j2": Part(b"body"), "layouts/default.txt.j2": Part(b"layout")}

    @property
    def version(self) -> str:
        return content_hash({name: part.hash for name, part in self.parts.items()})

    def render(self, facts: Mapping[str, object], slots: Mapping[str, str] | None, context: Context) -> Rendered:
        values = prepare_facts(self.name, self.spec.facts, facts)
        intro = (slots or {}).get("intro") or "Plain words."
        text = f"{values} {intro} {context.unsubscribe_url}"
        return Rendered(
            subject=f"Hello {values['first_name'] or 'there'}", preheader="p", html=f"<p>{text}</p>", text=text
        )


def message(number: int = 1, **changes: object) -> PlannedMessage:
    """A planned message; `changes` replace its fields."""
    planned = PlannedMessage(
        message_id=f"m{number}",
        campaign_id="hello",
        user_id=f"u{number}",
        account_id=None,
        occurrence_key="once",
        decision_id=f"d{number}",
        policy_hash="p" * 64,
        message_type="product_tips",
        channel="email",
        variant="default",
        locale="de-AT",
        email=f"u{number}@mail.example",
        facts={"first_name": f"Ana{number}", "plan": "team", "weeks": 6},
        send_after=None,
        send_before=None,
    )
    return dataclasses.replace(planned, **changes)


def one(policy: Policy, result: WriterResult | None = None, **changes: object):  # noqa: ANN201 - a Draft
    planned = message(**changes)
    if result is not None:
        result = judged(writer_request(planned, policy, FakeTemplate()), result, FakeTemplate(), {})
    return draft(
        planned,
        policy,
        FakeTemplate(),
        sender_name="Ledgerline",
        postal_address="Street 1",
        unsubscribe_url="https://mail.ledgerline.example/u/1",
        result=result,
    )


CLASSES = parse_classes(
    [
        {
            "name": "any",
            "accept": dict.fromkeys(RUBRICS, 3),
            "person": dict.fromkeys(RUBRICS, 2),
            "unheard": "template",
            "rules": [],
        }
    ]
)


def all_of(messages: Sequence[PlannedMessage], mode: Mode = "template", ask: Recorder | None = None) -> Batch:
    return draft_all(
        messages,
        policies={"hello": Policy(mode=mode)},
        template_of=lambda campaign_id, variant: FakeTemplate(),
        sender_name="Ledgerline",
        postal_address="Street 1",
        unsubscribe_url=lambda planned: f"https://mail.ledgerline.example/u/{planned.user_id}",
        phrases={"en": Phrases(claims=("free",))},
        model=Model(ask, CLASSES) if ask else None,
    )


READERS: Mapping[str, Any] = {
    "reviewer": {rubric: {"score": 5, "why": "Fine."} for rubric in RUBRICS},
    "policy": {"objections": []},
}


class Recorder:
    """A model whose readers are content, that writes what it is told to, and keeps what it was asked to write."""

    def __init__(self, text: Callable[[Mapping[str, Any]], str]) -> None:
        self.text = text
        self.asked: list[Question] = []

    def __call__(self, questions: Sequence[Question]) -> list[Answer]:
        self.asked += [one for one in questions if one.role == "writer"]
        return [
            Answer(
                content=READERS.get(one.role) or {"intro": self.text(json.loads(one.content))},
                prompt=b"be kind",
                settings={"model": "m"},
                was_called=True,
            )
            for one in questions
        ]


def kind() -> Recorder:
    return Recorder(lambda asked: "Willkommen, {{first_name}}, on {{plan}}.")


GOOD = WriterResult(
    slots={"intro": "Willkommen, {{first_name}}, on {{plan}}."},
    prompt=b"be kind",
    settings={"model": "m"},
)


def test_template_mode_never_looks_at_a_model() -> None:
    """Even a result that lies around is not used."""
    made = one(Policy(), GOOD)

    assert (made.mode, made.mode_asked, made.fallback_reason) == ("template", "template", None)
    assert "Plain words." in made.text


def test_a_draft_is_the_same_for_ever() -> None:
    """Equal arguments give equal drafts, recipe included; another fact gives another hash."""
    assert one(Policy()) == one(Policy())
    assert one(Policy()).draft_hash != one(Policy(), facts={"plan": "pro"}).draft_hash


def test_the_recipe_names_every_part() -> None:
    """From the hashes alone it can be said what a mail was made of."""
    planned = message()
    made = one(Policy())

    assert set(made.recipe) == {"template", "layout", "policy", "facts", "context"}
    assert made.recipe["facts"] == content_hash(planned.facts)
    assert made.recipe["policy"] == planned.policy_hash
    assert set(one(Policy(mode="assisted"), GOOD).recipe) == {
        *made.recipe,
        "prompt",
        "model",
        "slots",
        "guards",
        "roles",
    }


def test_the_recipe_names_what_the_writer_looked_up() -> None:
    """The list and every excerpt are among the artifacts; a mail in the template's own words names none, whatever was looked up."""
    excerpt = Excerpt("notes#1", "help_article", "Notes", "Nothing is lost.")
    shown = Consulted((excerpt,), "bm25")

    def drafted(ask: Recorder) -> Batch:
        return draft_all(
            [message(locale="en")],
            policies={"hello": Policy(mode="assisted")},
            template_of=lambda campaign_id, variant: FakeTemplate(),
            sender_name="Ledgerline",
            postal_address="Street 1",
            unsubscribe_url=lambda planned: "https://mail.ledgerline.example/u/1",
            phrases={},
            model=Model(
                ask,
                CLASSES,
                lambda found: {key: dataclasses.replace(one, consulted=shown) for key, one in found.items()},
            ),
        )

    writer = kind()
    batch = drafted(writer)
    told = read_consulted(batch.artifacts[batch.drafts[0].recipe["knowledge"]])

    assert [one["text"] for one in json.loads(writer.asked[0].content)["knowledge"]] == [excerpt.shown]
    assert told == {"ranked_by": "bm25", "excerpts": [{"id": "notes#1", "title": "Notes", "hash": excerpt.hash}]}
    assert b"Nothing is lost." in batch.artifacts[excerpt.hash]
    assert "knowledge" not in drafted(Recorder(lambda asked: "x" * 99)).drafts[0].recipe


def test_a_model_writes_and_code_fills_in_the_names() -> None:
    """The placeholder is replaced after the checks."""
    made = one(Policy(mode="assisted"), GOOD)

    assert (made.mode, made.fallback_reason) == ("assisted", None)
    assert "Willkommen, Ana1, on team." in made.text


@pytest.mark.parametrize("failure", sorted(CALL_FAILURES | {NO_MODEL, NO_LETTER}))
def test_a_failure_falls_back_with_its_reason(failure: str) -> None:
    """The deterministic mail goes out, word for word the one of template mode."""
    made = one(Policy(mode="assisted"), WriterResult(failure=failure))

    assert (made.mode, made.mode_asked, made.fallback_reason) == ("template", "assisted", failure)
    assert made.draft_hash == one(Policy()).draft_hash
    assert made.recipe == one(Policy()).recipe


@pytest.mark.parametrize(
    ("intro", "reason"),
    [
        ("See www.evil.example", "guard:link"),
        ("Save 90% today", "guard:number"),
        ("<b>Hi</b>", "guard:markup"),
        ("{{ config }}", "guard:unknown_placeholder"),
        ("x" * 61, "over_length"),
        ("", "guard:empty"),
    ],
)
def test_a_text_that_fails_a_check_falls_back(intro: str, reason: str) -> None:
    """Nothing of it is kept."""
    made = one(Policy(mode="assisted"), WriterResult(slots={"intro": intro}))

    assert (made.mode, made.fallback_reason) == ("template", reason)
    assert made.draft_hash == one(Policy()).draft_hash


def test_an_answer_is_judged_once_for_everyone_who_shares_it() -> None:
    """By the phrases of the locale; what was found stays with the answer."""
    writer = Recorder(lambda asked: "It is free for you on {{plan}}.")

    batch = all_of([message(number, locale="en") for number in range(20)], mode="assisted", ask=writer)

    assert {(made.fallback_reason, made.caution) for made in batch.drafts} == {("guard:claim", "objected")}
    assert batch.objections == ("claim: 'free' is a promise that no fact makes",)
    assert len(batch.answers) == 2, "asked for, and asked for once more; nobody else has read it"


def test_a_text_that_the_guards_refuse_is_asked_for_once_more_with_what_they_said() -> None:
    """A model that mends it is heard, everybody who shares the pattern has the mended words; the others aren't asked again."""
    writer = Recorder(
        lambda asked: (
            "Welcome to {{plan}}." if "objections" in asked or asked["facts"]["weeks"] == "6" else "It is free."
        )
    )
    people = [message(number, locale="en", facts={"plan": "team", "weeks": 6 + number % 2}) for number in range(10)]
    batch = all_of(people, mode="assisted", ask=writer)
    asked = [json.loads(one.content) for one in writer.asked]

    assert {(made.mode, made.fallback_reason) for made in batch.drafts} == {("assisted", None)}
    assert [made.caution for made in batch.drafts[:2]] == [None, "repaired"]
    assert [(one.get("previous"), one.get("objections")) for one in asked] == [
        (None, None),
        (None, None),
        ({"intro": "It is free."}, ["intro: 'free' is a promise that no fact makes"]),
    ]
    assert len({one.key for one in writer.asked}) == 3, "a repair is another question, with an answer of its own"


def test_the_author_may_be_quoted() -> None:
    """What the template itself says is no invention; what stands in its Jinja isn't said."""

    class Generous(FakeTemplate):
        @property
        def parts(self) -> Mapping[str, Part]:
            return {"body.txt.j2": Part(b"It is free until {{ plan }} {% if weeks == 9 %}ends{% endif %}.")}

    assert own_words(Generous()).split() == ["It", "is", "free", "until", "ends", ".", "Because."]
    request = writer_request(message(locale="en"), Policy(), Generous())
    phrases = {"en": Phrases(claims=("free",))}
    free = WriterResult(slots={"intro": "It is free."})
    nine = WriterResult(slots={"intro": "It is free for 9 weeks."})

    assert judged(request, free, Generous(), phrases).failure is None
    assert judged(request, nine, Generous(), phrases).failure == "guard:number"


def test_without_a_writer_the_reason_is_no_model() -> None:
    """Nothing is called, and the draft says so."""
    (made,) = all_of([message()], mode="assisted").drafts

    assert made.fallback_reason == "no_model"


def test_a_long_name_can_make_a_fitting_text_too_long() -> None:
    """Only for that one person."""
    result = WriterResult(slots={"intro": "x" * 40 + "{{first_name}}"})

    short = one(Policy(mode="assisted"), result)
    long = one(Policy(mode="assisted"), result, facts={"first_name": "N" * 30, "plan": "team", "weeks": 6})

    assert (short.mode, long.fallback_reason) == ("assisted", "over_length")


def test_a_number_the_model_was_not_given_is_refused_even_if_a_name_holds_it() -> None:
    """Facts that are personal do not license a number."""
    made = one(
        Policy(mode="assisted"),
        WriterResult(slots={"intro": "Only 7 left"}),
        facts={"first_name": "Seven 7", "plan": "team", "weeks": 6},
    )

    assert made.fallback_reason == "guard:number"


def test_transactional_mail_has_no_unsubscribe_link() -> None:
    """And any other mail is not drafted without one."""
    assert one(Policy(legal_basis="transactional")).unsubscribe_url is None
    with pytest.raises(InputError, match="unsubscribe_url"):
        draft(message(), Policy(), FakeTemplate(), sender_name="L", postal_address="S", unsubscribe_url=None)


def test_the_locale_is_what_the_person_gets() -> None:
    """Asked for de-AT, offered de."""
    assert one(Policy()).locale == "de"
    assert one(Policy(), locale="ja").locale == "en"


def test_a_template_without_a_letter_is_no_place_for_a_model_alone() -> None:
    """The deterministic words go out, and the draft says why; nobody is asked."""
    made = one(Policy(mode="autonomous"))
    writer = kind()

    assert (made.mode, made.mode_asked, made.fallback_reason) == ("template", "autonomous", "no_letter")
    assert all_of([message()], mode="autonomous", ask=writer).drafts[0].fallback_reason == "no_letter"
    assert writer.asked == []


def test_one_call_serves_everyone_with_the_same_pattern() -> None:
    """A thousand people, two plans, with and without a first name: four patterns, four calls."""
    messages = [
        message(
            number,
            facts={
                "first_name": f"Ana{number}" if number % 4 < 2 else None,
                "plan": ["team", "pro"][number % 2],
                "weeks": 6,
            },
        )
        for number in range(1000)
    ]
    writer = Recorder(lambda asked: "Willkommen im Tarif {{plan}}.")

    batch = all_of(messages, mode="assisted", ask=writer)

    assert len(writer.asked) == 4
    assert len(batch.answers) == 12
    assert {made.mode for made in batch.drafts} == {"assisted"}
    assert len({made.draft_hash for made in batch.drafts}) == 1000


def test_the_order_of_messages_does_not_change_the_order_of_calls() -> None:
    """Calls are ordered by their content, drafts by their messages."""
    messages = [message(number, facts={"plan": f"plan {number}"}) for number in range(9)]
    forward, backward = kind(), kind()

    first = all_of(messages, mode="assisted", ask=forward)
    second = all_of(messages[::-1], mode="assisted", ask=backward)

    assert [request.key for request in forward.asked] == [request.key for request in backward.asked]
    assert first.drafts == second.drafts[::-1]


def test_a_request_holds_no_personal_value() -> None:
    """Only the name of the placeholder."""
    request = writer_request(message(), Policy(), FakeTemplate())

    assert request.facts == {"plan": "team", "weeks": 6}
    assert request.placeholders == ("first_name", "plan"), "those that the slot may use"
    assert "Ana1" not in repr(request)
    assert "u1" not in repr(request)


def test_a_message_that_cannot_be_drafted_stops_nobody_else() -> None:
    """Its failure is one line."""
    bad = [
        message(1, facts={}),
        message(2, facts={"plan": 3}),
        message(3, campaign_id="unheard_of"),
    ]

    batch = all_of([*bad, message(4)], mode="assisted", ask=kind())

    assert [made.message_id for made in batch.drafts] == ["m4"]
    assert batch.failures == {
        "m1": "templates/emails/hello/default: fact plan: found null, allowed: a text",
        "m2": "templates/emails/hello/default: fact plan: found 3, allowed: a string or null",
        "m3": "unheard_of: policy: found none, allowed: hello",
    }


def test_every_hash_of_a_recipe_but_the_personal_ones_is_an_artifact() -> None:
    """Facts and context stay with the message, where they can be erased; the policy is kept by who wrote it."""
    batch = all_of([message()], mode="assisted", ask=kind())
    (made,) = batch.drafts

    assert {part for part, digest in made.recipe.items() if digest not in batch.artifacts} == {
        "policy",
        "facts",
        "context",
    }
    assert all(content_hash(content) == digest for digest, content in batch.artifacts.items())
    assert batch.artifacts[made.recipe["slots"]] == canonical({"intro": "Willkommen, {{first_name}}, on {{plan}}."})
    assert not any(b"Ana1" in content for content in batch.artifacts.values())


def test_a_template_version_is_found_by_its_files() -> None:
    """The version is the hash of a manifest, the manifest names the files."""
    template = FakeTemplate()
    artifacts = template_artifacts(template)

    assert template.version in artifacts
    assert template.layout_hash in artifacts
    assert Part(b"body").hash in artifacts


SHY = TemplateSpec.model_validate(
    {
        "tone": "plain",
        "why": "Because.",
        "facts": {
            "open": {"type": "text", "to_model": "public"},
            "ranged": {"type": "number", "to_model": "bucket", "buckets": [4, 8]},
            "share": {"type": "percent", "to_model": "bucket", "buckets": [0.5]},
            "token": {"type": "text"},
            "hidden": {"type": "text", "to_model": "never"},
        },
        "slots": {"intro": {"description": "d", "max_chars": 60, "placeholders": ["open", "ranged", "token"]}},
    }
)
VALUES = {"open": "team", "ranged": 5, "share": 0.75, "token": "Quuxbury", "hidden": "Zyxwell"}


def test_a_model_sees_of_each_fact_what_its_template_declares() -> None:
    """The value, the range, that there is one, or nothing at all."""
    request = writer_request(message(facts=VALUES), Policy(), FakeTemplate(spec=SHY))

    assert request.facts == {"open": "team"}
    assert request.ranges == {"ranged": "at least 4, below 8", "share": "at least 0.5"}
    assert request.placeholders == ("open", "ranged", "token"), "those that the slot may use"
    assert not any(value in repr(request) for value in ("Quuxbury", "Zyxwell", "0.75", "hidden"))


def test_what_a_model_does_not_see_makes_no_pattern() -> None:
    """Two people whose numbers lie in one range are asked for once; where a range begins, another pattern does."""
    keys = {
        number: writer_request(message(facts=VALUES | {"ranged": number}), Policy(), FakeTemplate(spec=SHY)).key
        for number in (3, 4, 7.9, 8, 800)
    }

    assert keys[4] == keys[7.9]
    assert keys[8] == keys[800]
    assert len(set(keys.values())) == 3


def test_the_ends_of_a_range_ground_no_number() -> None:
    """Somebody who was away for five weeks was not away for four, nor for eight."""
    template = FakeTemplate(spec=SHY)
    request = writer_request(message(facts=VALUES, locale="en"), Policy(), template)

    for text, failure in (("It has been 4 weeks.", "guard:number"), ("It has been {{ranged}} weeks.", None)):
        assert judged(request, WriterResult(slots={"intro": text}), template, {}).failure == failure


QUOTING = TemplateSpec.model_validate(
    {
        "tone": "plain",
        "why": "Because.",
        "facts": {
            "first_name": {"type": "text"},
            "account_name": {"type": "text", "to_model": "never"},
            "ticket": {"type": "text", "to_model": "redact"},
        },
        "slots": {"intro": {"description": "d", "max_chars": 90, "placeholders": ["first_name", "ticket"]}},
    }
)
TICKET = {"first_name": "Quirin", "account_name": "Quuxbury Ltd", "ticket": "quirin of Quuxbury sees 14 reports, free"}


def nothing(text: str) -> tuple[()]:
    """Patterns that find nothing: what is left to them is not what these tests look at."""
    return ()


def test_words_of_a_user_are_quoted_redacted_and_make_a_pattern() -> None:
    """Beside the facts, not among them; the same words of two people are one pattern, other words another."""
    first, same, other = (
        writer_request(message(number, facts=facts), Policy(), FakeTemplate(spec=QUOTING), nothing)
        for number, facts in (
            (1, TICKET),
            (2, TICKET | {"first_name": "Zyx", "ticket": "zyx of Quuxbury sees 14 reports, free"}),
            (3, TICKET | {"ticket": "cannot sign in"}),
        )
    )

    assert (first.facts, first.quoted) == ({}, {"ticket": "[first_name] of [account_name] sees [number] reports, free"})
    assert first.key == same.key != other.key
    assert "uirin" not in repr(first)
    assert "uuxbury" not in repr(first)


def test_nobody_gets_a_text_about_somebody_else_s_words() -> None:
    """Of a whole tick too: those who wrote the same share one text, and who wrote something else has another."""
    tickets = ["cannot sign in", "the export is empty", "cannot sign in"]
    messages = [message(number, facts=TICKET | {"ticket": said}) for number, said in enumerate(tickets, 1)]
    template = FakeTemplate(spec=QUOTING)

    key_of, requests = writer_requests(messages, {"hello": Policy(mode="assisted")}, lambda *_: template, nothing)

    assert [requests[key_of[one.message_id]].quoted["ticket"] for one in messages] == tickets
    assert len(requests) == 2


@pytest.mark.parametrize(
    ("text", "failure"),
    [
        ("There are 14 reports for you.", "guard:number"),
        ("It is free for you.", "guard:claim"),
        ("Welcome back, [first_name].", "guard:unknown_placeholder"),
        ("You wrote to us, {{first_name}}, and we have looked at it.", None),
    ],
)
def test_words_of_a_user_ground_nothing(text: str, failure: str | None) -> None:
    """What they say may not be said, nor the marks in them."""
    template = FakeTemplate(spec=QUOTING)
    request = writer_request(message(facts=TICKET, locale="en"), Policy(), template, nothing)

    made = judged(request, WriterResult(slots={"intro": text}), template, {"en": Phrases(claims=("free",))})

    assert made.failure == failure


def test_nothing_is_asked_of_somebody_whose_words_cannot_be_redacted() -> None:
    """The request is refused; the draft has the template's own words."""
    with pytest.raises(InputError, match=r"facts\.ticket\.to_model: found redact"):
        writer_request(message(facts=TICKET), Policy(), FakeTemplate(spec=QUOTING))
