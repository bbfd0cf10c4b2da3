"""What a writer may look up: articles in Markdown with their front matter, cut into excerpts at their headings. Pure.

An excerpt is reference for the model, never an instruction. What may be said because it stands there is decided by the article's
`grounds`, and only product notes and help articles can have it.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, model_validator

from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.guards import characters, homographs, links
from dagster_project.lifecycle.guards.reading import Grounds, Passage, language_of
from dagster_project.lifecycle.message import content_hash
from dagster_project.lifecycle.strict import StrictModel, contradiction, parse_strictly
from dagster_project.lifecycle.template import canonical

EXCERPT_MAX_CHARS = 1_200  # more under one heading would crowd out all others of a context of 2,000
EVERY = "all"
_GROUNDING = ("product_note", "help_article")
_HEADING = re.compile(r"^(#{1,2}) +(\S.*?) *#*$")
_FENCE = re.compile(r"^ {0,3}(```|~~~)")
_WHOLE = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)(.*)", re.DOTALL | re.MULTILINE)

Id = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=60)]
Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=48)]
Locale = Annotated[str, StringConstraints(pattern=r"^[a-z]{2,3}(?:-[A-Za-z0-9]{2,8})*$")]
Kind = Literal["brand_voice", "product_note", "help_article", "approved_mail"]


class FrontMatter(StrictModel):
    """What stands above an article, between two lines of `---`."""

    id: Id = Field(description="a name of small letters, digits and hyphens, the article's own")
    kind: Kind = Field(description="brand_voice, product_note, help_article or approved_mail")
    campaigns: Literal["all"] | Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="all, or a list of campaign_ids"
    )
    product_area: Name = Field(description="a name such as billing. A template may restrict itself to some")
    locales: Literal["all"] | Annotated[tuple[Locale, ...], Field(min_length=1)] = Field(
        description="all, or a list of locales such as en or de-AT. Of the mails that it may be used for"
    )
    valid_from: date = Field(description="a date such as 2026-03-14. The first day, in UTC")
    valid_to: date | None = Field(None, description="a date from valid_from on, or null. The last day, in UTC")
    grounds: bool = Field(False, description="true or false. Whether a mail may say what stands here")

    @model_validator(mode="after")
    def _keys_agree(self) -> FrontMatter:
        if self.valid_to is not None and self.valid_to < self.valid_from:
            raise contradiction("valid_to", str(self.valid_to), f"{self.valid_from} or later")
        if self.grounds and self.kind not in _GROUNDING:
            raise contradiction("grounds", True, f"false for {self.kind}; only {' and '.join(_GROUNDING)} say what is")
        return self


@dataclasses.dataclass(frozen=True, slots=True)
class Excerpt:
    """One section of an article, as a writer is shown it."""

    id: str  # <article>#<number of the section, from 1>
    kind: Kind
    title: str  # of article and section
    text: str
    grounds: bool = False

    @property
    def article(self) -> str:
        """The article's id."""
        return self.id.partition("#")[0]

    @property
    def content(self) -> bytes:
        """All that a writer's answer may depend on."""
        return canonical({"id": self.id, "kind": self.kind, "grounds": self.grounds, "text": self.shown})

    @property
    def hash(self) -> str:
        return content_hash(self.content)

    @property
    def shown(self) -> str:
        """What the model reads."""
        return f"{self.title}\n{self.text}"


@dataclasses.dataclass(frozen=True, slots=True)
class Article:
    """One file: what it is for, and its excerpts in their order."""

    file: str  # as an error would name it
    front: FrontMatter
    excerpts: tuple[Excerpt, ...]

    def is_for(self, campaign_id: str, locale: str, as_of: datetime, areas: Sequence[str] = ()) -> bool:
        """Whether a writer of this campaign and locale may see it on the day of `as_of`; no areas: of any."""
        front = self.front
        return (
            (front.campaigns == EVERY or campaign_id in front.campaigns)
            and (front.locales == EVERY or locale in front.locales or language_of(locale) in front.locales)
            and (not areas or front.product_area in areas or front.kind == "brand_voice")
            and self.is_valid(as_of)
        )

    def is_valid(self, as_of: datetime) -> bool:
        """On the day of `as_of`."""
        return self.front.valid_from <= as_of.date() <= (self.front.valid_to or date.max)


@dataclasses.dataclass(frozen=True)
class Knowledge:
    """Every article, by file."""

    articles: tuple[Article, ...] = ()

    @functools.cached_property
    def version(self) -> str:
        """Of all excerpts: another text is another version, another date of an article is not."""
        return content_hash({excerpt.id: excerpt.hash for excerpt in self.excerpts})

    @functools.cached_property
    def excerpts(self) -> tuple[Excerpt, ...]:
        return tuple(excerpt for article in self.articles for excerpt in article.excerpts)

    def eligible(
        self, campaign_id: str, locale: str, as_of: datetime, areas: Sequence[str] = ()
    ) -> tuple[Excerpt, ...]:
        """What this writer may see, in the articles' order."""
        chosen = (article for article in self.articles if article.is_for(campaign_id, locale, as_of, areas))
        return tuple(excerpt for article in chosen for excerpt in article.excerpts)


