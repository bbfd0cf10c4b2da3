"""The catalogues under templates/locales: one .po per locale, read, merged and written with Babel. No .mo is kept."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from babel import UnknownLocaleError
from babel.messages.catalog import Catalog
from babel.messages.catalog import Message as Entry
from babel.messages.pofile import PoFileError, read_po, write_po

from dagster_project.lifecycle.backcheck import problems
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.translation import Catalogue, Language, Message, form_of

FOLDER = "locales"
TEMPLATE = "messages.pot"
_FUZZY = "fuzzy"  # gettext's flag of what nobody has reviewed
DRAFTED = "drafted by a model; take the fuzzy flag away when it is right"
# Who and when is what version control knows; in the file it would be a changed line in each run.
_UNKEPT = re.compile(rb'^"(?:POT-Creation-Date|PO-Revision-Date|Generated-By|Report-Msgid-Bugs-To|Last-Translator|Language-Team|'
                     rb'Project-Id-Version):.*\n', re.MULTILINE)  # fmt: skip


def load_catalogues(root: Path) -> dict[str, Catalogue]:
    """By locale: what is translated and reviewed in `root`/locales/<locale>.po. The first mistake is an InputError."""
    found = {}
    for path in sorted((root / FOLDER).glob("*.po")):
        catalog, file = read(path), shown(path.name)
        try:
            form_of(catalog.plural_expr)
        except ValueError:
            raise InputError(f"{file}: found plural={catalog.plural_expr}, allowed: a rule of gettext") from None
        language = Language(path.stem, catalog.plural_expr)
        found[path.stem] = Catalogue(language, file, reviewed(catalog))
    return found


def shown(name: str) -> str:
    """A catalogue's file as a message names it."""
    return f"templates/{FOLDER}/{name}"


def read(path: Path) -> Catalog:
    """One .po, with what is fuzzy or empty. InputError for what is none."""
    try:
        with path.open("rb") as file:
            catalog = read_po(file, locale=path.stem.replace("-", "_"), abort_invalid=True)
    except (OSError, UnicodeError, ValueError, UnknownLocaleError, PoFileError) as error:
        line = getattr(error, "lineno", None)
        said = " ".join(str(error).split()) or type(error).__name__
        place = f"{shown(path.name)}{f':{line}' if line else ''}"
        raise InputError(f"{place}: found {said}, allowed: a gettext catalogue in UTF-8") from None
    return catalog


def reviewed(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    """The author's words -> their translations, of entries that are whole and that no one has flagged as fuzzy."""
    return {_one(entry): _forms(entry) for entry in _entries(catalog) if not entry.fuzzy and all(_forms(entry))}


def missing(catalog: Catalog) -> list[str]:
    """The author's words that have no translation at all, not even a fuzzy one."""
    return [_one(entry) for entry in _entries(catalog) if not any(_forms(entry))]


def put_draft(catalog: Catalog, message: Message, words: Sequence[str], objections: Sequence[str]) -> None:
    """A model's translation, flagged as fuzzy, with what there is to say against it."""
    entry = catalog[message.one]
    if entry is not None:
        entry.string = tuple(words) if message.many else words[0]
        entry.flags.add(_FUZZY)
        entry.user_comments = [DRAFTED, *objections]


def counts(catalog: Catalog) -> dict[str, int]:
    """How many messages there are, and how many are translated and reviewed, fuzzy, missing."""
    entries = list(_entries(catalog))
    return {
        "messages": len(entries),
        "translated": len(reviewed(catalog)),
        "fuzzy": sum(entry.fuzzy for entry in entries),
        "missing": len(missing(catalog)),
    }


def flaws(path: Path, messages: Mapping[str, Message]) -> list[str]:
    """One line, with file and line, for each thing that the back-checks have against a reviewed translation."""
    catalog = read(path)
    language, found = Language(path.stem, catalog.plural_expr), []
    for entry in _entries(catalog):
        message = messages.get(_one(entry))
        if message is None or entry.fuzzy or not any(_forms(entry)):
            continue
        place = f"{shown(path.name)}{f':{entry.lineno}' if entry.lineno else ''}"
        found += [f"{place}: {message.one!r}: {one}" for one in problems(message, _forms(entry), language)]
    return found


def _entries(catalog: Catalog) -> Iterator[Entry]:
    return (entry for entry in catalog if entry.id)  # the first without an id is the header


def _one(entry: Entry) -> str:
    return entry.id if isinstance(entry.id, str) else entry.id[0]


def _forms(entry: Entry) -> tuple[str, ...]:
    return (entry.string,) if isinstance(entry.string, str) else tuple(entry.string or ())


def template(messages: Iterable[Message]) -> Catalog:
    """messages.pot: every message with the files in which it stands."""
    catalog = Catalog(
        charset="utf-8",
        fuzzy=False,
        header_comment="# What templates say, for translators. Made by `translations extract`.",
    )
    for message in messages:
        bound = f"at most {message.max_chars} characters" if message.max_chars else ""
        notes = [note for note in (message.note, bound) if note]
        id = (message.one, message.many) if message.many else message.one  # noqa: A001
        catalog.add(id, locations=[(message.file, None)], auto_comments=notes)  # pyright: ignore[reportArgumentType]
    return catalog


def merged(path: Path, pot: Catalog) -> Catalog:
    """The catalogue at `path` with the messages of `pot`: translations are kept, those of changed words are fuzzy, what nobody says any
    more is kept as a comment. A new one where there is none."""
    name = path.stem.replace("-", "_")
    if path.exists():
        catalog = read(path)
        catalog.update(pot, no_fuzzy_matching=False, update_header_comment=False)
        return catalog
    catalog = Catalog(
        locale=name,
        charset="utf-8",
        fuzzy=False,
        header_comment=f"# {path.stem}: translations of templates/{FOLDER}/{TEMPLATE}.",
    )
    catalog.update(pot, update_header_comment=False)
    return catalog


def written(catalog: Catalog) -> bytes:
    """The catalogue as a file: sorted as the files are, one line per string, without what changes in each run."""
    out = io.BytesIO()
    write_po(out, catalog, width=0, omit_header=False, include_previous=True, include_lineno=False)
    return _UNKEPT.sub(b"", out.getvalue())
