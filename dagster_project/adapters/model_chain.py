"""The language models of one run, asked one after the other until one answers, within what may be spent and waited.

An answer that is known already isn't asked for again. Whatever goes wrong has a name and is an answer, not an exception: the
deterministic mail goes out instead. What is sent holds facts that are public, ranges of others, and placeholders for the rest.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence

from pydantic import SecretStr

from dagster_project.adapters.language_model import SEED, Call, Instructed, LanguageModel
from dagster_project.adapters.model_batch import BatchLimits, ModelBatch
from dagster_project.adapters.model_prices import dollars
from dagster_project.lifecycle.budget import Budget, Cost, Purse
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.roles.call import (
    AT_ONCE,
    BATCH_LATE,
    MALFORMED,
    OUT_OF_TIME,
    OVER_BUDGET,
    OVER_LENGTH,
    Answer,
    Ask,
    Question,
    call_key,
)
from dagster_project.lifecycle.roles.together import Bundle, bundled

LONGEST_WAIT = 1.25  # timeouts that a call may take, however its server drips
PATIENCE = 1.5  # timeouts that a run may lose to calls that fail, and to servers that ask to be left alone
LEAST_SECONDS = 0.05  # with less left, a call isn't worth making
_OF_SEVERAL = (
    MALFORMED,
    OVER_LENGTH,
    OVER_BUDGET,
    "refused",
    "timeout",
)  # may be because several texts were asked about at once

Known = Callable[[Sequence[str]], Mapping[str, Answer]]  # keys -> the answers that came before
Record = Callable[[Sequence[tuple[str, Question, Answer]]], None]


def model_names(setting: str) -> tuple[str, ...]:
    """`a,b,c`: the first is asked, the next where it fails. InputError for an empty or repeated name."""
    names = tuple(name.strip() for name in setting.split(","))
    if not all(names) or len(set(names)) < len(names):
        raise InputError(f"POSTRIDER_MODEL: found {setting!r}; allowed: names of models, comma-separated, each once")
    return names


def settings_of(names: Sequence[str]) -> dict[str, object]:
    """What an answer of any of these models depends on, for its key: whoever answered, the question is answered."""
    return {"models": list(names), "temperature": 0, "seed": SEED}


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """What a run may spend and wait. `campaigns` are the budgets of those that have one."""

    run: Budget
    campaigns: Mapping[str, Budget]
    timeout_seconds: float
    run_seconds: float
    texts_per_call: int = 1  # that a reader is given at once, where they are alike


def open_models(
    *,
    key: SecretStr | None,
    base_url: str | None,
    names: Sequence[str],
    prompts: Mapping[str, bytes],
    limits: Limits,
    spent: Mapping[str, Cost],
    batches: BatchLimits | None = None,
) -> ModelChain | None:
    """The models of one run, which has `spent` so much already by campaign. None where neither key nor base URL is set: then nothing
    is constructed or called."""
    secret = key.get_secret_value() if key else ""
    if not secret and not base_url:
        return None
    if base_url and not re.match(r"https?://[^/\s]+", base_url):
        raise InputError(f"OPENAI_BASE_URL: found {base_url!r}; allowed: http://host[:port]/v1 or https://…")
    _refuse_unpriced(names, limits)
    from openai import OpenAI  # a second that a run without a model need not spend

    def client() -> OpenAI:
        return OpenAI(
            api_key=secret or "none",  # local servers want none, the client insists on one
            base_url=base_url or "https://api.openai.com/v1",  # given, so that no environment variable decides it
            max_retries=0,  # the fallback is free; a retry would hold up the tick
        )

    # A client each: one that is closed on a server that drips leaves the others alone.
    purse = Purse(limits.run, limits.campaigns)
    purse.settle(spent)
    time_left = TimeLeft(PATIENCE * limits.timeout_seconds, limits.run_seconds)

    def opened(name: str) -> LanguageModel:
        return LanguageModel(client(), name)

    batch = ModelBatch(client(), opened(names[0]), batches) if batches else None
    return ModelChain(names, opened, prompts, limits, purse, time_left, batch)


def _refuse_unpriced(names: Sequence[str], limits: Limits) -> None:
    limited = {"POSTRIDER_MODEL_DOLLARS_PER_RUN": limits.run} | {
        f"{campaign_id}: model_budget.dollars": budget for campaign_id, budget in limits.campaigns.items()
    }
    for what, budget in limited.items():
        unpriced = [name for name in names if dollars(name, 1, 1) is None]
        if budget.dollars is not None and unpriced:
            raise InputError(f"{what}: nobody knows the price of {unpriced[0]}; allowed are limits of calls and tokens")


class TimeLeft:
    """What a run may still wait, and what of it may be lost to failures; what is taken is taken from the whole too."""

    def __init__(self, patience: float, seconds: float, whole: TimeLeft | None = None) -> None:
        self._patience, self._seconds, self._whole = patience, seconds, whole

    @property
    def patience(self) -> float:
        return min(self._patience, self._whole.patience) if self._whole else self._patience

    @property
    def seconds(self) -> float:
        return min(self._seconds, self._whole.seconds) if self._whole else self._seconds

    def took(self, seconds: float, is_lost: bool) -> None:
        self._seconds -= seconds
        self._patience -= seconds if is_lost else 0.0
        if self._whole:
            self._whole.took(seconds, is_lost)


class ModelChain:
    """Asks each question of the first model, and of the next where that fails.

    Before a call goes out, the most that it may cost is set aside: what would go over a budget isn't made. The seconds lost to
    failures are counted over the whole run, and when patience is at an end nobody is asked any more.
    """

    def __init__(
        self,
        names: Sequence[str],
        opened: Callable[[str], LanguageModel],
        prompts: Mapping[str, bytes],
        limits: Limits,
        purse: Purse,
        time_left: TimeLeft,
        batch: ModelBatch | None = None,
    ) -> None:
        self._batch = batch
        self._opened, self._limits = opened, limits
        self._purse, self._time = purse, time_left
        self._models, self._prompts = [opened(name) for name in names], prompts
        self._settings = settings_of(names)

    def beside(self, names: Sequence[str], prompts: Mapping[str, bytes]) -> ModelChain:
        """Other models, or the same under other instructions, out of the same budget and time. What they lose to failures ends their part
        at half of the run's patience: the other half is kept for the standing ones."""
        _refuse_unpriced(names, self._limits)
        time_left = TimeLeft(self._time.patience / 2, self._time.seconds, self._time)
        return ModelChain(names, self._opened, prompts, self._limits, self._purse, time_left)

    def affords(self, cost: Cost) -> bool:
        """Whether this run may spend so much more beside its texts; if so, it is set aside until `spend`."""
        return self._purse.set_aside("", cost)

    def spend(self, cost: Cost) -> None:
        """What was asked of the server beside the texts counts in the same budget."""
        self._purse.settle({"": cost})

    def remembering(self, known: Known, record: Record) -> Ask:
        """Asks what `known` doesn't have; the calls of each wave are handed to `record` before the next one goes out."""

        def ask(questions: Sequence[Question]) -> list[Answer]:
            self._purse.redeem()
            keys = [call_key(one, self._prompts[one.role], self._settings) for one in questions]
            found = dict(known(keys))
            new = [(key, one) for key, one in dict(zip(keys, questions, strict=True)).items() if key not in found]
            if self._batch and self._batch.takes(len(new)):
                found |= self._in_a_batch(self._batch, new, record)
                new = [(key, one) for key, one in new if key not in found]
            found |= self._in_waves(new, record)
            return [
                dataclasses.replace(found[key], prompt=self._prompts[one.role])
                for key, one in zip(keys, questions, strict=True)
            ]

        return ask

    def _in_waves(self, new: Sequence[tuple[str, Question]], record: Record) -> dict[str, Answer]:
        """key -> answer. Where a call about several texts fails by what it is, each of them is asked about alone."""
        told: dict[str, Answer] = {}
        left = bundled(new, self._limits.texts_per_call)
        while left:
            again: list[Bundle] = []
            for first in range(0, len(left), AT_ONCE):
                wave = left[first : first + AT_ONCE]
                for bundle, answer in zip(wave, self._asked(wave, record), strict=True):
                    if len(bundle.parts) > 1 and answer.failure in _OF_SEVERAL:
                        again += bundled(list(bundle.parts.items()), 1)
                    else:
                        told |= bundle.answers(answer)
            left = again
        return told

    def _in_a_batch(self, batch: ModelBatch, new: Sequence[tuple[str, Question]], record: Record) -> dict[str, Answer]:
        """What a batch answers, by key, and what the budget keeps out of it. The rest is left to ordinary calls."""
        asked = {key: Instructed(one, self._prompts[one.role]) for key, one in new}
        # With their readers: all texts of a step are written before the first is read, and none may be left unread for want of money.
        within = {key: one for key, one in asked.items() if self._set_aside(batch, one)}
        told = {key: Answer(failure=OVER_BUDGET) for key in asked.keys() - within.keys()}
        calls = (
            {key: one for key, one in zip(within, batch.ask(list(within.values())), strict=True) if one}
            if within
            else {}
        )
        record([(key, asked[key].question, answer) for key, answer in calls.items()])
        self._settle(batch, [(asked[key], answer) for key, answer in calls.items()])
        told |= {key: answer for key, answer in calls.items() if answer.failure not in (BATCH_LATE, "server_error")}
        # So many would have been asked one by one anyway. With more, all texts would be written and time run out before one is read.
        late = [key for key in within if key not in told][batch.above :]
        return told | {key: Answer(failure=BATCH_LATE) for key in late}

    def _asked(self, bundles: Sequence[Bundle], record: Record) -> list[Answer]:
        """One answer per bundle: the first that came, or the last failure."""
        questions = [bundle.question for bundle in bundles]
        asked = [Instructed(one, self._prompts[one.role]) for one in questions]

        def made(place: int, answer: Answer) -> list[tuple[str, Question, Answer]]:
            parts = bundles[place].parts
            return [(key, parts[key], part) for key, part in bundles[place].answers(answer).items()]

        told: dict[int, Answer] = {}
        later: dict[int, tuple[LanguageModel, float]] = {}  # who asked to be asked again, and after how many seconds
        for model in self._models:
            open_places = [place for place in range(len(asked)) if not _is_answered(told.get(place))]
            for place, call in self._calls(model, asked, open_places, record, made):
                told[place] = call.answer if call else told.get(place, Answer(failure=OVER_BUDGET))
                if (
                    call
                    and call.answer.failure
                    and call.retry_after is not None
                    and call.retry_after < self._time.patience
                ):
                    later[place] = model, call.retry_after
        later = {place: one for place, one in later.items() if not _is_answered(told[place])}
        if later:
            self._wait(max(seconds for _, seconds in later.values()))
            for model in self._models:
                again = [place for place, (who, _) in later.items() if who is model]
                told |= {
                    place: call.answer for place, call in self._calls(model, asked, again, record, made, 0.0) if call
                }
        given_up = next((model.last_failure for model in self._models if model.last_failure), OUT_OF_TIME)
        return [told.get(place, Answer(failure=given_up)) for place in range(len(asked))]

    def _calls(
        self,
        model: LanguageModel,
        asked: Sequence[Instructed],
        places: Sequence[int],
        record: Record,
        made: Callable[[int, Answer], Sequence[tuple[str, Question, Answer]]],
        patience: float | None = None,
    ) -> Iterator[tuple[int, Call | None]]:
        """The calls of one model, each with its question's place; None: over a budget. Ends when the model is given up."""
        left = list(places)
        while left and model.room and (seconds := self._seconds()) > LEAST_SECONDS:
            wave, left = left[: model.room], left[model.room :]
            within = [place for place in wave if self._set_aside(model, asked[place])]
            yield from ((place, None) for place in wave if place not in within)
            if not within:
                continue
            started = time.perf_counter()
            calls = model.wave(
                [asked[place] for place in within], seconds, self._time.patience if patience is None else patience
            )
            self._time.took(time.perf_counter() - started, any(call.answer.failure for call in calls))
            record([one for place, call in zip(within, calls, strict=True) for one in made(place, call.answer)])
            self._settle(model, [(asked[place], call.answer) for place, call in zip(within, calls, strict=True)])
            yield from zip(within, calls, strict=True)

    def _set_aside(self, model: LanguageModel | ModelBatch, asked: Instructed) -> bool:
        most = model.most(asked).times(1 + asked.question.followers)
        return self._purse.set_aside(asked.question.campaign_id, most)

    def _settle(self, model: LanguageModel | ModelBatch, made: Sequence[tuple[Instructed, Answer]]) -> None:
        """What these calls cost is spent; for what has to follow the answered ones, so much is kept as was set aside with them."""
        costs: dict[str, Cost] = defaultdict(Cost)
        for asked, answer in made:
            costs[asked.question.campaign_id] += answer.cost
        self._purse.settle(costs)
        for asked, answer in made:
            if answer.failure is None:
                self._purse.promise(asked.question.campaign_id, model.most(asked).times(asked.question.followers))

    def _seconds(self) -> float:
        """So long the next wave may take."""
        return min(LONGEST_WAIT * self._limits.timeout_seconds, self._time.patience, self._time.seconds)

    def _wait(self, seconds: float) -> None:
        time.sleep(seconds)
        self._time.took(seconds, is_lost=True)


def _is_answered(answer: Answer | None) -> bool:
    return answer is not None and (answer.failure is None or answer.failure == OVER_BUDGET)
