"""What guards look at, what a text may be founded on, and what they say. Pure."""

from __future__ import annotations

import dataclasses
import functools
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from dagster_project.lifecycle.template import display

PLACEHOLDER = re.compile(r"\{\{ ?([a-z][a-z0-9_]*) ?\}\}")
_TOKEN = re.compile(r"[^\W_]+")
_WORD = re.compile(r"[^\W\d_](?:[\w'\u2019-]*\w)?")
HARD_SPACES = "\u00a0\u202f"  # French groups digits by them, and sets them before a colon
# 例。com; elsewhere it ends a sentence, also before a Latin name that kana follow
_HOST_STOP = re.compile("(?<=[a-zA-Z0-9])\u3002(?=\\w)|\u3002(?=[a-zA-Z0-9][a-zA-Z0-9-]*(?![\\w-]))")
UNSPACED = frozenset({"ja", "zh", "th"})  # written without spaces: a phrase is found anywhere, not between words
Phrase = Annotated[str, StringConstraints(min_length=2, max_length=80, strip_whitespace=True, pattern=r"\w")]


class Phrases(BaseModel):
    """templates/phrases/<locale>.yml: the words of one language that guards look for, as the brand wants them. All optional."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    claims: tuple[Phrase, ...] = Field(
        default=(), description="promises; allowed where a fact or the template says them"
    )
    superlatives: tuple[Phrase, ...] = Field(default=(), description="comparisons with everybody; as claims")
    deadlines: tuple[Phrase, ...] = Field(default=(), description="dates in words; as claims")
    money: tuple[Phrase, ...] = Field(default=(), description="words for money beside the currencies' own names")
    quantities: tuple[Phrase, ...] = Field(default=(), description="amounts in words beside the spelled-out numbers")
    pressure: tuple[Phrase, ...] = Field(default=(), description="words that push")
    effusive: tuple[Phrase, ...] = Field(default=(), description="praise and joy that nobody asked for")
    gloomy: tuple[Phrase, ...] = Field(default=(), description="words of fear, blame or loss")
    banned: tuple[Phrase, ...] = Field(default=(), description="never, whatever a fact says")
    other_address: tuple[Phrase, ...] = Field(
        default=(), description="how this brand doesn't address its readers: du, where it says Sie"
    )
    spam: tuple[Phrase, ...] = Field(default=(), description="what filters count against a mail")
    regulated: Mapping[str, tuple[Phrase, ...]] = Field(
        default_factory=dict,
        description="by class (financial, health, legal, …): words that need the class's disclosure",
    )
    machine: tuple[Phrase, ...] = Field(default=(), description="how a model speaks of itself")
    generic: tuple[Phrase, ...] = Field(default=(), description="sentences that say nothing")
    vague_links: tuple[Phrase, ...] = Field(
        default=(), description="labels that say nothing to who hears them read out"
    )
    names: tuple[Phrase, ...] = Field(
        default=(), description="of the brand, its products and features, as they are written"
    )
    false_friends: tuple[Phrase, ...] = Field(
        default=(),
        description="words of this language that mean something else in English, whose words are looked for as well",
    )
    max_lix: float | None = Field(default=None, gt=0, le=100, description="most of Björnsson's LIX; null: not measured")
    max_sentence_words: int = Field(default=32, ge=5, le=80)


def phrases_of(phrases: Mapping[str, Phrases], locale: str) -> Phrases:
    """Those of the locale, else of its language, else none."""
    return phrases.get(locale) or phrases.get(language_of(locale)) or Phrases()


_LAPSES = ("claims", "superlatives", "deadlines", "money", "quantities", "pressure", "spam", "machine")


def with_lapses(own: Phrases, english: Phrases) -> Phrases:
    """The words of a language, with what English has of promises, dates and the like, but for `false_friends`.

    A model that lapses into English promises in English, in two words, and no recipient of a German mail takes that for nothing.
    """
    friends = {folded(word) for word in own.false_friends}

    def both(ours: tuple[Phrase, ...], theirs: tuple[Phrase, ...]) -> tuple[Phrase, ...]:
        return tuple(dict.fromkeys([*ours, *(phrase for phrase in theirs if folded(phrase) not in friends)]))

    lists = {kind: both(getattr(own, kind), getattr(english, kind)) for kind in _LAPSES}
    regulated = {
        kind: both(own.regulated.get(kind, ()), english.regulated.get(kind, ()))
        for kind in {**english.regulated, **own.regulated}
    }
    return own.model_copy(update={**lists, "regulated": regulated})


def language_of(locale: str) -> str:
    """de of de-AT and de_AT."""
    return locale.replace("_", "-").split("-")[0].lower()


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One objection: the guard's code, the passage, the span of characters in its text, and a sentence for a person."""

    code: str
    passage: str
    start: int
    end: int
    sentence: str


