"""Which addresses are valid, equal, and fit for an envelope."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.lifecycle.address import ascii_domain, canonical, is_valid, wire_form


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ada@Customer.Example", "ada@customer.example"),
        ("  ada@customer.example ", "ada@customer.example"),
        ("ada@GRÖSSE.example", "ada@grösse.example"),
        ("ada@gro\u0308sse.example", "ada@xn--grsse-kua.example"),
        ("a\u0308da@customer.example", "äda@customer.example"),
        ("ada@customer.example.", "ada@customer.example"),
        ("ada@customer\u3002example", "ada@customer.example"),
    ],
)
def test_two_spellings_of_one_mailbox_are_equal(one: str, other: str) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize("other", ["ada@customer2.example", "a.da@customer.example", "ada+x@customer.example"])
def test_different_mailboxes_stay_different(other: str) -> None:
    """Dots and plus signs mean one thing at one provider and another elsewhere: they are not touched."""
    assert canonical("ada@customer.example") != canonical(other)


@given(st.text())
def test_the_canonical_form_never_fails_and_is_its_own_canonical_form(text: str) -> None:
    assert canonical(canonical(text)) == canonical(text)


@given(st.emails())
def test_case_never_matters(address: str) -> None:
    assert canonical(address.upper()) == canonical(address.lower()) == canonical(address)


@given(st.text())
def test_what_may_be_sent_to_is_plain_ascii(text: str) -> None:
    wire = wire_form(text)

    assert wire is None or (wire.isascii() and wire.count("@") == 1 and not wire.startswith("-") and " " not in wire)


def test_the_wire_form_keeps_the_local_part() -> None:
    """Only its own server may say that Ada and ada are one."""
    assert wire_form("Ada.B+c@Customer.example") == "Ada.B+c@Customer.example"


@pytest.mark.parametrize(
    ("address", "valid"),
    [
        ("ada@customer.example", True),
        ("ada@customer.test", True),
        ("ada@customer.invalid", False),
        ("ada", False),
        ("ada@localhost", False),
        ("a b@customer.example", False),
        ("", False),
    ],
)
def test_validity(address: str, valid: bool) -> None:
    assert is_valid(address) is valid


@pytest.mark.parametrize(
    "domain", ["", ".", "a", "-a.example", "a..example", "a b.example", "a_b.example", "x" * 64 + ".example"]
)
def test_what_is_no_domain_is_none(domain: str) -> None:
    assert ascii_domain(domain) is None
