"""What a reader's program must be told by the HTML of a mail: its language, its direction, the order of its headings. Pure.

Needs no tool but Python, so every `postrider check` looks at it. The rules are those of WCAG 2.2: 3.1.1 (language), 1.3.2 (direction), 1.3.1
and 2.4.6 (headings). Images need none here: no template may have any.
"""

from __future__ import annotations

from collections.abc import Iterator
from html.parser import HTMLParser

from dagster_project.lifecycle import formats
from dagster_project.lifecycle.inspection.specimen import Finding

_LEVELS = {f"h{level}": level for level in range(1, 7)}


class _Outline(HTMLParser):
    """The attributes of `html`, and the levels of the headings in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.language, self.direction = "", ""
        self.levels: list[int] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "html":
            attributes = dict(attrs)
            self.language, self.direction = attributes.get("lang") or "", attributes.get("dir") or ""
        elif tag in _LEVELS:
            self.levels.append(_LEVELS[tag])


def html_findings(html: str, locale: str) -> Iterator[Finding]:
    """What is wrong with a finished mail's HTML in this locale."""
    outline = _Outline()
    outline.feed(html)
    outline.close()
    if outline.language != locale:
        yield Finding("html", "lang", f'lang="{outline.language}"', f'<html lang="{locale}">')
    direction = "rtl" if formats.is_right_to_left(locale) else "ltr"
    if outline.direction != direction:
        yield Finding("html", "dir", f'dir="{outline.direction}"', f'<html dir="{direction}">')
    before = 0
    for level in outline.levels:
        if level > before + 1:
            found = f"<h{level}> after <h{before}>" if before else f"<h{level}> first"
            yield Finding("html", "headings", found, f"<h{before + 1}>: no level is left out")
            break
        before = level
    if outline.levels.count(1) > 1:
        yield Finding("html", "headings", f"{outline.levels.count(1)} <h1>", "one: what the mail is about")
