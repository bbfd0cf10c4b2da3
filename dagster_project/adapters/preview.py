"""A draft as files to look at: what the inbox would show, in HTML, text and, where Chromium is found, a picture."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path

from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.message import Draft

_BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
_WIDTH, _HEIGHT = 700, 1000  # pixels; a mail is 600 wide
_SECONDS = 60
# A picture of a mail needs no network: the browser's own errands are switched off too.
_QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip


def find_chromium() -> str | None:
    """The first browser on the path that can take a picture, or None."""
    return next((found for name in _BROWSERS if (found := shutil.which(name))), None)


def write_preview(draft: Draft, folder: Path, chromium: str | None) -> list[Path]:
    """Write <message_id>.html, .txt and, with a browser, .png into `folder`; return what was written, in that order."""
    if not draft.message_id.replace("-", "").replace("_", "").isalnum():
        raise InputError(f"message_id: found {draft.message_id!r}, allowed: letters, digits, - and _")
    html, text, picture = (folder / f"{draft.message_id}.{kind}" for kind in ("html", "txt", "png"))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        html.write_text(draft.html, encoding="utf-8")
        text.write_text(f"Subject: {draft.subject}\nPreheader: {draft.preheader}\n\n{draft.text}", encoding="utf-8")
    except OSError as error:
        raise InputError(f"{folder}: found {error.strerror}, allowed: a folder that can be written to") from None
    if chromium is None:
        return [html, text]
    _take_picture(chromium, html, picture)
    return [html, text, picture]


def _take_picture(chromium: str, page: Path, picture: Path) -> None:
    picture.unlink(missing_ok=True)  # an old picture must not pass for the new one
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [
            chromium,
            *_QUIET,
            f"--user-data-dir={profile}",
            f"--window-size={_WIDTH},{_HEIGHT}",
            f"--screenshot={picture.resolve()}",
            page.resolve().as_uri(),
        ]
        try:
            subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            reason = "no answer in 60 s" if isinstance(error, subprocess.TimeoutExpired) else error.strerror
            raise InputError(f"{chromium}: found {reason}, allowed: a Chromium that runs headless") from None
    if not picture.exists():
        raise InputError(f"{chromium}: found no picture, allowed: a Chromium that runs headless")
