"""The catalogues under templates/locales: one .po per locale, read, merged and written with Babel. No .mo is kept."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path

from babel import UnknownLocaleError
from babel.messages.catalog import Catalog
from babel.messages.pofile import PoFileError, read_po, write_po

from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.translation import Catalogue, Language, Message, form_of

FOLDER = "locales"
TEMPLATE = "messages.pot"
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


def forms(entry: object) -> tuple[str, ...]:
    """The translations of an entry, one per plural form; empty ones where there is none."""
    return (entry,) if isinstance(entry, str) else tuple(entry or ())  # pyright: ignore[reportArgumentType]


def reviewed(catalog: Catalog) -> dict[str, tuple[str, ...]]:
    """The author's words -> their translations, of entries that are whole and that no one has flagged as fuzzy."""
    return {
        _one(entry.id): forms(entry.string)
        for entry in catalog
        if entry.id and not entry.fuzzy and all(forms(entry.string))
    }


def _one(id: str | tuple[str, ...] | list[str]) -> str:  # noqa: A002  as gettext calls it
    return id if isinstance(id, str) else id[0]


def template(messages: Iterable[Message]) -> Catalog:
    """messages.pot: every message with the files in which it stands."""
    catalog = Catalog(charset="utf-8", fuzzy=False, header_comment="# What templates say, for translators. Made by `translations extract`.")
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
    catalog = Catalog(locale=name, charset="utf-8", fuzzy=False, header_comment=f"# {path.stem}: translations of templates/{FOLDER}/{TEMPLATE}.")
    catalog.plural_expr  # noqa: B018  its rule is that of CLDR
    catalog.update(pot, update_header_comment=False)
    return catalog


def written(catalog: Catalog) -> bytes:
    """The catalogue as a file: sorted as the files are, one line per string, without what changes in each run."""
    out = io.BytesIO()
    write_po(out, catalog, width=0, omit_header=False, include_previous=True, include_lineno=False)
    return _UNKEPT.sub(b"", out.getvalue())
