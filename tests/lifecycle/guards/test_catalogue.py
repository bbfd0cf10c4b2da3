"""Whatever talked the model into it, nothing leaves but a plain sentence made of the facts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.adapters.templates import load_phrases
from dagster_project.lifecycle.guards.catalogue import GUARDS, findings
from dagster_project.lifecycle.guards.reading import Finding, Grounds, Passage, Phrases
from dagster_project.lifecycle.template import clean

ROOT = Path(__file__).parents[3]
PHRASES = load_phrases(ROOT / "templates")
LOCALES = ("en", "de", "fr", "es", "ja", "ar")


def look(
    text: str,
    locale: str = "en",
    facts: Mapping[str, str | float | None] | None = None,
    own_words: str = "",
    phrases: Phrases | None = None,
    **passage: object,
) -> tuple[Finding, ...]:
    """What all guards say of one text, with the phrases of its locale unless others are given."""
    grounds = Grounds(locale, facts or {}, own_words, phrases or PHRASES[locale])
    return findings([Passage("intro", text, **passage)], grounds)  # pyright: ignore[reportArgumentType]


def codes(text: str, locale: str = "en", **more: object) -> list[str]:
    return [found.code for found in look(text, locale, **more)]  # pyright: ignore[reportArgumentType]


CLEAN = {
    "en": (
        "Your workspace is ready when you are.",
        "Invite someone; they'll see the same numbers as you.",
        "It's been {{weeks}} weeks, and 1,200 rows are still there.",
        "It's been 6 weeks, and everything you made is where you left it.",
        "Try it on one question (a small one) - then decide.",
        "Bring {{account_name}} along.",
        "Cafés, naïve users \u2014 all fine\u2026",
        "That's 42% of the seats.",
        "You may start with a small report, and march on from there.",
        "Whoever opens Dashboards sees at once where the numbers come from.",
        "Six weeks is a while: have a look at what your team has added since.",
    ),
    "de": (
        "Ihre Auswertungen sind noch da, und seit Ihrem letzten Besuch sind 6 Wochen vergangen.",
        "Laden Sie jemanden aus Ihrem Team ein, dann sehen alle dieselben Zahlen.",
        "Seit sechs Wochen wartet {{account_name}} auf den ersten Bericht.",
        "Von den Plätzen sind 42 % vergeben, und 1.200 Zeilen liegen bereit.",
    ),
    "fr": (
        "Vos rapports sont toujours là, et 6 semaines ont passé depuis votre dernière visite.",
        "Invitez quelqu\u2019un de votre équipe, et tout le monde verra les mêmes chiffres.",
        "Il y a six semaines que {{account_name}} attend son premier rapport.",
        "Les places sont prises à 42 %, et 1\u202f200 lignes vous attendent.",
    ),
    "es": (
        "Tus informes siguen ahí, y han pasado 6 semanas desde tu última visita.",
        "Invita a alguien de tu equipo y todos veréis los mismos números.",
        "Hace seis semanas que {{account_name}} espera su primer informe.",
        "El 42 % de las plazas está ocupado y 1.200 filas te esperan.",
    ),
    "ja": (
        "レポートはそのまま残っています。前回から6週間が過ぎました。",
        "チームの一員を招待して、一緒に同じ数字を見ましょう。",
        "{{account_name}}の最初のレポートは、六週間前から待っています。",
    ),
    "ar": (
        "تقاريركم ما زالت هنا، وقد مرت 6 أسابيع على زيارتكم الأخيرة.",
        "ادعوا شخصا من فريقكم ليرى الجميع الأرقام نفسها.",
    ),
}
FACTS = {"weeks": 6, "rows": 1200, "share": "42%", "feature": "Dashboards"}
TOKENS = frozenset({"account_name", "weeks"})


@pytest.mark.parametrize(("locale", "text"), [(locale, text) for locale, texts in CLEAN.items() for text in texts])
def test_a_plain_sentence_passes(locale: str, text: str) -> None:
    """What the facts say may be said: in digits of the locale, in words, and in an ordinary sentence of its language."""
    assert look(text, locale, FACTS, may_use=TOKENS) == ()


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "empty"),
        (" \u3000", "empty"),
        ("two\nlines", "control_characters"),
        ("tab\there", "control_characters"),
        ("zero\u200bwidth", "control_characters"),
        ("\u202egnp.exe", "control_characters"),
        ("tags\U000e0061", "control_characters"),
        ("lone \ud800", "control_characters"),
        ("Hi {{last_name}}", "unknown_placeholder"),
        ("Hi {{first_name", "template_marks"),
        ("Hi {% if x %}", "template_marks"),
        ("Hi {{ 7*7 }}", "template_marks"),
        ("Hi ${jndi}", "template_marks"),
        ("Hi [[name]]", "template_marks"),
        ("Hi <%= 1 %>", "template_marks"),
        ("Hi \uff5b\uff5bx\uff5d\uff5d", "template_marks"),
        ("a <b>bold</b> claim", "markup"),
        ("less \uff1cscript\uff1e", "markup"),
        ("fish &amp; chips", "markup"),
        ("**bold**", "markup"),
        ("`code`", "markup"),
        ("see [here](x)", "markup"),
        ("see [here]: x", "markup"),
        ("# Title", "markup"),
        ("go to https://evil.example", "link"),
        ("go to hxxps://evil", "link"),
        ("go to HTTP :// evil", "link"),
        ("go to //evil/x", "link"),
        ("go to www evil", "link"),
        ("go to evil.example now", "link"),
        ("go to evil\uff0eexample now", "link"),
        ("go to evil\u3002example now", "link"),
        ("go to \u0435vil.\u0440\u0444 now", "link"),
        ("go to evil[.]example now", "link"),
        ("go to evil (dot) example now", "link"),
        ("go to evil dot com now", "link"),
        ("go to xn--e1afmkfd now", "link"),
        ("write to me@evil", "link"),
        ("mailto:me", "link"),
        ("javascript:alert", "link"),
        ("at 10.0.0.1 now", "link"),
        ("at localhost:8080/x", "link"),
        ("only $9", "money"),
        ("only 9 euros", "money"),
        ("only \uffe515", "money"),
        ("5 days left", "number"),
        ("\u0665 days left", "number"),
        ("five days left", "number"),
        ("save 6%", "number"),
        ("save six percent", "number"),
        ("60 weeks", "number"),
        ("6.5 weeks", "number"),
        ("\u2467 weeks", "number"),
        ("half the price", "number"),
    ],
)
def test_anything_else_is_refused_by_code(text: str, code: str) -> None:
    """The only number among the facts is 6."""
    assert code in codes(text, facts={"weeks": 6}, may_use=frozenset({"first_name"}))


PLANTED = {
    "en": (
        ("a discount", "You get 20% off when you come back.", "number"),
        ("a discount in words", "You get half the price when you come back.", "number"),
        ("a price", "It is only $9 for each of you.", "money"),
        ("a price in words", "It is nine dollars for each of you.", "money"),
        ("a currency code", "It is EUR 9 for each of you.", "money"),
        ("a date", "The change comes on October 3.", "date"),
        ("a date in digits", "The change comes on 2026-10-03.", "date"),
        ("a day", "Have a look before Friday.", "date"),
        ("a deadline", "Have a look by tomorrow, it is gone afterwards.", "date"),
        ("a time of day", "We start at 10:30 with everybody.", "date"),
        ("a count", "There are 14 new reports for you.", "number"),
        ("a count in words", "There are fourteen new reports for you.", "number"),
        ("a vague amount", "Thousands work like this already.", "number"),
        ("a feature", "Try our new Smart Insights on it.", "name"),
        ("a feature in one word", "Try AutoPilot on it.", "name"),
        ("a person", "Ask Marie about it.", "name"),
        ("a guarantee", "Success is guaranteed.", "claim"),
        ("a gift", "It is free for you.", "claim"),
        ("a superlative", "It is the fastest way to a report.", "claim"),
        ("a refund", "You can always have a refund.", "claim"),
        ("an award", "Our award-winning reports wait for you.", "claim"),
        ("an endorsement", "It is trusted by teams like yours.", "claim"),
        ("an address", "See ledgerline.example for it.", "link"),
        ("a warning", "Your password must be changed.", "regulated"),
        ("an investment", "It is an investment with high returns.", "regulated"),
        ("a machine", "As an AI language model, I write this for you.", "machine"),
        ("pressure", "Act now and have a look.", "pressure"),
        ("praise", "We are thrilled to show you this.", "effusive"),
        ("fear", "You are losing what your team has made.", "gloomy"),
        ("shouting", "LOOK at what your team has made.", "shouting"),
        ("an order to click", "Click here to see what is new.", "vague_link"),
        ("a picture", "Have a look \U0001f389 at it.", "symbols"),
        ("the same twice", "Have a look at it. Have a look at it.", "repeated"),
        ("another language", "Ihre Auswertungen sind noch da, und alles ist an seinem Platz.", "language"),
    ),
    "de": (
        ("a discount", "Sie bekommen 20 % Nachlass auf alles.", "number"),
        ("a price", "Es kostet nur 9 Euro im Monat.", "money"),
        ("a day", "Schauen Sie bis Freitag vorbei.", "date"),
        ("a month", "Das ändert sich im Oktober.", "date"),
        ("a count in words", "Es gibt vierzehn neue Berichte.", "number"),
        ("a guarantee", "Der Erfolg ist garantiert.", "claim"),
        ("a superlative", "Es ist der schnellste Weg, und der beste.", "claim"),
        ("a gift", "Das ist für Sie kostenlos.", "claim"),
        ("a feature", "Probieren Sie SmartInsights aus.", "name"),
        ("another address", "Schau dir deine Berichte an.", "address"),
        ("another language", "Everything you made is still there, and it is where you left it.", "language"),
    ),
    "fr": (
        ("a discount", "Vous avez 20 % de moins sur tout.", "number"),
        ("a price", "Cela coûte 9 euros par mois.", "money"),
        ("a day", "Venez voir avant vendredi.", "date"),
        ("a count in words", "Il y a quatorze nouveaux rapports.", "number"),
        ("a guarantee", "Le résultat est garanti.", "claim"),
        ("a superlative", "C\u2019est le meilleur moyen.", "claim"),
        ("a gift", "C\u2019est gratuit pour vous.", "claim"),
        ("a feature", "Essayez notre nouveau Smart Insights.", "name"),
        ("another address", "Ouvre tes rapports quand tu veux.", "address"),
        ("another language", "Everything you made is still there, and it is where you left it.", "language"),
    ),
    "es": (
        ("a discount", "Tienes un 20 % menos en todo.", "number"),
        ("a price", "Cuesta 9 euros al mes.", "money"),
        ("a day", "Pásate antes del viernes.", "date"),
        ("a count in words", "Hay catorce informes nuevos.", "number"),
        ("a guarantee", "El resultado está garantizado.", "claim"),
        ("a superlative", "Es el mejor camino.", "claim"),
        ("a gift", "Es gratis para ti.", "claim"),
        ("a feature", "Prueba nuestro nuevo Smart Insights.", "name"),
        ("another address", "Abra usted un informe.", "address"),
        ("another language", "Everything you made is still there, and it is where you left it.", "language"),
    ),
    "ja": (
        ("a discount", "今なら20%安くなります。", "number"),
        ("a price", "月額9円で使えます。", "money"),
        ("a day", "金曜日までにご覧ください。", "date"),
        ("a date", "10月3日に変わります。", "date"),
        ("a count in words", "十四件の新しいレポートがあります。", "number"),
        ("a guarantee", "結果を保証します。", "claim"),
        ("a superlative", "業界初の方法です。", "claim"),
        ("a gift", "無料でお使いになれます。", "claim"),
        ("a feature", "新しいSmart Insightsをお試しください。", "name"),
        ("another address", "あなたのレポートを開いてください。", "address"),
        ("another language", "Everything you made is still there, and it is where you left it.", "language"),
    ),
    "ar": (
        ("a discount", "لديك خصم 20% على كل شيء.", "number"),
        ("a discount in Arabic digits", "أقل بنسبة ٢٠٪ على كل شيء.", "number"),
        ("a price", "السعر 9 دولارات فقط.", "money"),
        ("a day", "قبل يوم الجمعة من فضلك.", "date"),
        ("a guarantee", "النتيجة مضمونة لك.", "claim"),
        ("a gift", "هذا مجاني لك.", "claim"),
        ("another address", "افتح التقرير متى شئت.", "address"),
        ("another language", "Everything you made is still there, and it is where you left it.", "language"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("locale", "kind", "text", "code"),
    [(locale, *case) for locale, cases in PLANTED.items() for case in cases],
    ids=lambda value: value if len(str(value)) < 40 else "",
)
def test_each_kind_of_invention_is_caught(locale: str, kind: str, text: str, code: str) -> None:
    """A model that invents is caught by what it invents; the facts hold none of it."""
    assert code in codes(text, locale, facts=FACTS), kind


LAPSES = (
    ("Free forever.", "claim"),
    ("Upgrade at no cost.", "claim"),
    ("Success guaranteed.", "claim"),
    ("Limited time offer.", "date"),
    ("Ends Friday.", "date"),
    ("Ends July.", "date"),
    ("Seven weeks extra.", "number"),
    ("Only nine dollars.", "money"),
    ("Act now.", "pressure"),
)


@pytest.mark.parametrize("locale", LOCALES[1:])
@pytest.mark.parametrize(("text", "code"), LAPSES)
def test_a_short_promise_in_english_is_caught_in_every_language(locale: str, text: str, code: str) -> None:
    """Two words are too few to be told as English by their letters, and enough to promise something."""
    assert code in codes(text, locale, facts=FACTS)


@pytest.mark.parametrize("locale", ["de", "fr", "es"])
@pytest.mark.parametrize(
    "text", ["Work without limits.", "Pick up where you left it.", "It just works.", "See what is new."]
)
def test_a_short_english_sentence_is_no_german_french_or_spanish(locale: str, text: str) -> None:
    """Its small words give it away, unless facts or author say them."""
    assert "language" in codes(text, locale)
    assert "language" not in codes(text, locale, own_words=text)


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        ("de", "Das half schon beim letzten Mal."),
        ("de", "Das Feature ist im Team beliebt."),
        ("fr", "Le four reste tel quel."),
        ("es", "Ver los informes del equipo."),
    ],
)
def test_a_word_that_means_something_else_in_english_may_be_said(locale: str, text: str) -> None:
    """*half* is of *helfen*, *four* an oven; they are the file's `false_friends`, or only look English."""
    assert codes(text, locale) == []


