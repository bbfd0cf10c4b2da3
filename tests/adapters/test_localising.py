"""A template in each of its locales: whole or not at all, its own version, right to left where it is read so."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path

import pytest

from dagster_project.adapters.compiled import COMPILED, WORDS, CompiledTemplate
from dagster_project.adapters.templates import Library, check, extremes, load_phrases, load_templates
from dagster_project.lifecycle.campaign import Locales
from dagster_project.lifecycle.drafting import Batch, draft_all, template_artifacts
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.formats import is_right_to_left
from dagster_project.lifecycle.guards.characters import find as hidden_characters
from dagster_project.lifecycle.guards.reading import Grounds, Passage
from dagster_project.lifecycle.message import PlannedMessage
from dagster_project.lifecycle.template import SUBJECT_MAX_CHARS, Context, content_hash
from tests.contented import Contented, Policy
from tests.shipped import CAMPAIGNS, shipped_templates

ROOT = Path(__file__).parents[2]
LOCALES = ("en", "de", "fr", "es", "ja", "ar")
CONTEXT = Context("Ledgerline", "Hauptstr. 1, 10827 Berlin", "A title", "https://mail.ledgerline.example/u/a?b=1&c=2")
SAMPLES = {"text": "Harbor & Vine", "number": 3, "date": "2026-03-14", "percent": 0.5}


def variants() -> list[tuple[str, str]]:
    return [(campaign, locale) for campaign in CAMPAIGNS for locale in LOCALES]


def facts_of(template: CompiledTemplate) -> dict[str, object]:
    return {
        name: next(iter(fact.values), SAMPLES[fact.type]) if fact.type == "text" else SAMPLES[fact.type]
        for name, fact in template.spec.facts.items()
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The shipped templates with the welcome mail alone."""
    root = tmp_path / "templates"
    shutil.copytree(ROOT / "templates", root, ignore=shutil.ignore_patterns("emails"))
    shutil.copytree(ROOT / "templates" / "emails" / "welcome", root / "emails" / "welcome")
    return root


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


