"""Many mails on one picture per locale, as recipients have them: on a desktop, on a phone, in dark, as plain text."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from dagster_project.adapters.inspecting import Inspectors
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.inspection.specimen import Specimen

DESKTOP, PHONE, TEXT = 640, 375, 520  # CSS pixels; a mail is 600 wide
_VIEWS = (("desktop", DESKTOP, False), ("mobile", PHONE, False), ("dark", DESKTOP, True), ("plain", TEXT, False))
_GAP, _COLOURS = 32, 48
WIDTH = sum(width for _, width, _ in _VIEWS) + _GAP * (len(_VIEWS) + 1)
_STYLE = f"""
body {{ margin: 0; padding: {_GAP}px; background: #d9dde0; color: #1d2429; font: 20px/1.4 sans-serif; }}
h1 {{ margin: 0 0 {_GAP}px; font-size: 34px; }}
h2 {{ margin: {_GAP}px 0 4px; font-size: 26px; }}
p {{ margin: 0 0 12px; }}
.views {{ display: flex; gap: {_GAP}px; align-items: flex-start; }}
figure {{ margin: 0; }} figcaption {{ font-size: 17px; margin-bottom: 4px; }} img {{ display: block; }}
"""


def write_mails(specimens: Sequence[Specimen], folder: Path) -> list[Path]:
    """<locale>/<campaign>[.<variant>].html and .txt of each; InputError for a folder that can't be written to."""
    written = []
    for one in specimens:
        for kind, words in (("html", one.draft.html), ("txt", _as_text(one))):
            file = folder / one.draft.locale / f"{_title(one)}.{kind}"
            try:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(words, encoding="utf-8")
            except OSError as error:
                raise InputError(
                    f"{folder}: found {error.strerror}, allowed: a folder that can be written to"
                ) from None
            written.append(file)
    return written


def write_sheets(specimens: Sequence[Specimen], folder: Path, inspectors: Inspectors) -> list[Path]:
    """<locale>.png for each locale, its campaigns below each other, `WIDTH` pixels wide."""
    with tempfile.TemporaryDirectory() as scratch:
        shots = {
            (one.name, view): Path(scratch) / f"{one.name}.{view}.png" for one in specimens for view, _, _ in _VIEWS
        }
        inspectors.picture(
            [
                {
                    "file": shots[one.name, view],
                    "html": _text_page(one) if view == "plain" else one.draft.html,
                    "width": width,
                    "dark": dark,
                }
                for one in specimens
                for view, width, dark in _VIEWS
            ]
        )
        locales = list(dict.fromkeys(one.draft.locale for one in specimens))
        sheets = [folder / f"{locale}.png" for locale in locales]
        inspectors.picture(
            [
                {
                    "file": sheet.resolve(),
                    "html": "".join(_sheet(locale, [one for one in specimens if one.draft.locale == locale], shots)),
                    "width": WIDTH,
                    "dark": False,
                }
                for locale, sheet in zip(locales, sheets, strict=True)
            ]
        )
    for sheet in sheets:
        _simplify(sheet)
    return sheets


def _simplify(picture: Path) -> None:
    """The same picture in `_COLOURS`: a third of the bytes, and a mail has few colours."""
    from PIL import Image

    with Image.open(picture) as full:
        few = full.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    few.save(picture, optimize=True)


def _title(one: Specimen) -> str:
    return one.campaign_id if one.variant == "default" else f"{one.campaign_id}.{one.variant}"


def _as_text(one: Specimen) -> str:
    return f"Subject: {one.draft.subject}\nPreheader: {one.draft.preheader}\n\n{one.draft.text}"


def _text_page(one: Specimen) -> str:
    direction = "rtl" if one.is_right_to_left else "ltr"
    style = "margin: 0; padding: 20px; background: #fff; color: #111; font: 14px/1.5 monospace; white-space: pre-wrap; overflow-wrap: anywhere"
    return (
        f'<!doctype html><html lang="{one.draft.locale}" dir="{direction}"><body style="margin: 0">'
        f'<pre style="{style}">{escape(one.draft.text)}</pre></body></html>'
    )


def _sheet(locale: str, specimens: Sequence[Specimen], shots: dict[tuple[str, str], Path]) -> Iterator[str]:
    yield f'<!doctype html><html lang="en"><head><style>{_STYLE}</style></head><body><h1>{locale}</h1>'
    for one in specimens:
        yield f'<section><h2>{escape(_title(one))}</h2><p dir="auto"><b>{escape(one.draft.subject)}</b> {escape(one.draft.preheader)}</p>'
        yield '<div class="views">'
        for view, width, _ in _VIEWS:
            picture = base64.b64encode(shots[one.name, view].read_bytes()).decode()
            yield f'<figure><figcaption>{view}</figcaption><img width="{width}" src="data:image/png;base64,{picture}"></figure>'
        yield "</div></section>"
    yield "</body></html>"
