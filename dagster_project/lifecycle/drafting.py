"""One draft per `send` decision: the deterministic words, or a model's where they passed every check. Pure."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Literal, ParamSpec, Protocol

from dagster_project.lifecycle.campaign import LegalBasis, MessageType
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.formats import without_isolates
from dagster_project.lifecycle.guards.placeholders import fill
from dagster_project.lifecycle.guards.reading import Phrases
from dagster_project.lifecycle.message import Draft, Mode, PlannedMessage, content_hash
from dagster_project.lifecycle.patterns import form_of, offered_to, pattern_of
from dagster_project.lifecycle.pipeline import Outcome, Standard, own_words, written
from dagster_project.lifecycle.prompt_canary import Canary
from dagster_project.lifecycle.redaction import Find, author_words, redacted_facts
from dagster_project.lifecycle.roles.call import MALFORMED, OVER_LENGTH, TEXTS_AT_ONCE, Answer, Ask
from dagster_project.lifecycle.roles.classes import Classes
from dagster_project.lifecycle.roles.writer import CTA_ID, WriterRequest, WriterResult
from dagster_project.lifecycle.template import (
    SUBJECT_MAX_CHARS,
    Context,
    Rendered,
    SlotSpec,
    Template,
    TemplateSpec,
    canonical,
    pick_locale,
    prepare_facts,
)

NO_MODEL = "no_model"
NO_LETTER = "no_letter"  # the mode is autonomous, and the template has no place for it
GROUP = 2_000  # drafts in memory at once: 30 MB
_OF_ANSWER = ("prompt", "model", "slots", "guards", "roles", "knowledge")  # parts of a recipe
_Given = ParamSpec("_Given")


class Policy(Protocol):
    """The part of a campaign's policy that drafting needs."""

    @property
    def title(self) -> str: ...
    @property
    def mode(self) -> Mode: ...
    @property
    def legal_basis(self) -> LegalBasis: ...
    @property
    def message_type(self) -> MessageType: ...
    @property
    def risk(self) -> Literal["low", "high"]: ...
    @property
    def review(self) -> str: ...
    @property
    def locales(self) -> Fallback: ...


class Fallback(Protocol):
    """Which locale serves those whose own has no text."""

    @property
    def fallback(self) -> str: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Model:
    """A language model as drafting asks it: in which roles, and what its texts are held against."""

    ask: Ask
    classes: Classes
    inform: Inform | None = None  # what its writers may look up
    patterns: Find | None = None  # of personal data: needed where a template redacts
    canary: Canary | None = None  # a new prompt or model that a share of the patterns is written by
    batch_above: int | None = None  # patterns beyond which each step is asked for all at once, in a batch; None: never


Inform = Callable[
    [Mapping[str, WriterRequest]], Mapping[str, WriterRequest]
]  # the same keys, with what each may look up


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """The drafts of one tick, in the order of the messages, with what could not be drafted and why."""

    drafts: tuple[Draft, ...]
    failures: Mapping[str, str]  # message_id -> one line
    artifacts: Mapping[str, bytes]  # content hash -> bytes: everything the recipes point at, nothing personal
    answers: tuple[Answer, ...]  # of all roles that were asked, in the order of the calls
    objections: tuple[str, ...]  # what guards, reviewer or policy enforcer said against a text, each once
    rejections: tuple[str, ...] = ()  # the word for each text that was turned down; see `pipeline.Outcome`


def writer_request(
    message: PlannedMessage, policy: Policy, template: Template, patterns: Find | None = None
) -> WriterRequest:
    """What a model may know about this message, in the words of its locale. Raises InputError where the facts do not fit the
    template, or are to be redacted and nobody says how personal data looks."""
    locale = locale_of(message, policy, template)
    template = template.in_locale(locale)
    values = prepare_facts(template.name, template.spec.facts, message.facts, locale)
    return _request(message, policy, template, values, locale, patterns)


def locale_of(message: PlannedMessage, policy: Policy, template: Template) -> str:
    """The locale that a message is written in: the person's, its language's, the policy's fallback, the template's first."""
    return pick_locale(message.locale, template.spec.locales, policy.locales.fallback)


