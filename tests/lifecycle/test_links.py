"""Unsubscribe links: who can make one, who can read one, for how long."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from itsdangerous import URLSafeSerializer

from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.links import Unsubscribe, read_unsubscribe, unsubscribe_url

BASE = "https://mail.ledgerline.example"
OLD, NEW = "an old key, sixteen and more", "a new key, sixteen and more"


def token_of(url: str) -> str:
    assert url.startswith(f"{BASE}/u/")
    return url.removeprefix(f"{BASE}/u/")


@given(user_id=st.text(), message_type=st.text(), message_id=st.none() | st.text())
def test_a_token_says_what_was_put_in(user_id: str, message_type: str, message_id: str | None) -> None:
    token = token_of(unsubscribe_url(BASE, [NEW], user_id, message_type, message_id))

    assert read_unsubscribe(token, [NEW]) == Unsubscribe(user_id, message_type, message_id)
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


@given(
    payload=st.lists(st.text(max_size=80), min_size=2, max_size=3),
    keys=st.lists(st.text(min_size=1), min_size=1, max_size=3),
)
def test_a_token_is_the_one_that_its_serializer_would_write(payload: list[str], keys: list[str]) -> None:
    """The key is derived once and not for each token; links that have left must still be made of the same bytes."""
    serializer = URLSafeSerializer(
        keys[::-1],
        salt="postrider.unsubscribe",
        signer_kwargs={"digest_method": hashlib.sha256, "key_derivation": "hmac"},
    )

    assert token_of(unsubscribe_url(BASE, keys, *payload)) == serializer.dumps(payload)


def test_a_link_outlives_a_change_of_key() -> None:
    """Mails sent before the change must unsubscribe after it; new ones are signed by the new key."""
    old = token_of(unsubscribe_url(BASE, [OLD], "u1", "product_tips"))
    new = token_of(unsubscribe_url(BASE, [NEW, OLD], "u1", "product_tips"))

    assert read_unsubscribe(old, [NEW, OLD]) == Unsubscribe("u1", "product_tips", None)
    assert read_unsubscribe(new, [NEW]) == Unsubscribe("u1", "product_tips", None)
    assert read_unsubscribe(old, [NEW]) is None


@pytest.mark.parametrize("position", range(0, 60, 3))
def test_a_changed_character_makes_it_worthless(position: int) -> None:
    token = token_of(unsubscribe_url(BASE, [NEW], "u1", "product_tips"))
    changed = token[:position] + ("A" if token[position] != "A" else "B") + token[position + 1 :]

    assert read_unsubscribe(changed, [NEW]) is None


@pytest.mark.parametrize("token", ["", ".", "a.b", "ä", "W10.abc", "\x00"])
def test_rubbish_is_none_and_no_crash(token: str) -> None:
    assert read_unsubscribe(token, [NEW]) is None


def test_a_token_for_another_purpose_opens_nothing() -> None:
    foreign = URLSafeSerializer(NEW, salt="postrider.click").dumps(["u1", "product_tips"])

    assert read_unsubscribe(str(foreign), [NEW]) is None


def test_the_link_is_the_same_every_time() -> None:
    """It stands in the draft, and the draft has a hash."""
    assert unsubscribe_url(BASE, [NEW], "u1", "billing") == unsubscribe_url(BASE + "/", [NEW], "u1", "billing")


@pytest.mark.parametrize(
    "base",
    [
        "http://mail.ledgerline.example",
        "mail.ledgerline.example",
        "https://",
        "https://a.example?x=1",
        "https://a b.example",
        "https://[",
        "https://u:p@a.example",
    ],
)
def test_only_https_will_do(base: str) -> None:
    with pytest.raises(InputError, match="POSTRIDER_PUBLIC_URL"):
        unsubscribe_url(base, [NEW], "u1", "product_tips")
