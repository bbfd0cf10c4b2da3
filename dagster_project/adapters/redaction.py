"""Patterns of personal data: addresses, numbers of phones, cards and accounts. Those of presidio, which need no language model.

Its recognisers of patterns are asked one by one. Its engine would load a language model, or fetch one.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.redaction import Find, Span

LEAST_SCORE = (
    0.4  # what presidio gives a phone number without words about phones; nothing of the public set scored lower
)
_TOKENS = {
    "EMAIL_ADDRESS": "email",
    "URL": "link",
    "PHONE_NUMBER": "phone",
    "CREDIT_CARD": "card",
    "IBAN_CODE": "account",
    "IP_ADDRESS": "address",
    "MAC_ADDRESS": "address",
}
_CACHED_TEXTS = 10_000  # subjects repeat; one of 100 characters with a number takes some 2 ms


def open_patterns(needed_by: str) -> Find:
    """Finds personal data in a text. InputError, naming the fact that needs it, where the extra `pii` is not installed."""
    try:
        # A second, and 210 MB that only the extra `pii` brings.
        import tldextract  # pyright: ignore[reportMissingImports]
        from presidio_analyzer import predefined_recognizers as known  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise InputError(
            f"{needed_by}: found redact, which needs presidio-analyzer; allowed: postrider[pii] installed, or another to_model"
        ) from None
    # Presidio asks this object about each address; as it comes it would fetch a list of suffixes from the network, and keep it.
    tldextract.extract = tldextract.TLDExtract(suffix_list_urls=(), cache_dir=None)  # pyright: ignore[reportAttributeAccessIssue]
    recognisers = [
        (lambda text: "@" in text, known.EmailRecognizer()),
        (lambda text: "." in text, known.UrlRecognizer()),
        *(
            (lambda text: any(map(str.isdigit, text)), recogniser)
            for recogniser in (
                known.PhoneRecognizer(),
                known.CreditCardRecognizer(),
                known.IbanRecognizer(),
                known.IpRecognizer(),
                known.MacAddressRecognizer(),
            )
        ),
    ]
    return functools.lru_cache(_CACHED_TEXTS)(functools.partial(_find, recognisers))


def _find(recognisers: Iterable[tuple[Callable[[str], bool], Any]], text: str) -> tuple[Span, ...]:
    """What each recogniser finds where the text has the sign that it can't do without."""
    found = (
        result
        for may_find, recogniser in recognisers
        if may_find(text)
        for result in recogniser.analyze(text, recogniser.supported_entities, None)
    )
    return tuple(Span(one.start, one.end, _TOKENS[one.entity_type]) for one in found if one.score >= LEAST_SCORE)
