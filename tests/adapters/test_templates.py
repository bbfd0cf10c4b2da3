"""Loading the mails' words: the first mistake is one line that names file, line or key, found and allowed."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_project.adapters.templates import check, load_templates, parse_spec
from dagster_project.lifecycle.errors import InputError
from tests.shipped import shipped_templates

ROOT = Path(__file__).parents[2]
CAMPAIGNS = (
    "churn_risk",
    "feature_next",
    "first_value",
    "invite_teammates",
    "payment_failed",
    "setup_stalled",
    "terms_update",
    "trial_ending",
    "usage_limit",
    "welcome",
    "winback",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A templates folder with the layouts and the welcome mail alone."""
    root = tmp_path / "templates"
    shutil.copytree(ROOT / "templates" / "layouts", root / "layouts")
    shutil.copytree(ROOT / "templates" / "emails" / "welcome", root / "emails" / "welcome")
    return root


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


def test_every_campaign_has_its_mail() -> None:
    """The eleven that ship."""
    assert load_templates(ROOT / "templates").campaigns == CAMPAIGNS


def test_shipped_templates_render_at_their_extremes() -> None:
    """Longest facts and null facts; required facts as the templates themselves say."""
    library = shipped_templates()
    required = {
        campaign: [name for name, fact in library.get(campaign, "default").spec.facts.items() if fact.required]
        for campaign in CAMPAIGNS
    }

    assert check(library, required, ["payment_failed"]) == []


FOLDER = "templates/emails/welcome/default"


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).unlink()


def changed(name: str, old: str, new: str) -> Callable[[Path], None]:
    return lambda folder: edit(folder / name, old, new)


