"""What a template folder declares, and how a message's facts become the words it may print. Pure.

A template is trusted text written by an author; a fact is untrusted data from the product. Everything here narrows the
second until it can be shown inside the first: one line, bounded, without characters nobody can see.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import json
import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import date, datetime
from typing import Annotated, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from dagster_project.lifecycle import formats
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import content_hash

SUBJECT_MAX_CHARS = 78  # RFC 5322's preferred line; beyond it inboxes cut
CONTEXT_NAMES = frozenset(
    [
        "sender_name",
        "postal_address",
        "unsubscribe_url",
        "campaign_title",
        "cta",
        "why",
        "subject",
        "preheader",
        "slots",
    ]
)
SOURCE_LOCALE = "en"

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=48)]
Line = Annotated[str, StringConstraints(min_length=1, max_length=300, pattern=r"^[^\r\n{}<>]+$")]


LocaleName = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(-[A-Z]{2})?$")]
Values = dict[str, str | float | None]  # facts as a template sees them; None where the product has no value


# What a language model may see of a fact. The default is the careful one: nobody's value leaves because a line was forgotten.
Exposure = Literal["public", "bucket", "placeholder", "redact", "never"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FactSpec(_Strict):
    """One fact of the trigger, as this template may print it."""

    type: Literal["text", "number", "date", "percent", "money"]
    required: bool = Field(False, description="a message without it is not drafted")
    to_model: Exposure = Field(
        "placeholder",
        description="what a model sees: the value (public), the range it lies in (bucket), that there is one (placeholder), "
        "a user's words without what is personal in them (redact), nothing (never)",
    )
    buckets: tuple[float, ...] = Field((), description="of bucket: where a new range begins, ascending")
    max_chars: int = Field(64, ge=1, le=200, description="longer text is shortened with an ellipsis")
    currency: str | None = Field(None, pattern="^[A-Z]{3}$", description="of money: ISO 4217")
    values: Mapping[str, str] = Field(
        default_factory=dict, description="of text: a list of what the product says here, each translated as it stands"
    )

    @field_validator("values", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        """The author lists them; a template in another locale has the words of each."""
        return {str(one): str(one) for one in value} if isinstance(value, list) else value

    @model_validator(mode="after")
    def _type_fits(self) -> FactSpec:
        if (self.type == "money") != bool(self.currency):
            raise ValueError(f"currency: found {self.currency} for a {self.type}, allowed: one for money, none else")
        if self.values and self.type != "text":
            raise ValueError(f"values: found them for a {self.type}, allowed: for a text")
        return self

    @model_validator(mode="after")
    def _buckets_fit(self) -> FactSpec:
        if (self.to_model == "bucket") != bool(self.buckets):
            raise ValueError(
                "buckets: found them without to_model: bucket or the other way round, allowed: both or neither"
            )
        if self.buckets and self.type not in ("number", "percent", "money"):
            raise ValueError(f"to_model: found bucket for a {self.type}, allowed: for a number, percent or money")
        if self.to_model == "redact" and self.type != "text":
            raise ValueError(f"to_model: found redact for a {self.type}, allowed: for a text")
        if any(after <= before for before, after in itertools.pairwise(self.buckets)):
            raise ValueError(f"buckets: found {list(self.buckets)}, allowed: ascending numbers")
        return self

    def bucket(self, value: float) -> str:
        """The range that a value lies in, in words for a model. A percentage is compared as a share, as the trigger has it."""
        below = [bound for bound in self.buckets if bound > value]
        least = [bound for bound in self.buckets if bound <= value]
        said = [f"at least {bound:g}" for bound in least[-1:]] + [f"below {bound:g}" for bound in below[:1]]
        return ", ".join(said)


class SlotSpec(_Strict):
    """One place where a model may write instead of the deterministic words."""

    description: Line
    max_chars: int = Field(ge=1, le=600, description="after the placeholders are filled")
    placeholders: tuple[Name, ...] = ()
    must_include: tuple[Name, ...] = ()
    optional: bool = Field(default=False, description="may be left empty")


class LetterSpec(_Strict):
    """What a model writes where the campaign's mode is autonomous: subject, preheader, paragraphs, and which call to action."""

    brief: Line = Field(description="what this mail is to achieve")
    paragraphs: int = Field(3, ge=1, le=4, description="at most; the first must be there")
    max_chars: int = Field(300, ge=40, le=600, description="of a paragraph, after the placeholders are filled")
    placeholders: tuple[Name, ...] = ()
    must_include: tuple[Name, ...] = Field((), description="tokens that the first paragraph must use")

    def slots(self) -> dict[str, SlotSpec]:
        """The letter's places, in the order in which they are read."""
        offered = self.placeholders
        found = {
            "subject": SlotSpec(description="The subject line, in sentence case.", max_chars=60, placeholders=offered),
            "preheader": SlotSpec(
                description="The line after the subject in an inbox. It adds to the subject.",
                max_chars=110,
                placeholders=offered,
            ),
        }
        for number in range(1, self.paragraphs + 1):
            found[f"paragraph_{number}"] = SlotSpec(
                description="One thought." if number == 1 else "One thought more, or nothing.",
                max_chars=self.max_chars,
                placeholders=offered,
                must_include=self.must_include if number == 1 else (),
                optional=number > 1,
            )
        return found


