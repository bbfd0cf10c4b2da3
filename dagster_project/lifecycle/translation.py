"""The words of a template that are translated, and the same file with another locale's words in their place. Pure.

An author writes in the files' own language and marks what a reader reads: `{% trans days=weeks_away %}{{ days }} week{% pluralize %}
{{ days }} weeks{% endtrans %}`, as Jinja's own extension has it. Here the marks are resolved before anything is compiled, so a mail
costs the same in each language. A message of a catalogue has named placeholders, `%(days)s week`, that a translator may move; a
tag that stands around one alone belongs to it, so the words hold no markup.
"""

from __future__ import annotations

import dataclasses
import functools
import gettext
import html
import re
from collections.abc import Callable, Iterator, Mapping, Sequence

from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.guards.reading import UNSPACED, language_of
from dagster_project.lifecycle.template import SOURCE_LOCALE

PLURAL_FORM = "plural_form"  # the filter that a resolved plural asks which of its forms it needs
PLACEHOLDER = re.compile(r"%\(([a-z][a-z0-9_]*)\)s")
_TRANS = re.compile(r"\{%-?\s*trans\b(.*?)-?%\}(.*?)\{%-?\s*endtrans\s*-?%\}", re.DOTALL)
_LEFT_OVER = re.compile(r"\{%-?\s*(?:end)?(?:trans|pluralize)\b")
_PLURALIZE = re.compile(r"\{%-?\s*pluralize(?:\s+([a-z][a-z0-9_]*))?\s*-?%\}")
_GIVEN = re.compile(r"\s*([a-z][a-z0-9_]*)\s*=\s*((?:\"[^\"]*\"|'[^']*'|[^,\"'])+?)\s*(?:,|$)")
_FILLED = re.compile(r"(?P<tag><(?P<name>[a-z]+)>)?\{\{-?\s*(?P<value>[^{}]*?)\s*-?\}\}(?(tag)</(?P=name)>|)")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_TAG = re.compile(r"<[^>]*>")
_BETWEEN = re.compile(r"(?<=%\}) (?=\{%)")  # the blank between two sentences
_JINJA = re.compile(r"\{\{|\}\}|\{%|%\}|\{#|#\}")
_SPAN = re.compile(r"\{\{.*?\}\}|\{%.*?%\}", re.DOTALL)
_CONSTANT = re.compile(r"(?<!\[)[\"']([^\"']*[^\W\d_][^\"']*)[\"']")  # a name in brackets is a slot
_UNREAD = re.compile(r"<mj-head>.*?</mj-head>|\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}|\[\[.*?\]\]|<[^>]*>|&\w+;", re.DOTALL)
_LETTER = re.compile(r"[^\W\d_]")
# What isn't isolated: statements, tags with their attributes, the document's title; and among the values the author's own words.
_IN_TURN = re.compile(r"<mj-(?:title|preview)>.*?</mj-(?:title|preview)>|\{%.*?%\}|<[^>]*>|\{\{.*?\}\}", re.DOTALL)
_OWN = re.compile(r"\{\{-?\s*(?:cta\.|slots\b|why\b)")


@dataclasses.dataclass(frozen=True, slots=True)
class Message:
    """What a translator is given: the author's words, one and many where they count something, and where they stand."""

    one: str
    many: str | None = None
    counted: str | None = None  # the placeholder that decides between one and many
    file: str = ""
    note: str = ""  # what its placeholders are, or how long it may be
    max_chars: int | None = None


@dataclasses.dataclass(frozen=True, slots=True)
class Language:
    """How a mail counts and writes numbers: a locale, and its plural rule as gettext has it, such as `n != 1`."""

    locale: str
    plural: str


SOURCE = Language(SOURCE_LOCALE, "n != 1")


@functools.lru_cache(maxsize=64)
def form_of(plural: str) -> Callable[[int], int]:
    """A count -> which of the forms, by a rule as gettext has it. ValueError for what is none."""
    return gettext.c2py(plural)