def written(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (without("body.txt.j2"), "/body.txt.j2: found no such file, allowed: template.yml, subject.txt.j2, "),
        (without("template.yml"), "/template.yml: found no such file, allowed: template.yml, "),
        (written("notes.md", b"x"), "/notes.md: found an unknown file, allowed: template.yml, "),
        (written("body.txt.j2", b"\xff"), "/body.txt.j2: found 'utf-8' codec can't decode byte 0xff"),
        (written("template.yml", b"a: [1"), "/template.yml:1: found expected ',' or ']'"),
        (written("template.yml", b"- a"), "/template.yml: found list, allowed: a mapping"),
        (written("template.yml", b"a: \x00"), "/template.yml: found characters YAML does not allow"),
        (changed("template.yml", "tone:", "mood:"), "/template.yml: tone: found nothing, allowed: a value"),
        (
            changed("template.yml", "facts:", "extra: 1\nfacts:"),
            "/template.yml: extra: found an unknown key, allowed: layout, locales, tone, why, facts, slots, ctas, letter",
        ),
        (
            changed("template.yml", "first_name: {type: text}", "first_name: {type: text, private: true}"),
            "/template.yml: facts.first_name.private: found an unknown key, allowed: type, required, to_model, buckets, ",
        ),
        (
            changed("template.yml", "first_name: {type: text}", "first_name: {type: words}"),
            "/template.yml: facts.first_name.type: found 'words', allowed: 'text', 'number', 'date', 'percent' or 'money'",
        ),
        (
            changed("template.yml", "first_name: {type: text}", "first_name: {type: text, to_model: always}"),
            "/template.yml: facts.first_name.to_model: found 'always', allowed: 'public', 'bucket', 'placeholder', 'redact' or 'never'",
        ),
        (
            changed(
                "template.yml", "first_name: {type: text}", "first_name: {type: text, to_model: bucket, buckets: [1]}"
            ),
            "/template.yml: to_model: found bucket for a text, allowed: for a number, percent or money",
        ),
        (
            changed("template.yml", "first_name: {type: text}", "first_name: {type: number, to_model: bucket}"),
            "/template.yml: buckets: found them without to_model: bucket or the other way round, allowed: both or neither",
        ),
        (
            changed(
                "template.yml",
                "first_name: {type: text}",
                "first_name: {type: number, to_model: bucket, buckets: [2, 2]}",
            ),
            "/template.yml: buckets: found [2.0, 2.0], allowed: ascending numbers",
        ),
        (
            changed("template.yml", "account_name: {type: text}", "account_name: {type: text, to_model: never}"),
            "/template.yml: slots.opening.placeholders: found account_name, whose to_model is never, allowed: other facts",
        ),
        (
            changed("template.yml", "max_chars: 260", "max_chars: many"),
            "/template.yml: slots.opening.max_chars: found 'many'",
        ),
        (changed("template.yml", "https://app", "http://app"), "/template.yml: ctas.main.url: found 'http://app."),
        (
            changed("template.yml", "placeholders: [account_name]", "placeholders: [company]"),
            "/template.yml: slots.opening.placeholders: found company, allowed: first_name, account_name, ",
        ),
        (
            changed("template.yml", "tone:", "layout: fancy\ntone:"),
            "/template.yml: layout: found fancy, allowed: default",
        ),
        (changed("template.yml", "  first_name:", "  cta:"), "/template.yml: facts: found cta, allowed: any name but "),
        (
            changed("subject.txt.j2", "first_name", "last_name"),
            "/subject.txt.j2:1: found last_name, allowed: account_name, ",
        ),
        (
            changed("subject.txt.j2", "Welcome", "{{ unsubscribe_url }}"),
            "/subject.txt.j2:1: found unsubscribe_url, allowed: ",
        ),
        (
            written("subject.txt.j2", b"Only one line\n"),
            "/subject.txt.j2: found 1 lines, allowed: 2, the subject and the",
        ),
        (changed("body.txt.j2", "{% endslot %}", ""), "/body.txt.j2:"),
        (changed("body.txt.j2", "slot nudge", "slot push"), "/body.txt.j2:5: found slot push, allowed: opening, nudge"),
        (changed("body.mjml.j2", "{% slot opening %}", "{% if %}"), "/body.mjml.j2:6: "),
        (
            changed("body.mjml.j2", "<mj-button", "<mj-link"),
            "/body.mjml.j2:9: found <mj-link> in <mj-column>, allowed: ",
        ),
        (
            changed("body.mjml.j2", "cta.main.url", "first_name"),
            "/body.mjml.j2:9: found {{ first_name }} in href, allowed: ",
        ),
        (changed("body.mjml.j2", "cta.main.url", "cta.other.url"), "/body.mjml.j2:9: found cta.other, allowed: main"),
        (
            changed("body.mjml.j2", "if account_name", "if account_name|safe"),
            "/body.mjml.j2:6: found filter safe, allowed: ",
        ),
        (
            written("body.txt.j2", b"Hi"),
            "/body.txt.j2: found no slot nudge, allowed: each slot of template.yml in both",
        ),
    ],
)
def test_a_mistake_is_one_line(root: Path, break_it: Callable[[Path], object], message: str) -> None:
    """File, line or key, what was found, what is allowed."""
    break_it(root / "emails" / "welcome" / "default")

    with pytest.raises(InputError) as error:
        load_templates(root)

    assert str(error.value).startswith(FOLDER + message)
    assert len(str(error.value).splitlines()) == 1


def test_a_mistake_in_a_layout_is_named_too(root: Path) -> None:
    """It belongs to every mail."""
    edit(root / "layouts" / "default.mjml.j2", "{{ postal_address }}", "{{ address }}")

    with pytest.raises(
        InputError, match=r"templates/layouts/default\.mjml\.j2:\d+: found address, allowed: campaign_title"
    ):
        load_templates(root)


def test_a_layout_has_one_place_for_the_body(root: Path) -> None:
    """Neither none nor two."""
    edit(root / "layouts" / "default.txt.j2", "[[ body ]]", "")

    with pytest.raises(InputError, match=r"default\.txt\.j2: found 0 times \[\[ body \]\], allowed: once"):
        load_templates(root)