@pytest.mark.parametrize(
    ("locale", "kind", "text", "code"),
    [
        (locale, *case)
        for locale, cases in PLANTED.items()
        for case in cases
        if case[2] in ("number", "money", "date", "name", "claim")
    ],
    ids=lambda value: value if len(str(value)) < 40 else "",
)
def test_what_the_author_says_may_be_said_again(locale: str, kind: str, text: str, code: str) -> None:
    """The same sentences are no inventions where the template itself has them."""
    assert code not in codes(text, locale, own_words=text), kind


@pytest.mark.parametrize(
    ("locale", "fact", "right", "wrong"),
    [
        ("en", "October 3, 2026", "It changes on October 3.", "It changes on October 6."),
        ("de", "3. Oktober 2026", "Das ändert sich am 3. Oktober.", "Das ändert sich am 6. Oktober."),
        ("fr", "3 octobre 2026", "Cela change le 3 octobre.", "Cela change le 6 octobre."),
        ("es", "3 de octubre de 2026", "Cambia el 3 de octubre.", "Cambia el 6 de octubre."),
        ("ja", "2026年10月3日", "10月3日に変わります。", "10月6日に変わります。"),
    ],
)
def test_a_date_is_one_thing_and_not_its_parts(locale: str, fact: str, right: str, wrong: str) -> None:
    """Six weeks and the third of October make no sixth of October."""
    facts = {"changes_on": fact, "weeks": 6}

    assert codes(right, locale, facts=facts) == []
    assert codes(wrong, locale, facts=facts) == ["date"]


