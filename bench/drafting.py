"""One case of `draft.py` in a process of its own: `python -m bench.drafting NAME`, as `cases.py` does for delivering.

Drafts are made in groups as a tick makes them, and let go: what the ledger and the warehouse do with them is in no figure.
"""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from bench import mails
from dagster_project.adapters.clock import utc_now
from dagster_project.adapters.expressions import Expression
from dagster_project.adapters.language_model import LanguageModel
from dagster_project.adapters.model_chain import Limits, ModelChain, TimeLeft
from dagster_project.adapters.prompts import load_classes, load_prompts
from dagster_project.adapters.templates import load_phrases
from dagster_project.ledger import Ledger, open_ledger
from dagster_project.lifecycle.budget import Budget, Purse
from dagster_project.lifecycle.drafting import Batch, Model, draft_in_groups
from dagster_project.lifecycle.guards.reading import Phrases
from dagster_project.lifecycle.message import Mode, PlannedMessage
from dagster_project.lifecycle.roles.call import Answer, Question
from dagster_project.lifecycle.roles.reviewer import RUBRICS
from dagster_project.lifecycle.roles.together import Bundle
from dagster_project.settings import PROJECT_ROOT, Settings

KIB_PER_MIB = 1024
LACKING = 20  # one person in so many has no first name, another no company
TEXTS_PER_CALL: int = Settings.model_fields["model_texts_per_call"].default
PROMPTS = PROJECT_ROOT / "templates" / "prompts"
SENTENCE = "Everything is where you left it, and a look takes a moment."
Figures = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """What a case is told: so many recipients, and the folder where its ledger may lie."""

    recipients: int
    folder: str = ""
    processes: int = 1


class Scripted(ModelChain):
    """The chain with its keys and its memory, and in place of a server one sentence for every slot and readers who are pleased."""

    def __init__(self) -> None:
        limits, nobody = Limits(Budget(), {}, 1.0, 1.0, TEXTS_PER_CALL), dict[str, LanguageModel]()
        super().__init__([], nobody.__getitem__, load_prompts(PROMPTS), limits, Purse(Budget(), {}), TimeLeft(1.0, 1.0))
        self.calls = 0

    def _asked(self, bundles: Sequence[Bundle], record: Any) -> list[Answer]:
        self.calls += len(bundles)
        told = []
        for bundle in bundles:
            asked, each = bundle.question, [_content(one) for one in bundle.parts.values()]
            content = each[0] if asked.texts == 1 else {f"text_{at}": one for at, one in enumerate(each, start=1)}
            answer = Answer(content=content, prompt=self._prompts[asked.role], settings=self._settings, was_called=True)
            record([(key, bundle.parts[key], part) for key, part in bundle.answers(answer).items()])
            told.append(answer)
        return told


def _content(question: Question) -> dict[str, Any]:
    if question.role == "writer":
        slots = json.loads(question.content)["slots"]
        return {name: " ".join([SENTENCE, *slot["must_use"]]) for name, slot in slots.items()}
    if question.role == "reviewer":
        return {name: {"score": 5, "why": "It is well."} for name in RUBRICS}
    return {"objections": []}


def recipients(numbers: range, campaigns: Sequence[str] = ()) -> list[PlannedMessage]:
    """Invented people, the same ones every time, of these campaigns, by default of all; some have no name, some no company."""
    taken = (number for number in _unending(numbers.start) if not campaigns or _campaign(number) in campaigns)
    found = [mails.planned(next(taken)) for _ in numbers]
    return [dataclasses.replace(one, facts=_with_gaps(one, place)) for place, one in enumerate(found)]


def _unending(start: int) -> Iterator[int]:
    while True:
        yield start
        start += 1


def _campaign(number: int) -> str:
    campaigns = mails.library().campaigns
    return campaigns[number % len(campaigns)]


