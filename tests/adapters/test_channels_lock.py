"""The environment lock: nobody is mailed from a laptop by accident, whatever way the mail takes."""

from __future__ import annotations

import ast
import base64
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, Self, get_args

import pytest
from pydantic import SecretStr

import dagster_project
from dagster_project.adapters.channels import Connections, Receipt, open_channel
from dagster_project.adapters.channels.esp import EspChannel
from dagster_project.adapters.channels.failover import FailoverChannel
from dagster_project.adapters.channels.in_app import InAppChannel
from dagster_project.adapters.channels.lock import LockedChannel, read_allow_list
from dagster_project.adapters.channels.outbox import OutboxChannel
from dagster_project.adapters.channels.smtp import SmtpChannel
from dagster_project.adapters.channels.smtp_url import SmtpServer, read_smtp_url
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.mime import Built
from dagster_project.settings import Settings

AS_OF = datetime.fromisoformat("2026-11-21T09:00:00")
SECRET = SecretStr("whsec_" + base64.b64encode(b"0123456789abcdef" * 2).decode())
ALL = Connections(
    smtp_url=SecretStr("smtp://127.0.0.1:2525"),
    esp="resend",
    esp_settings=SecretStr("api_key=re_123456789"),
    webhook_url=SecretStr("http://127.0.0.1:2526/hook"),
    webhook_secret=SECRET,
    sms_url=SecretStr("http://127.0.0.1:2527/sms"),
    sms_secret=SECRET,
)


MAKERS = {"SmtpChannel", "EspChannel", "WebhookChannel", "SmsChannel", "InAppChannel", "SMTP", "SMTP_SSL"}


class Sent:
    """A transport that takes everything and remembers whom it reached."""

    name = "smtp"

    def __init__(self) -> None:
        self.reached: list[str] = []
        self.is_open = False

    def transmit(self, mails: Iterable[Built]) -> Iterator[tuple[Built, Receipt]]:
        for built in mails:
            self.reached.append(built.rcpt_to)
            yield built, Receipt("sent", "")

    def __enter__(self) -> Self:
        self.is_open = True
        return self

    def __exit__(self, *_: object) -> None:
        self.is_open = False


def receipt_of(channel: Any, built: Built) -> Receipt:
    ((_, receipt),) = channel.transmit([built])
    return receipt


def to(address: str, header: str | None = None) -> Built:
    raw = f"To: {header or address}\r\n\r\n".encode()
    return Built("m1", raw, "hello@ledgerline.example", address, "<1@ledgerline.example>")


@pytest.mark.parametrize("address", ["ada@customer.example", "ADA@Customer.Example", "anyone@test.example"])
def test_who_is_on_the_list_is_reached(address: str) -> None:
    transport = Sent()
    with LockedChannel(transport, read_allow_list("ada@customer.example, @Test.example")) as channel:
        assert transport.is_open
        assert receipt_of(channel, to(address)).outcome == "sent"

    assert transport.reached == [address]
    assert not transport.is_open


@pytest.mark.parametrize(
    "address",
    [
        "eve@customer.example",
        "ada@customer.example.evil.example",
        "ada@evilcustomer.example",
        "anyone@sub.test.example",
        "anyone@nottest.example",
        "ada@customer.example@evil.example",
        "test.example",
        "@test.example@evil.example",
        "ada+x@customer.example",
        "",
    ],
)
def test_who_only_looks_like_it_is_refused(address: str) -> None:
    transport = Sent()
    receipt = receipt_of(LockedChannel(transport, read_allow_list("ada@customer.example, @test.example")), to(address))

    assert (receipt.outcome, receipt.detail) == ("rejected", "not_on_allow_list")
    assert transport.reached == []


def test_the_envelope_counts_and_not_the_header() -> None:
    transport = Sent()
    receipt = receipt_of(
        LockedChannel(transport, read_allow_list("ada@customer.example")),
        to("eve@evil.example", header="ada@customer.example"),
    )

    assert receipt.outcome == "rejected"
    assert transport.reached == []


@pytest.mark.parametrize("listed", ["", " ", ",", " , "])
def test_an_empty_list_refuses_everyone(listed: str) -> None:
    transport = Sent()
    receipt = receipt_of(LockedChannel(transport, read_allow_list(listed)), to("ada@customer.example"))

    assert receipt.outcome == "rejected"
    assert transport.reached == []


@pytest.mark.parametrize(
    "listed", ["*", "@", "@*", "customer.example", "ada@", "@localhost", "Ada <ada@customer.example>"]
)
def test_a_list_that_says_something_else_is_refused(listed: str) -> None:
    """A typo must not open the door, nor close it in silence."""
    with pytest.raises(InputError, match="POSTRIDER_ALLOW_LIST"):
        read_allow_list(f"ada@customer.example, {listed}")


@pytest.mark.parametrize("env", ["development", "staging", "Production", "PRODUCTION", "prod", ""])
def test_every_environment_but_production_is_locked(env: str, tmp_path: Path) -> None:
    assert isinstance(
        open_channel("smtp", env=env, outbox=tmp_path, as_of=AS_OF, connections=ALL, allow_list=""), LockedChannel
    )


