"""The knowledge base on disk: templates/knowledge, read and checked once, and searched by words, offline."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from dagster_project.adapters.yaml_file import read_yaml
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.knowledge import (
    Article,
    Consulted,
    Excerpt,
    Knowledge,
    collected,
    read_article,
    split_front_matter,
    within,
)
from dagster_project.lifecycle.retrieval import Question, fused, indexed, ranked, sought, with_voice
from dagster_project.lifecycle.roles.writer import WriterRequest

FOLDER = "knowledge"
BM25 = "bm25"

AreasOf = Callable[[str, str], Sequence[str]]  # campaign_id, variant -> product areas that it keeps to; none: any


Order = Callable[[Sequence[Excerpt]], list[Excerpt]]  # of these, the nearest to a question first


class Near(NamedTuple):
    """What embeddings say of some questions. A question without an order is answered by words alone."""

    orders: Mapping[Question, Order]
    said: str  # how a recipe tells it


Nearest = Callable[[Sequence[Question], Sequence[Excerpt]], Near]  # questions, and all excerpts that may answer one


def load_knowledge(root: Path) -> Knowledge:
    """Every article under `root`/knowledge; none where there is no such folder. The first mistake is an InputError."""
    folder = root / FOLDER
    return collected(_read(path, root) for path in sorted(folder.rglob("*.md")) if path.is_file())


def _read(path: Path, root: Path) -> Article:
    file = f"templates/{path.relative_to(root).as_posix()}"
    try:
        source = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{file}: found {error}, allowed: a readable UTF-8 file") from None
    front, body = split_front_matter(source, file)
    return read_article(read_yaml(front, f"{file}, front matter"), body, file)


class Index:
    """The words of all excerpts of one version of the knowledge base. An excerpt that a writer may not see is never scored for it, but
    its words count in how rare a word is."""

    def __init__(self, excerpts: Sequence[Excerpt]) -> None:
        self._places = {excerpt: place for place, excerpt in enumerate(excerpts)}
        self._words: dict[str, int] = {}
        texts = [[self._words.setdefault(word, len(self._words)) for word in indexed(excerpt)] for excerpt in excerpts]
        self._scorer: Any = None
        if self._words:
            from bm25s import BM25  # with SciPy half a second, which a run without a model need not spend

            logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets DEBUG, and tells the terminal of each index
            self._scorer = BM25()
            self._scorer.index((texts, self._words), show_progress=False)

    def scores(self, question: Question, eligible: Sequence[Excerpt]) -> dict[Excerpt, float]:
        """Of each eligible excerpt; 0 where it shares no word with the question."""
        words = [
            self._words[word]
            for word, weight in question.weights.items()
            if word in self._words
            for _ in range(weight)  # what is asked twice counts twice
        ]
        if not words or not eligible:
            return dict.fromkeys(eligible, 0.0)
        found = self._scorer.get_scores(words)
        return {excerpt: float(found[self._places[excerpt]]) for excerpt in eligible}


@dataclasses.dataclass(frozen=True)
class Retriever:
    """Finds for a writer what it may look up, within the budget of its context."""

    knowledge: Knowledge
    max_chars: int
    max_excerpts: int
    areas_of: AreasOf

    @functools.cached_property
    def index(self) -> Index:
        return Index(self.knowledge.excerpts)

    @property
    def is_on(self) -> bool:
        return bool(self.max_chars and self.max_excerpts and self.knowledge.articles)

    def inform(
        self, requests: Mapping[str, WriterRequest], as_of: datetime, nearest: Nearest | None = None
    ) -> dict[str, WriterRequest]:
        """The same requests under the same keys, each with what was valid at `as_of` and answers it best."""
        if not (self.is_on and requests):
            return dict(requests)
        questions = {key: sought(request) for key, request in requests.items()}
        eligible = {key: self.eligible(request, as_of) for key, request in requests.items()}
        near = None
        if nearest:
            seen = {excerpt for some in set(eligible.values()) for excerpt in some}
            near = nearest(
                list(dict.fromkeys(questions.values())), [one for one in self.knowledge.excerpts if one in seen]
            )
        return {
            key: dataclasses.replace(request, consulted=self._consulted(questions[key], eligible[key], near))
            for key, request in requests.items()
        }

    def eligible(self, request: WriterRequest, as_of: datetime) -> tuple[Excerpt, ...]:
        """What this writer may see."""
        areas = self.areas_of(request.campaign_id, request.variant)
        return self.knowledge.eligible(request.campaign_id, request.locale, as_of, areas)

    def order(self, question: Question, eligible: Sequence[Excerpt], near: Near | None = None) -> list[Excerpt]:
        """All that was found, the best first, the brand's voice before all."""
        found = ranked(self.index.scores(question, eligible))
        if near and question in near.orders:
            found = fused(found, near.orders[question](eligible))
        return with_voice(eligible, found)

    def _consulted(self, question: Question, eligible: Sequence[Excerpt], near: Near | None) -> Consulted:
        chosen = within(self.order(question, eligible, near), self.max_chars, self.max_excerpts)
        return Consulted(chosen, BM25 if near is None else f"{BM25}, {near.said}")
