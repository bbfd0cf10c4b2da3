"""What every mail has of the settings: whose it is, its signatures, its footer, and the rules that it must not break."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cached_property
from html import escape
from pathlib import Path

from dagster_project.adapters.clock import utc_now
from dagster_project.adapters.letterhead import Letterhead
from dagster_project.lifecycle.campaign import CampaignPolicy
from dagster_project.lifecycle.dkim import SigningKey, read_key
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.links import unsubscribe_url
from dagster_project.lifecycle.lint.catalogue import Finding, lint
from dagster_project.lifecycle.message import Draft
from dagster_project.lifecycle.mime import read_sender
from dagster_project.lifecycle.mime_encoding import BuildError
from dagster_project.lifecycle.template import Context
from dagster_project.settings import Settings


class Mailing:
    """The mails of one home, as its settings want them. Nothing is read before it is asked for."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def sender_name(self) -> str:
        """Who writes, in words; the address where the From header has no name."""
        sender = read_sender(self.settings.sender)
        return sender.name or sender.address

    @property
    def sending_domain(self) -> str:
        """The domain of the From address."""
        return read_sender(self.settings.sender).address.rpartition("@")[2]

    @cached_property
    def signing_keys(self) -> tuple[SigningKey, ...]:
        """The keys that sign every mail, each for the sender's domain; InputError for one that can't."""
        keys = []
        for entry in filter(None, map(str.strip, self.settings.dkim_keys.split(","))):
            selector, is_given, file = entry.partition("=")
            path = self.settings.in_project(Path(file.strip()))
            if not is_given:
                raise InputError(f"POSTRIDER_DKIM_KEYS: found {entry!r}; allowed: selector=file.pem, comma-separated")
            try:
                pem = path.read_bytes()
            except OSError as error:
                raise InputError(
                    f"POSTRIDER_DKIM_KEYS {path}: {error.strerror}; allowed: a private key in PEM"
                ) from None
            keys.append(read_key(pem, self.sending_domain, selector.strip(), f"POSTRIDER_DKIM_KEYS {path.name}"))
        return tuple(keys)

    def letterhead(self, as_of: datetime) -> Letterhead:
        """What the mails of a tick at `as_of` have in common."""
        return Letterhead(self.settings.sender, self.sending_domain, as_of, self.signing_keys, self._look)

    def _look(self, raw: bytes, draft: Draft) -> Sequence[Finding]:
        """The rules of `lifecycle/lint` under these settings. Without keys of ours whoever relays the mail signs it."""
        return lint(
            raw,
            draft,
            env=self.settings.env,
            sender_domain=self.sending_domain,
            signing_domains={key.domain for key in self.signing_keys} if self.signing_keys else None,
            postal_address=self.settings.postal_address,
        )

    # --- a mail that nobody gets

    @property
    def _link(self) -> str:
        """As long and as well-formed as any unsubscribe link; InputError for the public URL."""
        return unsubscribe_url(self.settings.public_url, ["of a link that nobody follows"], "nobody", "nothing")

    def context(self, policy: CampaignPolicy) -> Context:
        """What a campaign's mail says besides facts; nobody can follow its unsubscribe link."""
        link = None if policy.legal_basis == "transactional" else self._link
        return Context(self.sender_name, self.settings.postal_address, policy.title, link)

    def as_it_would_leave(self, draft: Draft, to_address: str) -> bytes:
        """The whole message under these settings, built and signed. BuildError."""
        now = utc_now()
        return self.letterhead(now).signed(draft, to_address, now).raw

    def findings(self, draft: Draft) -> Sequence[Finding]:
        """Which rules this draft would break as it would leave. BuildError."""
        return self._look(self.as_it_would_leave(draft, read_sender(self.settings.sender).address), draft)

    def preflight(self) -> None:
        """What stands in every mail; InputError naming the setting that is wrong. Nothing is made or loaded for it."""
        try:
            read_sender(self.settings.sender)
        except BuildError:
            raise InputError(
                f"POSTRIDER_SENDER: found {self.settings.sender!r}; allowed: Name <address> or address"
            ) from None
        if not self.settings.postal_address.strip() or not self.settings.postal_address.isprintable():
            raise InputError(
                f"POSTRIDER_POSTAL_ADDRESS: found {self.settings.postal_address!r};"
                " allowed: one line, which the law asks for in every footer"
            )
        self._probe(self._link)

    def _probe(self, unsubscribe: str) -> None:
        """Build and look at one mail that is as it should be: what it breaks all mails would, and a mail that breaks a rule is
        cancelled for good. InputError with the rule."""
        address = self.settings.postal_address
        html = f'<p>Hello</p><p><a href="{unsubscribe}">Unsubscribe</a></p><p>{escape(address)}</p>'
        text = f"Hello\n\nUnsubscribe: {unsubscribe}\n{address}\n"
        draft = Draft("probe", "template", "template", None, "en", "Hello", "", html, text, unsubscribe, {})
        if findings := self.findings(draft):
            raise InputError(f"with these settings no mail may leave: {findings[0].sentence}")
