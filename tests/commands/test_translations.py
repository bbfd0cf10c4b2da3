"""`postrider translations`: extracted, merged, checked; drafted by a model on a real HTTP server, and not used before it is reviewed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from dagster_project import home as home_module
from dagster_project.adapters.catalogues import DRAFTED, read, reviewed
from tests.http_server import PromptServer

ROOT = Path(__file__).parents[2]
LOCALES = ["ar", "de", "es", "fr", "ja"]
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped templates in a project that a test may change; the environment names it."""
    shutil.copytree(ROOT / "templates", tmp_path / "project" / "templates")
    dbt_project = tmp_path / "project" / "dbt_project"
    dbt_project.mkdir()
    shutil.copy(ROOT / "dbt_project" / "dbt_project.yml", dbt_project)
    monkeypatch.setenv("POSTRIDER_PROJECT", str(tmp_path / "project"))
    monkeypatch.setenv("POSTRIDER_HOME", str(tmp_path / "home"))
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "project" / "templates"


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def said(called: tuple[int, str, str]) -> dict:
    code, out, err = called
    assert code == 0, err
    return json.loads(out)


def test_what_is_shipped_is_whole_and_as_extracted(templates: Path, call: Call) -> None:
    """A second extraction and merge change nothing, also nothing such as a date; the check finds nothing."""
    before = {path.name: path.read_bytes() for path in (templates / "locales").iterdir()}

    told = said(call("translations", "update", "--json"))
    assert {path.name: path.read_bytes() for path in (templates / "locales").iterdir()} == before
    assert sorted(told["locales"]) == LOCALES
    for counts in told["locales"].values():
        assert counts == {"messages": told["messages"], "translated": told["messages"], "fuzzy": 0, "missing": 0}
    assert said(call("translations", "check", "--json"))["problems"] == []


def test_a_changed_sentence_is_fuzzy_and_a_new_locale_begins_empty(templates: Path, call: Call) -> None:
    """Neither is used; the check says so in a line with file, words and what is allowed."""
    welcome = templates / "emails" / "welcome" / "default"
    for file, apostrophe in (("body.mjml.j2", "\u2019"), ("body.txt.j2", "'")):
        edit(
            welcome / file,
            f"It{apostrophe}s here to turn your numbers",
            f"It{apostrophe}s here to turn all your numbers",
        )
    edit(welcome / "template.yml", "ja, ar]", "ja, ar, pt-BR]")
    told = said(call("translations", "update", "--json"))["locales"]

    assert {told[locale]["fuzzy"] for locale in LOCALES} == {1}
    assert told["pt-BR"]["missing"] == told["pt-BR"]["messages"]
    assert "plural=(n > 1)" in (templates / "locales" / "pt-BR.po").read_text()
    code, out, _ = call("translations", "check", "--json")
    problems = json.loads(out)["problems"]
    assert code == 1
    assert len(problems) == len(LOCALES) + 1
    assert problems[1].startswith(
        "templates/locales/de.po: found no reviewed translation of 1 messages, such as \"It's here"
    )


def test_a_wrong_translation_is_found_with_its_line(templates: Path, call: Call) -> None:
    """By the back-checks; nobody needs to read both languages for it."""
    path = templates / "locales" / "de.po"
    edit(path, 'msgstr "Hallo %(first_name)s,"', 'msgstr "Hallo %(first)s,"')
    line = path.read_text()[: path.read_text().index('msgid "Hi %(first_name)s,"')].count("\n") + 1
    code, out, _ = call("translations", "check", "--json")

    assert code == 1
    assert json.loads(out)["problems"] == [
        f"templates/locales/de.po:{line}: 'Hi %(first_name)s,': {what}"
        for what in (
            "found no %(first_name)s in 'Hallo %(first)s,', allowed: each placeholder of the author's words",
            "found %(first)s in 'Hallo %(first)s,', allowed: %(first_name)s",
        )
    ]


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"msgid x", "templates/locales/de.po"),
        (b"\xff\xfe", "templates/locales/de.po"),
        (b'msgid ""\nmsgstr ""\n"Plural-Forms: nplurals=2; plural=import os;\\n"\n', "templates/locales/de.po"),
    ],
)
def test_a_file_that_is_no_catalogue_is_one_line(templates: Path, call: Call, content: bytes, found: str) -> None:
    (templates / "locales" / "de.po").write_bytes(content)
    code, out, err = call("translations", "check")

    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert found in err
    assert "allowed:" in err


def test_without_a_model_nothing_is_drafted(templates: Path, call: Call) -> None:
    """One line, exit code 2, and no file is touched."""
    before = (templates / "locales" / "de.po").read_bytes()
    code, out, err = call("translations", "draft", "--locale", "de")

    assert (code, out) == (2, "")
    assert err.splitlines() == [
        "postrider: translations draft: found no OPENAI_API_KEY and no OPENAI_BASE_URL, allowed: a model that can be asked"
    ]
    assert (templates / "locales" / "de.po").read_bytes() == before


