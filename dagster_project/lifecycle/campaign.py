"""A campaign's policy: what `config.meta.campaign` beside a trigger may say, and the one line that refuses the rest."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import Field, model_validator

from dagster_project.lifecycle.budget import Budget
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.strict import StrictModel, allowed_text, contradiction, parse_strictly
from dagster_project.lifecycle.worth import ALLOWED, unallowed

CAMPAIGN_ID = re.compile(r"[a-z][a-z0-9_]{2,40}")
TRIGGER_PREFIX = "int_triggers__"
POLICY_KEY = "config.meta.campaign"
# Python counts four control characters as blanks, which pydantic and editors do not.
FIRST_IS_SEEN = r"^[^\s\x00-\x1f]"

UseCase = Literal["onboarding", "activation", "expansion", "retention", "compliance"]
EventKind = Literal[
    "signup",
    "session",
    "setup_step",
    "value",
    "feature",
    "invite",
    "invite_accepted",
    "trial_start",
    "upgrade",
    "payment",
    "payment_failed",
    "terms_accepted",
]
MessageType = Literal["product_tips", "product_news", "account", "billing", "legal"]
LegalBasis = Literal["consent", "legitimate_interest", "transactional"]

ALLOWED_BASES: Mapping[MessageType, tuple[LegalBasis, ...]] = {
    "product_tips": ("consent",),
    "product_news": ("consent",),
    "account": ("legitimate_interest", "transactional"),
    "billing": ("transactional",),
    "legal": ("legitimate_interest", "transactional"),
}
"""Advertising is never mailed on anything but consent, and nobody is asked to consent to an invoice."""


class Kpi(StrictModel):
    """What the campaign is for: a product event that should follow within the horizon."""

    event_kind: EventKind = Field(
        description=f"one of {', '.join(get_args(EventKind))}. The kind of product event that counts as success"
    )
    horizon_days: int = Field(
        ge=1, le=365, description="a number of days from 1 to 365. How long after the decision the event still counts"
    )


class Cap(StrictModel):
    """At most `count` messages within `window_days`."""

    count: int = Field(ge=1, le=100, description="a number of messages from 1 to 100. The most within the window")
    window_days: int = Field(
        ge=1, le=365, description="a number of days from 1 to 365. The length of the sliding window"
    )


_CAP = "a mapping of count and window_days, or null"


class Caps(StrictModel):
    """Frequency caps that this campaign obeys; each counts the marketing of all campaigns. Who isn't named has no cap."""

    per_user: Cap | None = Field(default=None, description=f"{_CAP}. Counts what the person received")
    per_account: Cap | None = Field(default=None, description=f"{_CAP}. Counts what all people of the account received")
    per_message_type: Cap | None = Field(
        default=None, description=f"{_CAP}. Counts what the person received of this message type"
    )
    per_channel: Cap | None = Field(
        default=None, description=f"{_CAP}. Counts what the person received through this channel"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not any(getattr(self, scope) for scope in type(self).model_fields):
            raise contradiction("per_user", None, "a mapping of count and window_days where no other cap is given")
        return self


class Wait(StrictModel):
    """Re-entry once the last message of the campaign is old enough: one of the two keys."""

    after_days: int | None = Field(
        default=None, ge=1, le=3650, description="a number of days from 1 to 3650. Counted from the last message sent"
    )
    after_hours: int | None = Field(
        default=None,
        ge=0,
        le=72,
        description="a number of hours from 0 to 72. As after_days; 0: every occasion at once, however many there are",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.after_days is None) == (self.after_hours is None):
            raise contradiction("after_days", self.after_days, "either after_days or after_hours, the other left out")
        return self


class SendWindow(StrictModel):
    """When a message may leave, in the recipient's own time zone."""

    from_hour: int = Field(ge=0, le=23, description="an hour from 0 to 23. Local time; sending starts here")
    to_hour: int = Field(ge=1, le=24, description="an hour from 1 to 24. Local time; sending stops before it")
    weekdays: tuple[Annotated[int, Field(ge=1, le=7)], ...] = Field(
        min_length=1,
        description="a list of ISO weekdays from 1 (Monday) to 7 (Sunday), each once. Local days",
        json_schema_extra={"uniqueItems": True},
    )
    skip_holidays: bool = Field(
        description="true or false. Whether public holidays of the account's country count as days without a window"
    )
    best_hour: bool = Field(
        description="true or false. Whether it opens at the person's usual hour where past activity shows one within it"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.from_hour >= self.to_hour:
            raise contradiction("from_hour", self.from_hour, f"an hour before to_hour, which is {self.to_hour}")
        if len(set(self.weekdays)) < len(self.weekdays):
            raise contradiction("weekdays", list(self.weekdays), allowed_text(type(self), "weekdays"))
        return self


class SequenceStep(StrictModel):
    """A place in an ordered series of campaigns."""

    name: str = Field(
        pattern=r"^[a-z][a-z0-9_]{2,40}$",
        description="snake_case of 3 to 41 characters. Shared by the series' campaigns",
    )
    step: int = Field(
        ge=1, le=20, description="a step from 1 to 20. Steps of one sequence count up from 1 without a gap"
    )
    wait_days: int = Field(
        ge=0,
        le=365,
        description="a number of days from 0 to 365. The least time from the delivery of an earlier step to this one",
    )
    exit_when: Annotated[str, Field(min_length=3, max_length=200, pattern=FIRST_IS_SEEN)] | None = Field(
        description="a SQL condition on columns of int_users_enriched, or null. Whoever meets it never gets this step"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.step == 1 and self.wait_days > 0:
            raise contradiction("wait_days", self.wait_days, "0 in step 1, which has no step before it")
        return self


class Locales(StrictModel):
    """Languages of the campaign's texts."""

    fallback: str = Field(
        pattern=r"^[a-z]{2}(-[A-Z]{2})?$",
        description="a language like en or pt-BR. Used where a person's own language has no text",
    )


class ModelBudget(StrictModel):
    """The most that a run may spend on a language model for this campaign; the rest goes out in the template's words."""

    calls: Annotated[int, Field(ge=0, le=1_000_000)] | None = Field(
        default=None, description="a number of calls from 0 to 1000000, or null. Null: no limit of its own"
    )
    tokens: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="a number of tokens of 0 or more, or null. Asked and answered together"
    )
    dollars: Annotated[float, Field(ge=0)] | None = Field(
        default=None, description="an amount of 0 or more, or null. At list price"
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if all(getattr(self, limit) is None for limit in type(self).model_fields):
            raise contradiction("calls", None, "a number where neither tokens nor dollars is given")
        return self

    @property
    def budget(self) -> Budget:
        dollars = None if self.dollars is None else Decimal(str(self.dollars))
        return Budget(self.calls, self.tokens, dollars)


class CampaignPolicy(StrictModel):
    """The policy of one campaign: everything about sending that its SQL does not say. No field has a hidden default; one without a
    `value` or a `model_budget` has none."""

    title: str = Field(
        min_length=3,
        max_length=80,
        pattern=FIRST_IS_SEEN,
        description="a text of 3 to 80 characters. What people call it",
    )
    use_case: UseCase = Field(description=f"one of {', '.join(get_args(UseCase))}. What the campaign serves")
    owner: str = Field(
        pattern=r"^[^@\s]+@[^@\s]+\.[^@\s]+$", description="an e-mail address. Who answers for the campaign"
    )
    kpi: Kpi = Field(description="a mapping of event_kind and horizon_days. How success is measured")
    message_type: MessageType = Field(
        description=f"one of {', '.join(get_args(MessageType))}. What people consent to and unsubscribe from"
    )
    legal_basis: LegalBasis = Field(
        description=f"one of {', '.join(get_args(LegalBasis))}. Why the person may be mailed at all"
    )
    channels: tuple[Literal["email"], ...] = Field(
        min_length=1, max_length=1, description="a list of email. Channels in order of preference"
    )
    mode: Literal["template", "assisted", "autonomous"] = Field(
        description="one of template, assisted, autonomous. Whether a language model fills slots or writes paragraphs"
    )
    review: Annotated[str, Field(pattern=r"^(none|sample:0\.0{0,3}[1-9][0-9]{0,3}|risk|all)$")] = Field(
        description="one of none, sample:<share below 1>, risk, all. Which drafts wait for a person's word"
    )
    model_budget: ModelBudget | None = Field(
        default=None,
        description="a mapping of calls, tokens and dollars, or null. What a run may spend on a language model for this campaign; "
        "null: what the run may spend",
    )
    priority: int = Field(
        ge=1,
        le=100,
        description="a number from 1 to 100. The higher wins when campaigns of equal or unknown value collide",
    )
    value: Annotated[str, Field(min_length=1, max_length=400, pattern=FIRST_IS_SEEN)] | None = Field(
        default=None,
        description="a SQL expression of 1 to 400 characters, or null. What a message is expected to bring in dollars, usually a "
        "probability times a worth; the highest wins when campaigns collide, and null counts as 0",
    )
    required_facts: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], ...] = Field(
        description="a list of snake_case fact names, each once. Without one of them the message is held",
        json_schema_extra={"uniqueItems": True},
    )
    caps: Caps | None = Field(
        description="a mapping of per_user, per_account, per_message_type, per_channel, or null. Null: no cap of its own"
    )
    quota_per_run: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        description="a number of messages from 1 to 1000000, or null. The most sends of this campaign in one tick"
    )
    reentry: Wait | Literal["never", "each_occurrence"] = Field(
        description="never, each_occurrence, {after_days: 1 to 3650} or {after_hours: 0 to 72}. When a person may get the "
        "campaign again; where no cap applies each_occurrence leaves 20 hours between two messages all the same"
    )
    send_window: SendWindow | None = Field(
        description="a mapping of from_hour, to_hour, weekdays, skip_holidays and best_hour, or null. Null: at any time"
    )
    expires_after_hours: int = Field(
        ge=1, le=8760, description="a number of hours from 1 to 8760. Counted from triggered_at; later it is never sent"
    )
    sequence: SequenceStep | None = Field(
        description="a mapping of name, step, wait_days and exit_when, or null. Null: stands alone"
    )
    holdout_share: float = Field(
        ge=0, le=0.5, description="a share from 0 to 0.5. People kept back at random to measure the effect"
    )
    variants: dict[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], Annotated[float, Field(gt=0)]] = Field(
        min_length=1,
        description="a mapping of snake_case names to weights above 0. Template folders, and how often each is drawn",
    )
    rollout_percent: int = Field(
        ge=0, le=100, description="a percentage from 0 to 100. The share of people it is live for"
    )
    risk: Literal["low", "high"] = Field(description="one of low, high. What a wrong message would cost")
    on_unknown: Literal["hold", "resend"] = Field(
        description="one of hold, resend. What happens when nobody knows whether a message left"
    )
    locales: Locales = Field(description="a mapping of fallback. Languages of the texts")

    @model_validator(mode="after")
    def _check(self) -> Self:
        bases = ALLOWED_BASES[self.message_type]
        if self.legal_basis not in bases:
            raise contradiction("legal_basis", self.legal_basis, f"{' or '.join(bases)} for {self.message_type}")
        if self.legal_basis == "transactional" and self.holdout_share > 0:
            raise contradiction(
                "holdout_share", self.holdout_share, "0, since a transactional message is owed to everyone"
            )
        if self.legal_basis == "transactional" and self.caps is not None:
            raise contradiction(
                "caps", self.caps.model_dump(), "null, since a transactional message is owed to everyone"
            )
        if self.legal_basis == "transactional" and self.quota_per_run is not None:
            raise contradiction(
                "quota_per_run", self.quota_per_run, "null, since a transactional message is owed to everyone"
            )
        if self.value is not None and (self.legal_basis == "transactional" or self.message_type == "legal"):
            raise contradiction("value", self.value, "null, since what is owed or demanded by law doesn't compete")
        if self.value is not None and (part := unallowed(self.value)):
            raise contradiction("value", part, ALLOWED)
        if self.risk == "high" and self.review != "all":
            raise contradiction("review", self.review, "all, since risk is high")
        if self.mode == "autonomous" and self.review == "none":
            raise contradiction("review", self.review, "sample:<share>, risk or all, since mode is autonomous")
        if len(set(self.required_facts)) < len(self.required_facts):
            raise contradiction("required_facts", list(self.required_facts), allowed_text(type(self), "required_facts"))
        return self