class Words(HTMLParser):
    """What a reader of the HTML sees, and the attributes of the root."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.said: list[str] = []
        self.root: dict[str, str | None] = {}
        self._depth = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._depth += tag in ("style", "script")
        if tag == "html":
            self.root = dict(attrs)

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag in ("style", "script")

    def handle_data(self, data: str) -> None:
        if not self._depth:
            self.said.append(data)


@pytest.mark.parametrize(("campaign", "locale"), variants())
def test_every_shipped_mail_is_in_every_locale(campaign: str, locale: str) -> None:
    """Both parts, subject and preheader: its lengths, its direction, its link, nothing unfilled and no English left in it."""
    base = shipped_templates().get(campaign, "default")
    template = base.in_locale(locale)
    assert base.spec.locales == LOCALES
    for facts in (facts_of(template), *extremes(template.spec).values()):
        mail = template.render(facts, None, CONTEXT)
        html = Words(mail.html)

        assert (html.root["lang"], html.root["dir"]) == (locale, "rtl" if is_right_to_left(locale) else "ltr")
        assert 0 < len(mail.subject) <= SUBJECT_MAX_CHARS
        assert 0 < len(mail.preheader) <= 130
        assert len(mail.html) < 20_000
        for part in (mail.html.replace("&amp;", "&"), mail.text):
            assert template.spec.ctas["main"].url in part
            assert str(CONTEXT.unsubscribe_url) in part
        assert not re.search(r"\{\{|\{%|%\(|\[\[|None", mail.subject + mail.preheader + mail.html + mail.text)
        assert not list(hidden_characters(Passage("mail", mail.subject + mail.text, one_line=False), Grounds(locale)))
    if locale != "en":
        said = {template.render(facts_of(template), None, CONTEXT).text for template in (base, template)}
        shared = set.intersection(*(set(text.splitlines()) for text in said))
        kept = {line for line in shared if re.search(r"[a-z]{3}", line)} - {"  Plan: Harbor & Vine"}  # Spanish too
        assert kept == {CONTEXT.postal_address, base.spec.ctas["main"].url}, kept


def test_what_is_shipped_passes_the_guards_in_every_locale() -> None:
    """Rendering at its extremes and wording, all campaigns, as `postrider check` looks."""
    required = {
        campaign: [
            name for name, fact in shipped_templates().get(campaign, "default").spec.facts.items() if fact.required
        ]
        for campaign in shipped_templates().campaigns
    }

    assert check(shipped_templates(), required, ["payment_failed"], load_phrases(ROOT / "templates")) == []


def test_a_mail_in_another_language_reads_well_alone_as_text() -> None:
    """The whole of one, as its reader sees it."""
    facts = {"first_name": "Jürgen", "account_name": "Harbor & Vine", "plan": "team", "payment_failed_on": "2026-03-02"}
    template = shipped_templates().get("payment_failed", "default").in_locale("de")
    mail = template.render(facts, None, Context("Ledgerline", "Street 1", "T", None))

    assert mail.subject == "Ihre Zahlung an Ledgerline hat nicht geklappt"
    assert mail.text == (
        "Hallo Jürgen,\n\n"
        "Wir wollten die Zahlung für Harbor & Vine einziehen, und sie wurde abgelehnt. "
        "Oft liegt es an einer Kleinigkeit, etwa an einer abgelaufenen Karte.\n\n"
        "  Tarif: Team\n  Abgelehnt am: 2. März 2026\n\n"
        "Bitte prüfen Sie Ihre Zahlungsdaten, damit Ihr Tarif ohne Unterbrechung weiterläuft.\n\n"
        "Zahlungsdaten aktualisieren:\nhttps://app.ledgerline.example/billing/payment\n\n"
        "Sie werden zuerst gebeten, sich anzumelden. Nach Kartendaten fragen wir nie per E-Mail.\n\n"
        "Ihr Ledgerline-Team\n\n"
        "--\n"
        "Dies ist ein Hinweis zur Abrechnung Ihres Ledgerline-Kontos. "
        "Er kommt unabhängig von Ihren E-Mail-Einstellungen.\n\n"
        "Street 1\n"
    )


def test_arabic_is_mirrored_and_what_is_filled_in_is_isolated() -> None:
    """Alignment, the panel's bar, the button; a Latin name can't turn the signs around it. English stays as it is."""
    welcome = shipped_templates().get("setup_stalled", "default")
    arabic, english = (
        template.render(facts_of(welcome), None, CONTEXT).html for template in (welcome.in_locale("ar"), welcome)
    )

    assert "<bdi>Harbor &amp; Vine</bdi>" in arabic
    assert "border-right: 4px" in arabic
    assert "text-align:right" in arabic.replace(": ", ":")
    assert "direction:ltr" not in arabic
    assert 'href="https://app.ledgerline.example/setup"' in arabic
    assert "<bdi>" not in english
    assert "border-left: 4px" in english
    assert "Hiragino" in shipped_templates().get("welcome", "default").in_locale("ja").parts[COMPILED].content.decode()


def test_each_locale_is_a_version_of_its_own_and_one_catalogue_s_change_is_no_other_s(root: Path) -> None:
    """A mail can be rebuilt when the catalogue has changed: its words are parts of its version."""
    before = load_templates(root).get("welcome", "default")
    edit(root / "locales" / "de.po", "Schön, dass Sie da sind", "Gut, dass Sie da sind")
    after = load_templates(root).get("welcome", "default")

    assert len({before.in_locale(locale).version for locale in LOCALES}) == len(LOCALES)
    assert [before.in_locale(locale).version != after.in_locale(locale).version for locale in LOCALES] == [
        False, True, False, False, False, False,
    ]  # fmt: skip
    parts = before.in_locale("de").parts
    assert "Schön, dass Sie da sind" in parts["body.mjml.j2"].content.decode()
    assert "Hier anfangen" in parts[WORDS].content.decode()
    kept = template_artifacts(before.in_locale("de"))
    assert all(content_hash(content) == digest for digest, content in kept.items())


def test_a_locale_that_is_not_wholly_reviewed_is_not_offered(root: Path) -> None:
    """A mail is of one language: one fuzzy or missing sentence, and all of it falls back."""
    edit(root / "locales" / "de.po", 'msgid "Glad you\'re here"', '#, fuzzy\nmsgid "Glad you\'re here"')
    edit(root / "locales" / "fr.po", 'msgstr "Commencer"', 'msgstr ""')
    (root / "locales" / "ja.po").unlink()
    library = load_templates(root)

    assert library.get("welcome", "default").spec.locales == ("en", "es", "ar")
    authored = library.authored["welcome", "default"]
    assert [message.one for message in authored.untranslated("de")] == ["Glad you're here"]
    assert [message.one for message in authored.untranslated("fr")] == ["Start here"]


def test_a_file_for_one_locale_replaces_the_translated_one(root: Path) -> None:
    """There alone; its marks are looked up all the same, and it is checked as any other."""
    folder = root / "emails" / "welcome" / "default"
    (folder / "subject.de.txt.j2").write_text(
        "Servus, {{ first_name|short(30) }}\n{% trans %}Welcome to Ledgerline{% endtrans %}\n"
    )
    template = load_templates(root).get("welcome", "default")

    said = [template.in_locale(locale).render(facts_of(template), None, CONTEXT) for locale in ("de", "fr")]
    assert (said[0].subject, said[0].preheader) == ("Servus, Harbor & Vine", "Willkommen bei Ledgerline")
    assert said[1].subject == "Bienvenue sur Ledgerline, Harbor & Vine"
    (folder / "subject.de.txt.j2").write_text("Servus {{ nobody }}\nx\n")
    with pytest.raises(InputError, match=r"welcome/default \(de\)/subject\.txt\.j2:1: found nobody"):
        load_templates(root).get("welcome", "default").in_locale("de")
    (folder / "subject.pt.txt.j2").write_text("x\ny\n")
    with pytest.raises(InputError, match=r"subject\.pt\.txt\.j2: found an unknown file, allowed: .*body\.de\.txt\.j2"):
        load_templates(root)


def test_words_without_a_mark_are_a_problem_where_there_is_another_language(root: Path) -> None:
    """They would be English in every mail."""
    edit(root / "emails" / "welcome" / "default" / "body.txt.j2", "{% trans %}Hi there,{% endtrans %}", "Hi there,")

    (problem,) = [line for line in check(load_templates(root), {"welcome": []}) if "outside" in line]

    assert problem.startswith("templates/emails/welcome/default/body.txt.j2:1: found 'Hi there,' outside {% trans %}")


def drafted(
    library: Library, campaign: str, locale: str | None, facts: dict[str, object], slots: dict[str, str] | None = None
) -> Batch:
    """One person's draft, in the words of the template or of a model that wrote these slots."""
    planned = PlannedMessage(
        message_id="m", campaign_id=campaign, user_id="u", account_id=None, occurrence_key="once", decision_id="d",
        policy_hash="p", message_type="product_tips", channel="email", variant="default", locale=locale,
        email="u@mail.example", facts=facts, send_after=None, send_before=None,
    )  # fmt: skip
    return draft_all(
        [planned],
        policies={campaign: Policy("Welcome", "assisted" if slots else "template", locales=Locales(fallback="fr-CA"))},
        template_of=library.get,
        sender_name="Ledgerline",
        postal_address="Street 1",
        unsubscribe_url=lambda _: "https://mail.ledgerline.example/u/1",
        phrases=load_phrases(ROOT / "templates"),
        model=Contented(slots).model if slots else None,
    )


