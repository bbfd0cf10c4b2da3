"""The last look at a mail: rules that mailbox providers, laws and other people's post-mortems have written. Pure.

Templates and builder have checks of their own; here the finished bytes are read once more, by other code, just before they
leave. A finding blocks, it doesn't warn. Only the subject is taken from the draft: the builder has proven that its header
reads so.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection
from typing import Literal

from dagster_project.lifecycle.lint import domains, headers, parts, wording
from dagster_project.lifecycle.lint.headers import ONE_CLICK
from dagster_project.lifecycle.lint.parts import MAX_HTML_BYTES
from dagster_project.lifecycle.lint.reading import Mail, read_mail
from dagster_project.lifecycle.message import Draft
from dagster_project.lifecycle.mime_encoding import MAX_LINE

Env = Literal["development", "production"]


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One rule that a mail breaks: a code for the ledger; for a person what is allowed and what was found (may be empty)."""

    code: str
    allowed: str
    found: str

    @property
    def sentence(self) -> str:
        return f"{self.allowed}; found {self.found}" if self.found else self.allowed


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """One line of the catalogue. `look` gives None, or what it found (may be empty)."""

    code: str
    sentence: str
    look: Callable[[Mail], str | None] = dataclasses.field(repr=False)
    only_production: bool = False


RULES = (
    Rule("bare_line_end", "every line ends in CR and LF; a bare one can smuggle a second mail", headers.bare_line_end),
    Rule(
        "header_too_long", f"a header's lines have at most {MAX_LINE} octets (RFC 5322 §2.1.1)", headers.header_too_long
    ),
    Rule(
        "header_missing",
        "From, To, Subject, Date, Message-ID and MIME-Version stand in every mail",
        headers.header_missing,
    ),
    Rule(
        "header_repeated",
        "From, To, Subject, Date, Message-ID, MIME-Version and Reply-To stand once",
        headers.header_repeated,
    ),
    Rule("foreign_sender", "the From address is of the sending domain", headers.foreign_sender),
    Rule("signature_gap", "a signature covers From, List-Unsubscribe and List-Unsubscribe-Post", headers.signature_gap),
    Rule(
        "list_unsubscribe",
        "one List-Unsubscribe with one https link, the draft's own; none in transactional mail (RFC 8058)",
        headers.list_unsubscribe,
    ),
    Rule(
        "list_unsubscribe_post",
        f"one List-Unsubscribe-Post, exactly {ONE_CLICK}; none in transactional mail (RFC 8058)",
        headers.list_unsubscribe_post,
    ),
    Rule("part_missing", "there is a text and an HTML part, and neither is empty", parts.part_missing),
    Rule("part_unexpected", "nothing but one text and one HTML part: no rule looks at another", parts.part_unexpected),
    Rule(
        "html_too_large", f"the HTML has at most {MAX_HTML_BYTES:,} bytes; Gmail hides the rest", parts.html_too_large
    ),
    Rule("postal_address", "the postal address stands in both parts", parts.postal_address),
    Rule("unsubscribe_link", "the unsubscribe link can be seen and followed in both parts", parts.unsubscribe_link),
    Rule("placeholder", "no placeholder is left in subject, words or links", wording.placeholder),
    Rule("nameless_greeting", "a greeting has a name or none, not a missing value's", wording.nameless_greeting),
    Rule("unsigned", "a mail in production bears a DKIM signature of one of our domains", domains.unsigned, True),
    Rule("unaligned", "a DKIM signature is for the From address's organisation", domains.unaligned, True),
    Rule(
        "reserved_sender",
        "a mail in production comes from a domain that can be answered",
        domains.reserved_sender,
        True,
    ),
    Rule("reserved_link", "a link in production leads to a host that can be reached", domains.reserved_link, True),
    Rule("test_wording", "no subject or first line in production is a test's", wording.test_wording, True),
)
_RULES_EVERYWHERE = tuple(rule for rule in RULES if not rule.only_production)


def lint(
    raw: bytes,
    draft: Draft,
    *,
    env: Env,
    sender_domain: str,
    signing_domains: Collection[str] | None,
    postal_address: str,
) -> tuple[Finding, ...]:
    """What forbids sending these bytes, in the order of the catalogue; empty when all is well. Raises nothing.

    A draft without unsubscribe link is transactional mail. `signing_domains`, in lower case, are those for which our keys
    should have signed: in production one of them must have, and one that did must be aligned with From. None where somebody
    behind us signs. What a signature covers is looked at wherever there is one.
    """
    mail = read_mail(raw, draft, sender_domain, signing_domains, postal_address)
    return tuple(
        [
            Finding(rule.code, rule.sentence, found)
            for rule in (RULES if env == "production" else _RULES_EVERYWHERE)
            if (found := rule.look(mail)) is not None
        ]
    )
