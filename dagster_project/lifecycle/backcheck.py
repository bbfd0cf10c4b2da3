"""What can be told of a translation without reading both languages: its placeholders, numbers, marks, length and language. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from dagster_project.lifecycle.guards import characters, language, links, markup
from dagster_project.lifecycle.guards.numbers import readings
from dagster_project.lifecycle.guards.reading import Grounds, Passage
from dagster_project.lifecycle.translation import PLACEHOLDER, Language, Message, form_of, placeholders

_COUNTS = range(201)  # enough to meet every plural form of every language that CLDR has
_NUMBER = re.compile(r"\d+(?:[.,\u00a0\u202f]\d+)*")
_MOST_GROWTH, _GROWTH_OF_A_WORD = (
    2,
    16,
)  # French and German need a third more than English, a single word up to three times


def problems(message: Message, words: Sequence[str], to: Language) -> list[str]:
    """One sentence for each way in which these plural forms can't be a translation of the message; none when nothing is against it."""
    wanted = len({form_of(to.plural)(count) for count in _COUNTS}) if message.many else 1
    if len(words) != wanted:
        return [f"found {len(words)} plural forms, allowed: {wanted}"]
    found = [problem for number, form in enumerate(words) for problem in _of_form(message, form, number, to)]
    return list(dict.fromkeys(found))


def _of_form(message: Message, form: str, number: int, to: Language) -> Iterator[str]:
    if not form.strip():
        yield "found no words, allowed: a translation"
        return
    needed, may = _placeholders(message, number, to)
    used = placeholders(form)
    for name in sorted(needed - used):
        yield f"found no %({name})s in {form!r}, allowed: each placeholder of the author's words"
    for name in sorted(used - needed - may):
        yield f"found %({name})s in {form!r}, allowed: {', '.join(f'%({one})s' for one in sorted(needed | may)) or 'none'}"
    said, told = (_numbers(text) for text in (f"{message.one} {message.many or ''}", form))
    if extra := sorted(told - said):
        yield f"found {extra[0]} in {form!r}, allowed: the author's numbers"
    if lost := sorted(_numbers(message.many or message.one) - told):
        yield f"found no {lost[0]} in {form!r}, allowed: the author's numbers"
    if mark := re.search(r"[{}]", form):
        yield f"found {mark[0]} in {form!r}, allowed: words and placeholders"
    bound = message.max_chars or _MOST_GROWTH * len(message.many or message.one) + _GROWTH_OF_A_WORD
    if len(form) > bound:
        yield f"found {len(form)} characters in {form!r}, allowed: {bound}"
    # A sign or a placeholder alone reads as no language; the guards blank placeholders as they are written in a text.
    passage = Passage("translation", PLACEHOLDER.sub(r"{{\1}}", form))
    plain = Passage("translation", PLACEHOLDER.sub("", form))
    for guard, of in ((markup, plain), (links, plain), (characters, passage), (language, passage)):
        for finding in guard.find(of, Grounds(to.locale)):
            yield f"{finding.sentence} in {form!r}"


def _placeholders(message: Message, number: int, to: Language) -> tuple[frozenset[str], frozenset[str]]:
    """Those that a form must have, and those that it may: "one day" needn't count the day, where the form is said of one number alone."""
    every = placeholders(message.many or message.one)
    if not message.many or not message.counted:
        return every, frozenset()
    rule = form_of(to.plural)
    is_of_one = sum(rule(count) == number for count in _COUNTS) == 1
    return (every - {message.counted}, every) if is_of_one else (every, frozenset())


def _numbers(text: str) -> frozenset[str]:
    return frozenset(min(readings(found)) for found in _NUMBER.findall(PLACEHOLDER.sub("", text)))
