"""Rules about words that no reader should get: placeholders, names that are missing, tests. Each gives None, or what it found. Pure."""

from __future__ import annotations

import functools
import re
from html import unescape

from dagster_project.lifecycle.lint.reading import TAG, VISIBLE, Mail

_STYLE = re.compile(r"<style\b.*?</style>", re.IGNORECASE | re.DOTALL)
_PLACEHOLDER = re.compile(
    r"\{\{|\}\}|\{%|%\}|\$\{|%7[Bb]%7[Bb]|%%[A-Za-z_][\w. -]*%%|\*\|[^|\n]+\|\*|<%"
    r"|\[\[[^\[\]\n]*\]\]|\[object Object\]|\bundefined\b"
)
# The words a machine writes where a value is missing, as it writes them: a person called Null or Nan gets their mail.
_NOTHING = frozenset({"None", "null", "NULL", "nil", "undefined", "NaN", "nan", "N/A"})
_NOBODY_IN_SUBJECT = re.compile(r"(?:^|, )(None|null|NULL|nil|undefined|NaN|nan|N/A)(?=[,!?.:]|$)")
_GREETINGS = (
    "Hi", "Hello", "Hey", "Dear", "Welcome", "Good morning", "Good afternoon", "Good evening", "Hallo", "Liebe",
    "Guten Morgen", "Guten Tag", "Guten Abend", "Bonjour", "Cher", "Ch\u00e8re", "Salut", "Hola", "Estimad", "Ciao", "Ol\u00e1",
)  # fmt: skip
_GREETED = re.compile(rf"\s*(?:{'|'.join(_GREETINGS)})[a-z]?\b([^,!.:;?\n]{{0,60}})(.?)")
_GREETED_WORDS = 3  # "Hi there None": more words than these are a sentence
_GREETING_CHARS, _GREETING_LINES, _GREETING_PIECES = 200, 3, 10  # at the top; in HTML after preheader, sender and title
_NAME_MARK = re.compile(r"\[[A-Za-z][\w ]*\]$|\{\w+|%[A-Za-z]\w*%|\$[A-Za-z_]\w*|<[A-Za-z]\w*")
_FIRST_LINE_CHARS = 200
# A line is a test's when it *is* test wording or begins with it. "Your test results are ready", "A/B test: variant B won",
# "Latest", "Contest" and "Integration tests failed on main" are facts of a product and pass. A thing in the singular right
# after "test" makes a name ("Test mail"), with which no fact begins; a plural or an article makes an invitation ("Test your
# dashboard"), which passes. Alone, such words are a test's in any case.
_KIND = (
    r"(?:(?:integration|smoke|unit|system|load|e2e|end-to-end|regression|qa|dev|staging|internal|deliver(?:y|ability)"
    r"|template|seed|sample|dummy|do[ -]not[ -]reply|no-?reply)[ _-]+)?"
)
_THING = r"(?:e-?mail|mail|mailing|message|newsletter|campaign|send|sending|template|broadcast|blast|subject)"
_TEST_WORDING = re.compile(
    rf"""[\W\d_]*(?:
      {_KIND}test(?:s|ing)?(?:[\W\d_]+(?:tests?|testing|{_THING}|only|one|two|three))*[\W\d_]*$  # nothing but test words
    | {_KIND}test(?:ing)?[ _-]?{_THING}\b                                                      # Test mail, Testmail
    | {_KIND}test(?:ing)?(?:\s*[:|]|\s+[-\u2013\u2014])\s                                      # TEST: Welcome
    | (?:do[ -]not[ -]reply|no-?reply)\W+tests?\b
    | (?:this\ is\ )?(?:just|only)?\ ?an?\ {_KIND}test\b(?=[\W\d_]*$|\ (?:{_THING}|of)\b)      # This is a test of …
    | asdf | qwerty\b
    )
  | \s*[\[({{<*]+\s*{_KIND}(?:test(?:ing)?|staging|draft|dummy)\s*[\])}}>*]                    # [TEST] Welcome
  | .*(\blorem\ ipsum\b)
  | .*(\bintegration\ tests?\ (?:only|e-?mail)\b)                                              # HBO Max, both lines
  | .*(\b(?:ignore|disregard)\ this\ test\b)""",
    re.IGNORECASE | re.VERBOSE,
)


def find_test_wording(line: str) -> str | None:
    """The words by which a subject or first line is a test's; None for a line that may go to everybody."""
    found = _TEST_WORDING.match(line)
    return (found[1] or found[2] or found[3] or found[0]).strip() if found else None


def placeholder(mail: Mail) -> str | None:
    words = TAG.join([mail.subject, mail.text, mail.visible, *mail.links])
    # each of the marks has one of these: to look for characters costs a tenth of looking for the pattern
    if not (
        "{" in words or "}" in words or "[" in words or "%" in words or "*" in words or "<" in words
        or "undefined" in words
    ):  # fmt: skip
        return None
    found = _PLACEHOLDER.search(words)
    if found and "<style" in mail.html:  # the braces of a style in the body are no placeholder
        visible = VISIBLE.findall(_STYLE.sub("", mail.html))
        found = _PLACEHOLDER.search(TAG.join([mail.subject, mail.text, *visible, *mail.links]))
    return found[0] if found else None


def nameless_greeting(mail: Mail) -> str | None:
    if found := _NOBODY_IN_SUBJECT.search(mail.subject):
        return found[1]
    lines = mail.text[:_GREETING_CHARS].split("\n", _GREETING_LINES)[:_GREETING_LINES] + mail.pieces[:_GREETING_PIECES]
    for at, line in enumerate(lines):
        if line.lstrip().startswith(_GREETINGS):
            found = _missing_name(line)
            if found == "":  # the name may be in an element of its own
                found = _missing_name(TAG.join(lines[at : at + 3]))
            if found:
                return found
    return None


@functools.lru_cache(maxsize=1024)
def _missing_name(line: str) -> str | None:
    """What stands in a greeting instead of a name; None when all is well, "" when the line ends before a name."""
    found = _GREETED.match(unescape(line))
    if not found:
        return None
    greeted, end = found[1].replace("\xa0", " "), found[2]
    words = greeted.replace(TAG, " ").split()
    if not words:
        return "" if not end else "no name" if end == "," and " " in greeted else None
    if mark := _NAME_MARK.match(" ".join(words)):
        return mark[0]
    return words[-1] if len(words) <= _GREETED_WORDS and words[-1] in _NOTHING else None


def test_wording(mail: Mail) -> str | None:
    first_line = mail.text[:_FIRST_LINE_CHARS].lstrip().partition("\n")[0]
    lower = f"{mail.subject} {first_line}".lower()
    if (
        "test" in lower or "lorem" in lower or "asdf" in lower or "qwerty" in lower or "staging" in lower
        or "draft" in lower or "dummy" in lower
    ):  # fmt: skip
        return find_test_wording(mail.subject) or find_test_wording(first_line)
    return None
