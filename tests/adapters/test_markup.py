"""MJML is checked before it is compiled, because the compiler itself accepts almost anything."""

from __future__ import annotations

import re

import pytest

from dagster_project.adapters.markup import check_structure, compile_html, fixed_links, without_jinja
from dagster_project.lifecycle.errors import InputError

GOOD = """<mj-section>
  <mj-column>
    <mj-text css-class="words">{# never sent #}
      <p>Hi {{ first_name or "<there>" }},<br>see <a href="https://x.example">this</a> &amp; that</p>
      {% if a < b and "%}" %}<p>more</p>{% endif %}
    </mj-text>
    {% if show %}
    <mj-button href="{{ cta.main.url }}">{{ cta.main.label }}</mj-button>
    {% endif %}
    <mj-divider />
  </mj-column>
</mj-section>"""


def document(body: str) -> str:
    return f"""<mjml lang="en"><mj-head><mj-title>{{{{ subject }}}}</mj-title><mj-style>.words p {{ color: #123456; }}
@media (prefers-color-scheme: dark) {{ .words p {{ color: #ffffff !important; }} }}</mj-style></mj-head>
<mj-body>{body}</mj-body></mjml>"""


def test_every_expression_survives_compiling() -> None:
    """Also with quotes, angle brackets and statements around a whole button."""
    body = GOOD.replace(' and "%}"', "")
    html = compile_html(document(body), "f")

    for jinja in ('{{ first_name or "<there>" }}', "{% if a < b %}", 'href="{{ cta.main.url }}"', "{% if show %}"):
        assert html.count(jinja) == 1
    assert html.count("{% endif %}") == 2
    assert html.count("{{ subject }}") == 2  # the title, and its label for screen readers
    assert "never sent" not in html
    assert "jinja0x" not in html


def test_styles_are_inlined_and_media_queries_kept() -> None:
    """Some inboxes drop style sheets; dark mode needs them."""
    html = compile_html(document(GOOD.replace(' and "%}"', "")), "f")

    assert re.search(r'<p\sstyle="[^"]*color: #123456', html)
    assert "prefers-color-scheme: dark" in html


def test_nothing_is_fetched() -> None:
    """No font service, no style sheet, no image from anywhere."""
    html = compile_html(document(GOOD.replace(' and "%}"', "")), "f")

    assert set(re.findall(r"https?://[\w.]+", html)) == {"https://x.example", "http://www.w3.org"}


def test_the_preview_line_is_hidden_without_white_letters() -> None:
    """Words in the colour of their ground are a spammer's, to a filter."""
    source = document(GOOD.replace(' and "%}"', "")).replace("<mj-head>", "<mj-head><mj-preview>Soon</mj-preview>")
    before_the_words = compile_html(source, "f").partition("<body")[2].partition("Soon")[0]

    assert 'style="display:none;mso-hide:all;max-height' in before_the_words
    assert "font-size" not in before_the_words
    assert "#ffffff" not in before_the_words


def test_fixed_links_are_found_as_a_reader_would_follow_them() -> None:
    source = '<mj-button href="{{ cta.main.url }}">A</mj-button><a href="https://x.example/?a=1&amp;b=2">B</a>'

    assert fixed_links(without_jinja(source)) == ["https://x.example/?a=1&b=2"]


def test_good_markup_passes() -> None:
    """Statements may stand in columns and in text."""
    check_structure(GOOD.replace(' and "%}"', ""), "f", root="mj-wrapper")


