"""From fact patterns to texts that may go out: writer, guards, reviewer, policy enforcer, and what follows from their words. Pure.

Each role is a step with typed input and output; every call is recorded by whoever answers it. What follows from an outcome:

- the guards, a low score or an objection of the enforcer: the writer is asked once more, with what was said;
- a text that still isn't as its campaign's class demands: a person decides, or the template's own words go out;
- a role that gives no usable answer never lets a text pass: the class says which of the two follows.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping, Sequence

from dagster_project.lifecycle.guards.catalogue import findings
from dagster_project.lifecycle.guards.reading import Grounds, Passage, Phrases, phrases_of
from dagster_project.lifecycle.message import content_hash
from dagster_project.lifecycle.roles.call import MALFORMED, OVER_LENGTH, TEXTS_AT_ONCE, Answer, Ask, Question
from dagster_project.lifecycle.roles.classes import CampaignClass
from dagster_project.lifecycle.roles.policy import Objection, policy_question, read_objections
from dagster_project.lifecycle.roles.reviewer import Score, read_scores, reviewer_question
from dagster_project.lifecycle.roles.writer import CTA_ID, WriterRequest, WriterResult, repair_of, writer_question
from dagster_project.lifecycle.template import Template, canonical

REPAIRS = 1  # a model that doesn't mend its text when told what is wrong doesn't mend it when told again
DOUBT = "doubt:"  # begins the caution of a text that may not go out unless a person says so
REPAIRED = "repaired"  # caution: accepted as it was written the second time
OBJECTED = "objected"  # caution: the template's words, since somebody objected to what was written
_JINJA = re.compile(r"\{%.*?%\}|\{\{.*?\}\}|\{#.*?#\}", re.DOTALL)
_WORDS = ("subject.txt.j2", "body.txt.j2")


@dataclasses.dataclass(frozen=True, slots=True)
class Standard:
    """What the texts of one campaign are held against."""

    campaign_class: CampaignClass
    has_person: bool  # False where the policy says `review: none`: then nobody could decide what is in doubt


@dataclasses.dataclass(frozen=True, slots=True)
class Outcome:
    """What became of every pattern."""

    results: Mapping[str, WriterResult]  # request's key -> its text, or why there is none
    answers: tuple[Answer, ...]  # of all roles, in the order of the calls
    objections: tuple[str, ...]  # what anybody said against a text, each once: code and sentence
    rejections: tuple[
        str, ...
    ] = ()  # `guard:<code>`, `reviewer:<rubric>` or `policy:<rule>`, for each text that was turned down


@dataclasses.dataclass(frozen=True, slots=True)
class Turn:
    """One text of one pattern, after all who had to have read it."""

    request: WriterRequest
    result: WriterResult
    slots: Mapping[str, str] | None = None  # as they were written; None: nothing came that could be read
    objections: tuple[str, ...] = ()  # for the writer

    @property
    def rejections(self) -> list[str]:
        """The words for why this text was turned down as it was written: of guards each that objected, of readers the first."""
        if not self.objections:
            return []
        if self.result.findings:
            return sorted({f"guard:{one.code}" for one in self.result.findings})
        reason = self.result.failure or (self.result.caution or "").removeprefix(DOUBT)
        return [reason] if reason else []

    @property
    def repair(self) -> WriterRequest | None:
        return repair_of(self.request, self.slots, self.objections) if self.slots and self.objections else None


def written(
    requests: Mapping[str, WriterRequest],
    ask: Ask,
    *,
    template_of: Callable[[str, str], Template],
    phrases: Mapping[str, Phrases],
    standard_of: Callable[[str], Standard],
    at_once: int = TEXTS_AT_ONCE,
) -> Outcome:
    """The text of each pattern, written and read by each role once, and again where it is repaired.

    A few patterns, `at_once`, go through all steps before the next begin: a run that ends by its clock leaves few texts without their review.
    """
    results: dict[str, WriterResult] = {}
    answers: list[Answer] = []
    objections: set[str] = set()
    rejections: list[str] = []

    def asking(questions: Sequence[Question]) -> Sequence[Answer]:
        told = ask(questions) if questions else ()
        answers.extend(told)
        return told

    def place(key: str) -> tuple[str, ...]:
        """Never by the order of rows; alike texts stand together, for their readers may get several at once."""
        one = requests[key]
        return (one.campaign_id, one.variant, one.locale, one.template_version, key)

    keys = sorted(requests, key=place)
    for first in range(0, len(keys), at_once):
        asked = {key: requests[key] for key in keys[first : first + at_once]}
        for attempt in range(1 + REPAIRS):
            turns = _reviewed(_guarded(asked, asking, template_of, phrases), asking, standard_of)
            for key, turn in turns.items():
                objections.update(f"{one.code}: {one.sentence}" for one in turn.result.findings)
                objections.update(turn.objections if not turn.result.findings else ())
                rejections += turn.rejections
                if attempt == 0 or turn.slots is not None:  # of a repair that nobody wrote, the first outcome stands
                    results[key] = _as_repaired(turn.result) if attempt else turn.result
            asked = {key: repair for key, turn in turns.items() if (repair := turn.repair)}
    return Outcome(results, tuple(answers), tuple(sorted(objections)), tuple(rejections))


def _as_repaired(result: WriterResult) -> WriterResult:
    return result if result.caution else dataclasses.replace(result, caution=REPAIRED)


def _guarded(
    asked: Mapping[str, WriterRequest],
    ask: Ask,
    template_of: Callable[[str, str], Template],
    phrases: Mapping[str, Phrases],
) -> dict[str, Turn]:
    """Writer and guards."""
    turns = {}
    told = ask([writer_question(request) for request in asked.values()])
    for (key, request), answer in zip(asked.items(), told, strict=True):
        text = WriterResult(answer.content, answer.failure, answer.prompt, answer.settings)
        result = judged(request, text, template_of(request.campaign_id, request.variant), phrases)
        was_read = result.slots is not None or bool(result.findings)
        objections = tuple(f"{one.passage}: {one.sentence}" for one in result.findings)
        turns[key] = Turn(request, result, text.slots if was_read else None, objections)
    return turns


def _reviewed(turns: Mapping[str, Turn], ask: Ask, standard_of: Callable[[str], Standard]) -> dict[str, Turn]:
    """Reviewer and policy enforcer, of the texts that passed the guards."""
    passed = {key: (turn, turn.result.slots) for key, turn in turns.items() if turn.result.slots is not None}
    questions = []
    for turn, slots in passed.values():
        rules = standard_of(turn.request.campaign_id).campaign_class.rules
        questions += [reviewer_question(turn.request, slots), policy_question(turn.request, slots, rules)]
    answers = iter(ask(questions))
    found = dict(turns)
    for key, (turn, slots) in passed.items():
        found[key] = _decided(turn, slots, next(answers), next(answers), standard_of(turn.request.campaign_id))
    return found


def _decided(turn: Turn, slots: Mapping[str, str], review: Answer, policy: Answer, standard: Standard) -> Turn:
    """What follows from the scores and the objections: nothing, a person, or the template's words."""
    scores = read_scores(review.content) if review.content is not None else None
    objections = read_objections(policy.content, slots) if policy.content is not None else None
    result = dataclasses.replace(turn.result, trace=_trace(review, policy, standard.campaign_class))
    demanded = standard.campaign_class
    if scores is None or objections is None:
        role, answer = ("reviewer", review) if scores is None else ("policy", policy)
        unheard = f"{role}:{answer.failure or MALFORMED}"
        is_doubtful = demanded.unheard == "person" and standard.has_person
        return dataclasses.replace(
            turn, result=_in_doubt(result, unheard) if is_doubtful else _refused(result, unheard)
        )
    told = (*_told(scores, demanded.below_accept(scores)), *(_sentence(one) for one in objections))
    turn = dataclasses.replace(turn, objections=told)
    if objections:
        return dataclasses.replace(turn, result=_objected(result, f"policy:{objections[0].rule}"))
    if poor := demanded.below_person(scores):
        return dataclasses.replace(turn, result=_objected(result, f"reviewer:{poor[0]}"))
    if weak := demanded.below_accept(scores):
        reason = f"reviewer:{weak[0]}"
        return dataclasses.replace(
            turn, result=_in_doubt(result, reason) if standard.has_person else _objected(result, reason)
        )
    return dataclasses.replace(turn, result=result)


