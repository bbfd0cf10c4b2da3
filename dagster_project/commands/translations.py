"""`postrider translations`: what templates say, as gettext catalogues: extracted, merged, checked, drafted by a model."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dagster_project.adapters.catalogues import (
    FOLDER,
    TEMPLATE,
    counts,
    flaws,
    merged,
    missing,
    put_draft,
    read,
    shown,
    template,
    written,
)
from dagster_project.adapters.templates import Library
from dagster_project.adapters.translator import open_translator
from dagster_project.home import Home
from dagster_project.lifecycle.backcheck import problems
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.translation import Language, Message


def all_messages(library: Library) -> list[Message]:
    """Each message once per file in which it stands, by the author's words. InputError where one has two plurals."""
    found: dict[str, dict[str, Message]] = {}
    for authored in library.authored.values():
        for message in authored.messages():
            known = found.setdefault(message.one, {})
            first = next(iter(known.values()), message)
            if first.many != message.many:
                raise InputError(
                    f"{message.file}: {message.one!r}: found {message.many!r} for many, allowed: {first.many!r} as in {first.file}"
                )
            known.setdefault(message.file, message)
    return [message for places in found.values() for message in places.values()]


def distinct(messages: Iterable[Message]) -> dict[str, Message]:
    """By the author's words, with the smallest bound of the places where they stand."""
    found: dict[str, Message] = {}
    for message in messages:
        known = found.setdefault(message.one, message)
        bounds = [bound for bound in (known.max_chars, message.max_chars) if bound]
        found[message.one] = dataclasses.replace(known, max_chars=min(bounds, default=None))
    return found


def locales_of(library: Library) -> list[str]:
    """All that a template offers, but for the locale of its files."""
    return sorted({locale for authored in library.authored.values() for locale in authored.declared[1:]})


def extract(home: Home) -> dict[str, Any]:
    """Write locales/messages.pot: what there is to translate."""
    messages = all_messages(home.templates)
    file = _folder(home) / TEMPLATE
    file.write_bytes(written(template(messages)))
    return {"file": shown(TEMPLATE), "messages": len({message.one for message in messages})}


def update(home: Home) -> dict[str, Any]:
    """`extract`, then merge it into the .po of each locale that a template offers."""
    answer = extract(home)
    pot = template(all_messages(home.templates))
    answer["locales"] = {}
    for locale in locales_of(home.templates):
        path = _folder(home) / f"{locale}.po"
        catalog = merged(path, pot)
        path.write_bytes(written(catalog))
        answer["locales"][locale] = counts(catalog)
    return answer


def check(home: Home) -> dict[str, Any]:
    """Per locale how much is translated, and one line for each problem."""
    library, answer = home.templates, {"locales": {}, "problems": translation_problems(home)}
    for locale in locales_of(library):
        path = _folder(home) / f"{locale}.po"
        answer["locales"][locale] = counts(read(path)) if path.exists() else {}
    return answer


def translation_problems(home: Home) -> list[str]:
    """Locales that are offered and not wholly translated, and what the back-checks say of each reviewed translation."""
    library, found = home.templates, []
    messages = distinct(all_messages(library))
    for locale in locales_of(library):
        lacking: dict[str, str] = {}
        for authored in library.authored.values():
            if locale in authored.declared:
                lacking |= {message.one: message.file for message in authored.untranslated(locale)}
        if lacking:
            words, file = next(iter(lacking.items()))
            found.append(
                f"{shown(f'{locale}.po')}: found no reviewed translation of {len(lacking)} messages, such as {words!r} of {file}, "
                "allowed: one of each where a template offers the locale"
            )
        path = _folder(home) / f"{locale}.po"
        if path.exists():
            found += flaws(path, messages)
    return found


def draft(home: Home, locale: str) -> dict[str, Any]:
    """Ask the model for what the locale lacks, and write its answers as fuzzy, with what the back-checks say of each: none of them is
    used before a person takes the flag away."""
    translator = open_translator(
        key=home.settings.openai_api_key,
        base_url=home.settings.openai_base_url,
        model=home.settings.model,
        timeout_seconds=home.settings.model_timeout_seconds,
        prompts=home.settings.project / "templates" / "prompts",
        calls=home.settings.model_calls_per_run,
    )
    if translator is None:
        raise InputError(
            "translations draft: found no OPENAI_API_KEY and no OPENAI_BASE_URL, allowed: a model that can be asked"
        )
    if locale not in locales_of(home.templates):
        offered = ", ".join(locales_of(home.templates)) or "none"
        raise InputError(f"--locale {locale}: no template offers it; allowed are {offered}")
    messages = all_messages(home.templates)
    path = _folder(home) / f"{locale}.po"
    catalog = merged(path, template(messages))
    language = Language(locale, catalog.plural_expr)
    of = distinct(messages)
    asked = [of[words] for words in missing(catalog)]
    answers = translator.translate(asked, language)
    found = 0
    for message, words in answers.items():
        said = problems(message, words, language)
        put_draft(catalog, message, words, said)
        found += bool(said)
    path.write_bytes(written(catalog))
    return {
        "file": shown(path.name),
        "asked": len(asked),
        "drafted": len(answers),
        "objected_to": found,
        "failures": translator.failures,
        **counts(catalog),
    }


def _folder(home: Home) -> Path:
    folder = home.settings.project / "templates" / FOLDER
    folder.mkdir(exist_ok=True)
    return folder
