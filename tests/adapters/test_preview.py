"""A draft as files to look at."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

import pytest

from dagster_project.adapters.preview import find_chromium, write_preview
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import Draft

DRAFT = Draft(
    message_id="0123abcd",
    mode="template",
    mode_asked="template",
    fallback_reason=None,
    locale="en",
    subject="Hello",
    preheader="There",
    html="<!doctype html><title>Hello</title><p>Caf\u00e9</p>",
    text="Caf\u00e9\n",
    unsubscribe_url=None,
    recipe={},
)


def test_without_a_browser_there_are_two_files(tmp_path: Path) -> None:
    """The folder is made, the words are UTF-8."""
    files = write_preview(DRAFT, tmp_path / "new", None)

    assert [file.name for file in files] == ["0123abcd.html", "0123abcd.txt"]
    assert files[0].read_text(encoding="utf-8") == DRAFT.html
    assert files[1].read_text(encoding="utf-8") == "Subject: Hello\nPreheader: There\n\nCaf\u00e9\n"


@pytest.mark.slow
def test_with_a_browser_there_is_a_picture(tmp_path: Path) -> None:
    """A PNG of the mail's width."""
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium on the path")

    *_, picture = write_preview(DRAFT, tmp_path, chromium)
    head = picture.read_bytes()[:24]

    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", head[16:24]) == (700, 1000)


@pytest.mark.parametrize("browser", ["/bin/true", "/nowhere/chromium"])
def test_a_browser_that_takes_no_picture_is_named(tmp_path: Path, browser: str) -> None:
    """An older picture is not passed off as the new one."""
    (tmp_path / "0123abcd.png").write_bytes(b"old")

    with pytest.raises(InputError, match=browser):
        write_preview(DRAFT, tmp_path, browser)

    assert not (tmp_path / "0123abcd.png").exists()


def test_a_message_id_is_no_path(tmp_path: Path) -> None:
    """It names files."""
    with pytest.raises(InputError, match="message_id"):
        write_preview(dataclasses.replace(DRAFT, message_id="../x"), tmp_path, None)


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """A file stands where the folder should be."""
    (tmp_path / "file").write_text("")

    with pytest.raises(InputError, match="file"):
        write_preview(DRAFT, tmp_path / "file", None)
