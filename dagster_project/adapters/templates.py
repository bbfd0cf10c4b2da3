"""The mails' words on disk: templates/emails/<campaign>/<variant>, read, checked and compiled once."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from pydantic import BaseModel, ValidationError

from dagster_project.adapters.catalogues import load_catalogues
from dagster_project.adapters.compiled import (
    FILES,
    HTML_BODY,
    SPEC,
    SUBJECT,
    TEXT_BODY,
    CompiledTemplate,
)
from dagster_project.adapters.localising import FONTS, Authored, Shared, known_files, per_locale, read_fonts
from dagster_project.adapters.yaml_file import read_yaml
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.guards.catalogue import AUTHORS, findings
from dagster_project.lifecycle.guards.reading import Grounds, Passage, Phrases, language_of, phrases_of, with_lapses
from dagster_project.lifecycle.template import SUBJECT_MAX_CHARS, Context, CtaSpec, FactSpec, SlotSpec, TemplateSpec

_PROBE_URL = "https://unsubscribe.invalid/probe"


@dataclasses.dataclass(frozen=True)
class Library:
    """All variants of all campaigns, by (campaign_id, variant)."""

    authored: Mapping[tuple[str, str], Authored]

    @functools.cached_property
    def templates(self) -> Mapping[tuple[str, str], CompiledTemplate]:
        """In the locale of their files; each has the others."""
        return {name: one.compiled() for name, one in self.authored.items()}

    @property
    def campaigns(self) -> tuple[str, ...]:
        return tuple(sorted({campaign for campaign, _ in self.authored}))

    def get(self, campaign_id: str, variant: str) -> CompiledTemplate:
        try:
            return self.templates[campaign_id, variant]
        except KeyError:
            known = sorted(name for campaign, name in self.templates if campaign == campaign_id)
            allowed = f"variants {', '.join(known)}" if known else f"campaigns {', '.join(self.campaigns) or 'none'}"
            raise InputError(
                f"templates/emails/{campaign_id}/{variant}: found no such folder, allowed: {allowed}"
            ) from None


def load_templates(root: Path) -> Library:
    """Every template under `root`/emails with the layouts of `root`/layouts. The first mistake is an InputError."""
    emails = root / "emails"
    if not emails.is_dir():
        raise InputError(f"{root.name}/emails: found no such folder, allowed: a folder per campaign and variant")
    fonts = root / FONTS
    shared = Shared(
        layouts={f"layouts/{path.name}": _read(path, root) for path in sorted((root / "layouts").glob("*.j2"))},
        letter={path.name: _read(path, root) for path in sorted((root / "letter").glob("*.j2"))},
        catalogues=load_catalogues(root),
        fonts=read_fonts(_read(fonts, root), _shown(fonts, root)),
    )
    authored = {}
    for campaign in _folders(emails):
        variants = list(_folders(campaign))
        if not variants:
            raise InputError(f"{_shown(campaign, root)}: found no variant, allowed: a folder such as default")
        for folder in variants:
            authored[campaign.name, folder.name] = _load(folder, root, shared)
    library = Library(authored)
    _ = library.templates  # a mistake is told now; another locale's words are compiled when somebody reads them
    return library


def load_phrases(root: Path) -> dict[str, Phrases]:
    """By locale: what guards look for, of `root`/phrases/<locale>.yml, English words in all. The first mistake is an InputError."""
    found = {}
    for path in sorted((root / "phrases").glob("*.yml")):
        file = _shown(path, root)
        data = read_yaml(_read(path, root), file)
        try:
            found[path.stem] = Phrases.model_validate({} if data is None else data)
        except ValidationError as error:
            raise InputError(f"{file}: {_first_problem(error, Phrases)}") from None
    english = found.get("en", Phrases())
    return {
        locale: phrases if language_of(locale) == "en" else with_lapses(phrases, english)
        for locale, phrases in found.items()
    }


def template_files(root: Path) -> dict[str, dict[str, dict[str, str]]]:
    """campaign_id -> variant -> file -> text, with the layouts that it may use, as they lie there: nothing is checked, and
    what can't be read is left out."""
    layouts = _texts(root / "layouts", "layouts/")
    found: dict[str, dict[str, dict[str, str]]] = {}
    for campaign in _folders(root / "emails") if (root / "emails").is_dir() else ():
        for folder in _folders(campaign):
            texts = _texts(folder)
            layout = _layout_of(texts.get(SPEC, ""))
            used = {f"layouts/{layout}{kind}" for kind in (".mjml.j2", ".txt.j2")}
            texts |= {name: text for name, text in layouts.items() if name in used}
            found.setdefault(campaign.name, {})[folder.name] = texts
    return found


