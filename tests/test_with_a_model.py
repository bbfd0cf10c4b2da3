"""Whole ticks with a real HTTP server that speaks OpenAI's protocol: one that writes well, obeys attackers, invents, fails."""

from __future__ import annotations

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from datetime import datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dagster_project.commands.plan import plan
from dagster_project.commands.run import Report
from dagster_project.home import Home
from tests.careful_writer import Careful
from tests.http_server import PromptServer
from tests.model_server import PATH, PLEASED, SILENT, WELL, as_json, role_of, shown

pytestmark = pytest.mark.slow

MORNING = datetime(2026, 9, 1, 9)
ROOT = Path(__file__).parents[1]
Tick = Callable[..., Report]
Write = Callable[[str, list[str]], str]  # slot, the tokens that it must use -> text


class Model:
    """A server whose answers are made by `write`; it keeps every byte that it was sent."""

    def __init__(self, server: HTTPServer) -> None:
        self.received: list[bytes] = []
        self.roles: list[str] = []
        self.texts: Counter[str] = Counter()  # by role: what it was asked about
        self.failing: set[str] = set()
        self.down = ""  # the model that fails
        self.write: Write | None = None  # None: well
        self.status = 200
        self.pattern = ""  # of the call that is being answered: one at a time
        self.url = server.url_for("/v1")
        server.expect_request("/v1/chat/completions", method="POST").respond_with_handler(self.answer)

    def answer(self, request: Request) -> Response:
        self.received.append(f"{request.url}\n{request.headers}\n".encode() + request.get_data())
        asked = json.loads(request.get_json()["messages"][1]["content"])
        self.roles.append(role := role_of(request))
        self.texts[role] += len(shown(request))
        if role in self.failing or request.get_json()["model"] == self.down:
            return as_json({"error": {"message": "no"}}, 500)(request)
        if role != "writer":
            return (PLEASED if role == "reviewer" else SILENT)(request)
        self.pattern = json.dumps(
            {key: asked[key] for key in ("campaign", "locale", "facts", "ranges", "placeholders")}
        )
        write = self.write or well_in(asked["locale"])
        words = {name: write(name, slot["must_use"]) for name, slot in asked["slots"].items()}
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": json.dumps(words)}}
        body = {
            "id": "c", "object": "chat.completion", "created": 1, "model": "small-1", "choices": [choice],
            "usage": {"prompt_tokens": 300, "completion_tokens": 40, "total_tokens": 340},
        }  # fmt: skip
        return Response(json.dumps(body), status=self.status, content_type="application/json")


def well_in(locale: str) -> Write:
    return lambda slot, tokens: " ".join([WELL[locale], *tokens])


@pytest.fixture
def server() -> Iterator[HTTPServer]:
    with PromptServer(host="127.0.0.1") as running:
        yield running


@pytest.fixture
def model(server: HTTPServer) -> Model:
    return Model(server)


def assisted(home: Home, locales: Collection[str] = tuple(WELL)) -> dict[str, tuple[str, str | None]]:
    """message_id -> how its draft was made and why not otherwise, in assisted campaigns, of drafts in these locales."""
    with home.ledger() as ledger:
        return {
            message.message_id: (draft.mode, draft.fallback_reason)
            for message, draft in ledger.drafts(states=None)
            if draft.mode_asked == "assisted" and draft.locale in locales
        }


def mails(home: Home) -> list[str]:
    """The text of every mail in the outbox."""
    parsed = [message_from_bytes(path.read_bytes(), policy=policy.default) for path in home.outbox.rglob("*.eml")]
    return [str(mail.get_body(("plain",)).get_content()) for mail in parsed]  # pyright: ignore[reportOptionalMemberAccess]


