"""Which excerpts fit a question: the words that are looked for, and the order of what was found. Pure.

Words are compared by their first letters, in every language alike: a stemmer per language would be a download per language.
"""

from __future__ import annotations

import dataclasses
import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence

from dagster_project.lifecycle.knowledge import Excerpt
from dagster_project.lifecycle.roles.writer import WriterRequest
from dagster_project.lifecycle.template import display

STEM = 7  # letters: connecting and connection are one word, a report and the feature called reports are two
VOICES = 1  # excerpts on how the brand speaks, whatever is asked: they answer no question of words
SUBJECT_WEIGHT = 3  # "alerts" says more of what to look up than the rest of a slot's description
TITLE_WEIGHT = 2
LEAST_SHARE = 0.4  # of the best score: what shares a common word with a question is no answer to it
RANK_SMOOTHING = 60  # of reciprocal rank fusion, as its authors had it (Cormack et al., 2009)
BY_VECTOR = 8  # of all eligible excerpts, each is near a question to some degree
_WORD = re.compile(r"[^\W_]+")
_EAST = re.compile("([\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff\u30fc]+)")
_ALEF = str.maketrans({"\u0622": "\u0627", "\u0623": "\u0627", "\u0625": "\u0627", "\u0649": "\u064a", "\u0640": None})
_ARABIC_PREFIX = re.compile(
    "^(?:[\u0648\u0641]?(?:[\u0628\u0643]?\u0627\u0644|\u0644\u0644))(?=..)"
)  # the, and the, by the
# What a slot's description says of itself, and what no question is about. Small on purpose: rarity does the rest.
_STOPPED_WORDS = """a about all an and are as at be by can do each for from give has have here how i in is it its like make more no
not of on one only or our out say says sentence sentences small so that the their them there they this to two up use was we what when
which who why will with without you your"""
_STOPPED = frozenset(_STOPPED_WORDS.split())


def tokens(text: str) -> list[str]:
    """What a text is looked up by: the first letters of its words without accents, pairs of characters where words aren't parted."""
    found: list[str] = []
    for run in _WORD.findall(unicodedata.normalize("NFKC", text).casefold()):
        for piece in [run] if run.isascii() else filter(None, _EAST.split(run)):
            if not piece.isascii() and _EAST.fullmatch(piece):
                found += [piece[at : at + 2] for at in range(max(len(piece) - 1, 1))]
            elif piece not in _STOPPED and (stem := _stem(piece)):
                found.append(stem)
    return found


@functools.lru_cache(maxsize=65_536)
def _stem(word: str) -> str:
    if word.isascii():
        return word[:STEM]
    bare = "".join(char for char in unicodedata.normalize("NFKD", word) if not unicodedata.combining(char))
    bare = _ARABIC_PREFIX.sub("", bare.translate(_ALEF))
    return bare[:STEM]


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """What a pattern is about: nothing of any person."""

    subject: str  # its public facts: what tells it from the campaign's other patterns
    about: str  # the campaign's title and what its template's author wants to be said

    @property
    def text(self) -> str:
        return f"{self.subject}\n{self.about}".strip()

    @property
    def weights(self) -> dict[str, int]:
        """Each word that is looked for, once, and how much it counts."""
        return dict.fromkeys(tokens(self.about), 1) | dict.fromkeys(tokens(self.subject), SUBJECT_WEIGHT)


def sought(request: WriterRequest) -> Question:
    """What a writer asked this would look up."""
    said = [display(value) for value in request.facts.values() if isinstance(value, str)]
    said += [words for words in request.looked_up if words not in said]
    asked = [request.brief] if request.brief else [slot.description for slot in request.slots.values()]
    return Question("\n".join(said), "\n".join([request.campaign_title, *asked]))


def indexed(excerpt: Excerpt) -> list[str]:
    """The words that an excerpt is found by; those of its title count more."""
    return tokens(excerpt.title) * TITLE_WEIGHT + tokens(excerpt.text)


def ranked(scores: Mapping[Excerpt, float]) -> list[Excerpt]:
    """The best first, of equal ones by their ids; what is far behind the best is left out. The best of each article come before
    any article's second: a writer is better served by two matters than by two sections on one."""
    rounded = {excerpt: round(score, 4) for excerpt, score in scores.items()}  # no order by a machine's last digit
    least = max(rounded.values(), default=0.0) * LEAST_SHARE
    found = [excerpt for excerpt, score in rounded.items() if score > 0 and score >= least]
    found.sort(key=lambda excerpt: (-rounded[excerpt], excerpt.id))
    earlier: Counter[str] = Counter()
    turns = []
    for excerpt in found:
        turns.append((earlier[excerpt.article], excerpt))
        earlier[excerpt.article] += 1
    return [excerpt for _, excerpt in sorted(turns, key=lambda turn: turn[0])]


def fused(*orders: Sequence[Excerpt]) -> list[Excerpt]:
    """One order of several: each adds the reciprocal of its rank. So no score of one has to be compared with another's."""
    sums: dict[Excerpt, float] = {}
    for order in orders:
        for rank, excerpt in enumerate(order, 1):
            sums[excerpt] = sums.get(excerpt, 0.0) + 1 / (RANK_SMOOTHING + rank)
    return sorted(sums, key=lambda excerpt: (-round(sums[excerpt], 9), excerpt.id))


def with_voice(eligible: Sequence[Excerpt], found: Sequence[Excerpt]) -> list[Excerpt]:
    """How the brand speaks comes first; the rest as it was found."""
    voices = sorted((one for one in eligible if one.kind == "brand_voice"), key=lambda one: one.id)[:VOICES]
    return voices + [one for one in found if one.kind != "brand_voice"]