class CtaSpec(_Strict):
    """One link a recipient can follow. Fixed per template: no fact ever becomes part of an address."""

    label: Annotated[str, StringConstraints(min_length=1, max_length=40, pattern=r"^[^\r\n{}<>]+$")]
    url: Annotated[str, StringConstraints(pattern=r"^https://[^\s\"'<>{}]+$")]


class TemplateSpec(_Strict):
    """template.yml: what the files beside it may use."""

    layout: Name = "default"
    locales: Annotated[tuple[LocaleName, ...], Field(min_length=1)] = (
        SOURCE_LOCALE,
    )  # the first is that of the files' own words
    tone: Line
    why: Line = Field(description="the footer's sentence on why this person gets this mail")
    facts: Mapping[Name, FactSpec] = Field(default_factory=dict)
    slots: Mapping[Name, SlotSpec] = Field(default_factory=dict)
    ctas: Mapping[Name, CtaSpec] = Field(default_factory=dict)
    letter: LetterSpec | None = Field(None, description="for mode: autonomous")
    product_areas: tuple[Name, ...] = Field((), description="of the knowledge that a model may look up; none: all")

    @property
    def redacted(self) -> list[str]:
        """The facts that a model sees redacted."""
        return [name for name, fact in self.facts.items() if fact.to_model == "redact"]

    @model_validator(mode="after")
    def _locales_are_known(self) -> TemplateSpec:
        unknown = [name for name in self.locales if name != SOURCE_LOCALE and not formats.is_known(name)]
        if unknown or len(set(self.locales)) < len(self.locales):
            found = unknown[0] if unknown else ", ".join(self.locales)
            raise ValueError(f"locales: found {found}, allowed: locales of CLDR such as de or pt-BR, each once")
        return self

    @model_validator(mode="after")
    def _names_agree(self) -> TemplateSpec:
        if taken := sorted(CONTEXT_NAMES & self.facts.keys()):
            raise ValueError(f"facts: found {taken[0]}, allowed: any name but {', '.join(sorted(CONTEXT_NAMES))}")
        if self.letter and not ("first_name" in self.facts and self.ctas):
            raise ValueError(
                "letter: found no fact first_name or no ctas, allowed: a letter greets somebody and asks for one thing"
            )
        if (quoted := self.redacted) and (unknown := sorted({"first_name", "account_name"} - self.facts.keys())):
            raise ValueError(
                f"facts.{quoted[0]}.to_model: found redact without the fact {unknown[0]}, "
                "allowed: with first_name and account_name (to_model: never will do), which are looked for in it"
            )
        places = {f"slots.{name}": slot for name, slot in self.slots.items()}
        for name, slot in (places | ({"letter": self.letter} if self.letter else {})).items():
            for key, used, offered in (
                ("placeholders", slot.placeholders, tuple(self.facts)),
                ("must_include", slot.must_include, slot.placeholders),
            ):
                hidden = [fact for fact in used if fact in self.facts and self.facts[fact].to_model == "never"]
                if hidden:
                    raise ValueError(f"{name}.{key}: found {hidden[0]}, whose to_model is never, allowed: other facts")
                if unknown := sorted(set(used) - set(offered)):
                    raise ValueError(f"{name}.{key}: found {unknown[0]}, allowed: {', '.join(offered) or 'nothing'}")
        return self


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """One file behind a template version, as the ledger keeps it."""

    content: bytes

    @property
    def hash(self) -> str:
        return content_hash(self.content)


@dataclasses.dataclass(frozen=True, slots=True)
class Context:
    """What a mail says besides its facts. `unsubscribe_url` is None for transactional mail."""

    sender_name: str
    postal_address: str
    campaign_title: str
    unsubscribe_url: str | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Rendered:
    """One mail in words: a subject and preheader of one line each, an HTML document, a text that reads alone."""

    subject: str
    preheader: str
    html: str
    text: str


class Template(Protocol):
    """One version of one variant. Rendering is pure: the same arguments give the same bytes for ever."""

    @property
    def name(self) -> str: ...  # the folder, as an error would name it
    @property
    def spec(self) -> TemplateSpec: ...
    @property
    def version(self) -> str: ...
    @property
    def layout_hash(self) -> str: ...
    @property
    def parts(self) -> Mapping[str, Part]: ...
    @property
    def letters(self) -> Mapping[str, Template]: ...  # by call to action; empty without a letter
    def in_locale(self, locale: str) -> Template: ...  # one of spec.locales: its words, another version
    def render(self, facts: Mapping[str, object], slots: Mapping[str, str] | None, context: Context) -> Rendered:
        """`slots` as `guards.placeholders.fill` makes them."""
        ...