def test_a_finding_has_a_code_a_span_and_a_sentence() -> None:
    """The span is of the text as it was written, also behind characters that fold into several."""
    text = "The \ufb01rst \uff25uro is free for {{account_name}}."

    found = {one.code: one for one in look(text, may_use=TOKENS)}

    assert text[found["claim"].start : found["claim"].end] == "free"
    assert text[found["money"].start : found["money"].end] == "\uff25uro"
    assert found["claim"].passage == "intro"
    assert found["claim"].sentence == "'free' is a promise that no fact makes"


@pytest.mark.parametrize("locale", LOCALES)
def test_every_phrase_of_a_locale_is_found_in_a_sentence(locale: str) -> None:
    """No phrase stands in a list in a form that the guards would never find."""
    lists = PHRASES[locale]
    missed = []
    for field, code in (
        ("claims", "claim"), ("superlatives", "claim"), ("deadlines", "date"), ("money", "money"), ("quantities", "number"),
        ("pressure", "pressure"), ("effusive", "effusive"), ("gloomy", "gloomy"), ("banned", "banned"), ("spam", "spam"),
        ("machine", "machine"), ("generic", "generic"), ("vague_links", "vague_link"), ("other_address", "address"),
    ):  # fmt: skip
        missed += [
            f"{field}: {phrase}"
            for phrase in getattr(lists, field)
            if code not in codes(f"x {phrase} y", locale, phrases=Phrases.model_validate({field: [phrase]}))
        ]
    for phrases in lists.regulated.values():
        missed += [phrase for phrase in phrases if "regulated" not in codes(f"x {phrase} y", locale)]

    assert missed == []