class Translating:
    """A server that speaks OpenAI's protocol and answers with what is in a catalogue already, or as told."""

    def __init__(self, server: HTTPServer, path: Path) -> None:
        self.known = reviewed(read(path))
        self.asked: list[dict] = []
        self.change: Callable[[str, object], object] = lambda _words, translation: translation
        self.status = 200
        server.expect_request("/v1/chat/completions", method="POST").respond_with_handler(self.answer)

    def answer(self, request: Request) -> Response:
        asked = json.loads(request.get_json()["messages"][1]["content"])
        self.asked.append(asked)
        words = {}
        for name, message in asked["messages"].items():
            forms = self.known[message["words"]]
            words[name] = self.change(message["words"], list(forms) if "plural" in message else forms[0])
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": json.dumps(words)}}
        body = {"id": "c", "object": "chat.completion", "created": 1, "model": "small-1", "choices": [choice]}
        return Response(json.dumps(body), status=self.status, content_type="application/json")


@pytest.fixture
def model(templates: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Translating]:
    with PromptServer(host="127.0.0.1") as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url_for("/v1"))
        yield Translating(server, templates / "locales" / "ar.po")


def test_a_model_s_translation_is_a_draft_until_somebody_takes_the_flag_away(
    templates: Path, call: Call, model: Translating, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of a locale that has none: fuzzy with a comment, so the locale is not offered; without the flags it is."""
    path = templates / "locales" / "ar.po"
    shipped = path.read_text()
    rule = next(line for line in shipped.splitlines() if "Plural-Forms" in line)
    path.write_text(f'msgid ""\nmsgstr ""\n"Language: ar\\n"\n{rule}\n"Content-Type: text/plain; charset=utf-8\\n"\n')
    told = said(call("translations", "draft", "--locale", "ar", "--json"))

    assert told["asked"] == told["drafted"] == told["fuzzy"] == told["messages"]
    assert (told["objected_to"], told["failures"], told["translated"]) == (0, {}, 0)
    assert max(len(one["messages"]) for one in model.asked) == 20
    assert model.asked[0]["plural_forms"][:3] == ["0", "1", "2"]
    assert f"# {DRAFTED}" in path.read_text()
    assert call("translations", "check")[0] == 1
    path.write_text(re.sub(r"^#, (?:python-format, )?fuzzy.*\n", "", path.read_text(), flags=re.MULTILINE))
    monkeypatch.setattr(home_module, "_latest", None)  # as in a new process
    assert said(call("translations", "check", "--json"))["problems"] == []
    assert read(path)["Glad you're here"].string == "سعداء بانضمامكم"  # pyright: ignore[reportOptionalMemberAccess]
    assert said(call("translations", "draft", "--locale", "ar", "--json"))["asked"] == 0, (
        "what is there is not asked again"
    )


def test_what_the_back_checks_say_of_a_draft_stands_beside_it(templates: Path, call: Call, model: Translating) -> None:
    """A lost placeholder, an invented link: a person reads it in the file."""
    path = templates / "locales" / "ar.po"
    edit(path, 'msgstr "مرحبًا %(first_name)s،"', 'msgstr ""')
    model.change = lambda words, translation: "مرحبًا، evil.example" if words.startswith("Hi %") else translation
    told = said(call("translations", "draft", "--locale", "ar", "--json"))

    assert (told["asked"], told["drafted"], told["objected_to"]) == (1, 1, 1)
    text = path.read_text()
    assert "# found no %(first_name)s in" in text
    assert "evil.example" in text
    assert list(model.asked[0]["messages"].values()) == [
        {"words": "Hi %(first_name)s,", "where": "templates/emails/churn_risk/default/body.mjml.j2"}
    ]


def test_a_server_that_fails_leaves_the_catalogue_as_it_was_and_is_not_asked_for_ever(
    templates: Path, call: Call, model: Translating
) -> None:
    """Three failures in a row end it, each counted by its name."""
    path = templates / "locales" / "ar.po"
    rule = next(line for line in path.read_text().splitlines() if "Plural-Forms" in line)
    path.write_text(f'msgid ""\nmsgstr ""\n"Language: ar\\n"\n{rule}\n"Content-Type: text/plain; charset=utf-8\\n"\n')
    model.status = 500
    told = said(call("translations", "draft", "--locale", "ar", "--json"))

    assert told["drafted"] == told["fuzzy"] == 0
    assert told["failures"]["InternalServerError"] == len(model.asked) == 3
    assert told["failures"]["not_asked"] > 0


def test_a_locale_that_nobody_offers_is_refused(templates: Path, call: Call, model: Translating) -> None:
    """With those that are offered; the server is not asked."""
    code, out, err = call("translations", "draft", "--locale", "xx")

    assert (code, out) == (2, "")
    assert "--locale xx: no template offers it; allowed are ar, de, es, fr, ja" in err
    assert not (templates / "locales" / "xx.po").exists()
    assert model.asked == []
