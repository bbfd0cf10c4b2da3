"""One draft per `send` decision: the deterministic words, or a model's where they passed every check. Pure."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Protocol

from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.guard import check_slots, fill
from dagster_project.lifecycle.message import Draft, Mode, PlannedMessage, content_hash
from dagster_project.lifecycle.template import (
    SUBJECT_MAX_CHARS,
    Context,
    Rendered,
    SlotSpec,
    Template,
    canonical,
    pick_locale,
    prepare_facts,
)

NO_MODEL = "no_model"
OVER_LENGTH = "over_length"
FAILURES = frozenset({NO_MODEL, "refused", "timeout", "rate_limited", "server_error", "malformed", OVER_LENGTH})


class Policy(Protocol):
    """The part of a campaign's policy that drafting needs."""

    @property
    def title(self) -> str: ...
    @property
    def mode(self) -> Mode: ...
    @property
    def legal_basis(self) -> str: ...


@dataclasses.dataclass(frozen=True, slots=True)
class WriterRequest:
    """One distinct fact pattern: campaign, variant, locale, facts that are not personal, placeholders with a value.

    Nothing here is about one person, so one answer serves everyone who shares the pattern.
    """

    campaign_id: str
    variant: str
    campaign_title: str
    locale: str
    tone: str
    template_version: str
    slots: Mapping[str, SlotSpec]
    facts: Mapping[str, str | float | None]
    placeholders: tuple[str, ...]

    @property
    def key(self) -> str:
        return content_hash(
            {
                "campaign": [self.campaign_id, self.variant, self.campaign_title],
                "words": [self.locale, self.tone, self.template_version],
                "facts": dict(self.facts),
                "placeholders": list(self.placeholders),
            }
        )


@dataclasses.dataclass(frozen=True, slots=True)
class WriterResult:
    """One answer or one named failure, and what it cost. Exactly one of `slots` and `failure` is set."""

    slots: Mapping[str, str] | None = None
    failure: str | None = None  # one of FAILURES
    prompt: bytes = b""  # the versioned instruction behind the answer
    settings: Mapping[str, object] = dataclasses.field(default_factory=dict)  # model, temperature, seed
    model: str = ""  # as the server names it
    tokens_in: int = 0
    tokens_out: int = 0
    seconds: float = 0.0
    was_called: bool = False  # False: the breaker was open


Write = Callable[[Sequence[WriterRequest]], Sequence[WriterResult]]  # answers in the order of the requests


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """The drafts of one tick, in the order of the messages, with what could not be drafted and why."""

    drafts: tuple[Draft, ...]
    failures: Mapping[str, str]  # message_id -> one line
    artifacts: Mapping[str, bytes]  # content hash -> bytes: everything the recipes point at, nothing personal
    answers: tuple[WriterResult, ...]  # one per distinct fact pattern


def writer_request(message: PlannedMessage, policy: Policy, template: Template) -> WriterRequest:
    """What a model may know about this message. Raises InputError where the facts do not fit the template."""
    values = prepare_facts(template.name, template.spec.facts, message.facts)
    return _request(message, policy, template, values)


def _request(
    message: PlannedMessage, policy: Policy, template: Template, values: Mapping[str, str | float | None]
) -> WriterRequest:
    spec = template.spec
    return WriterRequest(
        campaign_id=message.campaign_id,
        variant=message.variant,
        campaign_title=policy.title,
        locale=pick_locale(message.locale, spec.locales),
        tone=spec.tone,
        template_version=template.version,
        slots=spec.slots,
        facts={name: values[name] for name, fact in spec.facts.items() if not fact.personal},
        placeholders=tuple(name for name, value in values.items() if value is not None),
    )


def draft(
    message: PlannedMessage,
    policy: Policy,
    template: Template,
    *,
    sender_name: str,
    postal_address: str,
    unsubscribe_url: str | None,
    result: WriterResult | None = None,
) -> Draft:
    """The mail for one message. The same arguments give the same draft hash, however often and wherever.

    `unsubscribe_url` is dropped for transactional mail and required for any other. `result` is looked at in the
    assisted mode alone; a problem with it falls back to the deterministic words and says why.
    """
    if policy.mode == "autonomous":
        raise InputError(f"{message.campaign_id}: mode: found autonomous, allowed: template, assisted")
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
    if policy.mode == "assisted":
        reason, rendered = _assisted(message, policy, template, context, result)
        if rendered is not None and result is not None and result.slots is not None:
            recipe |= {
                "prompt": content_hash(result.prompt),
                "model": content_hash(result.settings),
                "slots": content_hash(result.slots),
            }
    mode: Mode = "template" if rendered is None else "assisted"
    rendered = rendered or template.render(message.facts, None, context)
    return Draft(
        message_id=message.message_id,
        mode=mode,
        mode_asked=policy.mode,
        fallback_reason=reason,
        locale=pick_locale(message.locale, template.spec.locales),
        subject=rendered.subject,
        preheader=rendered.preheader,
        html=rendered.html,
        text=rendered.text,
        unsubscribe_url=context.unsubscribe_url,
        recipe=recipe,
    )


