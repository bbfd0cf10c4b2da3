"""The mails that are measured: the project's own templates for invented people, from plan to release as a tick would do it."""

from __future__ import annotations

import dataclasses
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Literal

from dagster_project.adapters.clock import utc_now
from dagster_project.adapters.compiled import CompiledTemplate
from dagster_project.adapters.letterhead import Letterhead
from dagster_project.adapters.templates import Library, load_templates
from dagster_project.ledger import open_ledger
from dagster_project.lifecycle.campaign import LegalBasis, Locales, MessageType
from dagster_project.lifecycle.drafting import Batch, draft_all
from dagster_project.lifecycle.links import unsubscribe_url
from dagster_project.lifecycle.message import Draft, Mode, PlannedMessage
from dagster_project.lifecycle.mime import Built
from dagster_project.lifecycle.template import Context, FactSpec
from dagster_project.settings import PROJECT_ROOT

CUSTOMER_DOMAINS = tuple(f"customer{number}.example" for number in range(20))
AS_OF = datetime.fromisoformat("2026-11-21T09:00:00")
PACK, RUN_ID = "bench", "bench-run"
SENDER, DOMAIN = "Ledgerline <hello@ledgerline.example>", "ledgerline.example"
ADDRESS = "Ledgerline GmbH, Hauptstr. 1, 10827 Berlin"
PUBLIC_URL, LINK_KEYS = "https://mail.ledgerline.example", ("bench" * 8,)
RELEASED_FOR = timedelta(days=3)  # longer than any run
SELECTOR = "bench"
FIRST_NAMES = ("Ada", "Jürgen", "Zoë", "陽子", "José", "Priya", "O'Brien", "Amélie", "Noah", "Grace", "محمد", "Lena")
COMPANIES = ("Amber Analytics", "Birch Bakery", "Cobalt Freight", "Nordwind Labs", "Fjord & Co", "Käthe Studios")
WORDS = ("connect a data source", "share the first report", "invite a colleague", "weekly digest", "pivot tables")


class Stopwatch:
    """Seconds by name, added up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - started


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """What drafting asks of a campaign's policy."""

    title: str
    mode: Mode = "template"
    legal_basis: LegalBasis = "consent"
    message_type: MessageType = "product_tips"
    risk: Literal["low", "high"] = "low"
    review: str = "none"
    locales: Locales = dataclasses.field(default_factory=lambda: Locales(fallback="en"))


@cache
def library() -> Library:
    return load_templates(PROJECT_ROOT / "templates")


def planned(number: int) -> PlannedMessage:
    """The message of the invented person with this number: the same one every time. Campaigns take turns."""
    campaigns = library().campaigns
    campaign = campaigns[number % len(campaigns)]
    chance = random.Random(number)
    spec = library().get(campaign, "default").spec
    return PlannedMessage(
        message_id=f"m{number:09}",
        campaign_id=campaign,
        user_id=f"u{number}",
        account_id=f"a{number // 10}",
        occurrence_key="bench",
        decision_id=f"d{number}",
        policy_hash="0" * 64,
        message_type="product_tips",
        channel="email",
        variant="default",
        locale="en",
        email=f"person{number}@{CUSTOMER_DOMAINS[number % len(CUSTOMER_DOMAINS)]}",
        facts={name: _fact(name, fact, chance) for name, fact in spec.facts.items()},
        send_after=None,
        send_before=None,
        caps="[[1,24],[3,168]]",
    )


def _fact(name: str, spec: FactSpec, chance: random.Random) -> str | int | float:
    match spec.type:
        case "number":
            return chance.randint(1, 40)
        case "percent":
            return chance.random()
        case "date":
            return f"2026-12-{chance.randint(1, 28):02}"
        case _:
            return chance.choice({"first_name": FIRST_NAMES, "account_name": COMPANIES}.get(name, WORDS))


def link(message: PlannedMessage) -> str:
    return unsubscribe_url(PUBLIC_URL, LINK_KEYS, message.user_id, message.message_type)