def test_a_model_s_words_are_filled_and_judged_in_the_mail_s_locale(root: Path) -> None:
    """Numbers as the locale writes them; it may repeat what that locale's own words say, and not what another's do."""
    slots = {"opening": "Das ist {{weeks_away}} Wochen her.", "invitation": "Schauen Sie doch wieder einmal vorbei."}
    (made,) = drafted(shipped_templates(), "winback", "de", {"weeks_away": 1200}, slots).drafts
    assert (made.mode, made.locale) == ("assisted", "de")
    assert "Das ist 1.200 Wochen her." in made.text

    edit(
        root / "locales" / "de.po",
        "Danke, dass Sie Ihr Team zu Ledgerline gebracht haben.",
        "Ledgerline ist kostenlos.",
    )
    slots = {"opening": "Für Ihr Team ist es kostenlos.", "nudge": "Sehen Sie sich in Ruhe um."}
    said = [drafted(load_templates(each), "welcome", "de", {}, slots).drafts[0] for each in (root, ROOT / "templates")]
    assert [(one.mode, one.fallback_reason) for one in said] == [("assisted", None), ("template", "guard:claim")]


def test_values_in_a_model_s_arabic_words_are_isolated_as_in_the_template_s_own() -> None:
    """By markup in HTML alone: nobody sees a character of direction in subject or text. Other languages have none of it."""
    facts = {"account_name": "Rock & <Roll> (UK)", "weeks_away": 12}
    slots = {"opening": "مرّ {{weeks_away}} أسبوعًا على {{account_name}}.", "invitation": "ألقوا نظرة على التقرير."}
    (made,) = drafted(shipped_templates(), "winback", "ar", facts, slots).drafts

    assert made.mode == "assisted"
    assert "مرّ <bdi>12</bdi> أسبوعًا على <bdi>Rock &amp; &lt;Roll&gt; (UK)</bdi>." in made.html
    assert "مرّ 12 أسبوعًا على Rock & <Roll> (UK).\n" in made.text
    assert not {"\u2068", "\u2069"} & {*made.html, *made.text, *made.subject, *made.preheader}
    slots = {
        "opening": "{{account_name}} wartet seit {{weeks_away}} Wochen.",
        "invitation": "Schauen Sie wieder vorbei.",
    }
    (made,) = drafted(shipped_templates(), "winback", "de", facts, slots).drafts
    assert "Rock &amp; &lt;Roll&gt; (UK) wartet seit 12 Wochen." in made.html


