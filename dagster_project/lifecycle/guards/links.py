"""Addresses: no text holds one, in any syntax. The model picks a call to action by its id, the template knows its link.

EchoLeak (CVE-2025-32711) passed a classifier and leaked through a reference-style Markdown link: hence every syntax, at the exit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dagster_project.lifecycle.guards.reading import Finding, Grounds, Passage

CODE = "link"
_LINK = re.compile(
    r"""[a-z][a-z0-9+.-]*\s*:\s*/\s*/            # any scheme
      | \b(?:mailto|tel|data|javascript|sms|callto|file|blob|about|vbscript)\s*:
      | \bwww\b | // | \\\\ | @ | \bxn--
      | [^\W_][\w-]*\s?(?:\[\.\]|\(\.\)|\{\.\}|\[dot\]|\(dot\))\s?\w   # defanged
      | [^\W\d_][\w-]*\.[^\W\d_]{2,}             # a bare domain, or two sentences without a space: neither goes out
      | \bdot\s+(?:com|net|org|io|co|example|dev|app|info|biz|ru|cn)\b
      | \b\d{1,3}(?:\.\d{1,3}){3}\b              # an IP address
      | :\d{2,5}/""",
    re.IGNORECASE | re.VERBOSE,
)


def find(passage: Passage, grounds: Grounds) -> Iterator[Finding]:
    """Schemes, hosts, addresses of mail and machines, defanged ones too. A name with a dot that the brand or a fact has may stay."""
    for found in _LINK.finditer(passage.plain):
        if not _is_named(found, passage.plain, grounds):
            yield passage.finding(CODE, *found.span(), f"{found[0]!r} reads as an address")


def _is_named(found: re.Match[str], text: str, grounds: Grounds) -> bool:
    """Node.js is a name. Only a whole word that the brand lists is; what a person is called isn't the text's to say."""
    start, end = found.span()
    while start and not text[start - 1].isspace():
        start -= 1
    while end < len(text) and not text[end].isspace():
        end += 1
    return text[start:end].strip(".,;:!?()") in grounds.phrases.names
