"""E-mail addresses: is it one, which one is it, and how is it written on the wire."""

from __future__ import annotations

import re
import unicodedata

import idna
from email_validator import EmailNotValidError, validate_email

_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+(?=[A-Za-z]){_LABEL}")  # a last label of digits would be an IP address
_ADDRESS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_DOMAIN.pattern}")
MAX_LOCAL_CHARS, MAX_DOMAIN_CHARS, MAX_ADDRESS_CHARS = 64, 253, 254  # RFC 5321 §4.5.3.1 and its erratum 1690


def is_valid(address: str) -> bool:
    """Is this the syntax of a deliverable address? No DNS. `.test` and `.example` pass, `.invalid` does not."""
    try:
        validate_email(address, check_deliverability=False, test_environment=True, strict=True)
    except EmailNotValidError:
        return False
    return True


def canonical(address: str) -> str:
    """The form in which two spellings of one mailbox are equal: NFC, lower case, IDNA domain.

    For comparing (suppression, allow-list), never for sending. The local part is lower-cased as well: better one person
    suppressed too many than one too few. Never fails: what is no address comes back trimmed, in NFC and lower case.
    """
    local, at, domain = _folded(address.strip()).rpartition("@")
    return f"{local}{at}{ascii_domain(domain) or domain}"


def ascii_domain(domain: str) -> str | None:
    """The domain as DNS knows it: lower case, punycode, no dot at the end. None when it is no domain name."""
    domain = domain.rstrip(".") if domain.endswith(".") else domain
    if not domain.isascii():
        try:
            domain = idna.encode(domain, uts46=True).decode("ascii")
        except (idna.IDNAError, UnicodeError):
            return None
    return domain.lower() if _DOMAIN.fullmatch(domain) and len(domain) <= MAX_DOMAIN_CHARS else None


def wire_form(address: str) -> str | None:
    """The address as plain ASCII for envelope and To: local part untouched, domain in IDNA. None: it may not be used.

    Strict about syntax, silent about whether such a domain can exist: an ASCII dot-atom as local part (SMTPUTF8 is not
    assumed, quoting is how headers are broken out of), nothing that starts with `-` (an option to a sendmail command)
    or holds `=?` (parsers decode it).
    """
    if not address.isascii():
        local, _, domain = address.rpartition("@")
        address = f"{local}@{ascii_domain(domain) or ''}" if not domain.endswith(".") else ""
    if address.startswith("-") or "=?" in address or not _ADDRESS.fullmatch(address):
        return None
    local, _, domain = address.rpartition("@")
    if len(local) > MAX_LOCAL_CHARS or len(domain) > MAX_DOMAIN_CHARS or len(address) > MAX_ADDRESS_CHARS:
        return None
    return address


def is_domain(domain: str) -> bool:
    """Is this an ASCII domain name of at least two labels?"""
    return bool(_DOMAIN.fullmatch(domain)) and len(domain) <= MAX_DOMAIN_CHARS


def _folded(text: str) -> str:
    """NFC and lower case. Lower-casing can undo NFC ("İ" becomes two characters), so NFC comes last too."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).lower())