@pytest.mark.parametrize(
    ("asked", "said"), [("de-AT", "de"), ("pt-BR", "fr"), (None, "fr"), ("ar_EG", "ar"), ("JA-jp", "ja")]
)
def test_a_person_gets_their_locale_else_its_language_else_the_policy_s_fallback(asked: str | None, said: str) -> None:
    """The draft says which, and its recipe is of that version."""
    library = shipped_templates()
    batch = drafted(library, "welcome", asked, {"first_name": "Ana"})
    (made,) = batch.drafts

    assert made.locale == said
    assert f'lang="{said}"' in made.html
    assert made.recipe["template"] == library.get("welcome", "default").in_locale(said).version
    assert made.recipe["template"] in batch.artifacts


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("ja: serif", "layouts/fonts.yml: found no default"),
        ("default: serif", "layouts/fonts.yml: default: found 'serif', allowed: stack and line_height"),
        (
            'default: {stack: "a; b", line_height: 2}',
            "layouts/fonts.yml: default.stack: found 'a; b', allowed: names of fonts",
        ),
        (
            "default: {stack: serif, line_height: 16px}",
            "layouts/fonts.yml: default.line_height: found '16px', allowed: a number from 1 to 3",
        ),
    ],
)
def test_fonts_are_names(root: Path, content: str, found: str) -> None:
    """They stand in a style."""
    (root / "layouts" / "fonts.yml").write_text(content)

    with pytest.raises(InputError, match=re.escape(found)):
        load_templates(root)


def test_a_locale_that_nobody_knows_is_refused(root: Path) -> None:
    """By the spec, not when somebody asks for it."""
    path = root / "emails" / "welcome" / "default" / "template.yml"
    edit(path, "[en, de, fr, es, ja, ar]", "[en, xx]")
    with pytest.raises(InputError, match=r"locales: found xx, allowed: locales of CLDR"):
        load_templates(root)
    edit(path, "[en, xx]", "[en, German]")
    with pytest.raises(InputError, match=r"locales"):
        load_templates(root)
