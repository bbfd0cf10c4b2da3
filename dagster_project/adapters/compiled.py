"""One version of one mail: sources in, words out. MJML and CSS are done once, per recipient only Jinja runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from markupsafe import Markup, escape

from dagster_project.adapters.expressions import (
    Expression,
    call_to_actions,
    check_expressions,
    expand_slots,
    used_slots,
)
from dagster_project.adapters.markup import BODY_MARK, check_structure, compile_html, without_jinja
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.formats import ISOLATES, is_right_to_left, without_isolates
from dagster_project.lifecycle.message import content_hash
from dagster_project.lifecycle.template import CONTEXT_NAMES, Context, Part, Rendered, TemplateSpec, prepare_facts
from dagster_project.lifecycle.translation import SOURCE, Language

SPEC, SUBJECT, HTML_BODY, TEXT_BODY = "template.yml", "subject.txt.j2", "body.mjml.j2", "body.txt.j2"
FILES = (SPEC, SUBJECT, HTML_BODY, TEXT_BODY)
_TRAILING_BLANKS = re.compile(r" +\n")
_EMPTY_LINES = re.compile(r"\n{3,}")
PARAGRAPHS_MARK, CTA_MARK = "[[ paragraphs ]]", "[[ cta ]]"  # in templates/letter
HEADER_LINES = 2  # of subject.txt.j2
WORDS = "words.json"  # of a template in another locale than its files': labels, why, values, the plural rule
COMPILED = "compiled.html.j2"  # kept with the sources: another compiler's version must not change what was sent


class CompiledTemplate:
    """One version of one variant, ready to render. Immutable after construction; safe to share between threads."""

    def __init__(
        self,
        name: str,
        spec: TemplateSpec,
        sources: Mapping[str, str],
        layouts: Mapping[str, str],
        letters: Mapping[str, CompiledTemplate] | None = None,
        language: Language = SOURCE,
        in_locale: Callable[[str], CompiledTemplate] | None = None,
        *,
        is_checked: bool = False,
    ) -> None:
        """`sources` and `layouts` are file name -> text in one language, their marks for translation resolved; `letters`, by call to
        action, is what a model's letter goes into; `in_locale` gives the same template in another locale of its spec. `is_checked`: these
        are the expressions of files that were checked, in other words; looking again would be half of the time. Raises InputError with
        file and line."""
        self.name, self.spec, self.letters = name, spec, dict(letters or {})
        self.language, self._in_locale = language, in_locale
        html_layout, text_layout = f"layouts/{spec.layout}.mjml.j2", f"layouts/{spec.layout}.txt.j2"
        early = {*spec.facts, "sender_name", "campaign_title", "slots"}  # what a subject is made of
        names = early | {"postal_address", "unsubscribe_url", "cta", "why", "subject", "preheader"}
        expanded: dict[str, str] = {}
        for file in (SUBJECT, HTML_BODY, TEXT_BODY):
            expanded[file] = expand_slots(sources[file], spec, f"{name}/{file}")
            if not is_checked:
                check_expressions(expanded[file], f"{name}/{file}", spec, early if file == SUBJECT else names)
        if not is_checked:
            for file in (html_layout, text_layout):
                check_expressions(layouts[file], f"templates/{file}", spec, CONTEXT_NAMES)
            check_structure(expanded[HTML_BODY], f"{name}/{HTML_BODY}", root="mj-wrapper")
            check_structure(layouts[html_layout], f"templates/{html_layout}", root="")
        self._check_slots(sources)
        header = self._header_lines(expanded[SUBJECT])
        document = _into_layout(layouts[html_layout], expanded[HTML_BODY], f"templates/{html_layout}")
        compiled = compile_html(document, f"{name}/{HTML_BODY}")
        self._document = document
        text = _into_layout(layouts[text_layout], expanded[TEXT_BODY], f"templates/{text_layout}")
        self._cta = call_to_actions(spec)
        fixed = {"why": spec.why, "cta": self._cta}
        self._header = Expression(header, f"{name}/{SUBJECT}", is_html=False, fixed=fixed, language=language)
        self._html = Expression(compiled, f"{name}/{HTML_BODY} compiled", is_html=True, fixed=fixed, language=language)
        self._text = Expression(text, f"{name}/{TEXT_BODY}", is_html=False, fixed=fixed, language=language)
        self._no_slots: dict[str, str | None] = dict.fromkeys(spec.slots)
        used_layouts = {file: layouts[file] for file in (html_layout, text_layout)}
        parts = {
            **{file: sources[file] for file in (*FILES, WORDS) if file in sources},
            **used_layouts,
            COMPILED: compiled,
        }
        self.parts: Mapping[str, Part] = {file: Part(content.encode()) for file, content in sorted(parts.items())}
        self.version = content_hash({file: part.hash for file, part in self.parts.items()})
        self.layout_hash = content_hash({file: self.parts[file].hash for file in used_layouts})

    @property
    def mjml(self) -> str:
        """The whole document that was compiled, its Jinja hidden, for other tools that read MJML."""
        return without_jinja(self._document)

    def in_locale(self, locale: str) -> CompiledTemplate:
        """This template in one of its spec's locales: its own words, parts and version."""
        return self if locale == self.language.locale or self._in_locale is None else self._in_locale(locale)

    def _check_slots(self, sources: Mapping[str, str]) -> None:
        in_subject = used_slots(sources[SUBJECT])
        for file in (HTML_BODY, TEXT_BODY):
            if missing := sorted(set(self.spec.slots) - in_subject - used_slots(sources[file])):
                raise InputError(
                    f"{self.name}/{file}: found no slot {missing[0]}, allowed: each slot of {SPEC} in both bodies"
                )

    def _header_lines(self, source: str) -> str:
        lines = [line.strip() for line in source.splitlines() if line.strip()]
        if len(lines) != HEADER_LINES:
            allowed = f"{HEADER_LINES}, the subject and the preheader"
            raise InputError(f"{self.name}/{SUBJECT}: found {len(lines)} lines, allowed: {allowed}")
        return "\n".join(lines)

    def render(self, facts: Mapping[str, object], slots: Mapping[str, str] | None, context: Context) -> Rendered:
        """The mail for one person. Slots without a text keep their deterministic words.

        Raises InputError when a fact has the wrong type, a required one is null, or a null one would be printed.
        """
        values: dict[str, object] = dict(prepare_facts(self.name, self.spec.facts, facts, self.language.locale))
        values |= {
            "sender_name": context.sender_name,
            "postal_address": context.postal_address,
            "campaign_title": context.campaign_title,
            "unsubscribe_url": context.unsubscribe_url,
            "why": self.spec.why,
            "cta": self._cta,
            "slots": self._no_slots,
        }
        if slots:
            values["slots"] = {**self._no_slots, **{name: without_isolates(text) for name, text in slots.items()}}
        # No value holds a line break, so the two lines of the file are two lines here.
        subject, _, preheader = self._header.render(values).partition("\n")
        subject = values["subject"] = " ".join(subject.split())
        preheader = values["preheader"] = " ".join(preheader.split())
        text = _tidy(self._text.render(values))
        if slots and is_right_to_left(self.language.locale):
            values["slots"] = {**self._no_slots, **{name: _isolating(words) for name, words in slots.items()}}
        return Rendered(subject=subject, preheader=preheader, html=self._html.render(values), text=text)