def context(message: PlannedMessage) -> Context:
    return Context("Ledgerline", ADDRESS, message.campaign_id, link(message))


def template(message: PlannedMessage) -> CompiledTemplate:
    return library().get(message.campaign_id, message.variant)


def drafted(messages: Sequence[PlannedMessage]) -> Batch:
    """Rendered as the tick renders them: one after the other, in one process."""
    return draft_all(
        messages,
        policies={name: Policy(name) for name in library().campaigns},
        template_of=library().get,
        sender_name="Ledgerline",
        postal_address=ADDRESS,
        unsubscribe_url=link,
        phrases={},
    )


def stand_in(message: PlannedMessage, octets: int) -> Draft:
    """A draft with so much HTML that took no rendering, for where only its size counts."""
    words = f"<p>{message.message_id} for {message.user_id}</p>\n"
    return Draft(
        message_id=message.message_id,
        mode="template",
        mode_asked="template",
        fallback_reason=None,
        locale="en",
        subject="Your trial ends soon",
        preheader="",
        html=words * max(1, octets // len(words)),
        text=f"{message.message_id}\n",
        unsubscribe_url=link(message),
        recipe={"template": "0" * 64, "facts": "0" * 64},
    )


def built(message: PlannedMessage, draft: Draft) -> Built:
    """The mail as a worker builds it, unsigned."""
    return letterhead().signed(draft, message.email, AS_OF)


def prebuilt(count: int) -> list[Built]:
    """So many different mails, unsigned."""
    messages = [planned(number) for number in range(count)]
    return [built(*pair) for pair in zip(messages, drafted(messages).drafts, strict=True)]


def mean_octets(sample: int = 220) -> int:
    """Of a mail as it is sent, without a signature: headers and content."""
    return round(sum(len(mail.raw) for mail in prebuilt(sample)) / sample)


def letterhead(keys: Sequence[Any] = ()) -> Letterhead:
    return Letterhead(SENDER, DOMAIN, AS_OF, tuple(keys))


def make_key(kind: str, folder: Path) -> Path:
    """A fresh private key in PEM: `rsa` (2048 bits) or `ed25519`."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

    key = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ed25519.Ed25519PrivateKey.generate()
    file = folder / f"{kind}.pem"
    file.touch(mode=0o600)
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return file


def release(
    url: str, count: int, *, at_once: int = 100_000, draft_of: Callable[[PlannedMessage], Draft] | None = None
) -> dict[str, float]:
    """Bring so many messages from plan to release in a fresh ledger, `at_once` in one call; seconds of each step.

    `render` has no I/O and is the tick's drafting; the others are the ledger's. `draft_of` stands in for the templates.
    """
    watch = Stopwatch()
    library()  # compiled once, before the clock runs
    with open_ledger(url, utc_now) as ledger:
        ledger.begin_tick(RUN_ID, AS_OF, PACK)
        for numbers in _chunks(count, at_once):
            messages = [planned(number) for number in numbers]
            if draft_of is None:
                with watch.on("render"):
                    batch = drafted(messages)
                drafts, artifacts = batch.drafts, batch.artifacts
            else:
                drafts, artifacts = tuple(draft_of(message) for message in messages), {}
            if len(drafts) != len(messages):
                raise RuntimeError(f"{len(messages) - len(drafts)} of {len(messages)} messages could not be drafted")
            with watch.on("plan"):
                ledger.plan(messages, RUN_ID, AS_OF, PACK)
            with watch.on("draft"):
                ledger.put_artifacts(artifacts)
                ledger.record_drafts(drafts, RUN_ID, AS_OF)
            with watch.on("route"):
                ledger.route({message.message_id: "approved" for message in messages}, RUN_ID, AS_OF)
        ledger.record_gate(RUN_ID, AS_OF, "decide", True, [])
        with watch.on("release"):
            ledger.release(RUN_ID, AS_OF, PACK, ["decide"], RELEASED_FOR, "policy")
    return dict(watch.seconds)


def _chunks(count: int, size: int) -> Iterator[range]:
    for start in range(0, count, size):
        yield range(start, min(start + size, count))
