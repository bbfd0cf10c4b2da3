"""164 addresses with a public verdict (isemail, BSD-3): where ours differs, it is listed here with the reason."""

from __future__ import annotations

import dataclasses
import itertools
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import pytest

from dagster_project.lifecycle.address import is_valid, wire_form

# The set calls all but ISEMAIL_ERR an address of some kind: fit for an envelope, fit for a header at best, or none.
FIT_FOR_AN_ENVELOPE = {"VALID_CATEGORY", "DNSWARN", "RFC5321"}
AT_BEST_FOR_A_HEADER = {"CFWS", "DEPREC", "RFC5322"}
NONE_AT_ALL = {"ERR"}

BOTH, WIRE_ONLY = "is_valid and wire_form", "wire_form"

# (what the set says of it, the numbers of the cases, who of us refuses it, why)
DISAGREEMENTS: list[tuple[str, list[int], str, str]] = [
    # fit for an envelope, and we refuse it: mail that we could send and don't
    ("VALID", [5], BOTH, "a top-level domain alone has no mailbox that a customer registers with; likely a slip"),
    ("VALID", [19], WIRE_ONLY, "holds `=?`, which some parsers decode into another recipient"),
    ("RFC5321_TLD", [166], BOTH, "as case 5: `test@org`"),
    ("RFC5321_TLDNUMERIC", [23, 24], BOTH, "a last label of digits is an IP address or a slip, never a domain in DNS"),
    ("RFC5321_QUOTEDSTRING", [42, 43, 45, 46, 48, 55], BOTH, "quoting is how headers are broken out of"),
    ("RFC5321_ADDRESSLITERAL", [61, 68, 72, 75, 77, 79, 81], BOTH, "an IP address: no domain, no DKIM, no consent"),
    # at best fit for a header: what nobody may put into an envelope as it stands, we refuse as a whole
    ("CFWS_FWS", [88, 144, 148, 153, 157, 158], BOTH, "white space or a line end around it: trimmed before or refused"),
    ("CFWS_COMMENT", [90, 92, 96, 98], BOTH, "a comment is no part of a mailbox and breaks naive parsers"),
    ("DEPREC_LOCALPART", [54, 56], BOTH, "quoted words with dots: obsolete since RFC 2822"),
    ("DEPREC_FWS", [87, 89, 149], BOTH, "white space or line ends inside"),
    ("DEPREC_CFWS_NEAR_AT", [85, 86, 93, 95, 97], BOTH, "white space or a comment at the @"),
    ("DEPREC_COMMENT", [165], BOTH, "a comment inside the local part"),
    ("DEPREC_CTEXT", [126, 140], BOTH, "a control character in a comment"),
    ("DEPREC_QTEXT", [124, 138], BOTH, "a control character in quotes"),
    ("DEPREC_QP", [58, 125, 134, 139], BOTH, "a control character behind a backslash"),
    ("RFC5321_IPV6DEPRECATED", [71], BOTH, "an IP address, in an obsolete form"),
    ("RFC5322_TOOLONG", [39, 40], BOTH, "more than 254 characters"),
    ("RFC5322_LOCAL_TOOLONG", [26, 59, 60], BOTH, "a local part of more than 64 characters"),
    ("RFC5322_LABEL_TOOLONG", [28], BOTH, "a label of more than 63 characters: not in DNS"),
    ("RFC5322_DOMAIN_TOOLONG", [41], BOTH, "a domain of more than 253 characters: not in DNS"),
    ("RFC5322_DOMAIN", [161], BOTH, "a slash in a domain: not in DNS"),
    ("RFC5322_DOMAINLITERAL", [63, 64, 65, 66, 112, 120, 121], BOTH, "no domain, and no IP address either"),
    ("RFC5322_DOMLIT_OBSDTEXT", [115, 116, 117], BOTH, "no domain; backslashes and control characters in brackets"),
    ("RFC5322_IPV6_GRPCOUNT", [67, 69, 78, 80], BOTH, "no IPv6 address: wrong number of groups"),
    ("RFC5322_IPV6_2X2XCOLON", [76, 83], BOTH, "no IPv6 address: `::` twice"),
    ("RFC5322_IPV6_BADCHAR", [70], BOTH, "no IPv6 address: a G"),
    ("RFC5322_IPV6_MAXGRPS", [73, 82], BOTH, "no IPv6 address: too many groups beside `::`"),
    ("RFC5322_IPV6_COLONSTRT", [74, 84], BOTH, "no IPv6 address: starts with one colon"),
    ("RFC5322_IPV6_COLONEND", [159], BOTH, "no IPv6 address: ends with one colon"),
]