def _with_gaps(message: PlannedMessage, place: int) -> dict[str, object]:
    facts, spec = dict(message.facts), mails.template(message).spec
    for name, at in (("first_name", 0), ("account_name", LACKING // 2)):
        if name in facts and not spec.facts[name].required and place // len(mails.library().campaigns) % LACKING == at:
            facts[name] = None
    return facts


def in_groups(
    messages: Sequence[PlannedMessage], mode: Mode = "template", model: Model | None = None
) -> Iterator[Batch]:
    """Drafted as `Home.draft_in_groups` does it, without a home."""
    return draft_in_groups(
        messages,
        policies={name: mails.Policy(name, mode) for name in mails.library().campaigns},
        template_of=mails.library().get,
        sender_name="Ledgerline",
        postal_address=mails.ADDRESS,
        unsubscribe_url=mails.link,
        phrases=phrases(),
        model=model,
    )


@cache
def phrases() -> Mapping[str, Phrases]:
    return load_phrases(PROJECT_ROOT / "templates")


def assisted_campaigns() -> list[str]:
    library = mails.library()
    return [name for name in library.campaigns if library.get(name, "default").spec.slots]


# --- cases ------------------------------------------------------------------------------------------------------------


def filled(order: Order) -> Figures:
    """In the templates' own words."""
    return _timed(recipients(range(order.recipients)))


def hashed(order: Order) -> Figures:
    """The same, and the hash that an approval binds to, which the ledger asks for."""
    return _timed(recipients(range(order.recipients)), is_hashed=True)


def jinja(order: Order) -> Figures:
    """The same drafts, each part rendered by Jinja's own code."""
    Expression.render = Expression.render_plainly
    return _timed(recipients(range(order.recipients)))


def shared(order: Order) -> Figures:
    """In so many processes at once, each its part of the recipients: what the cores would do if nothing was handed over."""
    each = order.recipients // order.processes
    context = multiprocessing.get_context("spawn")
    ready, gate = context.Semaphore(0), context.Event()
    told = context.SimpleQueue()
    processes = [
        context.Process(target=_share, args=(range(number * each, (number + 1) * each), ready, gate, told))
        for number in range(order.processes)
    ]
    for process in processes:
        process.start()
    for _ in processes:
        ready.acquire()
    started = time.perf_counter()
    gate.set()
    figures = [told.get() for _ in processes]
    seconds = time.perf_counter() - started
    for process in processes:
        process.join()
    return {
        "recipients": each * order.processes,
        "seconds": seconds,
        "cpu_seconds": sum(one["cpu_seconds"] for one in figures),
        "before_mib": max(one["before_mib"] for one in figures),
        "peak_mib": max(one["peak_mib"] for one in figures),
    }


def _share(numbers: range, ready: Any, gate: Any, told: Any) -> None:
    messages = recipients(numbers)
    ready.release()
    gate.wait()
    told.put(_timed(messages))


def assisted(order: Order) -> Figures:
    """In the words of known answers, read from a ledger; no call is made."""
    messages = recipients(range(order.recipients), assisted_campaigns())
    with _ledger(order) as ledger:
        _count_calls(ledger, messages)
        return _timed(messages, "assisted", lambda: _remembering(ledger, Scripted()))


def calls(order: Order) -> Figures:
    """How often a model would be asked: in the first run and in the second."""
    found: Figures = {"recipients": order.recipients}
    for name, campaigns in (("winback", ["winback"]), ("all", assisted_campaigns())):
        messages = recipients(range(order.recipients), campaigns)
        with _ledger(dataclasses.replace(order, folder=str(Path(order.folder) / name))) as ledger:
            found[name] = {
                "campaigns": len(campaigns),
                "first": _count_calls(ledger, messages),
                "second": _count_calls(ledger, messages),
            }
    return found


def _ledger(order: Order) -> Any:
    Path(order.folder).mkdir(parents=True, exist_ok=True)
    return open_ledger(f"sqlite:///{order.folder}/ledger.sqlite", utc_now)


def _remembering(ledger: Ledger, scripted: Scripted) -> Model:
    ask = scripted.remembering(ledger.answers, lambda calls: ledger.record_calls(mails.RUN_ID, calls))
    return Model(ask, load_classes(PROMPTS))


def _count_calls(ledger: Ledger, messages: Sequence[PlannedMessage]) -> int:
    scripted = Scripted()
    batch = next(iter(in_groups(messages, "assisted", _remembering(ledger, scripted))))
    if {made.mode for made in batch.drafts} != {"assisted"}:
        raise RuntimeError(f"some answers were not taken: {batch.objections[:3]}")
    return scripted.calls


def _timed(
    messages: Sequence[PlannedMessage],
    mode: Mode = "template",
    model: Callable[[], Model] | None = None,
    *,
    is_hashed: bool = False,
) -> Figures:
    """Seconds of the clock and of the processor; MiB before and at the most, the messages themselves in both."""
    mails.library()
    phrases()
    before, started, cpu = _peak_mib(), time.perf_counter(), time.process_time()
    drafts = 0
    for batch in in_groups(messages, mode, model() if model else None):
        drafts += sum(made.mode == mode for made in batch.drafts)
        if is_hashed:
            for made in batch.drafts:
                _ = made.draft_hash
        del batch
    seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu
    if drafts != len(messages):
        raise RuntimeError(f"{len(messages) - drafts} of {len(messages)} were not drafted in mode {mode}")
    return {
        "recipients": len(messages),
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "before_mib": before,
        "peak_mib": _peak_mib(),
    }


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MIB


CASES = {case.__name__: case for case in (filled, hashed, jinja, shared, assisted, calls)}


def main() -> None:
    print(json.dumps(CASES[sys.argv[1]](Order(**json.load(sys.stdin)))))


if __name__ == "__main__":
    main()
