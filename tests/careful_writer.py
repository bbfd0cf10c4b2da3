"""A server whose writer is careful: it answers with the good texts of `tests/data`, in each of the six languages, and its readers are
pleased. It is scripted, no real model."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from werkzeug import Request, Response

from tests.model_server import PLEASED, SILENT, WELL, role_of, saying

DATA = Path(__file__).parent / "data"
TEXTS: Mapping[str, Mapping[str, list[list[str]]]] = yaml.safe_load((DATA / "clean_drafts.yml").read_text("utf-8"))
LETTERS: Mapping[str, Mapping[str, dict[str, Any]]] = yaml.safe_load((DATA / "clean_letters.yml").read_text("utf-8"))
SLOTS = {  # of the default templates, in the order of the texts
    "winback": ("opening", "invitation"),
    "welcome": ("opening", "nudge"),
    "feature_next": ("opening", "benefit"),
    "churn_risk": ("opening", "question"),
    "trial_ending": ("invitation",),
    "setup_stalled": ("opening",),
}


class Careful:
    """Answers by what is asked alone: the same question has the same answer. `campaigns` are their ids by title."""

    def __init__(self, campaigns: Mapping[str, str]) -> None:
        self.campaigns = campaigns

    def __call__(self, request: Request) -> Response:
        role = role_of(request)
        if role != "writer":
            return (PLEASED if role == "reviewer" else SILENT)(request)
        return saying(self.written(json.loads(request.get_json()["messages"][1]["content"])))(request)

    def written(self, said: Mapping[str, Any]) -> dict[str, str]:
        """A good text of this campaign and language that keeps to the lengths, and to the tokens that have a value."""
        campaign, number = self.campaigns[said["campaign"]], zlib.crc32(json.dumps(said, sort_keys=True).encode())
        if "ctas" in said:
            return _letter(LETTERS[said["locale"]][campaign], said)
        texts = [
            {name: text[SLOTS[campaign].index(name)] for name in said["slots"]}
            for text in TEXTS[said["locale"]][campaign]
        ]
        texts = [{name: _inflected(words, said.get("forms", {})) for name, words in text.items()} for text in texts]
        fitting = [text for text in texts if all(_fits(text[name], slot) for name, slot in said["slots"].items())]
        if not fitting:  # a fact that all of them name has no value
            return dict.fromkeys(said["slots"], WELL[said["locale"]])
        return fitting[number % len(fitting)]


FORMS = {  # token -> the noun beside it as the texts have it -> plural category -> the noun
    "{{weeks_away}}": {"أسابيع": {"many": "أسبوعًا"}, "أسبوعًا": {"few": "أسابيع"}},
    "{{days_since_last_seen}}": {"يومًا": {"few": "أيام"}},
    "{{setup_steps_done}}": {"étapes": {"one": "étape"}},
}


def _inflected(words: str, forms: Mapping[str, str]) -> str:
    """With each counted noun in the form that its number asks for."""
    for token, form in forms.items():
        for noun, others in FORMS.get(token, {}).items():
            words = words.replace(f"{token} {noun}", f"{token} {others.get(form, noun)}")
    return words


def _fits(words: str, slot: Mapping[str, Any]) -> bool:
    tokens = set(re.findall(r"\{\{\w+\}\}", words))
    return len(words) <= slot["max_chars"] and set(slot["must_use"]) <= tokens <= {*slot["may_use"], *slot["must_use"]}


def _letter(letter: Mapping[str, Any], said: Mapping[str, Any]) -> dict[str, str]:
    """The one letter of this campaign and language; its preheader is its subject too, where a token of the subject has no value."""
    words = {name: letter.get(name) or _paragraph(letter["paragraphs"], name) for name in said["slots"]}
    words = {name: _inflected(text, said.get("forms", {})) for name, text in words.items()}
    if not _fits(words["subject"], said["slots"]["subject"]):
        words["subject"] = letter["preheader"].rstrip(".。")
    return words | {"cta_id": next(iter(said["ctas"]))}


def _paragraph(paragraphs: Sequence[str], name: str) -> str:
    number = int(name.rpartition("_")[2])
    return paragraphs[number - 1] if number <= len(paragraphs) else ""