def test_a_model_writes_for_everyone_of_a_pattern_and_is_not_asked_twice(
    make_home: Callable[..., Home], tick: Tick, model: Model
) -> None:
    """As many calls as the plan said, its words in the mails, nothing of anybody in what it was sent; an hour later no call."""
    home = make_home(openai_base_url=model.url, openai_api_key="k")
    planned = plan(home, MORNING)
    report = tick(home, MORNING)
    made = assisted(home)

    assert report.error is None
    assert {how for how, _ in made.values()} == {"assisted"}, made
    assert report.model["calls"] == planned["calls"] == len(model.received)
    texts = model.roles.count("writer")
    assert model.texts == dict.fromkeys(("writer", "reviewer", "policy"), texts), "each pattern once in each role"
    assert texts < len(made)
    assert len(model.received) < 3 * texts, "readers are given several texts at once"
    assert report.model == {
        "calls": len(model.received),
        "tokens": 340 * texts + 150 * (reads := len(model.received) - texts),
        "dollars": pytest.approx(((texts * 300 + reads * 120) * 0.15 + (texts * 40 + reads * 30) * 0.60) / 1e6),
        "campaigns": report.model["campaigns"],
    }
    assert sum(one["calls"] for one in report.model["campaigns"].values()) == len(model.received)
    assert {locale for locale, words in WELL.items() if any(words in text for text in mails(home))} >= {
        "en",
        "de",
        "fr",
    }
    sent = b"\n".join(model.received).decode()
    told = " ".join(path.read_text() for path in (ROOT / "templates").rglob("*") if path.is_file())
    for column in ("user_id", "first_name", "email", "account_id", "account_name"):
        rows = home.warehouse.rows(
            f"select distinct {column} as value from int_users_enriched where {column} is not null"
        )
        values = {row["value"] for row in rows}
        assert len(values) > 10
        assert [value for value in values if value not in told and re.search(rf"\b{re.escape(value)}\b", sent)] == []
    with home.ledger() as ledger:
        assert ledger.verify()["ok"]
    calls = len(model.received)
    report = tick(home, MORNING + timedelta(hours=1))

    assert report.error is None
    new = len(model.received) - calls
    assert new == report.model["calls"] < planned["calls"] / 2, "what was known was not asked"
    assert plan(home, MORNING + timedelta(hours=1))["calls"] == 0


MODES = {  # campaign -> how its mails are made, and which of them a person sees first
    "welcome": ("assisted", "none"),
    "feature_next": ("assisted", "sample:0.3"),
    "winback": ("assisted", "risk"),
    "trial_ending": ("assisted", "all"),
    "setup_stalled": ("autonomous", "risk"),
    "churn_risk": ("autonomous", "all"),
}


def test_every_mode_and_review_goes_its_way_in_every_language(
    make_home: Callable[..., Home], tick: Tick, project: Path, server: HTTPServer
) -> None:
    """A careful writer in six languages: each text is taken, each draft goes where its review says, and each mail is whole: its own
    language, no token, no empty paragraph."""
    for campaign, (mode, review) in MODES.items():
        policy = project / "dbt_project/models/intermediate/score/triggers" / f"int_triggers__{campaign}.yml"
        text = re.sub(r"(?m)^( +mode:) \S+", rf"\1 {mode}", policy.read_text())
        policy.write_text(re.sub(r"(?m)^( +review:) \S+", rf"\1 {review}", text))
    home = make_home(project=project, openai_base_url=server.url_for("/v1"), openai_api_key="k")
    titles = {policy.title: name for name, policy in home.policies.items()}
    server.expect_request(PATH, method="POST").respond_with_handler(Careful(titles))
    report = tick(home, MORNING)
    with home.ledger() as ledger:
        drafts = ledger.drafts(states=None)
        routes = {
            one.message_id: one.route_reason for one in ledger.reviews([message.message_id for message, _ in drafts])
        }

    assert report.error is None
    assert {draft.locale for _, draft in drafts} == set(WELL)
    seen: dict[str, set[str | None]] = {}
    for message, draft in drafts:
        mode, review = MODES.get(message.campaign_id, ("template", ""))
        assert (draft.mode, draft.mode_asked, draft.fallback_reason) == (mode, mode, None), message.campaign_id
        words = f"{draft.subject}\n{draft.preheader}\n{draft.text}"
        assert not re.search(r"\{\{|\}\}|\[\[|\u2068|None|\n\n\n", words), words
        assert "<p></p>" not in draft.html
        assert f'lang="{draft.locale}"' in draft.html
        seen.setdefault(review, set()).add(routes[message.message_id])
    assert seen["none"] == {"review_none"}
    assert seen["sample:0.3"] == {"sampled", "not_sampled"}
    assert seen["risk"] == {"no_risk"}
    assert seen["all"] == {"review_all"}


ATTACKS: dict[str, tuple[Write, str]] = {
    "a link": (lambda slot, tokens: "See https://evil.example/win for it.", "guard:link"),
    "a reference link": (lambda slot, tokens: "See [here][1] for it.", "guard:markup"),
    "a discount": (lambda slot, tokens: "You have 20% off from here on.", "guard:number"),
    "a guarantee": (lambda slot, tokens: "Success is guaranteed for you.", "guard:claim"),
    "a deadline": (lambda slot, tokens: "Have a look before Friday.", "guard:date"),
    "another's name": (lambda slot, tokens: "Ask Marie about it.", "guard:name"),
    "its own instruction": (
        lambda slot, tokens: "No number, price, percentage, date, deadline, promise or comparison that is not here.",
        "guard:leak",
    ),
    "a template": (lambda slot, tokens: "Hello {{ config }} and {% x %}.", "guard:unknown_placeholder"),
    "another language": (
        lambda slot, tokens: "Tutto è rimasto al suo posto, e nulla manca dalla vostra visita.",
        "guard:language",
    ),
}


