"""The writer: one text per distinct fact pattern, slot by slot. What it is asked, and what became of its text. Pure."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from dagster_project.lifecycle.guards.reading import Finding
from dagster_project.lifecycle.knowledge import NOTHING, Consulted
from dagster_project.lifecycle.message import content_hash
from dagster_project.lifecycle.roles.call import Question
from dagster_project.lifecycle.roles.together import READERS
from dagster_project.lifecycle.template import SlotSpec, display

CTA_ID = "cta_id"  # in a letter's answer, beside its slots


@dataclasses.dataclass(frozen=True, slots=True)
class WriterRequest:
    """One distinct fact pattern: campaign, variant, locale, public facts, ranges of others, placeholders with a value, redacted words.

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
    ranges: Mapping[str, str] = dataclasses.field(default_factory=dict)  # of bucketed facts; grounds for no number
    forms: Mapping[str, str] = dataclasses.field(default_factory=dict)  # plural categories of numbers behind tokens
    quoted: Mapping[str, str] = dataclasses.field(default_factory=dict)  # users' words, redacted; grounds for nothing
    previous: Mapping[str, str] = dataclasses.field(default_factory=dict)  # slots that somebody objected to
    objections: tuple[str, ...] = ()  # and what they said
    brief: str = ""  # of a letter: what it is to achieve
    ctas: Mapping[str, str] = dataclasses.field(default_factory=dict)  # of a letter: id -> label, one to be chosen
    consulted: Consulted = NOTHING  # excerpts of the knowledge base
    looked_up: tuple[
        str, ...
    ] = ()  # public facts as the template's author writes them: articles may be in that language

    @property
    def pattern(self) -> str:
        """Of what tells this pattern from others of its campaign, whatever the template, its tone or the knowledge say that day."""
        return content_hash(
            {
                "campaign": [self.campaign_id, self.variant, self.locale],
                "facts": dict(self.facts),
                "ranges": dict(self.ranges),
                "quoted": dict(self.quoted),
                "placeholders": list(self.placeholders),
                **({"forms": dict(self.forms)} if self.forms else {}),
            }
        )

    @property
    def key(self) -> str:
        return content_hash(
            {
                "campaign": [self.campaign_id, self.variant, self.campaign_title],
                "words": [self.locale, self.tone, self.template_version],
                "facts": dict(self.facts),
                "ranges": dict(self.ranges),
                "placeholders": list(self.placeholders),
                **({"quoted": dict(self.quoted)} if self.quoted else {}),
                **({"forms": dict(self.forms)} if self.forms else {}),
                "letter": [self.brief, dict(self.ctas)],
                "knowledge": [excerpt.hash for excerpt in self.consulted.excerpts],
                "repair": [dict(self.previous), list(self.objections)],
            }
        )


@dataclasses.dataclass(frozen=True, slots=True)
class WriterResult:
    """The text of one pattern, or the named reason why there is none. Exactly one of `slots` and `failure` is set."""

    slots: Mapping[str, str] | None = None
    failure: str | None = None  # of a call, `guard:<code>`, `reviewer:<what>` or `policy:<what>`
    prompt: bytes = b""  # the versioned instruction behind the text
    settings: Mapping[str, object] = dataclasses.field(default_factory=dict)  # model, temperature, seed
    findings: tuple[Finding, ...] = ()  # of the guards: why slots that came were not taken
    guards: bytes = b""  # the phrases that they looked for
    trace: bytes = b""  # JSON: what the other roles said of the text; empty where none was asked
    consulted: Consulted = NOTHING  # what the writer was shown
    caution: str | None = None  # why a person may have to see it; see `pipeline`
    trial: str | None = None  # JSON: the canary that its pattern took part in; see `prompt_canary`


def shown(request: WriterRequest) -> dict[str, object]:
    """What every role sees of a pattern: no personal value, nothing that differs between people who share it."""
    return {
        "campaign": request.campaign_title,
        "tone": request.tone,
        "locale": request.locale,
        "facts": {name: display(value, request.locale) for name, value in request.facts.items() if value is not None},
        "ranges": dict(request.ranges),
        **({"quoted": dict(request.quoted)} if request.quoted else {}),
        "placeholders": [f"{{{{{name}}}}}" for name in request.placeholders],
        **({"forms": {f"{{{{{name}}}}}": form for name, form in request.forms.items()}} if request.forms else {}),
        **({"knowledge": knowledge(request)} if request.consulted.excerpts else {}),
        **({"brief": request.brief, "ctas": dict(request.ctas)} if request.ctas else {}),
    }


def knowledge(request: WriterRequest) -> list[dict[str, object]]:
    """What may be looked up, as it is told to a model: quoted data, each with whether a mail may say it."""
    return [
        {"kind": excerpt.kind, "may_be_said": excerpt.grounds, "text": excerpt.shown}
        for excerpt in request.consulted.excerpts
    ]


def as_json(content: Mapping[str, object]) -> str:
    return json.dumps(content, ensure_ascii=False, sort_keys=True)


def writer_question(request: WriterRequest) -> Question:
    """The slots to write, each with its limits and tokens; of a repair the refused text and what was said of it."""
    known = set(request.placeholders)
    slots = {
        name: {
            "description": slot.description,
            "max_chars": slot.max_chars,
            **({"optional": True} if slot.optional else {}),
            "may_use": [f"{{{{{token}}}}}" for token in slot.placeholders if token in known],
            "must_use": [f"{{{{{token}}}}}" for token in slot.must_include if token in known],
        }
        for name, slot in request.slots.items()
    }
    again = {"previous": dict(request.previous), "objections": request.objections} if request.objections else {}
    return Question(
        role="writer",
        campaign_id=request.campaign_id,
        content=as_json(shown(request) | {"slots": slots} | again),
        form=_form(request),
        most_chars=sum(slot.max_chars for slot in request.slots.values()),
        followers=len(READERS),
        scope=(request.variant, request.template_version),
        has_users_words=bool(request.quoted),
    )


def _form(request: WriterRequest) -> type[BaseModel]:
    """One string per slot, for a letter the id of its call to action, and nothing besides, as a strict JSON schema."""
    fields: dict[str, Any] = {
        name: (str, Field(description=f"{slot.description} At most {slot.max_chars} characters."))
        for name, slot in request.slots.items()
    }
    if request.ctas:
        fields[CTA_ID] = (Literal[tuple(request.ctas)], Field(description="The one thing that the mail asks for."))
    return create_model("Slots", __config__=ConfigDict(extra="forbid", strict=True), **fields)


def repair_of(request: WriterRequest, slots: Mapping[str, str], objections: Sequence[str]) -> WriterRequest:
    """The same pattern asked once more, with what was written and what was said of it."""
    return dataclasses.replace(request, previous=slots, objections=tuple(dict.fromkeys(objections)))