def test_a_missing_folder_is_named(tmp_path: Path, root: Path) -> None:
    """Of all mails, of a campaign's variants."""
    with pytest.raises(InputError, match="nowhere/emails: found no such folder"):
        load_templates(tmp_path / "nowhere")
    (root / "emails" / "empty").mkdir()
    with pytest.raises(InputError, match="templates/emails/empty: found no variant"):
        load_templates(root)


@pytest.mark.parametrize(
    ("campaign", "variant", "allowed"),
    [("welcome", "short", "variants default"), ("goodbye", "default", "campaigns welcome")],
)
def test_an_unknown_template_is_named(root: Path, campaign: str, variant: str, allowed: str) -> None:
    """With those that exist."""
    with pytest.raises(InputError) as error:
        load_templates(root).get(campaign, variant)

    assert str(error.value) == f"templates/emails/{campaign}/{variant}: found no such folder, allowed: {allowed}"


def test_any_change_makes_a_new_version(root: Path) -> None:
    """Of a word, of a limit, of the layout; and back again."""
    template = root / "emails" / "welcome" / "default"
    versions = [load_templates(root).get("welcome", "default").version]
    for path, old, new in (
        (template / "body.txt.j2", "Stuck", "Lost"),
        (template / "template.yml", "260", "259"),
        (root / "layouts" / "default.txt.j2", "--", "=="),
    ):
        edit(path, old, new)
        versions.append(load_templates(root).get("welcome", "default").version)
        edit(path, new, old)

    assert len(set(versions)) == 4
    assert load_templates(root).get("welcome", "default").version == versions[0]


@pytest.mark.parametrize(
    ("name", "old", "new", "problem"),
    [
        (
            "subject.txt.j2",
            "|short(30)",
            "",
            "/subject.txt.j2: found 87 characters with the longest facts, allowed: 78; ",
        ),
        ("body.txt.j2", "if first_name", "if true", "/body.txt.j2:1: a null fact would be printed"),
        ("body.mjml.j2", "if first_name", "if true", "/body.mjml.j2 compiled:"),
        (
            "../../../layouts/default.txt.j2",
            "Unsubscribe: {{ unsubscribe_url }}",
            "Unsubscribe",
            "/body.txt.j2: found no unsubscribe",
        ),
        (
            "../../../layouts/default.mjml.j2",
            ' href="{{ unsubscribe_url }}"',
            "",
            "/body.mjml.j2: found no unsubscribe",
        ),
        ("../../../layouts/default.mjml.j2", "{{ postal_address }}", "", "/body.mjml.j2: found no postal address"),
        (
            "template.yml",
            "{type: text, to_model: public, values",
            "{type: text, to_model: public, required: true, values",
            "/template.yml: facts.next_setup_step.required: ",
        ),
    ],
)
def test_a_template_that_does_not_fit_is_a_problem(root: Path, name: str, old: str, new: str, problem: str) -> None:
    """Found by rendering, before anything is sent."""
    edit(root / "emails" / "welcome" / "default" / name, old, new)

    problems = check(load_templates(root), {"welcome": []})

    assert len(problems) == 1
    assert problems[0].startswith(FOLDER + problem)


def test_policies_and_templates_are_compared(root: Path) -> None:
    """A campaign without a mail, a required fact that the mail does not know."""
    assert check(load_templates(root), {"welcome": ["plan"], "goodbye": []}) == [
        "templates/emails/goodbye: found no such folder, allowed: one per campaign",
        "templates/emails/welcome/default/template.yml: facts: found no plan, which the policy requires",
    ]


def test_a_spec_is_parsed_on_its_own() -> None:
    """For the editor's check."""
    spec = parse_spec("tone: plain\nwhy: Because.\nfacts:\n  plan: {type: text}\n", "template.yml")

    assert spec.facts["plan"].max_chars == 64
    assert spec.locales == ("en",)