def _isolating(words: str) -> Markup:
    """What a model wrote, for HTML: each value of it in a <bdi>, as `translation.isolated` has the template's own words."""
    before, after = ISOLATES
    return Markup(str(escape(words)).replace(before, "<bdi>").replace(after, "</bdi>"))  # noqa: S704  escaped before


def _into_layout(layout: str, body: str, file: str) -> str:
    if layout.count(BODY_MARK) != 1:
        raise InputError(f"{file}: found {layout.count(BODY_MARK)} times {BODY_MARK}, allowed: once")
    return layout.replace(BODY_MARK, body.strip("\n"))


def _tidy(text: str) -> str:
    """At most one empty line in a row, no trailing blanks, one newline at the end."""
    if " \n" in text:  # most texts have neither, and a search costs a tenth of a substitution
        text = _TRAILING_BLANKS.sub("\n", text)
    if "\n\n\n" in text:
        text = _EMPTY_LINES.sub("\n\n", text)
    return text.strip("\n") + "\n"


def letter_sources(sources: Mapping[str, str], spec: str, cta: str, paragraphs: int) -> dict[str, str]:
    """The files of a letter with this call to action; `sources` are those of templates/letter, `spec` is the template's own."""
    made = {SPEC: spec, SUBJECT: sources[SUBJECT]}
    for file, line in ((HTML_BODY, "      <p>{slot}</p>"), (TEXT_BODY, "{slot}\n\n")):
        lines = []
        for number in range(1, paragraphs + 1):
            name = f"paragraph_{number}"
            words = line.format(slot=f"{{% slot {name} %}}{{% endslot %}}")
            lines.append(f'{{% if slots["{name}"] %}}{words}{{% endif %}}')
        made[file] = sources[file].replace(PARAGRAPHS_MARK, "\n".join(lines)).replace(CTA_MARK, cta)
    return made
