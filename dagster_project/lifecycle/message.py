"""The records a message is made of, from decision to bytes. Immutable; no I/O."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Literal

Mode = Literal["template", "assisted", "autonomous"]
State = Literal[
    "planned",
    "drafted",
    "in_review",
    "approved",
    "claimed",
    "sending",
    "sent",
    "deferred",
    "rejected",
    "unknown",
    "cancelled",
]
REFUSED = "refused"  # why a send isn't begun: the message is no longer this worker's, as far as the ledger knows
Outcome = Literal["not_sent", "rejected", "deferred", "sent", "unknown"]
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, default=str)


def content_hash(content: bytes | str | Mapping[str, object]) -> str:
    """SHA-256 in hex. A mapping is hashed in its canonical JSON form (sorted keys, no spaces)."""
    if isinstance(content, Mapping):
        content = _CANONICAL.encode(content)
    return hashlib.sha256(content.encode() if isinstance(content, str) else content).hexdigest()


def words_hash(subject: str, preheader: str, html: str, text: str) -> str:
    """Of a draft's words: the hash of the parts' hashes, for 15 kB as JSON take four times as long."""
    return content_hash("".join(map(content_hash, (subject, preheader, html, text))))


@dataclasses.dataclass(frozen=True, slots=True)
class PlannedMessage:
    """One `send` decision, as the ledger plans it. Times are UTC and naive."""

    message_id: str
    campaign_id: str
    user_id: str
    account_id: str | None
    occurrence_key: str
    decision_id: str
    policy_hash: str
    message_type: str
    channel: str
    variant: str
    locale: str | None  # what the person asked for; the draft says what they get
    email: str
    facts: Mapping[str, object]
    send_after: datetime | None
    send_before: datetime | None  # past this the message is cancelled, never sent late
    caps: str | None = (
        None  # JSON list of [messages, hours] that hold it back; None: neither held back by caps nor counted
    )


@dataclasses.dataclass(frozen=True, slots=True)
class Draft:
    """One rendered message: what a recipient would read, and the recipe that made it."""

    message_id: str
    mode: Mode  # how it was made
    mode_asked: Mode  # how the policy wanted it made
    fallback_reason: str | None  # why the two differ
    locale: str
    subject: str
    preheader: str
    html: str
    text: str
    unsubscribe_url: str | None  # None for transactional mail
    recipe: Mapping[str, str]  # part -> content hash, e.g. {"template": …, "layout": …, "policy": …, "facts": …}
    caution: str | None = None  # a machine word: why a person may have to see it; see `pipeline`
    trial: str | None = None  # JSON: arm, propensity, pattern, prompts and models of a canary; see `prompt_canary`

    @property
    def draft_hash(self) -> str:
        """What an approval binds to: every character a recipient would see."""
        return words_hash(self.subject, self.preheader, self.html, self.text)


@dataclasses.dataclass(frozen=True, slots=True)
class Via:
    """By which transport an attempt goes, and under which idempotency key, if that transport takes one.

    Two attempts have the same transport when server, account and form of key are the same: only then does it know the key.
    """

    transport: str
    key: str | None


@dataclasses.dataclass(frozen=True, slots=True)
class Sending:
    """What a worker is about to send under its lease: the very bytes of this draft, and the envelope."""

    message_id: str
    lease: int
    draft_hash: str
    raw: bytes
    mail_from: str
    rcpt_to: str
    via: Via | None = None  # None: the channel chooses between several, and says with the outcome which it was


@dataclasses.dataclass(frozen=True, slots=True)
class Repeat:
    """An attempt in doubt whose request may be made once more, under a new lease: same bytes, envelope, transport and key."""

    message_id: str
    campaign_id: str
    lease: int
    raw: bytes
    mail_from: str
    rcpt_to: str
    via: Via
    until: datetime  # past this the other side may have forgotten the key, and would send again


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """What became of one attempt under its lease."""

    message_id: str
    lease: int
    outcome: Outcome
    detail: str
    provider_id: str | None
    via: Via | None = None  # where only the outcome could tell
    may_go_at_once: bool = False  # of `not_sent`: its worker was stopped before it began with it