def _in_doubt(result: WriterResult, reason: str) -> WriterResult:
    return dataclasses.replace(result, caution=f"{DOUBT}{reason}")


def _refused(result: WriterResult, reason: str) -> WriterResult:
    return dataclasses.replace(result, slots=None, failure=reason)


def _objected(result: WriterResult, reason: str) -> WriterResult:
    return dataclasses.replace(_refused(result, reason), caution=OBJECTED)


def _told(scores: Mapping[str, Score], rubrics: Sequence[str]) -> list[str]:
    return [f"{rubric} {scores[rubric].score} of 5: {scores[rubric].why}" for rubric in rubrics]


def _sentence(objection: Objection) -> str:
    quoted = f" '{objection.words}':" if objection.words else ""
    return f"{objection.rule}:{quoted} {objection.sentence}"


def _trace(review: Answer, policy: Answer, demanded: CampaignClass) -> bytes:
    """What each role was told and what it said, so that it can be read again beside the draft."""
    said: dict[str, object] = {"class": demanded.model_dump(mode="json")}
    for role, answer in (("reviewer", review), ("policy", policy)):
        said[role] = {
            "prompt": content_hash(answer.prompt),
            "settings": dict(answer.settings),
            "answer": answer.content,
            "failure": answer.failure,
        }
    return canonical(said)


