"""What is accepted with a reason is no finding, and an acceptance of nothing is one."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from dagster_project.lifecycle.inspection.declared import Declared
from dagster_project.lifecycle.inspection.specimen import Finding, Specimen, sample_facts, told_together
from dagster_project.lifecycle.message import Draft
from dagster_project.lifecycle.template import TemplateSpec

REASON = "Square corners lose nothing."
SPEC = TemplateSpec.model_validate(
    {
        "tone": "warm",
        "why": "Because.",
        "facts": {
            "first_name": {"type": "text"},
            "feature": {"type": "text", "values": ["reports", "alerts"]},
            "n": {"type": "number"},
        },
    }
)


def specimen(locale: str = "en", campaign: str = "welcome") -> Specimen:
    words = Draft("m", "template", "template", None, locale, "S", "P", "<p>", "T", None, {})
    return Specimen(campaign, "default", f"templates/emails/{campaign}/default", words, "<mjml/>")


def declared(*features: str) -> Declared:
    accepted = [{"tool": "caniemail", "features": list(features), "reason": REASON}] if features else []
    return Declared.model_validate({"clients": ["gmail.*"], "max_spam_score": 2, "accepted": accepted})


def finding(code: str, found: str = "gmail.ios", tool: str = "caniemail") -> Finding:
    return Finding(tool, code, found, "support")


def test_what_is_accepted_is_told_with_its_reason_and_nothing_else_is() -> None:
    """Once per rule, where it is found most widely; the same word of another tool is another rule."""
    found = [
        (specimen(), finding("border-radius")),
        (specimen("de"), finding("border-radius", "gmail.ios, outlook.windows")),
        (specimen(), finding("border-radius", tool="axe")),
        (specimen(), finding("flex")),
    ]

    judged = declared("border-radius").judged(found)

    assert [one.code for _, one in judged.standing] == ["border-radius", "flex"]
    assert judged.unused == []
    assert judged.accepted == [
        {"tool": "caniemail", "feature": "border-radius", "found": "gmail.ios, outlook.windows", "reason": REASON}
    ]


def test_an_entry_that_accepts_nothing_is_a_finding() -> None:
    judged = declared("border-radius", "flex").judged([(specimen(), finding("flex"))])

    (line,) = judged.unused
    assert line.startswith("templates/inspection.yml: accepted: found caniemail border-radius, allowed: what some mail")


def test_a_reason_is_asked_for() -> None:
    with pytest.raises(ValidationError, match="reason"):
        Declared.model_validate(
            {
                "clients": ["*"],
                "max_spam_score": 2,
                "accepted": [{"tool": "axe", "features": ["x"], "reason": "because"}],
            }
        )


def test_the_locales_that_share_a_finding_share_its_line() -> None:
    found = [
        (specimen("en"), finding("flex")),
        (specimen("de"), finding("flex")),
        (specimen("en", "winback"), finding("flex")),
    ]

    assert told_together(found) == [
        "templates/emails/welcome/default (en, de): caniemail flex: found gmail.ios, allowed: support",
        "templates/emails/winback/default (en): caniemail flex: found gmail.ios, allowed: support",
    ]


def test_a_sample_is_the_locale_s_then_the_product_s_then_one_of_the_type() -> None:
    """A campaign with facts that no sample names can be looked at all the same."""
    names = {"first_name": {"default": "Ana", "ja": "恵子"}}

    assert sample_facts(SPEC, names, "ja") == {"first_name": "恵子", "feature": "reports", "n": 12}
    assert sample_facts(SPEC, names | {"n": 0}, "de-AT") == {"first_name": "Ana", "feature": "reports", "n": 0}