@dataclasses.dataclass(frozen=True)
class Passage:
    """One piece of text that a recipient would read, as it was written: placeholders may stand in it.

    `name` is what a finding calls it: subject, preheader, body, or a slot's name.
    """

    name: str
    text: str
    max_chars: int | None = None
    may_use: frozenset[str] = frozenset()  # placeholders
    must_use: frozenset[str] = frozenset()
    one_line: bool = True

    @functools.cached_property
    def plain(self) -> str:
        """As a reader sees it and a mail program reads it: compatibility forms folded (NFKC), placeholders blank."""
        return self._folded[0]

    @functools.cached_property
    def _folded(self) -> tuple[str, tuple[int, ...]]:
        blank = PLACEHOLDER.sub(lambda found: " " * len(found[0]), self.text)
        if blank.isascii():
            return blank, ()
        # Full-width letters, ligatures and an ideographic full stop in a host read as ASCII to a mail program that makes links.
        pieces = [
            char if char in HARD_SPACES else unicodedata.normalize("NFKC", char) for char in _HOST_STOP.sub(".", blank)
        ]
        at = tuple(place for place, piece in enumerate(pieces) for _ in piece)
        return "".join(pieces), (*at, len(blank))

    @functools.cached_property
    def tokens(self) -> tuple[tuple[str, int, int], ...]:
        """Runs of letters and digits of `plain`: folded, start, end."""
        return tuple((found[0].casefold(), *found.span()) for found in _TOKEN.finditer(self.plain))

    def finding(self, code: str, start: int, end: int, sentence: str) -> Finding:
        """Of a span of `plain`, told as a span of `text`."""
        places = self._folded[1]
        if places:
            start, end = places[start], max(places[max(end - 1, start)] + 1, places[start])
        return Finding(code, self.name, start, end, sentence)


@dataclasses.dataclass(frozen=True)
class Grounds:
    """All that a text may be founded on, and the language it is in.

    `facts` are those the writer was shown (of a filled text: all); `own_words` are the author's: the template's own text, the
    retrieved notes. What stands there may be said.
    """

    locale: str = "en"
    facts: Mapping[str, str | float | None] = dataclasses.field(default_factory=dict)
    own_words: str = ""
    phrases: Phrases = dataclasses.field(default_factory=Phrases)
    prompt: str = ""  # what the writer was told; none of it may come back
    classes: frozenset[str] = frozenset()  # regulated classes whose disclosure this mail carries

    @property
    def language(self) -> str:
        return language_of(self.locale)

    @functools.cached_property
    def known(self) -> str:
        """Every fact and the author's words as one folded text, a line each."""
        said = [display(value, self.locale) for value in self.facts.values() if value is not None]
        return unicodedata.normalize("NFKC", "\n".join([*said, self.own_words])).casefold()

    @functools.cached_property
    def _known_tokens(self) -> str:
        return f" {' '.join(_TOKEN.findall(self.known))} "

    def say(self, phrase: str) -> bool:
        """Whether facts or author say these very words."""
        if self.language in UNSPACED:
            return phrase.casefold() in self.known
        words = _TOKEN.findall(phrase.casefold())
        return f" {' '.join(words)} " in self._known_tokens if words else phrase in self.known


class Span(NamedTuple):
    """Where something stands in a passage's `plain`, and its words there."""

    start: int
    end: int
    words: str


def occurrences(phrases: tuple[str, ...], passage: Passage, grounds: Grounds) -> Iterator[Span]:
    """Where one of the phrases stands: whole words in any case, whatever signs part them; the longest phrase at a place.

    Word by word from a table, for an alternation of 300 phrases costs 1.5 ms per mail. In languages that don't part words a
    phrase is found anywhere.
    """
    if grounds.language in UNSPACED:
        found = _anywhere(phrases).finditer(passage.plain) if phrases else ()
        yield from (Span(*one.span(), one[0]) for one in found)
        return
    table, tokens, place = _table(phrases), passage.tokens, 0
    while place < len(tokens):
        step = 1
        for rest in table.get(tokens[place][0], ()):
            ends = place + 1 + len(rest)
            if all(told[0] == word for told, word in zip(tokens[place + 1 : ends], rest, strict=False)) and ends <= len(
                tokens
            ):
                start, end = tokens[place][1], tokens[ends - 1][2]
                yield Span(start, end, passage.plain[start:end])
                step = 1 + len(rest)
                break
        place += step


@functools.lru_cache(maxsize=256)
def _table(phrases: tuple[str, ...]) -> Mapping[str, tuple[tuple[str, ...], ...]]:
    """First word -> the other words of each phrase that begins with it, the longest first."""
    table: dict[str, list[tuple[str, ...]]] = {}
    for phrase in phrases:
        first, *rest = _TOKEN.findall(unicodedata.normalize("NFKC", phrase).casefold())
        table.setdefault(first, []).append(tuple(rest))
    return {first: tuple(sorted(rests, key=len, reverse=True)) for first, rests in table.items()}


@functools.lru_cache(maxsize=256)
def _anywhere(phrases: tuple[str, ...]) -> re.Pattern[str]:
    """Phrases in Latin letters only as whole words: a "Center" has no cent in it."""
    whole = (
        rf"(?<![a-z0-9]){re.escape(phrase)}(?![a-z0-9])" if phrase.isascii() else re.escape(phrase)
        for phrase in sorted(phrases, key=len, reverse=True)
    )
    return re.compile("|".join(whole), re.IGNORECASE)


def folded(text: str) -> str:
    """As two spellings of the same words are compared: letters and digits alone, in small letters."""
    return " ".join(_TOKEN.findall(unicodedata.normalize("NFKC", text).casefold()))


def words_of(text: str) -> Iterator[re.Match[str]]:
    """Words: letters, with what joins them."""
    return _WORD.finditer(text)
