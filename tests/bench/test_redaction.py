"""How well users' own words are redacted, measured on public texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench import redaction
from dagster_project.adapters.redaction import open_patterns

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_what_is_found_in_public_texts_is_as_the_docs_say(shared_data: Path) -> None:
    """The table in the docs is what the code does; whatever has digits or a form is gone."""
    pytest.importorskip("presidio_analyzer", reason="the extra pii is not installed")
    patterns = open_patterns("a test")
    texts = shared_data / "pii_presidio" / "synth_dataset_v2.json.gz"
    document = redaction.measure(redaction.read(texts), patterns)
    kinds = document["kinds"]

    assert redaction.markdown(document) in (ROOT / "docs" / "drafting.md").read_text(encoding="utf-8")
    for kind in ("EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE", "IP_ADDRESS", "US_SSN", "DOMAIN_NAME"):
        assert kinds[kind]["wholly"] == kinds[kind]["spans"], kind
    assert kinds["PERSON"]["wholly"] / kinds["PERSON"]["spans"] > 0.75
