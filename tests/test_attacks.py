"""Attacks through the whole path: in what users write, and by a server that obeys whatever it reads, or emits an attack unasked."""

from __future__ import annotations

import functools
import itertools
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pydantic import SecretStr
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dagster_project.adapters.model_chain import Limits, open_models
from dagster_project.adapters.prompts import load_classes, load_prompts
from dagster_project.adapters.redaction import open_patterns
from dagster_project.adapters.templates import Library, load_phrases, load_templates
from dagster_project.lifecycle.budget import Budget
from dagster_project.lifecycle.drafting import Batch, draft_all
from dagster_project.lifecycle.drafting import Model as Asked
from dagster_project.lifecycle.message import Draft, Mode, PlannedMessage
from dagster_project.lifecycle.redaction import Find
from tests.contented import Policy
from tests.http_server import PromptServer
from tests.lifecycle.guards.test_catalogue import PLANTED
from tests.model_server import objections, role_of, saying, scores

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
PROMPTS = ROOT / "templates" / "prompts"
PHRASES = load_phrases(ROOT / "templates")
GOOD = "Everything is where you left it, and a look takes a moment."
UNSUBSCRIBE = "https://mail.ledgerline.example/u/abc"
LINK = re.compile(
    r"(?:https?://|www\.)[^\s\"'<>]+|\S+@\S+|\b[\w-]+\.(?:com|net|org|io|xyz|info|co|ru|example)\b", re.IGNORECASE
)
CLAIM = re.compile(
    rf"\b(?:{'|'.join(map(re.escape, [*PHRASES['en'].claims, *PHRASES['en'].superlatives]))})\b", re.IGNORECASE
)
SIGHT = re.compile(r"\"([^\"]{3,})\"|'([^']{3,})'|((?:https?://|www\.)\S+|\S+@\S+|\S*\d\S*)")
NEUTRAL = {"first_name": "Ana", "account_name": "Quuxbury", "weeks_away": 5, "ticket_subject": "cannot open a report"}
FEATURES = {"first_name": "Ana", "account_name": "Quuxbury", "used_feature": "dashboards", "next_feature": "alerts"}
LIMITS = {"first_name": "Ana", "account_name": "Quuxbury", "plan": "team", "seats": 10, "account_users": 9}
# campaign -> facts, and those of them that somebody outside can write
FIELDS: dict[str, tuple[Mapping[str, object], tuple[tuple[str, ...], ...]]] = {
    "winback": (NEUTRAL, (("first_name", "account_name"), ("ticket_subject",))),
    "feature_next": (FEATURES, (("first_name",), ("used_feature",))),
    "usage_limit": (LIMITS, (("account_name", "plan"),)),
}
Answer = Callable[[Mapping[str, object]], Mapping[str, str]]  # what was asked -> slot to text


@functools.cache
def patterns() -> Find:
    """Opened once: the library takes a second."""
    return open_patterns("a test")


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """The shipped templates; winback quotes what somebody wrote to support."""
    templates = Path(shutil.copytree(ROOT / "templates", tmp_path / "templates"))
    file = templates / "emails" / "winback" / "default" / "template.yml"
    file.write_text(
        file.read_text().replace(
            "  weeks_away:", "  ticket_subject: {type: text, to_model: redact, max_chars: 200}\n  weeks_away:", 1
        )
    )
    return load_templates(templates)


class Model:
    """An HTTP server that speaks OpenAI's protocol; `answer` makes what it says."""

    def __init__(self, server: HTTPServer) -> None:
        self.answer: Answer = well
        self.calls = 0
        self.url = server.url_for("/v1")
        server.expect_request("/v1/chat/completions", method="POST").respond_with_handler(self._answer)

    def _answer(self, request: Request) -> Response:
        if (role := role_of(request)) != "writer":  # readers are pleased with everything: the guards stand alone
            return saying(scores() if role == "reviewer" else objections())(request)
        self.calls += 1
        asked = json.loads(request.get_json()["messages"][1]["content"])
        message = {"role": "assistant", "content": json.dumps(self.answer(asked))}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        body = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        return Response(json.dumps(body), content_type="application/json")