def judged(
    request: WriterRequest, result: WriterResult, template: Template, phrases: Mapping[str, Phrases]
) -> WriterResult:
    """The answer with what the guards say of it. One that may not go out becomes a failure: `malformed`, `over_length`, or
    `guard:<code>` by the first finding.

    `phrases` is by language; a locale without any is looked at for what needs no words.
    """
    if result.slots is None:
        return result
    is_chosen = not request.ctas or result.slots.get(CTA_ID) in request.ctas
    if set(result.slots) != {*request.slots, *([CTA_ID] if request.ctas else [])} or not is_chosen:
        return dataclasses.replace(result, slots=None, failure=MALFORMED)
    offered = set(request.placeholders)
    passages = [
        Passage(
            name,
            result.slots[name],
            slot.max_chars,
            may_use=frozenset(offered & set(slot.placeholders)),
            must_use=frozenset(offered & set(slot.must_include)),
        )
        for name, slot in request.slots.items()
        if result.slots[name].strip() or not slot.optional
    ]
    looked_for = phrases_of(phrases, request.locale)
    grounds = Grounds(
        locale=request.locale,
        facts=request.facts,
        own_words=f"{own_words(template.in_locale(request.locale))}\n{request.consulted.grounds}",
        phrases=looked_for,
        prompt=result.prompt.decode(errors="replace"),
    )
    guards = canonical(looked_for.model_dump())
    if not (found := findings(passages, grounds)):
        return dataclasses.replace(result, guards=guards, consulted=request.consulted)
    code = found[0].code
    reason = code if code == OVER_LENGTH else f"guard:{code}"
    return dataclasses.replace(_objected(result, reason), findings=found, guards=guards)


def own_words(template: Template) -> str:
    """What the template's author says to everybody: subject, text, labels and the footer's reason. May be said again."""
    parts = (template.parts[name].content.decode() for name in _WORDS if name in template.parts)
    labels = (cta.label for cta in template.spec.ctas.values())
    return "\n".join([*(_JINJA.sub(" ", part) for part in parts), *labels, template.spec.why])
