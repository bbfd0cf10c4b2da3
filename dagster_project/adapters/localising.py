"""A template as its author wrote it, and compiled in each of its locales: catalogue, per-locale files, direction, fonts."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from pathlib import Path

from dagster_project.adapters.compiled import (
    FILES,
    HTML_BODY,
    SPEC,
    SUBJECT,
    TEXT_BODY,
    WORDS,
    CompiledTemplate,
    letter_sources,
)
from dagster_project.adapters.yaml_file import read_yaml
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.formats import is_right_to_left
from dagster_project.lifecycle.guards.reading import language_of
from dagster_project.lifecycle.template import SUBJECT_MAX_CHARS, TemplateSpec, canonical
from dagster_project.lifecycle.translation import (
    SOURCE,
    Catalogue,
    Language,
    Message,
    isolated,
    messages,
    translated,
    unmarked,
)

FONTS = "layouts/fonts.yml"
MAX_LINE_HEIGHT = 3  # beyond it a line is no longer seen to belong to the next
LABEL_MAX_CHARS, PREHEADER_MAX_CHARS = 40, 110
_WORDED = (SUBJECT, HTML_BODY, TEXT_BODY)


@dataclasses.dataclass(frozen=True)
class Typeface:
    """How a language's words are set: a CSS font stack, and the distance of its lines in heights of its letters."""

    stack: str
    line_height: float


@dataclasses.dataclass(frozen=True)
class Shared:
    """What all templates share: layouts and the letter's files by name, catalogues by locale, fonts by language."""

    layouts: Mapping[str, str]
    letter: Mapping[str, str]
    catalogues: Mapping[str, Catalogue]
    fonts: Mapping[str, Typeface]

    def fonts_of(self, locale: str) -> Typeface:
        return self.fonts.get(locale) or self.fonts.get(language_of(locale)) or self.fonts["default"]


def per_locale(file: str, locale: str) -> str:
    """body.de.txt.j2 of body.txt.j2: what stands instead of the translated file."""
    stem, _, kind = file.partition(".")
    return f"{stem}.{locale}.{kind}"


def read_fonts(text: str, file: str) -> dict[str, Typeface]:
    """layouts/fonts.yml: stack and line_height per language, and `default`."""
    found = read_yaml(text, file)
    if not isinstance(found, dict) or "default" not in found:
        raise InputError(f"{file}: found no default, allowed: stack and line_height per language, and default")
    return {str(language): _typeface(entry, f"{file}: {language}") for language, entry in found.items()}


def _typeface(entry: object, place: str) -> Typeface:
    if not isinstance(entry, dict) or set(entry) != {"stack", "line_height"}:
        raise InputError(f"{place}: found {entry!r}, allowed: stack and line_height")
    stack, line_height = entry["stack"], entry["line_height"]
    if not isinstance(stack, str) or not stack.strip() or set(stack) & set('"<>{}[];'):
        raise InputError(f"{place}.stack: found {stack!r}, allowed: names of fonts, by commas")
    if (
        isinstance(line_height, bool)
        or not isinstance(line_height, int | float)
        or not 1 <= line_height <= MAX_LINE_HEIGHT
    ):
        raise InputError(f"{place}.line_height: found {line_height!r}, allowed: a number from 1 to {MAX_LINE_HEIGHT}")
    return Typeface(stack, line_height)