COLUMN = "<mj-section>\n<mj-column>{}</mj-column></mj-section>"
TEXT = COLUMN.format("<mj-text>{}</mj-text>")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (COLUMN.format("<mj-bogus>x</mj-bogus>"), "f:2: found <mj-bogus> in <mj-column>, allowed: <mj-button>, "),
        (TEXT.format('<img src="x.png">'), "f:2: found <img> in <mj-text>, allowed: <a>, "),
        (COLUMN.format("loose"), "f:2: found text 'loose' in <mj-column>, allowed: text inside <mj-text>"),
        (COLUMN.format("{{ loose }}"), "f:2: found text '{{ loose }}' in <mj-column>, allowed: "),
        ("<mj-section><mj-text>x</mj-text></mj-section>", "f:1: found <mj-text> in <mj-section>, allowed: <mj-column>"),
        ("<mj-column></mj-column>", "f:1: found <mj-column> in <mj-wrapper>, allowed: <mj-section>"),
        (
            "{% if x %}<mj-section></mj-section>{% endif %}",
            "f:1: found {% if x %} in <mj-wrapper>, allowed: statements",
        ),
        ("<mj-section>", "f:1: found the end of the file, allowed: </mj-section>"),
        ("<mj-section>\n</mj-column></mj-section>", "f:2: found </mj-column>, allowed: </mj-section>"),
        (TEXT.format("<p>open"), "f:2: found </mj-text>, allowed: </p>"),
        (TEXT.format("a < b"), "f:2: found <, allowed: &lt;"),
        (TEXT.format("<script>x</script>"), "f:2: found <script> in <mj-text>, allowed: <a>, "),
        (TEXT.format("<img src=x>"), "f:2: found <img> in <mj-text>, allowed: "),
        (TEXT.format('<p onclick="x">x</p>'), "f:2: found attribute onclick on <p>, allowed: align, "),
        (TEXT.format('<a href="http://x.example">x</a>'), 'f:2: found href="http://x.example", allowed: https://'),
        (TEXT.format('<a href="javascript:x">x</a>'), 'f:2: found href="javascript:x", allowed: https://'),
        (TEXT.format('<a href="{{ first_name }}">x</a>'), "f:2: found {{ first_name }} in href, allowed: href="),
        (TEXT.format('<a href="https://x.example/{{ first_name }}">x</a>'), "f:2: found {{ first_name }} in href"),
        (TEXT.format('<p class="{{ plan }}">x</p>'), "f:2: found {{ plan }} in class, allowed: href="),
        (TEXT.format("<!-- note -->"), "f:2: found an HTML comment, allowed: {# a Jinja comment #}"),
        (TEXT.format("<!doctype html>"), "f:2: found <!doctype html>, allowed: MJML elements"),
        (TEXT.format("<?php x ?>"), "f:2: found <?php x ?>, allowed: MJML elements"),
        ('<mj-include path="/etc/passwd" />', "f:1: found <mj-include> in <mj-wrapper>, allowed: <mj-section>"),
        ("<mj-raw><b>x</b></mj-raw>", "f:1: found <mj-raw> in <mj-wrapper>, allowed: <mj-section>"),
        (TEXT.format("jinja0x1x"), "f: found jinja0x, allowed: any other word"),
    ],
)
def test_what_may_not_be_there_is_refused_with_its_line(source: str, message: str) -> None:
    """File, line, what was found, what is allowed."""
    with pytest.raises(InputError) as error:
        check_structure(source, "f", root="mj-wrapper")

    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_an_expression_in_a_style_sheet_is_refused() -> None:
    """No fact decides how a mail looks."""
    source = "<mjml><mj-head><mj-style>.x { color: {{ plan }} }</mj-style></mj-head></mjml>"

    with pytest.raises(InputError, match="plain CSS"):
        check_structure(source, "f", root="")


def test_the_html_is_short_lines_of_ascii_so_that_it_needs_no_transfer_encoding() -> None:
    html = compile_html(document(GOOD.replace(' and "%}"', "").replace("</mj-text>", "naïve €</mj-text>", 1)), "f")

    assert html.isascii()
    assert "na&#239;ve &#8364;" in html
    assert max(map(len, html.split("\n"))) <= 998
    assert "  " not in html


def test_a_mail_in_a_foreign_script_keeps_its_letters() -> None:
    html = compile_html(
        document(GOOD.replace(' and "%}"', "").replace("</mj-text>", "こんにちは" * 400 + "</mj-text>", 1)), "f"
    )

    assert "こんにちは" in html