def well(asked: Mapping[str, object]) -> dict[str, str]:
    """A good answer."""
    return fill(asked, itertools.repeat(GOOD))


def with_tokens(asked: Mapping[str, object]) -> dict[str, str]:
    """A good answer that names whatever it may."""
    slots: Mapping[str, Mapping[str, Sequence[str]]] = asked["slots"]  # pyright: ignore[reportAssignmentType]
    return {name: " ".join([GOOD, *slot["may_use"]]) for name, slot in slots.items()}


def fill(asked: Mapping[str, object], texts: Iterator[str]) -> dict[str, str]:
    """A text for each slot, as long as may be, and for a letter the first call to action."""
    slots: Mapping[str, Mapping[str, int]] = asked["slots"]  # pyright: ignore[reportAssignmentType]
    said = {name: next(texts)[: slot["max_chars"]] for name, slot in slots.items()}
    return said | ({"cta_id": next(iter(asked["ctas"]))} if "ctas" in asked else {})  # pyright: ignore[reportCallIssue,reportArgumentType]


def obedient(asked: Mapping[str, object]) -> dict[str, str]:
    """Repeats what it reads of users' words: all of it; their links, numbers and quotations; when refused, the plainest rest of them."""
    words: list[str] = [*asked.get("quoted", {}).values(), *asked["facts"].values()]  # pyright: ignore[reportAttributeAccessIssue]
    read = " ".join(words)
    if "previous" in asked:
        return fill(asked, itertools.cycle([re.sub(r"[^A-Za-z ,.]|\S*\.\S+", "", read) or GOOD, GOOD]))
    seen = " ".join(part for found in SIGHT.findall(read) for part in found if part)
    return fill(asked, itertools.cycle([read or GOOD, f"{seen or read or GOOD}."]))


@pytest.fixture
def model() -> Iterator[Model]:
    with PromptServer(host="127.0.0.1", threaded=True) as server:
        yield Model(server)


def drafted(
    library: Library, messages: Sequence[PlannedMessage], model: Model | None, mode: Mode = "assisted"
) -> Batch:
    chain = model and open_models(
        key=SecretStr("k"),
        base_url=model.url,
        names=("m",),
        prompts=load_prompts(PROMPTS),
        limits=Limits(Budget(), {}, 30.0, 3_600.0),
        spent={},
    )
    ask = chain.remembering(lambda _: {}, lambda _: None) if chain else None
    modes: dict[str, Mode] = {"winback": mode, "feature_next": "assisted", "usage_limit": "template"}
    return draft_all(
        messages,
        policies={campaign: Policy(mode=found) for campaign, found in modes.items()},
        template_of=library.get,
        sender_name="Ledgerline",
        postal_address="Street 1",
        unsubscribe_url=lambda _: UNSUBSCRIBE,
        phrases=PHRASES,
        model=Asked(ask, load_classes(PROMPTS), patterns=patterns()) if ask else None,
    )


def message(campaign: str, number: str, facts: Mapping[str, object]) -> PlannedMessage:
    return PlannedMessage(
        message_id=f"m-{campaign}-{number}", campaign_id=campaign, user_id=f"user-{number}", account_id=f"account-{number}",
        occurrence_key="once", decision_id="d", policy_hash="p", message_type="product_news", channel="email",
        variant="default", locale="en", email="somebody@customer.example", facts=facts, send_after=None, send_before=None,
    )  # fmt: skip


def attacked(texts: Sequence[str], campaigns: Sequence[str] = tuple(FIELDS)) -> list[PlannedMessage]:
    """For each text a message per group of fields that hold it."""
    return [
        message(campaign, f"{place}-{number}", {**facts, **dict.fromkeys(fields, text)})
        for campaign in campaigns
        for facts, groups in [FIELDS[campaign]]
        for place, fields in enumerate(groups)
        for number, text in enumerate(texts)
    ]