def _texts(folder: Path, prefix: str = "") -> dict[str, str]:
    found = {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        with contextlib.suppress(OSError, UnicodeDecodeError):
            found[f"{prefix}{path.name}"] = path.read_text(encoding="utf-8")
    return found


@functools.lru_cache(maxsize=512)
def _layout_of(spec: str) -> str:
    """By the file's text: a tick asks a dozen times what each template is made of, which took a second."""
    try:
        return parse_spec(spec, SPEC).layout
    except InputError:
        return ""


def _folders(folder: Path) -> Iterator[Path]:
    yield from (path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith((".", "_")))


def _shown(path: Path, root: Path) -> str:
    return f"templates/{path.relative_to(root).as_posix()}"


def _read(path: Path, root: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{_shown(path, root)}: found no such file, allowed: {', '.join(FILES)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{_shown(path, root)}: found {error}, allowed: a readable UTF-8 file") from None


def _load(folder: Path, root: Path, shared: Shared) -> Authored:
    sources = {file: _read(folder / file, root) for file in FILES}
    spec = parse_spec(sources[SPEC], _shown(folder / SPEC, root))
    for path in sorted(folder.iterdir()):
        if path.name not in known_files(spec):
            allowed = f"{', '.join(FILES)}, and such as {per_locale(TEXT_BODY, 'de')} for one of its locales"
            raise InputError(f"{_shown(path, root)}: found an unknown file, allowed: {allowed}")
        sources.setdefault(path.name, _read(path, root))
    known = sorted(name.split("/")[1].split(".")[0] for name in shared.layouts if name.endswith(".mjml.j2"))
    if spec.layout not in known or f"layouts/{spec.layout}.txt.j2" not in shared.layouts:
        raise InputError(
            f"{_shown(folder / SPEC, root)}: layout: found {spec.layout}, allowed: {', '.join(known) or 'none'}"
        )
    return Authored(_shown(folder, root), spec, sources, shared)


def parse_spec(source: str, file: str) -> TemplateSpec:
    """template.yml as a checked object; InputError names file, key, what was found and what is allowed."""
    data = read_yaml(source, file)
    if not isinstance(data, dict):
        raise InputError(f"{file}: found {type(data).__name__}, allowed: a mapping")
    try:
        return TemplateSpec.model_validate(data)
    except ValidationError as error:
        raise InputError(f"{file}: {_first_problem(error)}") from None


def _first_problem(error: ValidationError, top: type[BaseModel] = TemplateSpec) -> str:
    first = error.errors()[0]
    path = [str(step) for step in first["loc"]]
    key = ".".join(step for step in path if step != "[key]")
    if first["type"] == "extra_forbidden":
        owner = {"facts": FactSpec, "slots": SlotSpec, "ctas": CtaSpec}.get(path[0]) if len(path) > 1 else top
        return f"{key}: found an unknown key, allowed: {', '.join((owner or top).model_fields)}"
    if first["type"] == "missing":
        return f"{key}: found nothing, allowed: a value"
    if first["type"] == "value_error":
        return str(first.get("ctx", {}).get("error", first["msg"]))
    return f"{key}: found {str(first['input'])[:60]!r}, allowed: {first['msg'].removeprefix('Input should be ')}"


def check(
    library: Library,
    policies_facts: Mapping[str, Sequence[str]],
    transactional: Collection[str] = (),
    phrases: Mapping[str, Phrases] | None = None,
) -> list[str]:
    """One line per problem between templates and policies, none when all is well.

    `policies_facts` is campaign_id -> the policy's required facts; `transactional` names the campaigns whose mail has
    no unsubscribe link. `phrases`, by locale, is what the guards look for in an author's words.
    """
    problems = []
    for campaign_id, required in sorted(policies_facts.items()):
        if campaign_id not in library.campaigns:
            problems.append(f"templates/emails/{campaign_id}: found no such folder, allowed: one per campaign")
        for (campaign, variant), template in sorted(library.templates.items()):
            if campaign != campaign_id:
                continue
            problems += library.authored[campaign, variant].unmarked()
            problems += _check_facts(template, required)
            for locale in template.spec.locales:
                try:
                    told = template.in_locale(locale)
                except InputError as error:
                    problems.append(str(error))
                    continue
                problems += _check_rendering(told, is_transactional=campaign_id in transactional)
                problems += _check_wording(told, locale, phrases or {})
                for letter in told.letters.values():
                    problems += _check_rendering(letter, is_transactional=campaign_id in transactional)
    return problems


def _check_facts(template: CompiledTemplate, required: Collection[str]) -> Iterator[str]:
    declared = template.spec.facts
    for name in sorted(set(required) - set(declared)):
        yield f"{template.name}/{SPEC}: facts: found no {name}, which the policy requires"
    for name in sorted(key for key, fact in declared.items() if fact.required and key not in required):
        allowed = f"false, or {name} in the policy's required_facts"
        yield f"{template.name}/{SPEC}: facts.{name}.required: found true, allowed: {allowed}"


def extremes(spec: TemplateSpec) -> dict[str, dict[str, object]]:
    """The longest facts, and the shortest: every optional fact null, the others small."""
    samples: dict[str, dict[str, object]] = {"longest": {}, "shortest": {}}
    for name, fact in spec.facts.items():
        longest = {
            "text": "W" * fact.max_chars,
            "number": 999_999,
            "date": "2026-09-30",
            "percent": 0.9999,
            "money": 999_999.99,
        }[fact.type]
        samples["longest"][name] = longest
        shortest = {"text": "a", "number": 0, "date": "2026-05-01", "percent": 0, "money": 0}[fact.type]
        samples["shortest"][name] = shortest if fact.required else None
    return samples


def _check_rendering(template: CompiledTemplate, *, is_transactional: bool) -> list[str]:
    problems = []
    context = Context("Sender", "Street 1, 10115 City", "Title", None if is_transactional else _PROBE_URL)
    for kind, facts in extremes(template.spec).items():
        try:
            mail = template.render(facts, None, context)
        except InputError as error:
            problems.append(f"{error} (with the {kind} facts)")
            continue
        if len(mail.subject) > SUBJECT_MAX_CHARS:
            problems.append(
                f"{template.name}/{SUBJECT}: found {len(mail.subject)} characters with the {kind} facts, "
                f"allowed: {SUBJECT_MAX_CHARS}; shorten a fact with |short(30)"
            )
        if not (mail.subject and mail.preheader):
            problems.append(f"{template.name}/{SUBJECT}: found an empty line with the {kind} facts, allowed: words")
        for file, part in ((HTML_BODY, mail.html), (TEXT_BODY, mail.text)):
            if not is_transactional and _PROBE_URL not in part:
                problems.append(f"{template.name}/{file}: found no unsubscribe link, allowed: one in every part")
            if context.postal_address not in part:
                problems.append(f"{template.name}/{file}: found no postal address, allowed: one in every part")
    return sorted(set(problems))


def _check_wording(template: CompiledTemplate, locale: str, phrases: Mapping[str, Phrases]) -> list[str]:
    """What the guards say of the author's or translator's own words."""
    try:
        mail = template.render(extremes(template.spec)["shortest"], None, Context("Sender", "Street", "Title", None))
    except InputError:
        return []  # told with the rendering
    body = "\n".join(line for line in mail.text.splitlines() if "://" not in line)
    passages = [
        Passage(f"{SUBJECT} (subject)", mail.subject),
        Passage(f"{SUBJECT} (preheader)", mail.preheader),
        Passage(TEXT_BODY, body, one_line=False),
    ]
    found = findings(passages, Grounds(locale, phrases=phrases_of(phrases, locale)), AUTHORS)
    return [f"{template.name}/{one.passage}: {one.code}: {one.sentence}" for one in found]
