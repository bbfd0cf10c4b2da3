"""The last look at a mail: rules that mailbox providers, laws and other people's post-mortems have written. Pure.

Templates and builder have checks of their own; here the finished bytes are read once more, by other code, just before they
leave. A finding blocks, it doesn't warn. Only the subject is taken from the draft: the builder has proven that its header
reads so.
"""

from __future__ import annotations

import binascii
import dataclasses
import functools
import io
import ipaddress
import re
from collections.abc import Callable, Collection
from html import unescape
from typing import Literal

from dagster_project.lifecycle.message import Draft
from dagster_project.lifecycle.mime_encoding import MAX_LINE

Env = Literal["development", "production"]
MAX_HTML_BYTES = 102_000  # Gmail cuts a mail there, and with it the footer that the law asks for
ONE_CLICK = "List-Unsubscribe=One-Click"  # RFC 8058 §3.1, to the letter
_ONCE = frozenset({"from", "to", "subject", "date", "message-id", "mime-version"})
_AT_MOST_ONCE = _ONCE | {"reply-to"}
_TO_SIGN_ALWAYS = frozenset({"from"})  # RFC 6376 §5.4
_TO_SIGN = _TO_SIGN_ALWAYS | {"list-unsubscribe", "list-unsubscribe-post"}  # RFC 8058 §4

