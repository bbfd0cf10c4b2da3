"""What every mail of a run has in common, and how one claimed message becomes the bytes that leave."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from dagster_project.lifecycle.dkim import SigningKey, signed
from dagster_project.lifecycle.lint.catalogue import Finding
from dagster_project.lifecycle.message import Draft
from dagster_project.lifecycle.mime import Built, build
from dagster_project.lifecycle.mime_encoding import BuildError


class MessageRow(Protocol):
    """What delivering reads of a message in the ledger."""

    @property
    def message_id(self) -> str: ...
    @property
    def campaign_id(self) -> str: ...
    @property
    def email(self) -> str: ...


class Claim(Protocol):
    """One message held by this worker under a lease, with its approved draft."""

    @property
    def message(self) -> MessageRow: ...
    @property
    def draft(self) -> Draft: ...
    @property
    def lease(self) -> int: ...


@dataclasses.dataclass(frozen=True, slots=True)
class Letterhead:
    """What every mail of a run has in common. `read_sender` has accepted `sender`; no keys means no signature."""

    sender: str
    sending_domain: str
    as_of: datetime  # the mails' Date, so that the same message has the same words in every attempt
    keys: Sequence[SigningKey] = ()
    look: Callable[[bytes, Draft], Sequence[Finding]] = lambda _raw, _draft: ()  # the last one, at the finished bytes

    def mail(self, claim: Claim, now: datetime) -> Built:
        """The bytes of one claimed message. BuildError when they could be read otherwise than meant, or break a rule."""
        built = self.signed(claim.draft, claim.message.email, now)
        if findings := self.look(built.raw, claim.draft):
            raise BuildError(f"lint_{findings[0].code}", "; ".join(finding.sentence for finding in findings))
        return built

    def signed(self, draft: Draft, to_address: str, now: datetime) -> Built:
        """The bytes of a draft, which nobody has looked at yet. BuildError when they could be read otherwise than meant."""
        built = build(
            draft.message_id,
            sender=self.sender,
            to_address=to_address,
            subject=draft.subject,
            html=draft.html,
            text=draft.text,
            unsubscribe_url=draft.unsubscribe_url,
            date=self.as_of,
            sending_domain=self.sending_domain,
        )
        return dataclasses.replace(built, raw=signed(built.raw, self.keys, now)) if self.keys else built