class Authored:
    """One variant's files, the marks for translation in them. `compiled` is lazy, and once per locale."""

    def __init__(self, name: str, spec: TemplateSpec, sources: Mapping[str, str], shared: Shared) -> None:
        """`sources` hold per-locale files beside the four. Locales of the spec that are not wholly translated are not offered: a mail is
        of one language, or falls back as a whole."""
        self.name, self._sources, self._shared = name, sources, shared
        self.declared = spec.locales
        self._spec, self._language = spec, Language(spec.locales[0], SOURCE.plural)
        offered = tuple(locale for locale in spec.locales if not self.untranslated(locale))
        self._spec = spec.model_copy(update={"locales": offered})
        self._compiled = functools.cache(self._compile)

    def untranslated(self, locale: str) -> list[Message]:
        """What a locale of the spec has no reviewed translation of."""
        if locale == self._language.locale:
            return []
        catalogue = self._shared.catalogues.get(locale)
        said = self._messages(locale)
        return said if catalogue is None else catalogue.missing(said)

    def messages(self) -> list[Message]:
        """All that is to be translated, in the order of the files."""
        return self._messages(None)

    def unmarked(self) -> list[str]:
        """One line for each place whose words no translator is given; none where the template has one language."""
        if len(self.declared) == 1:
            return []
        files = {f"{self.name}/{file}": self._sources[file] for file in _WORDED}
        files |= {f"templates/{file}": text for file, text in self._layouts()}
        files |= {f"templates/letter/{file}": text for file, text in self._letter_files()}
        return [
            f"{file}:{line}: found {words[:40]!r} outside {{% trans %}}, allowed: marked words, since the template has "
            f"{len(self.declared)} locales"
            for file, text in files.items()
            for line, words in unmarked(text)
        ]

    def _layouts(self) -> list[tuple[str, str]]:
        layouts = self._shared.layouts.items()
        return [(file, text) for file, text in layouts if file.split("/")[1].split(".")[0] == self._spec.layout]

    def _letter_files(self) -> list[tuple[str, str]]:
        return list(self._shared.letter.items()) if self._spec.letter else []

    def _messages(self, locale: str | None) -> list[Message]:
        """Those of the files that are used in a locale; None: of the files that are translated."""
        found = list(_of_spec(self._spec, f"{self.name}/{SPEC}"))
        for file in _WORDED:
            used = per_locale(file, locale) if locale and per_locale(file, locale) in self._sources else file
            found += _of_file(self._sources[used], f"{self.name}/{used}")
        for file, text in self._layouts():
            found += _of_file(text, f"templates/{file}")
        for file, text in self._letter_files():
            found += _of_file(text, f"templates/letter/{file}")
        return found

    def compiled(self, locale: str | None = None) -> CompiledTemplate:
        """In a locale that is offered; None: that of the files themselves."""
        return self._compiled(locale or self._language.locale)

    def _compile(self, locale: str) -> CompiledTemplate:
        catalogue = None if locale == self._language.locale else self._shared.catalogues[locale]
        language = catalogue.language if catalogue else self._language
        name = f"{self.name} ({locale})" if catalogue else self.name
        spec = _in_words_of(self._spec, catalogue)
        sources = {SPEC: self._sources[SPEC]}
        for file in _WORDED:
            used = per_locale(file, locale) if per_locale(file, locale) in self._sources else file
            sources[file] = self._in_locale(self._sources[used], f"{self.name}/{used}", catalogue, locale)
        if catalogue:
            sources[WORDS] = canonical(_words(spec, language)).decode()
        layouts = {
            file: self._in_locale(text, f"templates/{file}", catalogue, locale)
            for file, text in self._shared.layouts.items()
        }
        letters = self._letters(name, spec, sources, catalogue, language, layouts)
        has_own = any(per_locale(file, locale) in self._sources for file in _WORDED)
        is_checked = catalogue is not None and not has_own
        return CompiledTemplate(name, spec, sources, layouts, letters, language, self._compiled, is_checked=is_checked)

    def _letters(
        self,
        name: str,
        spec: TemplateSpec,
        sources: Mapping[str, str],
        catalogue: Catalogue | None,
        language: Language,
        layouts: Mapping[str, str],
    ) -> dict[str, CompiledTemplate]:
        """One per call to action: which of them a mail asks for, its writer chooses; the link is the template's."""
        if spec.letter is None:
            return {}
        files = {
            file: self._in_locale(text, f"templates/letter/{file}", catalogue, language.locale)
            for file, text in self._shared.letter.items()
        }
        written = spec.model_copy(update={"slots": spec.letter.slots(), "letter": None})
        words = {WORDS: sources[WORDS]} if WORDS in sources else {}
        return {
            cta: CompiledTemplate(
                f"{name} (letter)",
                written,
                letter_sources(files, sources[SPEC], cta, spec.letter.paragraphs) | words,
                layouts,
                language=language,
                is_checked=catalogue is not None,
            )
            for cta in spec.ctas
        }

    def _in_locale(self, source: str, file: str, catalogue: Catalogue | None, locale: str) -> str:
        is_html = ".mjml." in file
        source = translated(source, file, catalogue, is_html=is_html)
        if not is_html:
            return source
        is_rtl, typeface = is_right_to_left(locale), self._shared.fonts_of(locale)
        marks = {
            "lang": locale,
            "dir": "rtl" if is_rtl else "ltr",
            "start": "right" if is_rtl else "left",
            "end": "left" if is_rtl else "right",
            "fonts": typeface.stack,
            "line_height": f"{typeface.line_height:g}",
        }
        for mark, words in marks.items():
            source = source.replace(f"[[ {mark} ]]", words)
        return isolated(source) if is_rtl else source


def _of_file(source: str, file: str) -> list[Message]:
    found = messages(source, file, is_html=".mjml." in file)
    if not Path(file).name.startswith("subject."):
        return found
    first = len(messages(next((line for line in source.splitlines() if line.strip()), ""), file, is_html=False))
    return [
        dataclasses.replace(message, max_chars=SUBJECT_MAX_CHARS if place < first else PREHEADER_MAX_CHARS)
        for place, message in enumerate(found)
    ]


def _of_spec(spec: TemplateSpec, file: str) -> list[Message]:
    """The footer's reason, the labels of the calls to action, and the values that the product is known to say."""
    labels = [Message(cta.label, file=file, note="a button", max_chars=LABEL_MAX_CHARS) for cta in spec.ctas.values()]
    values = [
        Message(value, file=file, note=f"a value of {name}, as it stands inside a sentence", max_chars=fact.max_chars)
        for name, fact in spec.facts.items()
        for value in fact.values
    ]
    return [Message(spec.why, file=file, note="the footer's reason"), *labels, *values]


def _in_words_of(spec: TemplateSpec, catalogue: Catalogue | None) -> TemplateSpec:
    if catalogue is None:
        return spec
    facts = {
        name: fact.model_copy(update={"values": {value: catalogue.say(value) for value in fact.values}})
        for name, fact in spec.facts.items()
    }
    ctas = {name: cta.model_copy(update={"label": catalogue.say(cta.label)}) for name, cta in spec.ctas.items()}
    return spec.model_copy(update={"why": catalogue.say(spec.why), "facts": facts, "ctas": ctas})


def _words(spec: TemplateSpec, language: Language) -> dict[str, object]:
    return {
        "locale": language.locale,
        "plural": language.plural,
        "why": spec.why,
        "labels": {name: cta.label for name, cta in spec.ctas.items()},
        "values": {name: dict(fact.values) for name, fact in spec.facts.items() if fact.values},
    }


def known_files(spec: TemplateSpec) -> set[str]:
    """The files that a variant's folder may hold."""
    return {*FILES, *(per_locale(file, locale) for file in _WORDED for locale in spec.locales[1:])}
