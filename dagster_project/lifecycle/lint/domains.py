"""Rules about the domains of sender, signature and links. Each gives None, or what it found. Pure."""

from __future__ import annotations

import functools
import ipaddress
import re

from dagster_project.lifecycle.lint.reading import Mail

_LOCATION = re.compile(r"[^/?#]*")
_HOST = re.compile(r"\[[^\]]*\]|[^:&,;!\s]*")
# RFC 2606, 6761, 6762 and 8375, and ICANN's .internal: nobody outside can follow such a link or answer such a sender.
_RESERVED_TOP = frozenset({"example", "test", "invalid", "localhost", "local", "internal"})
_RESERVED_DOMAINS = frozenset({"example.com", "example.net", "example.org", "home.arpa"})


@functools.lru_cache(maxsize=256)
def is_aligned(sender_domain: str, signing_domain: str) -> bool:
    """DMARC's relaxed alignment, by a simple rule instead of a list of public suffixes or questions to DNS.

    Two domains are aligned when they are equal, when one lies under the other, or when both end in the same organisational
    domain: the last two labels, or three where the last two look like co.uk or com.au (at most three letters before a
    country's two). Receivers know better: `x.ab.cd` and `y.ab.cd` are refused here, two customers of one hoster are not.
    """
    sender, signer = sender_domain.lower(), signing_domain.lower()
    if "." not in sender or "." not in signer:
        return False
    return (
        sender == signer
        or sender.endswith(f".{signer}")
        or signer.endswith(f".{sender}")
        or _organisational(sender) == _organisational(signer)
    )


@functools.lru_cache(maxsize=1024)
def is_reserved_host(location: str) -> bool:
    """Can nobody outside reach this host? `location` is a domain, or a link without its scheme."""
    host = _matched(_HOST, _matched(_LOCATION, location).rpartition("@")[2]).strip("[]").rstrip(".").lower()
    try:
        return not ipaddress.ip_address(host).is_global
    except ValueError:
        top, second = [*reversed(host.split(".")), ""][:2]
        return not second or top in _RESERVED_TOP or f"{second}.{top}" in _RESERVED_DOMAINS


def _organisational(domain: str) -> str:
    labels = domain.split(".")
    is_like_co_uk = len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= 3  # noqa: PLR2004 - letters
    return ".".join(labels[-3 if is_like_co_uk else -2 :])


def _matched(pattern: re.Pattern[str], value: str) -> str:
    found = pattern.match(value)
    return found[0] if found else ""


def unsigned(mail: Mail) -> str | None:
    if mail.signing_domains is None:
        return None
    for domain, _ in mail.signatures:
        if domain in mail.signing_domains:
            return None
    return ", ".join([domain for domain, _ in mail.signatures]) or "no signature"


def unaligned(mail: Mail) -> str | None:
    if mail.signing_domains is None:
        return None
    ours = []
    for domain, _ in mail.signatures:
        if domain in mail.signing_domains:
            if is_aligned(mail.from_domain, domain):
                return None
            ours.append(domain)
    return f"{mail.from_domain} signed for {', '.join(ours)}" if ours else None


def reserved_sender(mail: Mail) -> str | None:
    return mail.from_domain if "from" in mail.headers and is_reserved_host(mail.from_domain) else None


def reserved_link(mail: Mail) -> str | None:
    for link in mail.links:
        location = link.partition("/")[0]  # few, so that they are remembered
        if is_reserved_host(location):
            return location
    return None