@dataclasses.dataclass(frozen=True)
class Case:
    number: int
    address: str
    category: str
    diagnosis: str

    @property
    def refused_by(self) -> str | None:
        """Who of us refuses it. `wire_form` alone may: it is the stricter one."""
        valid, wire = is_valid(self.address), wire_form(self.address)
        assert valid or wire is None, "what is no address has no form on the wire"
        assert wire in (None, self.address), "an ASCII address is written as it is"
        return None if wire else WIRE_ONLY if valid else BOTH


@pytest.fixture
def cases(shared_data: Path) -> list[Case]:
    found = []
    for test in ET.parse(shared_data / "addresses_isemail" / "tests.xml").getroot().iter("test"):
        address, category, diagnosis = (test.findtext(name) or "" for name in ("address", "category", "diagnosis"))
        # control characters stand as their pictures, U+2400 and up
        address = "".join(chr(ord(c) - 0x2400) if 0x2400 <= ord(c) <= 0x2420 else c for c in address)
        short = [name.removeprefix("ISEMAIL_") for name in (category, diagnosis)]
        found.append(Case(int(test.attrib["id"]), address, *short))
    assert len(found) == 164
    return found


def test_nothing_is_accepted_that_the_set_calls_unfit_for_an_envelope(cases: list[Case]) -> None:
    """The direction in which a mistake would reach somebody: not one of 126."""
    unfit = [case for case in cases if case.category in AT_BEST_FOR_A_HEADER | NONE_AT_ALL]

    assert len(unfit) == 126
    assert [case for case in unfit if case.refused_by != BOTH] == []


def test_every_disagreement_is_listed_with_its_reason_and_every_one_that_is_listed_is_one(cases: list[Case]) -> None:
    """Disagreement: the set calls it an address of some kind, and we refuse it; or it calls it none and we take it."""
    ours = {
        case.number: (case.diagnosis, case.refused_by)
        for case in cases
        if (case.refused_by is not None) is not (case.category in NONE_AT_ALL)
    }
    listed = {number: (diagnosis, by) for diagnosis, numbers, by, _ in DISAGREEMENTS for number in numbers}

    assert listed == ours
    assert sum(len(numbers) for _, numbers, _, _ in DISAGREEMENTS) == len(listed), "a case is listed twice"
    assert all(reason for _, _, _, reason in DISAGREEMENTS)


def test_the_figures_of_the_disagreements_by_what_the_set_says(cases: list[Case]) -> None:
    """Of 38 that could be in an envelope 18 are refused, 16 of which the set itself calls unusual."""
    listed = set(itertools.chain.from_iterable(numbers for _, numbers, _, _ in DISAGREEMENTS))
    kinds = {"envelope": FIT_FOR_AN_ENVELOPE, "header": AT_BEST_FOR_A_HEADER, "none": NONE_AT_ALL}
    kind_of = {category: kind for kind, categories in kinds.items() for category in categories}

    assert Counter(kind_of[case.category] for case in cases) == {"envelope": 38, "header": 60, "none": 66}
    assert Counter(kind_of[case.category] for case in cases if case.number in listed) == {"envelope": 18, "header": 60}