def parse_policy(campaign_id: str, raw: object, file: str, key: str = POLICY_KEY) -> CampaignPolicy:
    """The policy in `raw`, as YAML gave it. Raises InputError: the file, the key, what was found, what is allowed."""
    if not CAMPAIGN_ID.fullmatch(campaign_id):
        allowed = "a lower-case letter, then 2 to 40 lower-case letters, digits or _"
        raise InputError(f"{file}: campaign id: found {campaign_id!r}, allowed is {allowed}")
    return parse_strictly(CampaignPolicy, raw, file, key)


def policies(manifest: Mapping[str, Any]) -> dict[str, CampaignPolicy]:
    """Campaign id to policy, for every int_triggers__* model of a dbt manifest, in order of id. Raises InputError."""
    found = {}
    for campaign_id, node in _triggers(manifest).items():
        path = node.get("patch_path") or node["original_file_path"]
        found[campaign_id] = parse_policy(campaign_id, _written(node), _in_project(path))
    check_sequences(found)
    return found


def policy_files(manifest: Mapping[str, Any]) -> list[str]:
    """The YAML files of the int_triggers__* models, from the project's folder on."""
    return sorted({_in_project(node["patch_path"]) for node in _triggers(manifest).values() if node.get("patch_path")})


def _in_project(path: str) -> str:
    return f"dbt_project/{path.rsplit('://', maxsplit=1)[-1]}"


