"""Vectors of texts from the server of the language model, kept in files under the home: a text is asked for once per model.

They only add to the order that words give. Whatever goes wrong here has a name, and words alone decide.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import BaseModel, SecretStr

from dagster_project.adapters.knowledge import Near
from dagster_project.adapters.language_model import failure_of
from dagster_project.adapters.model_prices import dollars
from dagster_project.lifecycle.budget import Cost
from dagster_project.lifecycle.knowledge import Excerpt
from dagster_project.lifecycle.message import content_hash
from dagster_project.lifecycle.retrieval import BY_VECTOR, Question
from dagster_project.lifecycle.roles.call import OVER_BUDGET, Answer
from dagster_project.lifecycle.roles.call import Question as Asked

if TYPE_CHECKING:
    from openai import OpenAI

NOT_ASKED = "not_asked"  # whoever only plans asks for nothing
TEXTS_PER_CALL = 64  # of at most 1,200 characters: far below what servers take at once
FOLDER = "embeddings"

Vector = np.ndarray[Any, np.dtype[np.float32]]
Affords = Callable[[Cost], bool]  # whether so much more may be spent
Paid = Callable[[str, Asked, Answer], None]  # a call that was made, with its key


class Unavailable(Exception):  # noqa: N818  an answer that isn't there, with its reason
    """No vectors, and why: one word as a fallback's reason has it."""


@dataclasses.dataclass(frozen=True)
class Asking:
    """The server, what one run may still spend on it, and who is told of each call."""

    client: OpenAI
    timeout_seconds: float  # of a whole call
    affords: Affords
    paid: Paid


def connect(key: SecretStr | None, base_url: str | None, timeout_seconds: float) -> OpenAI:
    """A client of its own: to end a late call it is closed, and the writer's must go on."""
    from openai import OpenAI  # a second that a run without embeddings need not spend

    return OpenAI(
        api_key=(key.get_secret_value() if key else "") or "none",
        base_url=base_url or "https://api.openai.com/v1",
        timeout=timeout_seconds,
        max_retries=0,
    )


class Embedder:
    """Orders excerpts by how near their vectors are to a question's. One object serves one run: after a failure nothing is asked."""

    def __init__(self, model: str, server: str, home: Path, asking: Asking | None) -> None:
        """`server` is its base URL: two may call different models by one name. Without `asking` only what is kept counts."""
        self._model, self._asking = model, asking
        self._folder = home / FOLDER / content_hash({"model": model, "server": server})[:16]

    def nearest(self, questions: Sequence[Question], excerpts: Sequence[Excerpt]) -> Near:
        """Of every question an order; of none where a single vector is missing, so that all of a run are found in one way."""
        try:
            vectors = self._vectors([*(one.text for one in questions), *(one.shown for one in excerpts)])
        except Unavailable as reason:
            return Near({}, f"without embeddings: {reason}")
        of_excerpts = {one: vectors[one.shown] for one in excerpts}
        orders = {one: functools.partial(_order, vectors[one.text], of_excerpts) for one in questions}
        return Near(orders, f"with embeddings of {self._model}")

    def _vectors(self, texts: Sequence[str]) -> dict[str, Vector]:
        """text -> its vector of length 1. Raises Unavailable."""
        found = {text: vector for text in texts if (vector := self._kept(text)) is not None}
        missing = list(dict.fromkeys(text for text in texts if text not in found))
        for first in range(0, len(missing), TEXTS_PER_CALL):
            some = missing[first : first + TEXTS_PER_CALL]
            for text, vector in zip(some, self._ask(some), strict=True):
                self._keep(text, vector)
                found[text] = vector
        if len({vector.shape for vector in found.values()}) > 1:
            raise Unavailable("malformed")
        return found

    def _ask(self, texts: Sequence[str]) -> list[Vector]:
        asking = self._asking
        if asking is None:
            raise Unavailable(NOT_ASKED)
        most = sum(len(text.encode()) for text in texts)  # no token is shorter than a byte
        if not asking.affords(Cost(1, most, dollars(self._model, most, 0))):
            raise Unavailable(OVER_BUDGET)
        started = time.perf_counter()
        vectors, failure, tokens = self._call(asking, texts)
        answer = Answer(
            content={"vectors": content_hash(b"".join(one.tobytes() for one in vectors))} if vectors else None,
            failure=failure,
            settings={"embeddings": self._model},
            model=self._model,
            tokens_in=tokens,
            tokens_out=0,
            cost=Cost(1, tokens, dollars(self._model, tokens, 0)),
            seconds=time.perf_counter() - started,
            was_called=True,
        )
        hashes = [content_hash(text) for text in texts]
        key = content_hash({"embeddings": self._model, "texts": hashes})
        asking.paid(key, Asked("embeddings", "", json.dumps(hashes), BaseModel, 0), answer)  # for no campaign alone
        if failure:
            raise Unavailable(failure)
        return vectors

    def _call(self, asking: Asking, texts: Sequence[str]) -> tuple[list[Vector], str | None, int]:
        """Vectors in the texts' order, or a failure; and the tokens that the server counted."""
        pool = ThreadPoolExecutor(1, thread_name_prefix="embeddings")
        asked = pool.submit(
            asking.client.embeddings.create, model=self._model, input=list(texts), encoding_format="float"
        )
        try:
            # The client's timeout is per read: a server that sends a blank every second would hold the tick for ever.
            answer = asked.result(timeout=asking.timeout_seconds)
            tokens = int(answer.usage.prompt_tokens)
            in_order = sorted(answer.data, key=lambda one: one.index)
            if [one.index for one in in_order] != list(range(len(texts))):
                return [], "malformed", tokens
            vectors = [_of_length_one(np.asarray(one.embedding, dtype=np.float32)) for one in in_order]
        except TimeoutError:
            asking.client.close()  # ends the late call
            return [], "timeout", 0
        except Exception as error:  # noqa: BLE001  whatever a server makes the client raise has a name
            return [], failure_of(error), 0
        finally:
            pool.shutdown(wait=False)
        return vectors, None, tokens

    def _file(self, text: str) -> Path:
        return self._folder / f"{content_hash(text)}.npy"

    def _kept(self, text: str) -> Vector | None:
        """A file that can't be read is as good as none: its text is asked for again."""
        try:
            return _of_length_one(np.load(self._file(text), allow_pickle=False))
        except (OSError, ValueError, EOFError):
            return None

    def _keep(self, text: str, vector: Vector) -> None:
        """Whole or not at all: another tick may read at the same time."""
        self._folder.mkdir(parents=True, exist_ok=True)
        beside = self._folder / f"{content_hash(text)}.{os.getpid()}"
        with beside.open("wb") as file:
            np.save(file, vector, allow_pickle=False)
        beside.replace(self._file(text))


def _of_length_one(vector: Vector) -> Vector:
    """Raises ValueError for what is no vector."""
    length = float(np.linalg.norm(vector)) if vector.ndim == 1 and vector.size else 0.0
    if not (np.isfinite(length) and length > 0):
        raise ValueError(f"a vector of length {length}")
    return (vector / length).astype(np.float32)


def _order(question: Vector, vectors: Mapping[Excerpt, Vector], eligible: Sequence[Excerpt]) -> list[Excerpt]:
    """The nearest of these first, of equally near ones by their ids."""
    near = {one: round(float(question @ vectors[one]), 6) for one in eligible}
    return sorted(near, key=lambda one: (-near[one], one.id))[:BY_VECTOR]
