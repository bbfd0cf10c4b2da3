"""The default channel: files, whole or not at all, and nothing sent."""

from __future__ import annotations

import os
import stat
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from dagster_project.adapters.channels.outbox import OutboxChannel
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.mime import Built

AS_OF = datetime.fromisoformat("2026-11-21T09:00:00")


def built(raw: bytes = b"To: ada@customer.example\r\n\r\nHello\r\n", message_id: str = "m1") -> Built:
    return Built(message_id, raw, "hello@ledgerline.example", "ada@customer.example", "<1@ledgerline.example>")


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_mail_is_a_file_named_after_its_message_in_a_folder_per_day(tmp_path: Path) -> None:
    with OutboxChannel(tmp_path / "outbox", AS_OF) as channel:
        receipt = channel.send(built())

    assert (receipt.outcome, receipt.provider_id) == ("sent", "2026-11-21/m1.eml")
    assert (tmp_path / "outbox/2026-11-21/m1.eml").read_bytes() == built().raw
    assert files(tmp_path) == ["outbox/2026-11-21/m1.eml"]


def test_only_the_owner_may_read_the_outbox(tmp_path: Path) -> None:
    with OutboxChannel(tmp_path / "outbox", AS_OF) as channel:
        channel.send(built())

    assert stat.S_IMODE((tmp_path / "outbox").stat().st_mode) == 0o700


def test_the_same_file_again_counts_as_sent(tmp_path: Path) -> None:
    """A crash between the file and its record must not make the next attempt fail, nor write it twice."""
    with OutboxChannel(tmp_path, AS_OF) as channel:
        outcomes = [channel.send(built()).outcome for _ in range(2)]

    assert outcomes == ["sent", "sent"]
    assert files(tmp_path) == ["2026-11-21/m1.eml"]


def test_another_file_of_that_name_is_never_replaced(tmp_path: Path) -> None:
    with OutboxChannel(tmp_path, AS_OF) as channel:
        channel.send(built())
        receipt = channel.send(built(b"To: eve@customer.example\r\n\r\n"))

    assert receipt.outcome == "rejected"
    assert (tmp_path / "2026-11-21/m1.eml").read_bytes() == built().raw
    assert files(tmp_path) == ["2026-11-21/m1.eml"]


def test_opening_leaves_no_trace_but_the_folder(tmp_path: Path) -> None:
    """A look before a tick must not look like a day without mail."""
    with OutboxChannel(tmp_path / "outbox", AS_OF):
        pass

    assert list((tmp_path / "outbox").iterdir()) == []


def test_a_folder_that_cannot_be_used_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "outbox").write_text("a file is in the way")

    with (
        pytest.raises(InputError, match="outbox: File exists; allowed: a folder"),
        OutboxChannel(tmp_path / "outbox", AS_OF),
    ):
        pass


@pytest.mark.parametrize(
    ("call", "outcome", "left"),
    [("open", "not_sent", []), ("link", "not_sent", []), ("fsync", "not_sent", [])],
)
def test_a_disk_that_is_full_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, outcome: str, left: list[str]
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    with OutboxChannel(tmp_path, AS_OF) as channel:
        if call == "open":
            monkeypatch.setattr(Path, "open", full)
        else:
            monkeypatch.setattr(os, call, full)
        receipt = channel.send(built())
    monkeypatch.undo()

    assert (receipt.outcome, receipt.detail) == (outcome, "outbox: No space left on device")
    assert receipt.is_channel_down
    assert files(tmp_path) == left


def test_a_folder_that_cannot_be_synced_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is there, but perhaps not after a power cut: that is exactly what unknown means."""
    real, calls = os.fsync, []

    def second_fails(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        real(descriptor)

    with OutboxChannel(tmp_path, AS_OF) as channel:
        monkeypatch.setattr(os, "fsync", second_fails)
        receipt = channel.send(built())

    assert receipt.outcome == "unknown"