def _request(
    message: PlannedMessage,
    policy: Policy,
    template: Template,
    values: Mapping[str, str | float | None],
    locale: str,
    patterns: Find | None,
) -> WriterRequest:
    spec = template.spec
    if patterns is None and (redacted := spec.redacted):
        raise InputError(
            f"{template.name}: facts.{redacted[0]}.to_model: found redact, allowed: with patterns to redact by"
        )
    letter = spec.letter if policy.mode == "autonomous" else None
    letters = {cta: one.version for cta, one in template.letters.items()} if letter else {}
    slots = _slots(spec, policy.mode)
    offered = offered_to(slots)
    return WriterRequest(
        campaign_id=message.campaign_id,
        variant=message.variant,
        campaign_title=policy.title,
        locale=locale,
        tone=spec.tone,
        template_version=content_hash(letters) if letter else template.version,
        slots=slots,
        brief=letter.brief if letter else "",
        ctas={name: cta.label for name, cta in spec.ctas.items()} if letter else {},
        facts={name: values[name] for name, fact in spec.facts.items() if fact.to_model == "public"},
        looked_up=tuple(
            str(value)
            for name, fact in spec.facts.items()
            if fact.to_model == "public" and fact.values and (value := message.facts.get(name)) is not None
        ),
        quoted=redacted_facts(spec, message, patterns, author_words(own_words(template))) if patterns else {},
        ranges={
            name: fact.bucket(value)
            for name, fact in spec.facts.items()
            if fact.to_model == "bucket" and isinstance(value := message.facts.get(name), int | float)
        },
        forms={
            name: form
            for name, fact in spec.facts.items()
            if name in offered and (form := form_of(fact, message.facts.get(name), locale))
        },
        placeholders=tuple(
            name
            for name, value in values.items()
            if name in offered and value is not None and spec.facts[name].to_model != "never"
        ),
    )


def _slots(spec: TemplateSpec, mode: Mode) -> Mapping[str, SlotSpec]:
    """What a model writes in this mode."""
    return spec.letter.slots() if mode == "autonomous" and spec.letter else spec.slots


def draft(
    message: PlannedMessage,
    policy: Policy,
    template: Template,
    *,
    sender_name: str,
    postal_address: str,
    unsubscribe_url: str | None,
    result: WriterResult | None = None,
    result_hashes: Mapping[str, str] | None = None,
) -> Draft:
    """The mail for one message. The same arguments give the same draft hash, however often and wherever.

    `unsubscribe_url` is dropped for transactional mail and required for any other. `result`, `judged`, is not looked at in
    template mode; a problem with it falls back to the deterministic words and says why. `result_hashes` are its `hashes_of`,
    where the caller has them already.
    """
    locale = locale_of(message, policy, template)
    template = template.in_locale(locale)
    is_transactional = policy.legal_basis == "transactional"
    if not is_transactional and not unsubscribe_url:
        raise InputError(f"{message.campaign_id}: unsubscribe_url: found nothing, allowed: an https address")
    context = Context(
        sender_name=sender_name,
        postal_address=postal_address,
        campaign_title=policy.title,
        unsubscribe_url=None if is_transactional else unsubscribe_url,
    )
    recipe = {
        "template": template.version,
        "layout": template.layout_hash,
        "policy": message.policy_hash,
        "facts": content_hash(message.facts),
        "context": _context_hash(sender_name, postal_address, policy.title, context.unsubscribe_url),
    }
    reason, rendered = None, None
    if policy.mode != "template":
        into = _written_into(template, policy.mode, result)
        reason, rendered = _written(message, into, context, result, locale)
        if into is not None and rendered is not None and result is not None and result.slots is not None:
            recipe |= {"template": into.version, **(result_hashes or hashes_of(result))}
    mode: Mode = "template" if rendered is None else policy.mode
    rendered = rendered or template.render(message.facts, None, context)
    return Draft(
        message_id=message.message_id,
        mode=mode,
        mode_asked=policy.mode,
        fallback_reason=reason,
        locale=locale,
        subject=rendered.subject,
        preheader=rendered.preheader,
        html=rendered.html,
        text=rendered.text,
        unsubscribe_url=context.unsubscribe_url,
        recipe=recipe,
        caution=result.caution if result and policy.mode != "template" else None,
        trial=result.trial if result and policy.mode != "template" else None,
    )


def hashes_of(result: WriterResult) -> dict[str, str]:
    """What a recipe says of an answer: the same for everybody who shares it."""
    return {
        "prompt": content_hash(result.prompt),
        "model": content_hash(result.settings),
        "slots": content_hash(result.slots or {}),
        "guards": content_hash(result.guards),
        "roles": content_hash(result.trace),
        **result.consulted.recipe,
    }


def _context_hash(sender_name: str, postal_address: str, title: str, unsubscribe_url: str | None) -> str:
    """Of the canonical JSON of all four. The link differs between people and comes last: what is before it is hashed once."""
    hashed = _shared_context(sender_name, postal_address, title).copy()
    hashed.update(f"{json.dumps(unsubscribe_url, ensure_ascii=False)}}}".encode())
    return hashed.hexdigest()