def written_policies(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Campaign id to policy as its YAML says it, unread."""
    return {campaign_id: _written(node) for campaign_id, node in _triggers(manifest).items()}


def _triggers(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {
        node["name"].removeprefix(TRIGGER_PREFIX): node
        for node in sorted(manifest["nodes"].values(), key=lambda node: node["name"])
        if node["resource_type"] == "model" and node["name"].startswith(TRIGGER_PREFIX)
    }


def _written(node: Mapping[str, Any]) -> Any:
    return (node["config"].get("meta") or {}).get("campaign")


def check_sequences(policies: Mapping[str, CampaignPolicy]) -> None:
    """Steps of one sequence are 1, 2, … with one campaign each. Raises InputError naming the sequence.

    A campaign has one place and a step one campaign, so a sequence can't come back to where it was: a circle would have
    to be written as a step that is taken twice.
    """
    steps = sorted(
        (policy.sequence.name, policy.sequence.step, campaign_id)
        for campaign_id, policy in policies.items()
        if policy.sequence is not None
    )
    for name, members in itertools.groupby(steps, key=lambda step: step[0]):
        places = [(step, campaign_id) for _, step, campaign_id in members]
        if [step for step, _ in places] != list(range(1, len(places) + 1)):
            found = ", ".join(f"{step} ({campaign_id})" for step, campaign_id in places)
            raise InputError(
                f"dbt_project: {POLICY_KEY}.sequence.step: found steps {found} in sequence '{name}', "
                f"allowed are 1 to {len(places)}, one campaign each"
            )


def json_schema() -> dict[str, Any]:
    """The JSON schema of a trigger's YAML file, for editors: it checks what stands under `config.meta.campaign`."""
    policy = CampaignPolicy.model_json_schema()
    definitions = {**policy.pop("$defs"), "CampaignPolicy": policy}

    def nested(path: Sequence[str], schema: dict[str, Any]) -> dict[str, Any]:
        for key in reversed(path):
            schema = {"type": "object", "properties": {key: schema}}
        return schema

    model = nested(["config", "meta", "campaign"], {"$ref": "#/$defs/CampaignPolicy"})
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A trigger's YAML",
        "type": "object",
        "properties": {"models": {"type": "array", "items": model}},
        "$defs": dict(sorted(definitions.items())),
    }
