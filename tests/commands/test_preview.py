"""A preview is the mail as it would be drafted now; it plans and sends nothing."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest

from dagster_project.adapters.preview import find_chromium
from dagster_project.commands.preview import preview
from dagster_project.home import Home
from dagster_project.lifecycle.errors import InputError

pytestmark = pytest.mark.slow


def test_every_campaign_can_be_looked_at(ticked: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From a candidate of its own, in HTML and text, with nothing left to fill in."""
    monkeypatch.setattr("dagster_project.commands.preview.find_chromium", lambda: None)
    had = ticked.warehouse.rows("select distinct campaign_id from int_candidates_unioned")
    assert len(had) > 8
    for row in had:
        shown = preview(ticked, row["campaign_id"], None, "default", tmp_path)
        html, text = (Path(file).read_text() for file in shown["files"])
        assert shown["subject"] in text.splitlines()[0]
        assert "<html" in html
        assert "{{" not in html + text
        assert "{%" not in html + text


def test_a_picture_is_taken_where_there_is_a_browser(ticked: Home, tmp_path: Path) -> None:
    """A PNG of the promised width that is no empty page."""
    if find_chromium() is None:
        pytest.skip("Chromium is not installed")

    shown = preview(ticked, "welcome", None, "default", tmp_path)

    picture = Path(shown["files"][2]).read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert struct.unpack(">II", picture[16:24]) == (700, 1000)
    assert len(picture) > 10_000


def test_looking_plans_nothing(home: Home, tmp_path: Path) -> None:
    with home.ledger() as ledger:
        before = ledger.verify()["chain"]["head"]

    preview(home, "welcome", None, "default", tmp_path)

    with home.ledger() as ledger:
        assert ledger.verify()["chain"]["head"] == before


def test_who_is_no_candidate_is_told_where_to_ask(ticked: Home, tmp_path: Path) -> None:
    (other,) = ticked.warehouse.rows(
        "select user_id from stg_users where user_id not in (select user_id from int_candidates_unioned"
        " where campaign_id = 'welcome') order by 1 limit 1"
    )
    for user_id, words in ((other["user_id"], "no candidate"), ("nobody", "no candidate")):
        with pytest.raises(InputError, match=words):
            preview(ticked, "welcome", user_id, "default", tmp_path)
    with pytest.raises(InputError, match="loud"):
        preview(ticked, "welcome", None, "loud", tmp_path)
    with pytest.raises(InputError, match="allowed: a folder that can be written to"):
        (tmp_path / "file").write_text("")
        preview(ticked, "welcome", None, "default", tmp_path / "file")