@functools.lru_cache(maxsize=256)
def _shared_context(sender_name: str, postal_address: str, title: str) -> hashlib._Hash:
    context = {
        "sender_name": sender_name,
        "postal_address": postal_address,
        "campaign_title": title,
        "unsubscribe_url": None,
    }
    return hashlib.sha256(canonical(context).removesuffix(b"null}"))


def _written_into(template: Template, mode: Mode, result: WriterResult | None) -> Template | None:
    """The template that a model's words go into: in autonomous mode the letter with the call to action that it chose."""
    if mode == "assisted":
        return template
    if not template.letters:
        return None
    chosen = (result.slots or {}).get(CTA_ID) if result else None
    return template.letters.get(chosen or "") or next(iter(template.letters.values()))


def _written(
    message: PlannedMessage, template: Template | None, context: Context, result: WriterResult | None, locale: str
) -> tuple[str | None, Rendered | None]:
    """Either the reason to fall back, or the mail with the model's words in it."""
    if template is None:
        return NO_LETTER, None
    if result is None:
        return NO_MODEL, None
    if result.slots is None:
        return result.failure or MALFORMED, None
    spec = template.spec
    values = prepare_facts(template.name, spec.facts, message.facts, locale)
    filled = {name: fill(text.strip(), values, locale) for name, text in result.slots.items() if name != CTA_ID}
    if any(len(without_isolates(text)) > spec.slots[name].max_chars for name, text in filled.items()):
        return OVER_LENGTH, None  # a long name can push a fitting text over its limit
    rendered = template.render(message.facts, filled, context)
    return (OVER_LENGTH, None) if len(rendered.subject) > SUBJECT_MAX_CHARS else (None, rendered)


def draft_in_groups(
    messages: Iterable[PlannedMessage],
    *,
    policies: Mapping[str, Policy],
    template_of: Callable[[str, str], Template],
    sender_name: str,
    postal_address: str,
    unsubscribe_url: Callable[[PlannedMessage], str],
    phrases: Mapping[str, Phrases],
    model: Model | None = None,
    at_once: int = GROUP,
) -> Iterator[Batch]:
    """Drafts for a whole tick, `at_once` in a batch: one call of the model per distinct fact pattern and role, none without `model`.

    Each text goes through the pipeline once, whoever shares it. All are written before the first draft is made, and what was asked
    stands in the first batch, which comes also without messages. A message whose facts or template are wrong becomes a failure
    with one line and stops nobody else. What a batch's recipes point at is in its own artifacts.
    """
    messages = tuple(messages)
    template_of = functools.cache(template_of)
    key_of, outcome = written_texts(messages, policies, template_of, phrases, model)
    hashes = {key: hashes_of(answer) for key, answer in outcome.results.items() if answer.slots is not None}
    for start in range(0, max(len(messages), 1), at_once):
        drafts: list[Draft] = []
        failures: dict[str, str] = {}
        artifacts: dict[str, bytes] = {}
        for message in messages[start : start + at_once]:
            key = key_of.get(message.message_id, "")
            try:
                policy = _policy(message, policies)
                template = template_of(message.campaign_id, message.variant)
                result = outcome.results.get(key)
                made = draft(
                    message,
                    policy,
                    template,
                    sender_name=sender_name,
                    postal_address=postal_address,
                    unsubscribe_url=None if policy.legal_basis == "transactional" else unsubscribe_url(message),
                    result=result,
                    result_hashes=hashes.get(key),
                )
            except InputError as error:
                failures[message.message_id] = str(error)
                continue
            drafts.append(made)
            _add_artifacts(artifacts, made, template.in_locale(made.locale), result)
        asked = ((), (), ()) if start else (outcome.answers, outcome.objections, outcome.rejections)
        yield Batch(tuple(drafts), failures, artifacts, *asked)


def _add_artifacts(artifacts: dict[str, bytes], made: Draft, template: Template, result: WriterResult | None) -> None:
    """What the recipe of this draft points at, if it isn't there yet."""
    if template.version not in artifacts:
        artifacts |= template_artifacts(template)
    if result is None or result.slots is None or made.mode == "template":
        return
    letter = template.letters.get(result.slots.get(CTA_ID, ""))
    if letter and letter.version not in artifacts:
        artifacts |= template_artifacts(letter)
    if not {made.recipe[part] for part in _OF_ANSWER if part in made.recipe} <= artifacts.keys():
        artifacts |= {
            made.recipe["prompt"]: result.prompt,
            made.recipe["model"]: canonical(result.settings),
            made.recipe["slots"]: canonical(result.slots),
            made.recipe["guards"]: result.guards,
            made.recipe["roles"]: result.trace,
            **result.consulted.artifacts,
        }


