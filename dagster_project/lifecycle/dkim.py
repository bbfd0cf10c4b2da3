"""DKIM signatures (RFC 6376, RFC 8463) over finished bytes, at the price of the signature itself.

Well-kept signers parse the message again and canonicalise line by line, which costs thirty RSA operations' time. Here the
bytes are our own builder's: CRLF line ends, ASCII, headers without surprises. The signing itself is `cryptography`'s.
"""

from __future__ import annotations

import base64
import dataclasses
import functools
import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa

from dagster_project.lifecycle.address import MAX_DOMAIN_CHARS, is_domain
from dagster_project.lifecycle.errors import InputError

Body = Literal["simple", "relaxed"]
MIN_RSA_BITS = 2048  # RFC 8301 asks for 1024 and advises 2048; mailbox providers treat less as unsigned
# Each is listed once more than it occurs (oversigning, RFC 6376 §5.4 and §8.15): one more From, Subject or unsubscribe link
# put in on the way breaks the signature instead of being shown. What a message lacks can't be added either.
SIGNED = (
    "from", "to", "subject", "date", "reply-to", "cc", "sender", "message-id", "mime-version", "content-type",
    "content-transfer-encoding", "list-unsubscribe", "list-unsubscribe-post", "list-id", "auto-submitted",
)  # fmt: skip
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_SELECTOR = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_LINE_CHARS = 70


@dataclasses.dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key with its place in DNS: `<selector>._domainkey.<domain>`."""

    domain: str
    selector: str
    private: rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey = dataclasses.field(repr=False)

    @property
    def algorithm(self) -> str:
        return "rsa-sha256" if isinstance(self.private, rsa.RSAPrivateKey) else "ed25519-sha256"

    def record(self) -> str:
        """The TXT record that lets others verify."""
        public = self.private.public_key()
        if isinstance(public, rsa.RSAPublicKey):
            kind = "rsa"
            data = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        else:
            kind, data = "ed25519", public.public_bytes_raw()
        return f"v=DKIM1; k={kind}; p={base64.b64encode(data).decode()}"

    def sign(self, data: bytes) -> bytes:
        if isinstance(self.private, rsa.RSAPrivateKey):
            return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())
        return self.private.sign(hashlib.sha256(data).digest())  # RFC 8463 §3: over the hash


def read_key(pem: bytes, domain: str, selector: str, source: str = "DKIM key") -> SigningKey:
    """An RSA key of at least 2048 bits or an Ed25519 key, in PEM without a passphrase. InputError names `source`."""
    if not is_domain(domain):
        raise InputError(f"{source}: found domain {domain!r}; allowed: a domain name such as mail.example.com")
    if not _SELECTOR.fullmatch(selector) or len(f"{selector}._domainkey.{domain}") > MAX_DOMAIN_CHARS:
        raise InputError(
            f"{source}: found selector {selector!r}; allowed: letters, digits and - in labels of at most 63,"
            f" {MAX_DOMAIN_CHARS} characters with ._domainkey.{domain}"
        )
    try:
        private = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise InputError(f"{source}: found no readable key; allowed: a private key in PEM, not encrypted") from None
    if isinstance(private, rsa.RSAPrivateKey) and private.key_size < MIN_RSA_BITS:
        raise InputError(f"{source}: found RSA with {private.key_size} bits; allowed: {MIN_RSA_BITS} or more")
    if not isinstance(private, rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey):
        raise InputError(f"{source}: found {type(private).__name__}; allowed: RSA or Ed25519")
    return SigningKey(domain.lower(), selector, private)


def signed(raw: bytes, keys: Sequence[SigningKey], at: datetime, body: Body = "relaxed") -> bytes:
    """The message with one DKIM-Signature per key in front; nothing else is changed.

    `at` is UTC and naive, and the real time of signing: a signature from the future does not verify.

    Headers are canonicalised `relaxed`. For the body, `relaxed` survives servers that touch white space; `simple` is
    cheaper and safe where the way to the mailbox's server is ours.
    """
    head, _, content = raw.partition(b"\r\n\r\n")
    headers = _headers(head)
    listed = _listed(tuple(sorted(Counter(name for name, _ in headers).items())))
    digest = base64.b64encode(hashlib.sha256(canonical_body(content, body)).digest()).decode()
    covered = _covered(headers)
    moment = int(at.replace(tzinfo=UTC).timestamp())
    signatures = [_signature(key, covered, listed, digest, moment, body) for key in keys]
    return b"".join([*signatures, raw])


def canonical_body(content: bytes, how: Body) -> bytes:
    """RFC 6376 §3.4.3 and §3.4.4, for content whose lines end in CRLF."""
    if how == "relaxed":
        content = content.replace(b"\t", b" ")
        while b"  " in content:  # halves every run; a regular expression takes longer than the RSA operation
            content = content.replace(b"  ", b" ")
        content = content.replace(b" \r\n", b"\r\n").removesuffix(b" ")
    content = content.rstrip(b"\r\n")
    if content:
        return content + b"\r\n"
    return b"\r\n" if how == "simple" else b""


def _headers(head: bytes) -> list[tuple[str, bytes]]:
    """Name in lower case and value in relaxed form (RFC 6376 §3.4.2), in order; folded lines are joined."""
    found: list[tuple[str, bytes]] = []
    for line in head.replace(b"\r\n ", b" ").replace(b"\r\n\t", b" ").split(b"\r\n"):
        name, _, value = line.partition(b":")
        lower = name.strip().lower()
        found.append((lower.decode("ascii"), lower + b":" + b" ".join(value.split()) + b"\r\n"))
    return found


@functools.lru_cache(maxsize=64)
def _listed(counts: tuple[tuple[str, int], ...]) -> str:
    """The value of `h=` for headers with these counts, folded after colons. The same for all mails of a kind."""
    present = dict(counts)
    names = [name for name in SIGNED for _ in range(present.get(name, 0) + 1)]
    lines, line = [], ""
    for name in names:
        if len(line) + len(name) + 1 > _LINE_CHARS:
            lines.append(line)
            line = ""
        line += f"{name}:"
    return "\r\n ".join([*lines, line]).removesuffix(":")


def _covered(headers: Sequence[tuple[str, bytes]]) -> bytes:
    """The signed headers in the order of `h=`: of one name the last first; one that isn't there adds nothing."""
    lines: dict[str, list[bytes]] = {}
    for name, line in headers:
        lines.setdefault(name, []).append(line)
    return b"".join([line for name in SIGNED for line in reversed(lines.get(name, ()))])


def _signature(key: SigningKey, covered: bytes, listed: str, digest: str, moment: int, body: Body) -> bytes:
    tags = (
        f"v=1; a={key.algorithm}; c=relaxed/{body};\r\n d={key.domain}; s={key.selector}; t={moment};\r\n"
        f" h={listed};\r\n bh={digest};\r\n b="
    )
    # `b=` is signed while it is empty, so it may be folded afterwards; the other folds are signed as the spaces they are.
    value = base64.b64encode(key.sign(covered + b"dkim-signature:" + " ".join(tags.split()).encode())).decode()
    folded = "\r\n ".join([value[at : at + _LINE_CHARS] for at in range(0, len(value), _LINE_CHARS)])
    return f"DKIM-Signature: {tags}{folded}\r\n".encode()