@dataclasses.dataclass(frozen=True, slots=True)
class Consulted:
    """What one writer was shown, and how it was found."""

    excerpts: tuple[Excerpt, ...] = ()
    ranked_by: str = ""  # bm25, with embeddings of which model, or without and why

    @property
    def grounds(self) -> str:
        """What a mail may say because it stands there."""
        return "\n".join(excerpt.shown for excerpt in self.excerpts if excerpt.grounds)

    @property
    def content(self) -> bytes:
        """The part `knowledge` of a recipe: its hash names this list, which names each excerpt's hash."""
        listed = [{"id": excerpt.id, "title": excerpt.title, "hash": excerpt.hash} for excerpt in self.excerpts]
        return canonical({"ranked_by": self.ranked_by, "excerpts": listed})

    @property
    def artifacts(self) -> dict[str, bytes]:
        """Content hash -> bytes: the list, and each excerpt."""
        if not self.excerpts:
            return {}
        return {content_hash(self.content): self.content} | {one.hash: one.content for one in self.excerpts}

    @property
    def recipe(self) -> dict[str, str]:
        return {"knowledge": content_hash(self.content)} if self.excerpts else {}


NOTHING = Consulted()


def read_consulted(content: bytes) -> dict[str, Any]:
    """`ranked_by`, and `excerpts` with id, title and hash, of a recipe's part `knowledge`."""
    return json.loads(content)


def split_front_matter(source: str, file: str) -> tuple[str, str]:
    """The YAML and the Markdown below it. InputError where the file doesn't begin with a front matter."""
    if (found := _WHOLE.match(source)) is None:
        raise InputError(f"{file}:1: found no front matter, allowed: YAML between two lines of ---")
    return found[1], found[2]


def read_article(raw: object, body: str, file: str) -> Article:
    """An article of its front matter, as YAML gave it, and its Markdown. InputError with file and key or heading."""
    if not isinstance(raw, dict):
        raise InputError(f"{file}: front matter: found {type(raw).__name__}, allowed: a mapping")
    front = parse_strictly(FrontMatter, raw, file, "front matter")
    excerpts = tuple(
        Excerpt(f"{front.id}#{number}", front.kind, title, text, front.grounds)
        for number, (title, text) in enumerate(_sections(body, file), 1)
    )
    for excerpt in excerpts:
        if len(excerpt.shown) > EXCERPT_MAX_CHARS:
            raise InputError(
                f"{file}: {excerpt.title}: found {len(excerpt.shown):,} characters,"
                f" allowed: {EXCERPT_MAX_CHARS:,} under one heading"
            )
        if problem := _problem(excerpt):
            raise InputError(f"{file}: {excerpt.title}: found {problem}")
    return Article(file, front, excerpts)


def collected(articles: Iterable[Article]) -> Knowledge:
    """All of them, each id once; InputError naming both files otherwise."""
    by_id: dict[str, Article] = {}
    for article in sorted(articles, key=lambda one: one.file):
        first = by_id.setdefault(article.front.id, article)
        if first is not article:
            raise InputError(
                f"{article.file}: front matter.id: found {article.front.id!r}, which {first.file} has; allowed: one of its own"
            )
    return Knowledge(tuple(by_id.values()))


def _sections(body: str, file: str) -> Iterator[tuple[str, str]]:
    """(title, text) of what stands below the title and below each heading of the second level; empty ones are left out."""
    (_, _, before), *blocks = _blocks(body)
    if before.strip() or not blocks or blocks[0][0] != 1:
        raise InputError(f"{file}: found no title above the text, allowed: a first line such as # Alerts")
    title = blocks[0][1]
    for level, heading, _ in blocks[1:]:
        if level == 1:
            raise InputError(f"{file}: {heading}: found a second title, allowed: one # title, then ## headings")
    found = [(title if level == 1 else f"{title}: {heading}", text.strip()) for level, heading, text in blocks]
    if not any(text for _, text in found):
        raise InputError(f"{file}: found a title and no text, allowed: words below it")
    yield from ((name, text) for name, text in found if text)


def _blocks(body: str) -> list[tuple[int, str, str]]:
    """(level, heading, text below it), what stands before the first heading as level 0. A heading inside code is none."""
    blocks: list[tuple[int, str, list[str]]] = [(0, "", [])]
    is_code = False
    for line in body.splitlines():
        is_code ^= bool(_FENCE.match(line))
        found = None if is_code else _HEADING.match(line)
        if found:
            blocks.append((len(found[1]), found[2], []))
        else:
            blocks[-1][2].append(line)
    return [(level, heading, "\n".join(lines)) for level, heading, lines in blocks]


def _problem(excerpt: Excerpt) -> str | None:
    """What no mail may hold, and what hides words from whoever reads the file: refused where somebody can mend it."""
    passage = Passage("knowledge", excerpt.shown, one_line=False)
    for guard in (characters, homographs, links):
        for found in guard.find(passage, Grounds()):
            return f"{found.sentence}; allowed: words, for no writer may say it"
    return None


def within(ranked: Iterable[Excerpt], max_chars: int, max_excerpts: int) -> tuple[Excerpt, ...]:
    """The first that fit, whole: one that is too long for what is left gives way to a later one that isn't."""
    taken: list[Excerpt] = []
    left = max_chars
    for excerpt in ranked:
        if len(taken) == max_excerpts:
            break
        if len(excerpt.shown) <= left:
            taken.append(excerpt)
            left -= len(excerpt.shown)
    return tuple(taken)
