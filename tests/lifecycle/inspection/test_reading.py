"""What a reader's program must be told by a mail's HTML."""

from __future__ import annotations

import pytest

from dagster_project.lifecycle.inspection.reading import html_findings

GOOD = '<html lang="{}" dir="{}"><body><h1>A</h1><h2>B</h2><h3>C</h3><h2>D</h2></body></html>'


@pytest.mark.parametrize(("locale", "direction"), [("en", "ltr"), ("ar", "rtl"), ("de-AT", "ltr")])
def test_a_mail_that_says_its_language_and_direction_is_well(locale: str, direction: str) -> None:
    assert list(html_findings(GOOD.format(locale, direction), locale)) == []


@pytest.mark.parametrize(
    ("html", "code", "found"),
    [
        (GOOD.format("de", "rtl"), "lang", 'lang="de"'),
        (GOOD.format("ar", "ltr"), "dir", 'dir="ltr"'),
        ('<html lang="ar" dir="rtl"><h2>B</h2></html>', "headings", "<h2> first"),
        ('<html lang="ar" dir="rtl"><h1>A</h1><h3>C</h3><h6>D</h6></html>', "headings", "<h3> after <h1>"),
        ('<html lang="ar" dir="rtl"><h1>A</h1><h1>B</h1></html>', "headings", "2 <h1>"),
        ('<html dir="rtl"></html>', "lang", 'lang=""'),
    ],
)
def test_each_mistake_is_one_finding(html: str, code: str, found: str) -> None:
    (finding,) = html_findings(html, "ar")

    assert (finding.code, finding.found) == (code, found)