def test_a_class_of_regulated_words_is_free_where_its_disclosure_stands() -> None:
    """A mail about passwords carries the notice that security mails carry."""
    grounds = Grounds("en", phrases=PHRASES["en"], classes=frozenset({"security"}))

    assert findings([Passage("intro", "Choose a new password on your next visit.")], grounds) == ()


def test_the_instruction_never_comes_back() -> None:
    """Neither its canary nor seven of its words in a row; a model's own sentence about the same thing passes."""
    prompt = (
        "Write for {{x}}. Token 0123456789abcdef. Say nothing that does not follow from the facts you are given here."
    )

    def leaks(text: str) -> list[str]:
        grounds = Grounds("en", phrases=Phrases(), prompt=prompt)
        return [one.code for one in findings([Passage("intro", text)], grounds) if one.code == "leak"]

    assert leaks("It says 0123456789ABCDEF.") == ["leak"]
    assert leaks("I must say nothing that does not follow from the facts.") == ["leak"]
    assert leaks("Nothing follows from facts that nobody reads.") == []


def test_a_text_is_measured_in_the_bounds_of_its_locale() -> None:
    """LIX by hand: 30 words in one sentence, half of them of more than six letters: 30 + 50."""
    text = " ".join(["short", "considerably"] * 15) + "."

    assert "readability" in codes(text, phrases=Phrases(max_lix=79))
    assert "readability" not in codes(text, phrases=Phrases(max_lix=81, max_sentence_words=30))
    assert "readability" in codes(text, phrases=Phrases(max_sentence_words=29))