WORDED = ("aria-label", "alt", "title")  # what is read out: the subject's words, escaped


class Shape(HTMLParser):
    """Every tag with its attributes, in order, and every address."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[object, ...]] = []
        self.links: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *((name, None if name in WORDED else value) for name, value in attrs)))
        self.links |= {value or "" for name, value in attrs if name in ("href", "src", "action", "background")}

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}",))


def shapes(library: Library, model: Model, mode: Mode) -> dict[str, set[tuple[tuple[object, ...], ...]]]:
    """campaign -> how its mails are built in the template's words and in a model's, with all facts and with few."""
    model.answer = well
    known: dict[str, set[tuple[tuple[object, ...], ...]]] = {}
    for campaign, (facts, groups) in FIELDS.items():
        for missing in ((), *groups, ("first_name", "account_name")):
            one = message(campaign, "neutral", {**facts, **dict.fromkeys(missing)})
            for batch in (drafted(library, [one], model, mode), drafted(library, [one], None, mode)):
                known.setdefault(campaign, set()).update(tuple(Shape(made.html).tags) for made in batch.drafts)
    return known


def wrong(
    library: Library, made: Draft, asked: PlannedMessage, known: set[tuple[tuple[object, ...], ...]]
) -> list[str]:
    """What is in a mail that the template's own words with the same facts don't have: addresses, numbers, promises, its instruction; and
    whether it is built otherwise than its template."""
    own = drafted(library, [asked], None, "template").drafts[0]
    shape = Shape(made.html)
    words, own_words = (f"{one.subject}\n{one.preheader}\n{one.text}" for one in (made, own))
    prompt = load_prompts(PROMPTS)["writer"].decode()
    found = {
        "address": (shape.links - Shape(own.html).links) | (set(LINK.findall(words)) - set(LINK.findall(own_words))),
        "number": set(re.findall(r"\d+", words)) - set(re.findall(r"\d+", own_words)),
        "claim": {one.lower() for one in CLAIM.findall(words)} - {one.lower() for one in CLAIM.findall(own_words)},
        "leak": {line for line in prompt.splitlines() if len(line) > 40 and line.strip("- ") in words},
        "layout": set() if tuple(shape.tags) in known else {"built otherwise"},
        "token": set(re.findall(r"\{\{|\[[a-z_]+\]", words)) - set(re.findall(r"\{\{|\[[a-z_]+\]", own_words)),
    }
    return [f"{kind}: {one}" for kind, several in found.items() for one in several]


def public_attacks(shared_data: Path) -> list[str]:
    """75 attacks, each alone and at the end of a public mail."""
    groups = json.loads((shared_data / "injection_bipia" / "text_attack_train.json").read_text())
    lines = [line for group in groups.values() for line in group]
    mails = (shared_data / "injection_bipia" / "email_train.jsonl").read_text().splitlines()
    contexts = [json.loads(line)["context"] for line in mails]
    return [
        *lines,
        *(f"{context[-90:]} {line}" for context, line in zip(itertools.cycle(contexts), lines, strict=False)),
    ]


def judged_all(
    library: Library, messages: Sequence[PlannedMessage], batch: Batch, known: Mapping[str, set]
) -> list[str]:
    by_id = {one.message_id: one for one in messages}
    return [
        f"{made.message_id}: {line}"
        for made in batch.drafts
        for line in wrong(library, made, by_id[made.message_id], known[by_id[made.message_id].campaign_id])
    ]


def test_nothing_that_users_write_talks_a_model_into_anything(
    library: Library, model: Model, shared_data: Path
) -> None:
    """Public attacks and the strings that break programs, in each field that somebody outside can write, and a server that repeats all
    it reads: no address, number, promise or instruction in any mail, and each mail is built as its template is."""
    naughty = json.loads((shared_data / "naughty_strings" / "blns.json").read_text())
    texts = [*public_attacks(shared_data), *naughty]
    known = shapes(library, model, "assisted")
    model.answer = obedient
    messages = attacked(texts)
    batch = drafted(library, messages, model)

    assert len(texts) == 150 + 515
    assert model.calls > 300, "what users wrote was read"
    assert len(batch.drafts) > 0.85 * len(messages), Counter(batch.failures.values()).most_common(3)
    assert judged_all(library, messages, batch, known) == []


@pytest.mark.parametrize("mode", ["assisted", "autonomous"])
def test_a_server_that_attacks_unasked_reaches_nobody(
    library: Library, model: Model, shared_data: Path, mode: Mode
) -> None:
    """Every public attack as the answer itself, alone and with an address, a price and a promise; when refused, once more without."""
    goals = public_attacks(shared_data)
    known = shapes(library, model, mode)
    lines = itertools.cycle(goals)
    extras = itertools.cycle(["", " See https://evil.example/win.", " It costs $9.", " You win 50% for free."])

    def attack(asked: Mapping[str, object]) -> dict[str, str]:
        return fill(asked, (next(lines) + ("" if "previous" in asked else next(extras)) for _ in itertools.count()))

    model.answer = attack
    # Each text makes a pattern of its own, so that each is answered by another attack.
    messages = [
        message("winback", str(number), {**NEUTRAL, "ticket_subject": f"cannot open {word}"})
        for number, word in enumerate("".join(pair) for pair in itertools.product("abcdefghijklm", repeat=2))
    ]
    batch = drafted(library, messages, model, mode)
    refused = Counter(made.fallback_reason for made in batch.drafts)

    assert model.calls > 2 * len(messages) - 60
    assert refused[None] < 0.25 * len(messages), refused
    assert judged_all(library, messages, batch, known) == []


def test_every_kind_of_invention_is_caught_on_the_way_to_a_mail(library: Library, model: Model) -> None:
    """More than twenty kinds, each as the answer of a real server: all fall back, none is in a mail."""
    caught = {}
    for kind, text, _ in PLANTED["en"]:
        model.answer = lambda asked, text=text: fill(asked, itertools.cycle([text, GOOD]))
        (made,) = drafted(library, [message("winback", "1", NEUTRAL)], model).drafts
        caught[kind] = (
            made.mode == "template" and text not in made.text and str(made.fallback_reason).startswith("guard:")
        )

    assert len(caught) >= 20
    assert [kind for kind, is_caught in caught.items() if not is_caught] == []


def test_harmless_words_that_look_like_attacks_cost_nobody_a_draft(
    library: Library, model: Model, shared_data: Path
) -> None:
    """339 public texts as names and as a ticket: at most 2 % of good answers are refused for them."""
    texts = [
        one["prompt"]
        for name in ("one", "two", "three")
        for one in json.loads((shared_data / "injection_notinject" / f"NotInject_{name}.json").read_text())
    ]
    model.answer = with_tokens
    batch = drafted(library, attacked(texts, ["winback"]), model)
    refused = [(made.message_id, made.fallback_reason) for made in batch.drafts if made.mode != "assisted"]

    assert len(batch.drafts) == 2 * len(texts) == 678
    assert len(refused) <= 0.02 * len(batch.drafts), refused


def test_no_mail_holds_anybody_elses_facts(library: Library, model: Model) -> None:
    """Four hundred people of a few patterns, each with facts of their own: in each mail are its recipient's alone."""
    model.answer = with_tokens
    people = [
        message(
            campaign,
            str(number),
            {**FIELDS[campaign][0], "first_name": f"Qxname{number}x", "account_name": f"Qxfirm{number}x"},
        )
        for campaign in FIELDS
        for number in range(150)
    ]
    batch = drafted(library, people, model)
    whose = {
        made.message_id: set(
            re.findall(r"Qx(?:name|firm)(\d+)x", made.subject + made.preheader + made.text + made.html)
        )
        for made in batch.drafts
    }

    assert Counter(made.mode for made in batch.drafts) == {"assisted": 300, "template": 150}
    assert model.calls < 10
    assert {one.message_id: whose[one.message_id] for one in people} == {
        one.message_id: {one.message_id.rpartition("-")[2]} for one in people
    }