def _context_hash(sender_name: str, postal_address: str, title: str, unsubscribe_url: str | None) -> str:
    return content_hash(
        {
            "sender_name": sender_name,
            "postal_address": postal_address,
            "campaign_title": title,
            "unsubscribe_url": unsubscribe_url,
        }
    )


def _assisted(
    message: PlannedMessage, policy: Policy, template: Template, context: Context, result: WriterResult | None
) -> tuple[str | None, Rendered | None]:
    """Either the reason to fall back, or the mail with the model's words in it."""
    if result is None:
        return NO_MODEL, None
    if result.slots is None:
        return result.failure or "malformed", None
    spec = template.spec
    values = prepare_facts(template.name, spec.facts, message.facts)
    request = _request(message, policy, template, values)
    if problem := check_slots(result.slots, spec.slots, facts=request.facts, placeholders=request.placeholders):
        return problem, None
    filled = {name: fill(text.strip(), values) for name, text in result.slots.items()}
    if any(len(text) > spec.slots[name].max_chars for name, text in filled.items()):
        return OVER_LENGTH, None  # a long name can push a fitting text over its limit
    rendered = template.render(message.facts, filled, context)
    return (OVER_LENGTH, None) if len(rendered.subject) > SUBJECT_MAX_CHARS else (None, rendered)


def draft_all(
    messages: Iterable[PlannedMessage],
    *,
    policies: Mapping[str, Policy],
    template_of: Callable[[str, str], Template],
    sender_name: str,
    postal_address: str,
    unsubscribe_url: Callable[[PlannedMessage], str],
    write: Write | None = None,
) -> Batch:
    """Drafts for a whole tick: one call of the model per distinct fact pattern, none without `write`.

    A message whose facts or template are wrong becomes a failure with one line and stops nobody else.
    """
    messages = tuple(messages)
    template_of = functools.cache(template_of)
    key_of, requests = writer_requests(messages, policies, template_of) if write else ({}, {})
    keys = sorted(requests)  # the order of calls must not depend on the order of rows
    answers = tuple(write([requests[key] for key in keys])) if write and keys else ()
    answer_of = dict(zip(keys, answers, strict=True))
    drafts: list[Draft] = []
    failures: dict[str, str] = {}
    artifacts: dict[str, bytes] = {}
    for message in messages:
        try:
            policy = _policy(message, policies)
            template = template_of(message.campaign_id, message.variant)
            result = answer_of.get(key_of.get(message.message_id, ""))
            made = draft(
                message,
                policy,
                template,
                sender_name=sender_name,
                postal_address=postal_address,
                unsubscribe_url=None if policy.legal_basis == "transactional" else unsubscribe_url(message),
                result=result,
            )
        except InputError as error:
            failures[message.message_id] = str(error)
            continue
        drafts.append(made)
        if template.version not in artifacts:
            artifacts |= template_artifacts(template)
        if result is not None and result.slots is not None and made.mode == "assisted":
            artifacts |= {
                made.recipe["prompt"]: result.prompt,
                made.recipe["model"]: canonical(result.settings),
                made.recipe["slots"]: canonical(result.slots),
            }
    return Batch(tuple(drafts), failures, artifacts, answers)


def _policy(message: PlannedMessage, policies: Mapping[str, Policy]) -> Policy:
    try:
        return policies[message.campaign_id]
    except KeyError:
        known = ", ".join(sorted(policies)) or "none"
        raise InputError(f"{message.campaign_id}: policy: found none, allowed: {known}") from None


def writer_requests(
    messages: Sequence[PlannedMessage], policies: Mapping[str, Policy], template_of: Callable[[str, str], Template]
) -> tuple[dict[str, str], dict[str, WriterRequest]]:
    """message_id -> key and key -> request, for the assisted messages that can be drafted and have a slot to fill."""
    key_of: dict[str, str] = {}
    requests: dict[str, WriterRequest] = {}
    for message in messages:
        policy = policies.get(message.campaign_id)
        if policy is None or policy.mode != "assisted":
            continue
        try:
            template = template_of(message.campaign_id, message.variant)
            if not template.spec.slots:
                continue
            request = writer_request(message, policy, template)
        except InputError:
            continue  # the same error is reported when the draft itself is tried
        key = key_of[message.message_id] = request.key
        requests.setdefault(key, request)
    return key_of, requests


def template_artifacts(template: Template) -> dict[str, bytes]:
    """Content hash -> bytes of a template version: its manifest, every file, and the layouts' own manifest."""
    manifest = {name: part.hash for name, part in template.parts.items()}
    layouts = {name: value for name, value in manifest.items() if name.startswith("layouts/")}
    files = {part.hash: part.content for part in template.parts.values()}
    return {template.version: canonical(manifest), template.layout_hash: canonical(layouts)} | files
