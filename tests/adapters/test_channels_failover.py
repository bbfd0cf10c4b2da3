"""A backup takes what the first channel certainly did not send, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Self

import pytest
from pydantic import SecretStr

from dagster_project.adapters.channels import Connections, Receipt, open_channel
from dagster_project.adapters.channels.base import SingleTransport
from dagster_project.adapters.channels.failover import FailoverChannel
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import Via
from dagster_project.lifecycle.mime import Built

DOWN = Receipt("not_sent", "connect: refused", is_channel_down=True)
SENT = Receipt("sent", "250 ok")


class Told(SingleTransport):
    """A channel that answers as told and keeps what it was given."""

    def __init__(self, answer: Callable[[Built], Receipt], *, opens: bool = True, in_flight: int = 5) -> None:
        self.name, self.in_flight = "told", in_flight
        self.answer, self.opens = answer, opens
        self.given: list[str] = []
        self.is_open = False

    def via(self, message_id: str) -> Via:
        return Via(self.name, message_id)

    def transmit(self, mails: Iterable[Built]) -> Iterator[tuple[Built, Receipt]]:
        for built in mails:
            self.given.append(built.message_id)
            yield built, self.answer(built)

    def __enter__(self) -> Self:
        if not self.opens:
            raise InputError("POSTRIDER_SMTP_URL: no SMTP server answers")
        self.is_open = True
        return self

    def __exit__(self, *_: object) -> None:
        self.is_open = False


def mails(count: int) -> list[Built]:
    return [Built(f"m{n}", b"", "a@b.example", f"u{n}@c.example", f"<{n}@b.example>") for n in range(count)]


def outcomes(channel: FailoverChannel, count: int = 4) -> dict[str, str]:
    with channel:
        return {built.message_id: receipt.outcome for built, receipt in channel.transmit(mails(count))}


def test_while_the_first_is_up_the_second_gets_nothing() -> None:
    first, second = Told(lambda _: SENT), Told(lambda _: SENT)

    assert outcomes(FailoverChannel(first, second)) == dict.fromkeys(["m0", "m1", "m2", "m3"], "sent")
    assert second.given == []


def test_what_the_first_could_not_send_and_all_behind_it_goes_by_the_second() -> None:
    first, second = Told(lambda built: DOWN if built.message_id != "m0" else SENT), Told(lambda _: SENT)

    assert outcomes(FailoverChannel(first, second)) == dict.fromkeys(["m0", "m1", "m2", "m3"], "sent")
    assert (first.given, second.given) == (["m0", "m1"], ["m1", "m2", "m3"])


@pytest.mark.parametrize("outcome", ["unknown", "deferred", "rejected", "not_sent"])
def test_a_message_of_any_other_outcome_is_never_given_on(outcome: str) -> None:
    """In doubt it may have arrived; refused it would be refused again; not sent for its own sake it is tried later."""
    receipt = Receipt(outcome, "said so", is_channel_down=outcome == "unknown")  # type: ignore[arg-type]
    first, second = Told(lambda _: receipt), Told(lambda _: SENT)

    assert set(outcomes(FailoverChannel(first, second)).values()) == {outcome}
    assert second.given == []


def test_a_first_that_cannot_be_opened_is_done_without() -> None:
    first, second = Told(lambda _: SENT, opens=False), Told(lambda _: SENT)

    assert set(outcomes(FailoverChannel(first, second)).values()) == {"sent"}
    assert (first.given, len(second.given)) == ([], 4)


def test_the_first_is_asked_again_with_the_next_group() -> None:
    first, second = Told(lambda _: DOWN), Told(lambda _: SENT)
    with FailoverChannel(first, second) as channel:
        list(channel.transmit(mails(2)))
        first.answer = lambda _: SENT
        list(channel.transmit(mails(2)))

    assert (first.given, second.given) == (["m0", "m0", "m1"], ["m0", "m1"])


def test_when_neither_opens_both_are_named_and_none_is_left_open() -> None:
    first, second = Told(lambda _: SENT, opens=False), Told(lambda _: SENT, opens=False)

    with (
        pytest.raises(InputError, match=r"answers; and the backup: POSTRIDER_SMTP_URL"),
        FailoverChannel(first, second),
    ):
        pass
    first.opens = True
    with pytest.raises(InputError), FailoverChannel(first, second):
        pass
    assert not first.is_open


def test_each_receipt_says_by_which_of_the_two_it_was() -> None:
    first, second = Told(lambda built: DOWN if built.message_id != "m0" else SENT), Told(lambda _: SENT)
    first.name, second.name = "first", "second"

    with FailoverChannel(first, second) as channel:
        told = {built.message_id: receipt.via for built, receipt in channel.transmit(mails(3))}

    assert told == {"m0": Via("first", "m0"), "m1": Via("second", "m1"), "m2": Via("second", "m2")}
    assert channel.via("m0") is None, "beforehand nobody knows"


def test_both_are_there_to_be_asked_but_for_one_that_did_not_open() -> None:
    first, second = Told(lambda _: SENT), Told(lambda _: SENT)
    channel = FailoverChannel(first, second)

    assert channel.transports == (first, second)
    first.opens = False
    with channel:
        assert channel.transports == (second,)
        ((_, receipt),) = channel.transmit(mails(1))
    assert (receipt.via, channel.key_lifetime) == (Via("told", "m0"), None)


def test_the_smaller_group_is_the_limit() -> None:
    assert FailoverChannel(Told(lambda _: SENT, in_flight=9), Told(lambda _: SENT, in_flight=2)).in_flight == 2


def test_a_channel_is_no_backup_of_itself(tmp_path: Path) -> None:
    servers = Connections(smtp_url=SecretStr("smtp://127.0.0.1:2525"))

    with pytest.raises(InputError, match="POSTRIDER_BACKUP_CHANNEL"):
        open_channel(
            "smtp", env="production", outbox=tmp_path, as_of=datetime(2026, 1, 1), connections=servers, backup="smtp"
        )