_BOUNDARY = re.compile(r'multipart/alternative\s*;(?:[^;]*;)*?\s*boundary\s*=\s*"?([^";]+)', re.IGNORECASE)
_PART_TYPE = re.compile(r"^content-type\s*:\s*text/(plain|html)\b", re.IGNORECASE | re.MULTILINE)
_PART_ENCODING = re.compile(r"^content-transfer-encoding\s*:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_ATTACHED = re.compile(r"^content-disposition\s*:\s*attachment\b", re.IGNORECASE | re.MULTILINE)
_SIGNED_FOR = re.compile(r"(?:^|;)\s*d\s*=\s*([^;\s]*)")
_SIGNED_HEADERS = re.compile(r"(?:^|;)\s*h\s*=([^;]*)")
_URI = re.compile(r"<([^>]*)>")

_TAG = "\0"  # stands between two pieces of visible text; no mail may hold one
_VISIBLE = re.compile(r">([^<]+)")
_STYLE = re.compile(r"<style\b.*?</style>", re.IGNORECASE | re.DOTALL)
_LINK = re.compile(r"//(?<=[:\"'(=]//)([^\"'<>\s)\\]+)")  # also one without a scheme
_ANCHOR = re.compile(r"<a\s([^>]*)>(.*?)</a>", re.IGNORECASE | re.DOTALL)
_HREF = re.compile(r"""\bhref\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+))""", re.IGNORECASE)
_HIDES = re.compile(r"display\s*:\s*none|visibility\s*:\s*hidden|font-size\s*:\s*0(?!\.?\d)")
_LOCATION = re.compile(r"[^/?#]*")
_HOST = re.compile(r"\[[^\]]*\]|[^:&,;!\s]*")

# RFC 2606, 6761, 6762 and 8375, and ICANN's .internal: nobody outside can follow such a link or answer such a sender.
_RESERVED_TOP = frozenset({"example", "test", "invalid", "localhost", "local", "internal"})
_RESERVED_DOMAINS = frozenset({"example.com", "example.net", "example.org", "home.arpa"})

_PLACEHOLDER = re.compile(
    r"\{\{|\}\}|\{%|%\}|\$\{|%7[Bb]%7[Bb]|%%[A-Za-z_][\w. -]*%%|\*\|[^|\n]+\|\*|<%"
    r"|\[\[[^\[\]\n]*\]\]|\[object Object\]|\bundefined\b"
)
# The words a machine writes where a value is missing, as it writes them: a person called Null or Nan gets their mail.
_NOTHING = frozenset({"None", "null", "NULL", "nil", "undefined", "NaN", "nan", "N/A"})
_NOBODY_IN_SUBJECT = re.compile(r"(?:^|, )(None|null|NULL|nil|undefined|NaN|nan|N/A)(?=[,!?.:]|$)")
_GREETINGS = (
    "Hi", "Hello", "Hey", "Dear", "Welcome", "Good morning", "Good afternoon", "Good evening", "Hallo", "Liebe",
    "Guten Morgen", "Guten Tag", "Guten Abend", "Bonjour", "Cher", "Ch\u00e8re", "Salut", "Hola", "Estimad", "Ciao", "Ol\u00e1",
)  # fmt: skip
_GREETED = re.compile(rf"\s*(?:{'|'.join(_GREETINGS)})[a-z]?\b([^,!.:;?\n]{{0,60}})(.?)")
_GREETED_WORDS = 3  # "Hi there None": more words than these are a sentence
_GREETING_CHARS, _GREETING_LINES, _GREETING_PIECES = 200, 3, 10  # at the top; in HTML after preheader, sender and title
_NAME_MARK = re.compile(r"\[[A-Za-z][\w ]*\]$|\{\w+|%[A-Za-z]\w*%|\$[A-Za-z_]\w*|<[A-Za-z]\w*")
_FIRST_LINE_CHARS = 200

# A line is a test's when it *is* test wording or begins with it. "Your test results are ready", "A/B test: variant B won",
# "Latest", "Contest" and "Integration tests failed on main" are facts of a product and pass. A thing in the singular right
# after "test" makes a name ("Test mail"), with which no fact begins; a plural or an article makes an invitation ("Test your
# dashboard"), which passes. Alone, such words are a test's in any case.
_KIND = (
    r"(?:(?:integration|smoke|unit|system|load|e2e|end-to-end|regression|qa|dev|staging|internal|deliver(?:y|ability)"
    r"|template|seed|sample|dummy|do[ -]not[ -]reply|no-?reply)[ _-]+)?"
)
_THING = r"(?:e-?mail|mail|mailing|message|newsletter|campaign|send|sending|template|broadcast|blast|subject)"
_TEST_WORDING = re.compile(
    rf"""[\W\d_]*(?:
      {_KIND}test(?:s|ing)?(?:[\W\d_]+(?:tests?|testing|{_THING}|only|one|two|three))*[\W\d_]*$  # nothing but test words
    | {_KIND}test(?:ing)?[ _-]?{_THING}\b                                                      # Test mail, Testmail
    | {_KIND}test(?:ing)?(?:\s*[:|]|\s+[-\u2013\u2014])\s                                      # TEST: Welcome
    | (?:do[ -]not[ -]reply|no-?reply)\W+tests?\b
    | (?:this\ is\ )?(?:just|only)?\ ?an?\ {_KIND}test\b(?=[\W\d_]*$|\ (?:{_THING}|of)\b)      # This is a test of …
    | asdf | qwerty\b
    )
  | \s*[\[({{<*]+\s*{_KIND}(?:test(?:ing)?|staging|draft|dummy)\s*[\])}}>*]                    # [TEST] Welcome
  | .*(\blorem\ ipsum\b)
  | .*(\bintegration\ tests?\ (?:only|e-?mail)\b)                                              # HBO Max, both lines
  | .*(\b(?:ignore|disregard)\ this\ test\b)""",
    re.IGNORECASE | re.VERBOSE,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Finding:
    """One rule that a mail breaks: a code for the ledger; for a person what is allowed and what was found (may be empty)."""

    code: str
    allowed: str
    found: str

    @property
    def sentence(self) -> str:
        return f"{self.allowed}; found {self.found}" if self.found else self.allowed


@dataclasses.dataclass(slots=True)  # not frozen: that would cost 3 µs per mail
class _Mail:
    """What the rules look at. Names of headers are in lower case, values unfolded; a missing or blank part is empty."""

    message: str  # the bytes, a character for each
    sender_domain: str
    signing_domains: Collection[str] | None
    postal_address: str
    subject: str
    unsubscribe_url: str | None
    head_chars: int
    headers: dict[str, list[str]]
    repeated: set[str]
    from_domain: str
    signatures: list[tuple[str, frozenset[str]]]  # domain, names of the signed headers
    text: str
    html: str
    strange_parts: int
    pieces: list[str]  # the HTML's visible text between its tags
    visible: str  # the same, joined by `_TAG`
    links: list[str]  # of both parts, what follows the two slashes


@dataclasses.dataclass(frozen=True, slots=True)
class Rule:
    """One line of the catalogue. `look` gives None, or what it found (may be empty)."""

    code: str
    sentence: str
    look: Callable[[_Mail], str | None] = dataclasses.field(repr=False)
    only_production: bool = False


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
    mail = _read(raw, draft, sender_domain, signing_domains, postal_address)
    return tuple(
        [
            Finding(rule.code, rule.sentence, found)
            for rule in (RULES if env == "production" else _RULES_EVERYWHERE)
            if (found := rule.look(mail)) is not None
        ]
    )


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


def find_test_wording(line: str) -> str | None:
    """The words by which a subject or first line is a test's; None for a line that may go to everybody."""
    found = _TEST_WORDING.match(line)
    return (found[1] or found[2] or found[3] or found[0]).strip() if found else None


# --- reading


def _read(
    raw: bytes, draft: Draft, sender_domain: str, signing_domains: Collection[str] | None, postal_address: str
) -> _Mail:
    message = raw.decode("latin-1")  # what is not ASCII is decoded where it matters
    end = message.find("\r\n\r\n")
    head = message[:end] if end >= 0 else message
    headers, repeated = _read_head(head)
    senders = headers.get("from")
    parts, strange = _read_parts(headers.get("content-type", ()), message)
    text, html = parts.get("plain", ""), parts.get("html", "")
    start = _body_start(html)
    pieces = _VISIBLE.findall(html, start) if start else _VISIBLE.findall(f">{html}")
    return _Mail(
        message=message,
        sender_domain=sender_domain,
        signing_domains=signing_domains,
        postal_address=postal_address,
        subject=draft.subject,
        unsubscribe_url=draft.unsubscribe_url,
        head_chars=len(head),
        headers=headers,
        repeated=repeated,
        from_domain=senders[0].rpartition("@")[2].rstrip("> ").lower() if senders else "",
        signatures=[_signature(value) for value in headers.get("dkim-signature", ())],
        text="" if text.isspace() else text,
        html=html,
        strange_parts=strange,
        pieces=pieces,
        visible=_TAG.join(pieces),
        links=_LINK.findall(html, start) + _LINK.findall(text),
    )


def _read_head(head: str) -> tuple[dict[str, list[str]], set[str]]:
    """Name → values, and the names that stand more than once."""
    unfolded = head.replace("\r\n ", " ")
    if "\t" in unfolded:
        unfolded = unfolded.replace("\r\n\t", " ")
    headers: dict[str, list[str]] = {}
    repeated: set[str] = set()
    for line in unfolded.split("\n"):  # one character is found faster than two; strip() takes the other
        name, _, value = line.partition(":")
        name = name.lower()
        if name in headers:
            headers[name].append(value.strip())
            repeated.add(name)
        else:
            headers[name] = [value.strip()]
    return headers, repeated


def _read_parts(content_types: Collection[str], message: str) -> tuple[dict[str, str], int]:
    """Subtype → decoded content of the two text parts, and how many parts are something else."""
    found = _BOUNDARY.match(next(iter(content_types), ""))
    if not found:
        return {}, 0
    parts: dict[str, str] = {}
    strange = 0
    for piece in message.split(f"\r\n--{found[1]}")[1:-1]:
        head, _, content = piece.partition("\r\n\r\n")
        subtype, encoding = _part_form(head)
        decoded = _decoded(content, encoding)
        if subtype is None or decoded is None or subtype in parts:
            strange += 1
        else:
            parts[subtype] = decoded
    return parts, strange


@functools.lru_cache(maxsize=64)
def _part_form(head: str) -> tuple[str | None, str]:
    """Subtype, None when it is none of our two, and transfer encoding. The same few heads stand in every mail."""
    kind, encoding = _PART_TYPE.search(head), _PART_ENCODING.search(head)
    subtype = kind[1].lower() if kind and not _ATTACHED.search(head) else None
    return subtype, encoding[1].lower() if encoding else "7bit"


def _decoded(content: str, encoding: str) -> str | None:
    """The part's own characters; None when nobody can know them."""
    if encoding in ("7bit", "8bit"):
        return content if content.isascii() else content.encode("latin-1").decode(errors="replace")
    try:
        if encoding == "quoted-printable":
            return binascii.a2b_qp(content).decode(errors="replace")
        return binascii.a2b_base64(content).decode(errors="replace") if encoding == "base64" else None
    except ValueError:
        return None


def _signature(value: str) -> tuple[str, frozenset[str]]:
    """The domain, and the names of the signed headers."""
    start = value.partition(" bh=")[0]  # what ours of one second have in common; in others' the tags may come later
    return _tags(start) if " h=" in start and " d=" in start else _tags(value)


@functools.lru_cache(maxsize=64)
def _tags(value: str) -> tuple[str, frozenset[str]]:
    domain, names = _SIGNED_FOR.search(value), _SIGNED_HEADERS.search(value)
    listed = names[1] if names else ""
    return domain[1].lower() if domain else "", frozenset(name.strip().lower() for name in listed.split(":"))


def _body_start(html: str) -> int:
    """Where the body begins; 0 for a document without one. Behind the last brace, as a rule: that is a style's, and a
    single character is found from behind at once."""
    start = html.find("<body", html.rfind("}") + 1)
    return start if start >= 0 else max(html.find("<body"), 0)


def _organisational(domain: str) -> str:
    labels = domain.split(".")
    is_like_co_uk = len(labels) > 2 and len(labels[-1]) == 2 and len(labels[-2]) <= 3  # noqa: PLR2004 - letters
    return ".".join(labels[-3 if is_like_co_uk else -2 :])


def _matched(pattern: re.Pattern[str], value: str) -> str:
    found = pattern.match(value)
    return found[0] if found else ""


def _folded(words: str) -> str:
    return " ".join(unescape(words.replace(_TAG, " ")).split())


_folded_address = functools.lru_cache(maxsize=16)(_folded)  # the same in every mail of a run


# --- looking: one function per rule


def _bare_line_end(mail: _Mail) -> str | None:
    # It notes which line ends it saw, in a quarter of the time that counting the three kinds takes.
    decoder = io.IncrementalNewlineDecoder(None, translate=False)
    decoder.decode(mail.message, final=True)
    return None if decoder.newlines in ("\r\n", None) else ""


def _header_too_long(mail: _Mail) -> str | None:
    message, at = mail.message, 0
    while mail.head_chars - at > MAX_LINE:  # to the furthest line end that may follow: most lines are never looked at
        at = message.rfind("\n", at, at + MAX_LINE + 2) + 1
        if not at:
            return ""
    return None


def _header_missing(mail: _Mail) -> str | None:
    missing = _ONCE - mail.headers.keys()
    return f"no {', '.join(sorted(missing))}" if missing else None


def _header_repeated(mail: _Mail) -> str | None:
    repeated = _AT_MOST_ONCE & mail.repeated
    return ", ".join(sorted(repeated)) if repeated else None


def _foreign_sender(mail: _Mail) -> str | None:
    found = mail.from_domain
    return None if found == mail.sender_domain.lower() or "from" not in mail.headers else found


def _signature_gap(mail: _Mail) -> str | None:
    needed = _TO_SIGN_ALWAYS if mail.unsubscribe_url is None else _TO_SIGN
    for _, names in mail.signatures:
        if not needed <= names:
            return f"none over {', '.join(sorted(needed - names))}"
    return None


def _list_unsubscribe(mail: _Mail) -> str | None:
    values, url = mail.headers.get("list-unsubscribe", []), mail.unsubscribe_url
    if url is None:
        return "one in transactional mail" if values else None
    if values == [f"<{url}>"] and url.startswith("https://"):
        return None
    if len(values) != 1:
        return f"{len(values)} headers"
    links = [uri for uri in _URI.findall(values[0]) if not uri.lower().startswith("mailto:")]
    if links == [url]:
        return None if url.startswith("https://") else "a link that is not https"
    return "another link" if len(links) == 1 else f"{len(links)} links"


def _list_unsubscribe_post(mail: _Mail) -> str | None:
    values = mail.headers.get("list-unsubscribe-post", [])
    if values == ([] if mail.unsubscribe_url is None else [ONE_CLICK]):
        return None
    return repr(values[0][:60]) if len(values) == 1 else f"{len(values)} headers"


def _part_missing(mail: _Mail) -> str | None:
    if not mail.text:
        return "no text"
    return None if mail.visible.strip("\0 \t\r\n\xa0") else "no HTML"


def _part_unexpected(mail: _Mail) -> str | None:
    return f"{mail.strange_parts} more" if mail.strange_parts else None


def _html_too_large(mail: _Mail) -> str | None:
    size = len(mail.html) if mail.html.isascii() else len(mail.html.encode())
    return f"{size:,}" if size > MAX_HTML_BYTES else None


def _postal_address(mail: _Mail) -> str | None:
    address = mail.postal_address
    if not address.strip():
        return "none in the settings"
    if mail.text and address not in mail.text and _folded_address(address) not in " ".join(mail.text.split()):
        return "none in the text"
    if mail.html and address not in mail.visible and _folded_address(address) not in _folded(mail.visible):
        return "none in the HTML"
    return None


def _unsubscribe_link(mail: _Mail) -> str | None:
    url = mail.unsubscribe_url
    if url is None:
        return None
    if mail.text and not _says(mail.text, url):
        return "none in the text"
    return "none in the HTML" if mail.html and not _shows(mail.html, url) else None


def _says(text: str, url: str) -> bool:
    """Does the link stand in the text as a whole, so that a mail program ends it where it ends?"""
    at = text.find(url)
    while at >= 0:
        after = text[at + len(url) : at + len(url) + 2]
        if not after or after[0].isspace() or after[0] in ">)]" or (after[0] in ".,;" and not after[1:].strip()):
            return True
        at = text.find(url, at + 1)
    return False


def _shows(html: str, url: str) -> bool:
    """Is there an anchor to the link that a reader can see and click?"""
    at = html.rfind(f'href="{url}"')  # it is in the footer, written as our templates do
    if at >= 0:
        start, end = html.rfind("<", 0, at), html.find(">", at)
        if html.startswith("<a ", start) and _is_seen(
            html, start, html[start:end], html[end + 1 : html.find("<", end)]
        ):
            return True
    return any(
        _leads_to(anchor, url) and _is_seen(html, anchor.start(), anchor[1], anchor[2])
        for anchor in _ANCHOR.finditer(html)
    )


def _leads_to(anchor: re.Match[str], url: str) -> bool:
    href = _HREF.search(anchor[1])
    return href is not None and unescape(href[1] or href[2] or href[3] or "") == url


def _is_seen(html: str, start: int, attributes: str, inside: str) -> bool:
    style = attributes.lower()
    may_hide = "display" in style or "visibility" in style or "font-size" in style
    if may_hide and _HIDES.search(style):
        return False
    if html.rfind("<!--", 0, start) > html.rfind("-->", 0, start):
        return False
    return bool((re.sub(r"<(?!img\b)[^>]*>", "", inside) if "<" in inside else inside).strip())


def _placeholder(mail: _Mail) -> str | None:
    words = _TAG.join([mail.subject, mail.text, mail.visible, *mail.links])
    # each of the marks has one of these: to look for characters costs a tenth of looking for the pattern
    if not (
        "{" in words or "}" in words or "[" in words or "%" in words or "*" in words or "<" in words
        or "undefined" in words
    ):  # fmt: skip
        return None
    found = _PLACEHOLDER.search(words)
    if found and "<style" in mail.html:  # the braces of a style in the body are no placeholder
        visible = _VISIBLE.findall(_STYLE.sub("", mail.html))
        found = _PLACEHOLDER.search(_TAG.join([mail.subject, mail.text, *visible, *mail.links]))
    return found[0] if found else None


def _nameless_greeting(mail: _Mail) -> str | None:
    if found := _NOBODY_IN_SUBJECT.search(mail.subject):
        return found[1]
    lines = mail.text[:_GREETING_CHARS].split("\n", _GREETING_LINES)[:_GREETING_LINES] + mail.pieces[:_GREETING_PIECES]
    for at, line in enumerate(lines):
        if line.lstrip().startswith(_GREETINGS):
            found = _missing_name(line)
            if found == "":  # the name may be in an element of its own
                found = _missing_name(_TAG.join(lines[at : at + 3]))
            if found:
                return found
    return None


@functools.lru_cache(maxsize=1024)
def _missing_name(line: str) -> str | None:
    """What stands in a greeting instead of a name; None when all is well, "" when the line ends before a name."""
    found = _GREETED.match(unescape(line))
    if not found:
        return None
    greeted, end = found[1].replace("\xa0", " "), found[2]
    words = greeted.replace(_TAG, " ").split()
    if not words:
        return "" if not end else "no name" if end == "," and " " in greeted else None
    if mark := _NAME_MARK.match(" ".join(words)):
        return mark[0]
    return words[-1] if len(words) <= _GREETED_WORDS and words[-1] in _NOTHING else None


def _unsigned(mail: _Mail) -> str | None:
    if mail.signing_domains is None:
        return None
    for domain, _ in mail.signatures:
        if domain in mail.signing_domains:
            return None
    return ", ".join([domain for domain, _ in mail.signatures]) or "no signature"


def _unaligned(mail: _Mail) -> str | None:
    if mail.signing_domains is None:
        return None
    ours = []
    for domain, _ in mail.signatures:
        if domain in mail.signing_domains:
            if is_aligned(mail.from_domain, domain):
                return None
            ours.append(domain)
    return f"{mail.from_domain} signed for {', '.join(ours)}" if ours else None


def _reserved_sender(mail: _Mail) -> str | None:
    return mail.from_domain if "from" in mail.headers and is_reserved_host(mail.from_domain) else None


def _reserved_link(mail: _Mail) -> str | None:
    for link in mail.links:
        location = link.partition("/")[0]  # few, so that they are remembered
        if is_reserved_host(location):
            return location
    return None


def _test_wording(mail: _Mail) -> str | None:
    first_line = mail.text[:_FIRST_LINE_CHARS].lstrip().partition("\n")[0]
    lower = f"{mail.subject} {first_line}".lower()
    if (
        "test" in lower or "lorem" in lower or "asdf" in lower or "qwerty" in lower or "staging" in lower
        or "draft" in lower or "dummy" in lower
    ):  # fmt: skip
        return find_test_wording(mail.subject) or find_test_wording(first_line)
    return None


# --- the catalogue

RULES = (
    Rule("bare_line_end", "every line ends in CR and LF; a bare one can smuggle a second mail", _bare_line_end),
    Rule("header_too_long", f"a header's lines have at most {MAX_LINE} octets (RFC 5322 §2.1.1)", _header_too_long),
    Rule("header_missing", "From, To, Subject, Date, Message-ID and MIME-Version stand in every mail", _header_missing),
    Rule(
        "header_repeated", "From, To, Subject, Date, Message-ID, MIME-Version and Reply-To stand once", _header_repeated
    ),
    Rule("foreign_sender", "the From address is of the sending domain", _foreign_sender),
    Rule("signature_gap", "a signature covers From, List-Unsubscribe and List-Unsubscribe-Post", _signature_gap),
    Rule(
        "list_unsubscribe",
        "one List-Unsubscribe with one https link, the draft's own; none in transactional mail (RFC 8058)",
        _list_unsubscribe,
    ),
    Rule(
        "list_unsubscribe_post",
        f"one List-Unsubscribe-Post, exactly {ONE_CLICK}; none in transactional mail (RFC 8058)",
        _list_unsubscribe_post,
    ),
    Rule("part_missing", "there is a text and an HTML part, and neither is empty", _part_missing),
    Rule("part_unexpected", "nothing but one text and one HTML part: no rule looks at another", _part_unexpected),
    Rule("html_too_large", f"the HTML has at most {MAX_HTML_BYTES:,} bytes; Gmail hides the rest", _html_too_large),
    Rule("postal_address", "the postal address stands in both parts", _postal_address),
    Rule("unsubscribe_link", "the unsubscribe link can be seen and followed in both parts", _unsubscribe_link),
    Rule("placeholder", "no placeholder is left in subject, words or links", _placeholder),
    Rule("nameless_greeting", "a greeting has a name or none, not a missing value's", _nameless_greeting),
    Rule("unsigned", "a mail in production bears a DKIM signature of one of our domains", _unsigned, True),
    Rule("unaligned", "a DKIM signature is for the From address's organisation", _unaligned, True),
    Rule("reserved_sender", "a mail in production comes from a domain that can be answered", _reserved_sender, True),
    Rule("reserved_link", "a link in production leads to a host that can be reached", _reserved_link, True),
    Rule("test_wording", "no subject or first line in production is a test's", _test_wording, True),
)
_RULES_EVERYWHERE = tuple(rule for rule in RULES if not rule.only_production)
