"""What is taken out of a user's free text before a model may see it: what is known of this person, then what looks personal. Pure.

The first half is strong: this person's names, addresses and ids are known, so they are found whatever they look like. The
second half is patterns, numbers and capitals; `docs/drafting.md` has what it finds and misses.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from dagster_project.lifecycle.template import Exposure, TemplateSpec, clean, shorten

TOKEN = re.compile(r"\[[a-z][a-z0-9_]*\]")  # what stands for words that were taken out
_LOOKED_AT = 1_000  # characters of a text; at most 200 are shown, and a pattern may take the square of a text's length
_PART_CHARS = 3  # a shorter part of a name, as "of", is a word of any text; the whole name goes whatever its length
_ACRONYM_CHARS = 4  # CSV, SAML; a longer word in capitals may be somebody
_DIGITS = re.compile(r"\+?\(?[^\W_]*\d[^\W_]*(?:[\s().,:/+'\u2019#-]{1,3}[^\W_]*\d[^\W_]*)*")
_WORD = re.compile(r"[^\W\d_](?:[\w'\u2019-]*\w)?")
_JOINING = " .-"  # between the words of one name
_PARTS = re.compile(r"[^\W_]+")
# A title's full stop ends no sentence; behind a colon or a quotation mark a name is likelier than a beginning.
_SENTENCE_START = re.compile(r"(?:^|[!?\u2026\u3002]|(?<!\b[A-Z][a-z])(?<!\b[A-Z][a-z]{2})(?<!\b[A-Z])\.)\s*$")


class Span(NamedTuple):
    """Characters of a text, and the token that is to stand for them, without its brackets."""

    start: int
    end: int
    token: str


Find = Callable[[str], Iterable[Span]]  # patterns of personal data, of an adapter


class Recipient(Protocol):
    """The part of a planned message that says whom it is for."""

    @property
    def message_id(self) -> str: ...
    @property
    def user_id(self) -> str: ...
    @property
    def account_id(self) -> str | None: ...
    @property
    def email(self) -> str: ...
    @property
    def facts(self) -> Mapping[str, object]: ...


def redacted_facts(spec: TemplateSpec, recipient: Recipient, find: Find, kept: Collection[str]) -> dict[str, str]:
    """fact -> its words as a model may see them, of the facts whose `to_model` is redact.

    `kept` are words, folded by case, that no capital makes a name: the author's own. Cut to the fact's length after redaction, for half
    an address is not recognised.
    """
    if not spec.redacted:
        return {}
    known = known_values(recipient, {name: fact.to_model for name, fact in spec.facts.items()})
    words = {name: _beginning(value) for name in spec.redacted if isinstance(value := recipient.facts.get(name), str)}
    return {
        name: shorten(redact(text, known, find, kept), spec.facts[name].max_chars)
        for name, text in words.items()
        if text
    }


def _beginning(text: str) -> str:
    """Clean, and of a long text the first whole words."""
    text = clean(text[: 2 * _LOOKED_AT])
    return text if len(text) <= _LOOKED_AT else text[:_LOOKED_AT].rpartition(" ")[0]


@functools.lru_cache(maxsize=256)
def author_words(text: str) -> frozenset[str]:
    """The words of a text, folded by case: no capital makes them a name."""
    return frozenset(found[0].casefold() for found in _WORD.finditer(text))


def known_values(recipient: Recipient, exposures: Mapping[str, Exposure]) -> tuple[tuple[str, str], ...]:
    """(words, token) of everything that is known to be this person's: facts that are no model's to see, address, ids."""
    found: dict[str, str] = {}
    for name, value in recipient.facts.items():
        if isinstance(value, str) and exposures.get(name) not in ("public", "redact"):
            found.setdefault(clean(value), name)
            for part in _parts(value) if name.endswith("name") else ():
                found.setdefault(part, name)
    found[recipient.email] = "email"
    for part in _parts(recipient.email.rpartition(".")[0]):
        found.setdefault(part, "name")
    for value in (recipient.message_id, recipient.user_id, recipient.account_id):
        found.setdefault(value or "", "id")
    return tuple((words, token) for words, token in found.items() if words)


def redact(text: str, known: Collection[tuple[str, str]], find: Find, kept: Collection[str] = ()) -> str:
    """The text with a token such as [email] for each stretch that is known, found, a number, or written as a name."""
    for span in reversed(personal_spans(text, known, find, kept)):
        text = f"{text[: span.start]}[{span.token}]{text[span.end :]}"
    return text


def personal_spans(
    text: str, known: Collection[tuple[str, str]], find: Find, kept: Collection[str] = ()
) -> Sequence[Span]:
    """What is to be taken out, in the text's order, none over another: those that overlap are one, named by the surest finder, and so
    are neighbours with one token."""
    finders = (_known(text, tuple(known)), find(text), _numbers(text), _names(text, kept))
    ranked = [(rank, span.start - span.end, span) for rank, found in enumerate(finders) for span in found]
    merged: list[tuple[int, int, Span]] = []
    for one in sorted(ranked, key=lambda one: one[2]):
        if merged:
            last, span = merged[-1][2], one[2]
            is_next = span.token == last.token and not text[last.end : span.start].strip(_JOINING)
            if span.start < last.end or is_next:
                surest = min(merged[-1], one)
                union = Span(last.start, max(last.end, span.end), surest[2].token)
                merged[-1] = (surest[0], surest[1], union)
                continue
        merged.append(one)
    return [span for _, _, span in merged]


def _parts(words: str) -> Iterator[str]:
    """The single words of a name, of an address what stands between its signs."""
    parts = _PARTS.findall(clean(words))
    yield from (part for part in parts if len(part) >= _PART_CHARS or _is_caseless(part))


def _is_caseless(word: str) -> bool:
    """In scripts without capitals words are often joined to others: 陽子さん, وعلي. There a name is found anywhere."""
    return any(char.isalpha() and char.lower() == char.upper() for char in word)


def _fold(text: str) -> tuple[str, list[int]]:
    """Without case, accents and width; with the place of each character in `text`."""
    pieces, places = [], []
    for place, char in enumerate(text):
        bare = "".join(one for one in unicodedata.normalize("NFKD", char) if not unicodedata.combining(one))
        piece = bare.upper().casefold()  # the Turkish dotless i is an I in capitals
        pieces.append(piece)
        places += [place] * len(piece)
    return "".join(pieces), places


def _folded_parts(words: str) -> list[str]:
    return _PARTS.findall(_fold(words)[0])


@functools.lru_cache(maxsize=1024)
def _pattern(words: str) -> re.Pattern[str]:
    """These words whatever signs part them; as whole words, with a genitive, where their script has such."""
    inner = r"[\W_]*".join(map(re.escape, _folded_parts(words))) or re.escape(words)
    return re.compile(inner if _is_caseless(words) else rf"(?<![^\W_]){inner}(?:['\u2019]?s)?(?![^\W_])")


def _known(text: str, known: tuple[tuple[str, str], ...]) -> Iterator[Span]:
    folded, places = _fold(text)
    for words, token in sorted(known, key=lambda one: -len(one[0])):
        if not all(part in folded for part in _folded_parts(words)):
            continue  # a pattern takes 200 µs to make, and most values are not in the text
        for found in _pattern(words).finditer(folded):
            yield Span(places[found.start()], places[found.end() - 1] + 1, token)


def _numbers(text: str) -> Iterator[Span]:
    """Every word with a digit, and what signs join to it: a model may repeat none of them, so none needs to leave."""
    yield from (Span(*found.span(), "number") for found in _DIGITS.finditer(text))


def _names(text: str, kept: Collection[str]) -> Iterator[Span]:
    """Words written as names: capital inside a sentence, or two in a row at its beginning. German loses its nouns to it."""
    words = [(found[0], *found.span()) for found in _WORD.finditer(text)]
    for place, (word, start, end) in enumerate(words):
        if not _is_somebody(word, kept):
            continue
        follows = words[place + 1] if place + 1 < len(words) else ("", 0, 0)
        is_joined = text[end : follows[1]] in (" ", ". ", "-") and _is_somebody(follows[0], kept)
        if _is_initial(word):
            is_name = is_joined or (place > 0 and _is_somebody(words[place - 1][0], kept))
        else:
            is_name = is_joined or _is_mixed(word) or not _SENTENCE_START.search(text[:start])
        if is_name:
            yield Span(start, end, "name")


def _is_somebody(word: str, kept: Collection[str]) -> bool:
    return (_is_initial(word) or _is_capital(word)) and word.casefold() not in kept


def _is_initial(word: str) -> bool:
    return len(word) == 1 and word.isupper() and word != "I"


def _is_capital(word: str) -> bool:
    if word.isupper():
        return len(word) > _ACRONYM_CHARS
    return word[0].isupper() or _is_mixed(word)


def _is_mixed(word: str) -> bool:
    return any(char.isupper() for char in word[1:]) and not word.isupper()
