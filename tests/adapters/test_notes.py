"""What the note of a dead worker proves, and what it doesn't."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dagster_project.adapters import notes
from dagster_project.adapters.notes import noting, tidy, what_is_known


class CrashError(Exception):
    """In place of a SIGKILL, which the fault tests have."""


def crash_after(folder: Path, begun: list[str], ended: dict[str, Any] | None = None, worker: str = "w:1") -> None:
    with pytest.raises(CrashError), noting(folder, worker) as note:
        for message_id in begun:
            note.begin(message_id)
            if message_id in (ended or {}):
                note.end(message_id, (ended or {})[message_id])
        raise CrashError


def test_what_was_not_begun_was_not_sent_and_what_was_on_its_way_stays_in_doubt(tmp_path: Path) -> None:
    crash_after(tmp_path, ["m1", "m2"], {"m1": "sent"})

    assert what_is_known(tmp_path, [("m1", "w:1"), ("m2", "w:1"), ("m3", "w:1")]) == {"m1": "sent", "m3": "not_sent"}


@pytest.mark.parametrize(
    ("outcome", "known"),
    [("sent", "sent"), ("rejected", "rejected"), ("deferred", "not_sent"), ("not_sent", "not_sent"), ("unknown", None)],
)
def test_an_answer_that_was_noted_is_known(tmp_path: Path, outcome: str, known: str | None) -> None:
    crash_after(tmp_path, ["m1"], {"m1": outcome})

    assert what_is_known(tmp_path, [("m1", "w:1")]).get("m1") == known


def test_a_worker_that_lives_is_not_spoken_for(tmp_path: Path) -> None:
    """It may have been stopped, and go on: then it sends what it holds."""
    with noting(tmp_path, "w:1"):
        assert what_is_known(tmp_path, [("m1", "w:1")]) == {}


def test_nothing_is_known_of_a_worker_without_a_note(tmp_path: Path) -> None:
    """It may have run on another machine."""
    crash_after(tmp_path, ["m1"])

    assert what_is_known(tmp_path, [("m2", "w:2")]) == {}
    assert what_is_known(tmp_path / "nowhere", [("m2", "w:1")]) == {}


def test_a_note_of_an_earlier_boot_proves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written and not synced may be lost with the power."""
    crash_after(tmp_path, ["m1"], {"m1": "sent"})
    other = tmp_path / "boot_id"
    other.write_text("00000000-0000-0000-0000-000000000000\n")
    monkeypatch.setattr(notes, "_BOOT_ID", other)

    assert what_is_known(tmp_path, [("m1", "w:1"), ("m2", "w:1")]) == {}


def test_without_a_boot_id_no_note_is_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notes, "_BOOT_ID", tmp_path / "none")
    crash_after(tmp_path, ["m1"])

    assert what_is_known(tmp_path, [("m2", "w:1")]) == {}


def test_a_worker_that_ends_by_itself_leaves_no_note(tmp_path: Path) -> None:
    with noting(tmp_path, "w:1") as note:
        note.begin("m1")

    assert list(tmp_path.iterdir()) == []


def test_a_name_used_again_after_a_crash_forgets_nothing(tmp_path: Path) -> None:
    crash_after(tmp_path, ["m1"])
    crash_after(tmp_path, ["m2"])

    assert what_is_known(tmp_path, [("m1", "w:1"), ("m2", "w:1"), ("m3", "w:1")]) == {"m3": "not_sent"}


def test_only_their_owner_may_read_notes(tmp_path: Path) -> None:
    crash_after(tmp_path / "notes", ["m1"])

    assert (tmp_path / "notes").stat().st_mode & 0o777 == 0o700
    assert next((tmp_path / "notes").iterdir()).stat().st_mode & 0o777 == 0o600


def test_notes_that_nobody_needs_are_tidied_away(tmp_path: Path) -> None:
    """A worker that was killed leaves its note. It is needed for as long as the ledger waits for a word of that worker."""
    for worker in ("w:1", "w:2", "w:3"):
        crash_after(tmp_path, ["m1"], worker=worker)

    assert tidy(tmp_path, lambda: {"w:2", "elsewhere:9"}) == 2
    assert what_is_known(tmp_path, [("m2", "w:2")]) == {"m2": "not_sent"}
    assert tidy(tmp_path, lambda: {"w:2"}) == 0
    assert tidy(tmp_path, lambda: ()) == 1
    assert list(tmp_path.iterdir()) == []


def test_the_note_of_a_worker_that_lives_is_never_tidied_away(tmp_path: Path) -> None:
    """Nor is the ledger asked before it is certain that a worker is gone: it might begin to send between the two."""
    with noting(tmp_path, "w:1") as note:
        assert tidy(tmp_path, lambda: pytest.fail("there is nothing to ask for")) == 0
        note.begin("m1")
        assert len(list(tmp_path.iterdir())) == 1
    crash_after(tmp_path, ["m1"], worker="w:2")

    def needed() -> list[str]:
        with pytest.raises(BlockingIOError), noting(tmp_path, "w:2"):
            pass
        return []

    assert tidy(tmp_path, needed) == 1
    assert tidy(tmp_path / "nowhere", lambda: ()) == 0


def test_a_worker_that_starts_while_its_old_note_is_tidied_away_writes_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Process ids come round again. A note in a deleted file would be lost with its worker."""
    crash_after(tmp_path, ["m1"])
    lock = notes.fcntl.flock

    def tidied_first(file: int, how: int) -> None:
        monkeypatch.setattr(notes.fcntl, "flock", lock)
        assert tidy(tmp_path, lambda: ()) == 1
        lock(file, how)

    monkeypatch.setattr(notes.fcntl, "flock", tidied_first)
    crash_after(tmp_path, ["m2"])

    assert what_is_known(tmp_path, [("m1", "w:1"), ("m2", "w:1")]) == {"m1": "not_sent"}
