"""MJML to mail HTML, once per template version, with the Jinja in it untouched.

The compiler and the inliner know nothing of Jinja, so each `{{ }}` travels as a word and each `{% %}` as a comment. The
compiler does not validate either: the structure is checked here first, with the line of what is wrong.
"""

from __future__ import annotations

import re
from html import unescape
from html.parser import HTMLParser

import css_inline
import mjml

from dagster_project.lifecycle.errors import InputError

BODY_MARK = "[[ body ]]"
_CHILDREN = {
    "": {"mjml"},
    "mjml": {"mj-head", "mj-body"},
    "mj-head": {"mj-title", "mj-preview", "mj-attributes", "mj-style", "mj-breakpoint", "mj-raw"},
    "mj-raw": {"meta"},  # only inside the head: the colour schemes
    "mj-attributes": {"mj-all", "mj-class", "mj-body", "mj-section", "mj-wrapper", "mj-column", "mj-text", "mj-button"},
    "mj-body": {"mj-section", "mj-wrapper"},
    "mj-wrapper": {"mj-section"},
    "mj-section": {"mj-column", "mj-group"},
    "mj-group": {"mj-column"},
    "mj-column": {"mj-text", "mj-button", "mj-divider", "mj-spacer", "mj-table"},
}
_TEXT_IN = {"mj-title", "mj-preview", "mj-style", "mj-text", "mj-button", "mj-table"}
_INLINE = {"a", "b", "bdi", "br", "div", "em", "h1", "h2", "h3", "i", "li", "ol", "p", "span", "strong", "ul"}
_TABLE = {"table", "tbody", "tr", "td", "th"}
_HTML_IN = {"mj-text": _INLINE, "mj-button": _INLINE - {"a"}, "mj-table": _INLINE | _TABLE}
_HTML_ATTRIBUTES = {"align", "class", "colspan", "href", "lang", "role", "style", "valign", "width"}
_STATEMENTS_IN = {"mj-column", "mj-text", "mj-button", "mj-table"}  # elsewhere the compiler writes conditional comments
_VOID = {"br", "meta", "mj-divider", "mj-spacer"}
_JINJA = re.compile(r"\{\{.*?\}\}|\{%.*?%\}|\{#.*?#\}", re.DOTALL)
_TOKEN = re.compile(r"<!--jinja0x\d+x-->|jinja0x\d+x")
_BLANKS = re.compile(r"[ \t]*\r?\n[ \t\r\n]*|[ \t]{2,}|\t")
MANY_FOREIGN = 20  # one extra byte in 20: a Japanese mail is shorter in base64 than in character references
# What an inbox shows after the subject is hidden in the mail itself. The compiler does that in white letters of one pixel, which filters take for a
# spammer's; mso-hide is for Outlook, which shows what is not displayed.
_WHITE_PREVIEW = re.compile(r"display:\s?none;\s?font-size:\s?1px;\s?color:\s?#ffffff;\s?line-height:\s?1px;")
_HIDDEN = "display:none;mso-hide:all;"
_HREF = re.compile(r'\bhref\s*=\s*"(https://[^"]*)"')
_LINKS = re.compile(r"\{\{ ?(?:cta\.[a-z][a-z0-9_]*\.url|unsubscribe_url) ?\}\}")