@dataclasses.dataclass(frozen=True, eq=False)
class Catalogue:
    """The reviewed translations of one locale."""

    language: Language
    file: str
    words: Mapping[str, Sequence[str]]  # the author's words (of a plural those of one) -> a translation per plural form

    def missing(self, messages: Sequence[Message]) -> list[Message]:
        """Those that have no reviewed translation."""
        return [message for message in messages if message.one not in self.words]

    def say(self, words: str) -> str:
        """The translation of words without placeholders, else the words themselves."""
        return self.words.get(words, (words,))[0]


@dataclasses.dataclass(frozen=True, slots=True)
class _Marked:
    """One mark in a source, read."""

    message: Message
    bodies: tuple[str, ...]  # as the author wrote them: one, and many
    filled: Mapping[str, str]  # placeholder -> what stands there: the expression in braces, with the tag around it
    count: str = ""  # the expression that is counted


def messages(source: str, file: str, *, is_html: bool) -> list[Message]:
    """Every marked message of a source, in its order. InputError with file and line for a mark that isn't one."""
    return [marked.message for _, marked in _marks(source, file, is_html=is_html)]


def translated(source: str, file: str, catalogue: Catalogue | None, *, is_html: bool) -> str:
    """The source without marks, in the words of the catalogue; without one in the author's."""
    if catalogue and language_of(catalogue.language.locale) in UNSPACED:
        source = _BETWEEN.sub("", source)
    pieces, end = [], 0
    for found, marked in _marks(source, file, is_html=is_html):
        pieces += [source[end : found.start()], _resolved(marked, catalogue, is_html=is_html)]
        end = found.end()
    return "".join([*pieces, source[end:]])


def isolated(source: str) -> str:
    """For text from right to left: each value that is filled in stands in a <bdi>, so that a Latin name with a sign at its end doesn't
    turn the signs around it."""

    def isolate(match: re.Match[str]) -> str:
        return f"<bdi>{match[0]}</bdi>" if match[0].startswith("{{") and not _OWN.match(match[0]) else match[0]

    return _IN_TURN.sub(isolate, source)


def unmarked(source: str) -> list[tuple[int, str]]:
    """Line and words of what a reader reads and no mark is around: it would be the same in every language."""
    rest = _TRANS.sub(lambda found: "\n" * found[0].count("\n"), source)
    found = [
        (rest.count("\n", 0, span.start()) + 1, constant[1])
        for span in _SPAN.finditer(rest)
        for constant in _CONSTANT.finditer(span[0])
    ]
    blank = _UNREAD.sub(lambda match: "\n" * match[0].count("\n"), rest)
    found += [(line, words.strip()) for line, words in enumerate(blank.splitlines(), 1) if _LETTER.search(words)]
    return sorted(found)


def placeholders(words: str) -> frozenset[str]:
    """Names of the placeholders of a message or translation."""
    return frozenset(PLACEHOLDER.findall(words))


def _marks(source: str, file: str, *, is_html: bool) -> Iterator[tuple[re.Match[str], _Marked]]:
    rest = _TRANS.sub(lambda found: "\n" * found[0].count("\n"), source)
    if stray := _LEFT_OVER.search(rest):
        line = rest.count("\n", 0, stray.start()) + 1
        raise InputError(f"{file}:{line}: found {stray[0]} alone, allowed: {{% trans %}}…{{% endtrans %}}")
    for found in _TRANS.finditer(source):
        place = f"{file}:{source.count(chr(10), 0, found.start()) + 1}"
        yield found, _read(found[1], found[2], file, place, is_html=is_html)


