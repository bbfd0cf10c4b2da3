"""The signing keys: made once, kept to their owner, never shown."""

from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from dagster_project.adapters.secret import secret_keys
from dagster_project.lifecycle.errors import InputError


def test_a_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path) -> None:
    first = secret_keys(tmp_path / "home", None)

    assert secret_keys(tmp_path / "home", None) == first
    assert len(first[0]) == 64
    assert stat.S_IMODE((tmp_path / "home/secret.key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "home").iterdir()] == ["secret.key"]


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = list(pool.map(lambda _: secret_keys(tmp_path, None)[0], range(32)))

    assert len(set(keys)) == 1


def test_a_new_key_outlives_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its octets are synced before it has its name, and every folder above it when it has."""
    synced, sync = [], os.fsync

    def noted(descriptor: int) -> None:
        synced.append((Path(f"/proc/self/fd/{descriptor}").readlink(), (tmp_path / "home/secret.key").exists()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    secret_keys(tmp_path / "home", None)

    assert (synced[0][0].parent, synced[0][1]) == (tmp_path / "home", False)
    assert synced[1:3] == [(tmp_path / "home", True), (tmp_path, True)]


def test_two_homes_have_two_keys(tmp_path: Path) -> None:
    assert secret_keys(tmp_path / "a", None) != secret_keys(tmp_path / "b", None)


def test_configured_keys_win_in_their_order(tmp_path: Path) -> None:
    configured = SecretStr("the-newest-key-of-all, an-older-key-of-ours,")

    assert secret_keys(tmp_path, configured) == ["the-newest-key-of-all", "an-older-key-of-ours"]
    assert not (tmp_path / "secret.key").exists()


@pytest.mark.parametrize("configured", [",", "hunter2", "the-newest-key-of-all,hunter2"])
def test_a_key_that_can_be_guessed_is_refused_without_showing_it(tmp_path: Path, configured: str) -> None:
    with pytest.raises(InputError, match="POSTRIDER_SECRET_KEYS") as error:
        secret_keys(tmp_path, SecretStr(configured))

    assert "hunter2" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"short\n", b"\xff" * 64])
def test_a_damaged_key_file_is_refused(tmp_path: Path, content: bytes) -> None:
    """Never replaced: the links of mails already sent depend on it."""
    (tmp_path / "secret.key").write_bytes(content)
    (tmp_path / "secret.key").chmod(0o600)

    with pytest.raises(InputError, match=r"secret\.key"):
        secret_keys(tmp_path, None)

    assert (tmp_path / "secret.key").read_bytes() == content


def test_a_key_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    secret_keys(tmp_path, None)
    (tmp_path / "secret.key").chmod(0o644)

    with pytest.raises(InputError, match="found mode 0644"):
        secret_keys(tmp_path, None)


def test_a_home_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("a file is in the way")

    with pytest.raises(InputError, match="cannot read or make the key file"):
        secret_keys(tmp_path / "home", None)