def _as_one(in_groups: Callable[_Given, Iterator[Batch]]) -> Callable[_Given, Batch]:
    def all_of(*args: _Given.args, **kwargs: _Given.kwargs) -> Batch:
        batches = list(in_groups(*args, **kwargs))
        return Batch(
            tuple(made for batch in batches for made in batch.drafts),
            {key: line for batch in batches for key, line in batch.failures.items()},
            {digest: content for batch in batches for digest, content in batch.artifacts.items()},
            tuple(answer for batch in batches for answer in batch.answers),
            tuple(said for batch in batches for said in batch.objections),
            tuple(word for batch in batches for word in batch.rejections),
        )

    return all_of


draft_all = _as_one(draft_in_groups)  # all drafts in one batch, 15 kB each: for a few


def written_texts(
    messages: Sequence[PlannedMessage],
    policies: Mapping[str, Policy],
    template_of: Callable[[str, str], Template],
    phrases: Mapping[str, Phrases],
    model: Model | None,
) -> tuple[Mapping[str, str], Outcome]:
    """message_id -> key of its pattern, and what became of each pattern."""
    if model is None:
        return {}, Outcome({}, (), ())
    key_of, requests = writer_requests(messages, policies, template_of, model.patterns)
    requests = model.inform(requests) if model.inform else requests

    def standard_of(campaign_id: str) -> Standard:
        policy = policies[campaign_id]
        return Standard(model.classes.of(policy), policy.review != "none")

    def write(some: Mapping[str, WriterRequest], ask: Ask) -> Outcome:
        is_batch = model.batch_above is not None and len(some) > model.batch_above
        at_once = len(some) if is_batch else TEXTS_AT_ONCE
        return written(some, ask, template_of=template_of, phrases=phrases, standard_of=standard_of, at_once=at_once)

    if model.canary:
        return key_of, model.canary.written(requests, write, model.ask)
    return key_of, write(requests, model.ask)


def _policy(message: PlannedMessage, policies: Mapping[str, Policy]) -> Policy:
    try:
        return policies[message.campaign_id]
    except KeyError:
        known = ", ".join(sorted(policies)) or "none"
        raise InputError(f"{message.campaign_id}: policy: found none, allowed: {known}") from None


def writer_requests(
    messages: Sequence[PlannedMessage],
    policies: Mapping[str, Policy],
    template_of: Callable[[str, str], Template],
    patterns: Find | None = None,
) -> tuple[dict[str, str], dict[str, WriterRequest]]:
    """message_id -> key and key -> request, for the messages that a model has a part in, if they can be drafted and have a place for it."""
    key_of: dict[str, str] = {}
    requests: dict[str, WriterRequest] = {}
    key_of_pattern: dict[tuple[object, ...], str] = {}
    offered_by: dict[tuple[str, str], frozenset[str]] = {}
    for message in messages:
        policy = policies.get(message.campaign_id)
        if policy is None or policy.mode == "template":
            continue
        try:
            template = template_of(message.campaign_id, message.variant)
            if not (template.spec.slots if policy.mode == "assisted" else template.letters):
                continue
            locale = locale_of(message, policy, template)
            template = template.in_locale(locale)
            values = prepare_facts(template.name, template.spec.facts, message.facts, locale)
            kind = message.campaign_id, message.variant
            if (offered := offered_by.get(kind)) is None:
                offered = offered_by[kind] = offered_to(_slots(template.spec, policy.mode))
            # What a user wrote is that user's own: such a request is made for each.
            pattern = None if template.spec.redacted else pattern_of(message, template.spec, values, locale, offered)
            if pattern is None or (key := key_of_pattern.get(pattern)) is None:
                request = _request(message, policy, template, values, locale, patterns)
                key = request.key
                requests.setdefault(key, request)
                if pattern is not None:
                    key_of_pattern[pattern] = key
        except InputError:
            continue  # the same error is reported when the draft itself is tried
        key_of[message.message_id] = key
    return key_of, requests


def template_artifacts(template: Template) -> dict[str, bytes]:
    """Content hash -> bytes of a template version: its manifest, every file, and the layouts' own manifest."""
    manifest = {name: part.hash for name, part in template.parts.items()}
    layouts = {name: value for name, value in manifest.items() if name.startswith("layouts/")}
    files = {part.hash: part.content for part in template.parts.values()}
    return {template.version: canonical(manifest), template.layout_hash: canonical(layouts)} | files