def test_every_guard_objects_to_something() -> None:
    """Each by itself finds the mistake that it is for, so none is there for show."""
    bad = {
        "length": "", "characters": "a\u200bb", "placeholders": "{{nobody}}", "markup": "<b>", "links": "www x",
        "homographs": "p\u0430ypal", "prompt": "aaaaaaaaaaaaaaaa", "money": "$9", "dates": "Friday", "numbers": "7",
        "claims": "free", "names": "try Acme", "phrases": "lorem ipsum",
        "language": "Ihre Auswertungen sind noch da, und alles ist an seinem Platz.", "tone": "Oh! Oh!",
        "readability": " ".join(["word"] * 40), "repetition": "one two three. one two three.", "wording": "a \u2605",
    }  # fmt: skip
    grounds = Grounds("en", phrases=PHRASES["en"], prompt="canary aaaaaaaaaaaaaaaa")

    assert set(bad) == set(GUARDS)
    for name, guard in GUARDS.items():
        assert list(guard(Passage("intro", bad[name]), grounds)), name
        assert not list(guard(Passage("intro", "Have a look at it."), grounds)), name


@given(st.text(max_size=120))
def test_no_accepted_text_holds_anything_dangerous(text: str) -> None:
    """Whatever the guards let through has no markup, braces, addresses, digits or line breaks."""
    if not look(text):
        assert not set(text) & set("<>{}@`$\n\r\u202e\u200b0123456789")
        assert "//" not in text