def test_a_model_that_obeys_somebody_else_reaches_nobody(
    make_home: Callable[..., Home], tick: Tick, model: Model
) -> None:
    """Each slot is attacked in another way, and in the same when it is asked for once more: the template's own words go out, each
    with the reason; no mail has a word of it."""
    home = make_home(openai_base_url=model.url, openai_api_key="k")
    attacks, chosen = itertools.cycle(ATTACKS), dict[str, str]()

    def obey(slot: str, tokens: list[str]) -> str:
        return ATTACKS[chosen.setdefault(model.pattern + slot, next(attacks))][0](slot, tokens)

    model.write = obey
    report = tick(home, MORNING)
    words = [write("", []) for write, _ in ATTACKS.values()]

    assert report.error is None
    assert len(chosen) == len(model.received) >= len(ATTACKS), (
        "two slots for each pattern: every attack was made, and made again; the guards let nobody else read them"
    )
    assert {how for how, _ in assisted(home).values()} == {"template"}
    assert set(report.fallbacks) <= {reason for _, reason in ATTACKS.values()}, (
        "in Arabic and Japanese English words are names"
    )
    assert mails(home)
    assert not [text for text in mails(home) if "evil.example" in text or any(one in text for one in words)]


@pytest.mark.parametrize("calls", [0, 7])
def test_a_budget_holds_and_everyone_is_drafted(
    make_home: Callable[..., Home], tick: Tick, model: Model, calls: int
) -> None:
    """The patterns that are left say so; what is begun is read by all."""
    home = make_home(openai_base_url=model.url, openai_api_key="k", model_calls_per_run=calls)
    report = tick(home, MORNING)

    assert report.error is None
    assert calls - 3 < len(model.received) == report.model["calls"] <= calls
    assert report.fallbacks["over_budget"] > 0
    assert set(assisted(home).values()) <= {("assisted", None), ("template", "over_budget")}


def test_a_server_that_fails_costs_three_calls_and_no_mail(
    make_home: Callable[..., Home], tick: Tick, model: Model
) -> None:
    """Everybody is drafted in the template's words."""
    home = make_home(openai_base_url=model.url, openai_api_key="k")
    model.status = 500
    report = tick(home, MORNING)

    assert report.error is None
    assert len(model.received) == 3
    assert set(report.fallbacks) == {"server_error"}


@pytest.mark.parametrize("role", ["reviewer", "policy"])
def test_a_text_that_was_not_read_by_all_reaches_nobody(
    make_home: Callable[..., Home], tick: Tick, model: Model, role: str
) -> None:
    """After three failures nobody is asked any more; everyone has the template's words, and the reason is in the report."""
    home = make_home(openai_base_url=model.url, openai_api_key="k")
    model.failing = {role}
    report = tick(home, MORNING)

    assert report.error is None
    assert model.roles.count(role) == 3
    assert (
        {f"{role}:server_error", "server_error"}
        <= set(report.fallbacks)
        <= {
            "reviewer:server_error",
            "policy:server_error",
            "server_error",
        }
    ), "who is given up in one role is asked in none"
    assert {how for how, _ in assisted(home).values()} == {"template"}
    assert not [text for text in mails(home) if "Everything is where you left it" in text]


def test_the_next_model_writes_where_the_first_fails_and_is_not_asked_again(
    make_home: Callable[..., Home], tick: Tick, model: Model
) -> None:
    """The recipe of each draft names the one that wrote; an hour later what is known isn't asked, though another wrote it."""
    home = make_home(openai_base_url=model.url, openai_api_key="k", model="down,up")
    model.down = "down"
    report = tick(home, MORNING)
    with home.ledger() as ledger:
        drafts = [draft for _, draft in ledger.drafts(states=None) if draft.mode == "assisted"]
        names = {json.loads(ledger.artifact(draft.recipe["model"]))["model"] for draft in drafts}

    assert report.error is None
    assert report.model["calls"] == len(model.received)
    assert {how for how, _ in assisted(home).values()} == {"assisted"}
    assert names == {"up"}
    assert plan(home, MORNING)["calls"] == 0