def test_production_is_open_and_the_outbox_needs_no_lock(tmp_path: Path) -> None:
    """The outbox sends nothing, so everyone may be written to it."""
    production = open_channel("smtp", env="production", outbox=tmp_path, as_of=AS_OF, connections=ALL)
    outbox = open_channel("outbox", env="development", outbox=tmp_path, as_of=AS_OF)

    assert isinstance(production, SmtpChannel)
    assert isinstance(outbox, OutboxChannel)
    with outbox:
        assert receipt_of(outbox, to("ada@customer.example")).outcome == "sent"


def test_every_channel_that_the_settings_allow_can_be_opened_and_is_locked(tmp_path: Path) -> None:
    """A channel added later without a lock fails here."""
    names = get_args(Settings.model_fields["channel"].annotation)
    kinds = {
        name: type(
            open_channel(
                name,
                env="development",
                outbox=tmp_path,
                as_of=AS_OF,
                connections=ALL,
                put=lambda *_: None,
            )
        )
        for name in names
    }

    assert kinds.pop("outbox") is OutboxChannel
    assert set(kinds.values()) == {LockedChannel}


def test_nobody_makes_a_transport_past_the_door() -> None:
    """The lock is put on in one place: no other line of the product may make a transport or a connection."""
    package = Path(dagster_project.__file__).parent
    made = {
        str(path.relative_to(package))
        for path in package.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in MAKERS
    }

    assert made == {"adapters/channels/opening.py", "adapters/channels/smtp.py"}, (
        "smtp.py makes the library's connection"
    )


def test_the_inbox_is_opened_with_what_it_puts_by_and_has_no_backup(tmp_path: Path) -> None:
    """With a backup, a message that a lost worker left might have gone out by either, and nobody could look it up."""
    put: list[str] = []
    options: dict[str, Any] = {"outbox": tmp_path, "as_of": AS_OF, "connections": ALL}
    channel = open_channel("in_app", env="production", put=lambda *words: put.append(words[0]), **options)

    assert isinstance(channel, InAppChannel)
    with pytest.raises(InputError, match="POSTRIDER_CHANNEL: found 'in_app'"):
        open_channel("in_app", env="production", **options)
    with pytest.raises(InputError, match="POSTRIDER_BACKUP_CHANNEL: found 'smtp'; allowed with in_app: none"):
        open_channel("in_app", env="production", put=lambda *_: None, backup="smtp", **options)
    with pytest.raises(InputError, match="POSTRIDER_BACKUP_CHANNEL: found 'in_app'"):
        open_channel("smtp", env="production", put=lambda *_: None, backup="in_app", **options)


def test_an_unknown_channel_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="POSTRIDER_CHANNEL"):
        open_channel("fax", env="development", outbox=tmp_path, as_of=AS_OF)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("smtp://mail.example", SmtpServer("mail.example", 25, "offered")),
        ("smtp://mail.example:587?starttls=required", SmtpServer("mail.example", 587, "required")),
        ("smtp://127.0.0.1:1025?starttls=never", SmtpServer("127.0.0.1", 1025, "never")),
        ("smtps://us%3Aer:p%40ss%2F@mail.example", SmtpServer("mail.example", 465, "implicit", "us:er", "p@ss/")),
        ("smtp://[::1]:2525", SmtpServer("::1", 2525, "offered")),
    ],
)
def test_an_smtp_url_is_read(url: str, expected: Any) -> None:
    assert read_smtp_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        None,
        "",
        "mail.example:25",
        "http://u:hunter2@mail.example",
        "smtp://",
        "smtp://u:hunter2@mail.example:port",
        "smtp://u:hunter2@mail.example:99999",
        "smtp://u@mail.example",
        "smtp://mail.example/path",
        "smtp://u:hunter2@mail.example?starttls=maybe",
        "smtp://u:hunter2@mail.example?startls=required",
        "smtps://u:hunter2@mail.example?starttls=never",
        "smtp://u:hunter2@mail.example?starttls=never&starttls=required",
    ],
)
def test_a_wrong_smtp_url_is_refused_without_showing_it(url: str | None) -> None:
    with pytest.raises(InputError, match=r"^POSTRIDER_SMTP_URL: found") as error:
        read_smtp_url(url)

    assert "hunter2" not in str(error.value)
    assert "hunter2" not in repr(SmtpServer("mail.example", 25, user="u", password="hunter2"))


def test_the_lock_passes_on_what_the_transport_says_of_keys_and_stays_before_each() -> None:
    provider = EspChannel("resend", {"api_key": "re_123456789"})
    backup = SmtpChannel(SmtpServer("127.0.0.1", 25))
    locked = LockedChannel(FailoverChannel(provider, backup), read_allow_list("@customer.example"))

    assert LockedChannel(provider, read_allow_list("")).via("m1") == provider.via("m1")
    assert [(one.via("m1"), one.key_lifetime) for one in locked.transports] == [
        (provider.via("m1"), provider.key_lifetime),
        (backup.via("m1"), None),
    ]
    assert {type(one) for one in locked.transports} == {LockedChannel}


def test_the_lock_keeps_out_one_and_lets_the_others_pass() -> None:
    transport = Sent()
    mails = [to("ada@customer.example"), to("eve@evil.example"), to("bob@test.example")]

    receipts = LockedChannel(transport, read_allow_list("ada@customer.example, @test.example")).transmit(mails)

    assert {built.rcpt_to: receipt.outcome for built, receipt in receipts} == {
        "ada@customer.example": "sent",
        "eve@evil.example": "rejected",
        "bob@test.example": "sent",
    }
    assert transport.reached == ["ada@customer.example", "bob@test.example"]