def canonical(mapping: Mapping[str, object]) -> bytes:
    """The bytes whose SHA-256 is `content_hash(mapping)`."""
    return json.dumps(mapping, sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str).encode()


# A name that carries an address turns our mail into its sender's advertisement: it is treated as absent. A bare
# "Booking.com" stays, because companies are called that.
_LINK = re.compile(r"://|www\.|\w\.\w{2,}/|(?:mailto|javascript|data):", re.IGNORECASE)
_NOT_JOINING = re.compile(r"(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])")


def clean(text: str) -> str:
    """One line without control, bidirectional, tag and other invisible characters or lone surrogates.

    Joiners stay between letters beyond ASCII, where Persian, Indic scripts and emoji need them.
    """
    if not text.isprintable():
        kept = []
        for char in text:
            category = unicodedata.category(char)
            if category in ("Zs", "Zl", "Zp") or char in "\t\n\r\v\f\x85":
                kept.append(" ")
            elif category[0] != "C" or char in "\u200c\u200d":
                kept.append(char)
        text = _NOT_JOINING.sub("", "".join(kept))
    return " ".join(text.split(" ")).strip() if "  " not in text else " ".join(text.split())


def shorten(text: str, max_chars: int) -> str:
    """At most `max_chars` characters; what is cut ends at a word where one is near, and with an ellipsis."""
    if len(text) <= max_chars:
        return text
    cut = text[: max_chars - 1]
    space = cut.rfind(" ")
    return (cut[:space] if space > max_chars * 0.6 else cut).rstrip(" ,.;:-") + "…"


@functools.lru_cache(maxsize=4096)
def _written_date(value: str, locale: str) -> str | None:
    try:
        day = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return formats.day(day.date(), locale)


def _text(spec: FactSpec, value: object) -> str | None:
    if not isinstance(value, str):
        raise TypeError("a string")
    text = _printable(str(value), spec.max_chars)
    return spec.values.get(text, text) if text and spec.values else text


@functools.lru_cache(
    maxsize=8192
)  # names of people, companies and features repeat, and each is asked for up to three times
def _printable(value: str, max_chars: int) -> str | None:
    text = clean(value)
    return None if not text or _LINK.search(text) else shorten(text, max_chars)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError("a number")
    return value


def _date(value: object, locale: str) -> str:
    text = value.isoformat() if isinstance(value, date) else value
    if not isinstance(text, str) or (written := _written_date(text, locale)) is None:
        raise TypeError("a date like 2026-03-14")
    return written


def prepare_facts(
    name: str, specs: Mapping[str, FactSpec], facts: Mapping[str, object], locale: str = SOURCE_LOCALE
) -> Values:
    """Every declared fact as a template sees it: text, dates, percentages and money as words of the locale, numbers as numbers, null
    as None.

    Facts nobody declared are left out. A required one that is missing, or one of the wrong type, is an InputError that
    names the fact but never a value that no model may see either.
    """
    prepared: Values = {}
    for key, spec in specs.items():
        value = facts.get(key)
        if value is not None:
            try:
                if spec.type == "text":
                    value = _text(spec, value)
                elif spec.type == "date":
                    value = _date(value, locale)
                elif spec.type == "percent":
                    value = formats.percent(_number(value), locale)
                elif spec.currency:
                    value = formats.money(_number(value), spec.currency, locale)
                else:
                    value = _number(value)
            except TypeError as error:
                found = (
                    type(value).__name__ if spec.to_model in ("placeholder", "redact", "never") else repr(value)[:60]
                )
                raise InputError(f"{name}: fact {key}: found {found}, allowed: {error} or null") from None
        if value is None and spec.required:
            raise InputError(f"{name}: fact {key}: found null, allowed: a {spec.type}")
        prepared[key] = value
    return prepared


def display(value: str | float, locale: str = SOURCE_LOCALE) -> str:
    """As a reader sees it: 1200 is 1,200; 2.50 is 2.5; in another locale as it writes them."""
    if isinstance(value, str):
        return value
    if locale != SOURCE_LOCALE:
        return formats.number(value, locale)
    if isinstance(value, int) or value.is_integer():
        return f"{int(value):,}"
    return f"{value:,.2f}".rstrip("0").rstrip(".")


@functools.lru_cache(maxsize=1024)
def pick_locale(asked: str | None, offered: tuple[str, ...], fallback: str | None = None) -> str:
    """The locale asked for, else its language; else the fallback, or its language; else the first on offer."""
    for wanted in (asked, fallback):
        if wanted:
            name = wanted.replace("_", "-")
            for step in (name, name.split("-")[0]):
                for locale in offered:
                    if locale.lower() == step.lower():
                        return locale
    return offered[0]