@given(st.text(max_size=80), st.sampled_from(LOCALES))
def test_no_text_makes_a_guard_fail_and_every_span_lies_in_it(text: str, locale: str) -> None:
    """Any characters at all, in every locale."""
    for found in look(text, locale, may_use=TOKENS, must_use=TOKENS, max_chars=40):
        assert 0 <= found.start <= found.end <= len(text)
        assert found.sentence


def test_naughty_strings_make_no_guard_fail(shared_data: Path) -> None:
    """515 strings that break programs, each in every locale."""
    strings = json.loads((shared_data / "naughty_strings" / "blns.json").read_text())

    looked_at = [look(string, locale) for string in strings for locale in LOCALES]

    assert len(looked_at) == len(strings) * len(LOCALES) > 3000


def test_injected_mail_texts_with_links_are_refused(shared_data: Path) -> None:
    """The public attack texts that carry a link or markup never pass as a model's sentence."""
    attacks = json.loads((shared_data / "injection_bipia" / "text_attack_train.json").read_text())
    lines = [line for group in attacks.values() for line in group]

    passed = [line for line in lines if not look(line) and ("http" in line or "www" in line or "<" in line)]

    assert lines
    assert passed == []


def test_the_docs_name_every_code() -> None:
    """A code that a report shows can be looked up."""
    said = set(re.findall(r"`([a-z_]+)`", (ROOT / "docs" / "guards.md").read_text(encoding="utf-8")))
    raised = {
        code
        for path in (ROOT / "dagster_project" / "lifecycle" / "guards").glob("*.py")
        for found in re.findall(r"^CODES? = (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        for code in re.findall(r'"([a-z_]+)"', found)
    }

    assert len(raised) > 20
    assert raised <= said


def test_harmless_texts_that_look_like_attacks_are_seldom_refused(shared_data: Path) -> None:
    """339 public texts as facts: what they say may be said, and at most 2 % are refused by the guards against attacks."""
    texts = [
        clean(one["prompt"])[:200]
        for name in ("one", "two", "three")
        for one in json.loads((shared_data / "injection_notinject" / f"NotInject_{name}.json").read_text())
    ]
    attacks = ("control_characters", "homograph", "template_marks", "leak")

    refused = [text for text in texts if set(codes(text, facts={"subject": text})) & set(attacks)]

    assert len(texts) == 339
    assert len(refused) <= 0.02 * len(texts), refused