class _Structure(HTMLParser):
    """Walks one MJML file and stops at the first thing that may not be where it is."""

    def __init__(self, file: str, root: str, sources: dict[str, str]) -> None:
        super().__init__(convert_charrefs=False)
        self._file, self._stack, self._sources = file, [root], sources

    def _refuse(self, found: str, allowed: str) -> None:
        raise InputError(f"{self._file}:{self.getpos()[0]}: found {found}, allowed: {allowed}")

    @property
    def _block(self) -> str:
        """The MJML element we are in, however deep in HTML inside it."""
        return next(tag for tag in reversed(self._stack) if tag in _CHILDREN or tag.startswith("mj-"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        parent, block = self._stack[-1], self._block
        allowed = _HTML_IN.get(block, set()) if block in _TEXT_IN else _CHILDREN.get(parent, set())
        if tag not in allowed:
            names = ", ".join(f"<{name}>" for name in sorted(allowed)) or "text"
            self._refuse(f"<{tag}> in {f'<{parent}>' if parent else 'the file'}", names)
        is_html = not tag.startswith("mj") and tag != "meta"
        for name, value in attrs:
            if is_html and name not in _HTML_ATTRIBUTES:
                self._refuse(f"attribute {name} on <{tag}>", ", ".join(sorted(_HTML_ATTRIBUTES)))
            for token in _TOKEN.findall(value or ""):
                if name != "href" or value != token or not _LINKS.fullmatch(self._sources[token]):
                    links = 'href="{{ cta.<id>.url }}", href="{{ unsubscribe_url }}"'
                    self._refuse(f"{self._sources[token]} in {name}", links)
            if name == "href" and not _TOKEN.search(value or "") and not (value or "").startswith("https://"):
                self._refuse(f'href="{value}"', "https://…, {{ cta.<id>.url }}, {{ unsubscribe_url }}")
        if tag not in _VOID:
            self._stack.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID:
            self._stack.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        if len(self._stack) == 1 or self._stack[-1] != tag:
            self._refuse(f"</{tag}>", f"</{self._stack[-1]}>" if len(self._stack) > 1 else "the end of the file")
        self._stack.pop()

    def handle_data(self, data: str) -> None:
        if "<" in data:
            self._refuse("<", "&lt;")
        if self._block == "mj-style" and _TOKEN.search(data):
            self._refuse(self._sources[_TOKEN.findall(data)[0]], "plain CSS")
        if data.strip() and self._block not in _TEXT_IN and data.strip() != BODY_MARK:
            text = _TOKEN.sub(lambda match: self._sources[match[0]], data).strip()
            self._refuse(f"text {text[:30]!r} in <{self._block}>", "text inside <mj-text> or <mj-button>")

    def handle_entityref(self, name: str) -> None:
        self.handle_data(f"&{name};")

    def handle_charref(self, name: str) -> None:
        self.handle_data(f"&#{name};")

    def handle_comment(self, data: str) -> None:
        source = self._sources.get(f"<!--{data}-->")
        if source is None:
            self._refuse("an HTML comment", "{# a Jinja comment #}, which no recipient gets")
        elif self._block not in _STATEMENTS_IN:
            self._refuse(f"{source} in <{self._block}>", "statements inside <mj-column> or <mj-text>")

    def handle_decl(self, decl: str) -> None:
        self._refuse(f"<!{decl}>", "MJML elements")

    def handle_pi(self, data: str) -> None:
        self._refuse(f"<?{data}>", "MJML elements")

    def unknown_decl(self, data: str) -> None:
        self._refuse(f"<![{data}]>", "MJML elements")

    def finish(self) -> None:
        self.close()
        if len(self._stack) > 1:
            self._refuse("the end of the file", f"</{self._stack[-1]}>")


def _hide(source: str) -> tuple[str, dict[str, str]]:
    """The source with its Jinja as tokens, and token -> Jinja. Lines stay where they were."""
    sources: dict[str, str] = {}

    def hide(match: re.Match[str]) -> str:
        jinja = match[0]
        if jinja.startswith("{#"):
            return "\n" * jinja.count("\n")
        token = f"jinja0x{len(sources)}x" if jinja.startswith("{{") else f"<!--jinja0x{len(sources)}x-->"
        sources[token] = jinja
        return token + "\n" * jinja.count("\n")

    return _JINJA.sub(hide, source), sources


def without_jinja(source: str) -> str:
    """The same MJML for a tool that knows no Jinja: each expression is a word, each statement a comment. Lines stay where they were."""
    return _hide(source)[0]


def fixed_links(mjml: str) -> list[str]:
    """The addresses that an author has written into links, in their order."""
    return [unescape(link) for link in _HREF.findall(mjml)]


def check_structure(source: str, file: str, *, root: str) -> None:
    """Refuse what the compiler would silently mangle. `root` is the element the file's content goes into."""
    if "jinja0x" in source:
        raise InputError(f"{file}: found jinja0x, allowed: any other word")
    hidden, sources = _hide(source)
    structure = _Structure(file, root, sources)
    structure.feed(hidden)
    structure.finish()


def compile_html(source: str, file: str) -> str:
    """A whole MJML document as HTML with its CSS inlined, ready for Jinja. Nothing is fetched."""
    hidden, sources = _hide(source)
    try:
        html = mjml.mjml2html(hidden, fonts={})
        html = css_inline.CSSInliner(load_remote_stylesheets=False, keep_style_tags=True).inline(html)
    except (ValueError, css_inline.InlineError) as error:
        raise InputError(f"{file}: found {error}, allowed: MJML that compiles") from None
    html = _WHITE_PREVIEW.sub(_HIDDEN, html, count=1)
    found = _TOKEN.findall(html)
    for token, jinja in sources.items():
        if found.count(token) < 1 or (token.startswith("<") and found.count(token) > 1):
            raise InputError(f"{file}: found {jinja} where it does not survive compiling, allowed: inside <mj-text>")
    return _TOKEN.sub(lambda match: sources[match[0]], _plain(html))


def _plain(html: str) -> str:
    """The same HTML in short lines of ASCII where its language allows it: what needs no transfer encoding is sent as it
    is, survives every server, and costs a third to build and to sign. There is no `pre` in these templates, so a run of
    blanks is one blank; a line may end before an attribute."""
    html = _BLANKS.sub(lambda match: "\n" if "\n" in match[0] else " ", html).replace(' style="', '\nstyle="')
    if len(html.encode()) - len(html) > len(html) // MANY_FOREIGN:
        return html
    head, end_of_style, body = html.rpartition("</style>")  # in a style element a reference would not be read as one
    return head + end_of_style + body.encode("ascii", "xmlcharrefreplace").decode()