def _read(head: str, body: str, file: str, place: str, *, is_html: bool) -> _Marked:
    given = {match[1]: match[2] for match in _GIVEN.finditer(head)}
    if _GIVEN.sub("", head).strip():
        raise InputError(f"{place}: found {head.strip()} in trans, allowed: name=expression, by commas")
    parts = _PLURALIZE.split(body)
    bodies = tuple(parts[::2])
    if len(bodies) > 2:  # noqa: PLR2004
        raise InputError(f"{place}: found two pluralize in one trans, allowed: one")
    filled: dict[str, str] = {}
    texts = [_text(each, given, filled, place, is_html=is_html) for each in bodies]
    if not PLACEHOLDER.sub("", texts[0]).strip():
        raise InputError(f"{place}: found no words in trans, allowed: words to be translated")
    if len(texts) == 1:
        return _Marked(Message(texts[0], file=file, note=_note(given)), bodies, filled)
    counted = parts[1] or next(iter(given), None) or next(iter(filled), None)
    if counted is None or counted not in {**given, **filled}:
        raise InputError(f"{place}: found no count in trans, allowed: {{% trans count=… %}} before a pluralize")
    count = given.get(counted, counted)
    return _Marked(Message(texts[0], texts[1], counted, file, _note(given)), bodies, filled, count)


def _text(body: str, given: Mapping[str, str], filled: dict[str, str], place: str, *, is_html: bool) -> str:
    """The message of a body; what its placeholders are is put into `filled`."""

    def name(match: re.Match[str]) -> str:
        value = match["value"]
        if not _NAME.fullmatch(value):
            raise InputError(f"{place}: found {{{{ {value} }}}} in trans, allowed: a name; {{% trans name={value} %}}")
        tag = match["tag"] or ""
        said = f"{tag}{{{{ {given.get(value, value)} }}}}{tag.replace('<', '</')}"
        if filled.setdefault(value, said) != said:
            raise InputError(f"{place}: found {value} with and without a tag, allowed: one of both")
        return f"%({value})s"

    text = _FILLED.sub(name, body)
    if _JINJA.search(text):
        raise InputError(f"{place}: found a statement in trans, allowed: words and {{{{ names }}}}")
    if is_html:
        if tag := _TAG.search(text):
            raise InputError(f"{place}: found {tag[0]} in trans, allowed: a tag around one name, or outside")
        text = html.unescape(text)
    return " ".join(text.split()).replace("\u2019", "'")  # a text part writes it plainly: one message for both


def _note(given: Mapping[str, str]) -> str:
    return ", ".join(f"{name}: {expression}" for name, expression in given.items() if name != expression)


def _resolved(marked: _Marked, catalogue: Catalogue | None, *, is_html: bool) -> str:
    if catalogue is None:
        forms = [_FILLED.sub(lambda match: marked.filled[match["value"]], body) for body in marked.bodies]
        return forms[0] if len(forms) == 1 else _choice(marked.count, forms)
    words = catalogue.words[marked.message.one]
    for one in words:
        if (unknown := sorted(placeholders(one) - set(marked.filled))) or _JINJA.search(one):
            found = f"%({unknown[0]})s" if unknown else "marks of a template"
            allowed = ", ".join(f"%({name})s" for name in sorted(marked.filled)) or "words alone"
            raise InputError(f"{catalogue.file}: {marked.message.one!r}: found {found} in {one!r}, allowed: {allowed}")
    forms = [PLACEHOLDER.sub(lambda match: marked.filled[match[1]], _escaped(one, is_html=is_html)) for one in words]
    return forms[0] if marked.message.many is None else _choice(marked.count, forms)


def _escaped(words: str, *, is_html: bool) -> str:
    return html.escape(words, quote=False) if is_html else words


def _choice(count: str, forms: Sequence[str]) -> str:
    """`{% if %}` over the forms; the last one, which every language has for what is left, stands for all that nothing else fits."""
    if len(set(forms)) == 1:
        return forms[0]
    tests = [
        f"{{% {'elif' if index else 'if'} ({count})|{PLURAL_FORM} == {index} %}}{form}"
        for index, form in enumerate(forms[:-1])
    ]
    return f"{''.join(tests)}{{% else %}}{forms[-1]}{{% endif %}}"
