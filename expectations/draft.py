"""The content gate, after draft: would we put our name under every one of these mails?"""

from __future__ import annotations

from expectations.defaults import Given
from expectations.expectation import Expectation, Rows, Suite
from expectations.sql import filled

DRAFTS = "main.drafts"
DRAFTED = "select count(*) from batch where draft_hash is not null"

# What a template leaves behind when a value is missing. Case matters: Nan and Null are people's names, `none` is
# CSS. And "None of your reports is late" is English.
NULL_WORDS = r"\b(?:None(?:$|[^\w ]| $| [^o]| o[^f])|(?:null|nan|NaN|NaT)\b)"
LINKS = r"https?://[^\s\"<>]+"  # random letters, that may spell anything
MARKS = ("{{", "}}", "{%", "%}", "[[", "]]")
HTML_MARKS = ("{{", "{%", "%}", "[[")  # a style sheet may well end in two braces
TEST_SUBJECT = r"(?i)\b(?:test(?:ing|s)?|lorem|asdf|integration)\b"
TEST_BODY = r"(?i)\b(?:lorem ipsum|asdf|test (?:e-?mail|mail|message))\b"

# What a reader sees of the HTML: styles and comments hold braces and words of their own.
SEEN = r"regexp_replace(html, '(?is)<style\b.*?</style>|<!--.*?-->', ' ', 'g')"
WORDS = "concat_ws(' | ', subject, preheader, text)"
IN_HTML, IN_TEXT = (rf"regexp_matches({part}, '\S')" for part in ("html", "text"))  # something to read
VALUES = "coalesce(array_to_string(json_extract_string(facts, '$.*'), ' '), '')"


def suite(given: Given) -> Suite:
    """Drafts of all messages that wait to be sent. What has no draft is judged once, by the first expectation."""
    return Suite("draft", (_drafted(), *_merges(), *_subject(given), *_body(given), _test_text(given), _alike(given)))


def _broken(name: str, sentence: str, condition: str) -> Rows:
    """An expectation broken by each draft for which the condition holds."""
    return Rows(
        name=name,
        sentence=sentence,
        batch=DRAFTS,
        violations=f"select message_id as example from batch where draft_hash is not null and ({condition})",
        population=DRAFTED,
    )


def _drafted() -> Rows:
    return Rows(
        name="every_message_drafted",
        sentence="Every planned message has a draft.",
        batch=DRAFTS,
        violations="select message_id as example from batch where draft_hash is null",
        population="select count(*) from batch",
    )


def _merges() -> list[Expectation]:
    seen = f"concat_ws(' | ', {WORDS}, regexp_replace({SEEN}, '<[^>]*>', ' | ', 'g'))"
    # Also where a person has put the braces in their own name: it would look broken, or be a trick.
    marks = " or ".join(
        f"contains({where}, '{mark}')" for where, found in ((WORDS, MARKS), (SEEN, HTML_MARKS)) for mark in found
    )
    # Every mail is searched as it is; only one with a hit is taken apart, which takes ten times as long.
    has_mark = " or ".join(
        f"contains({where}, '{mark}')" for where, found in ((WORDS, MARKS), ("html", HTML_MARKS)) for mark in found
    )
    return [
        _broken(
            "no_missing_value",
            "No mail shows None, null or nan where a value is missing.",
            f"""
            case
                when regexp_matches({WORDS}, '{NULL_WORDS}') or regexp_matches(html, '{NULL_WORDS}')
                    then regexp_matches(regexp_replace({seen}, '{LINKS}', ' ', 'g'), '{NULL_WORDS}')
            end
            """,
        ),
        _broken(
            "no_template_mark",
            "No mail shows the braces of its template.",
            f"case when {has_mark} then {marks} end",
        ),
    ]


def _subject(given: Given) -> list[Expectation]:
    return [
        _broken("subject_filled", "Every mail has a subject.", f"{filled('subject')} is null"),
        _broken(
            "subject_short",
            f"No subject is longer than {given.max_subject_characters} characters.",
            f"length(subject) > {given.max_subject_characters}",
        ),
        _broken("subject_one_line", "Every subject is one line.", r"regexp_matches(subject, '[\r\n]')"),
    ]


def _body(given: Given) -> list[Expectation]:
    in_html = "contains(html, replace(unsubscribe_url, '&', '&amp;')) or contains(html, unsubscribe_url)"
    return [
        _broken(
            "both_parts_filled",
            "Every mail can be read as HTML and as plain text.",
            f"not coalesce({IN_HTML}, false) or not coalesce({IN_TEXT}, false)",
        ),
        _broken(
            "unsubscribe_link_in_html",
            "Whoever reads the HTML can unsubscribe, unless the mail is transactional.",
            f"""
            legal_basis is distinct from 'transactional' and {IN_HTML}
            and not coalesce(unsubscribe_url <> '' and ({in_html}), false)
            """,
        ),
        _broken(
            "unsubscribe_link_in_text",
            "Whoever reads the plain text can unsubscribe, unless the mail is transactional.",
            f"""
            legal_basis is distinct from 'transactional' and {IN_TEXT}
            and not coalesce(unsubscribe_url <> '' and contains(text, unsubscribe_url), false)
            """,
        ),
        _broken(
            "html_small",
            f"No mail is larger than {given.max_html_bytes / 1000:g} kB, where mailboxes clip it.",
            f"strlen(html) > {given.max_html_bytes}",
        ),
    ]


def _test_text(given: Given) -> Rows:
    subject = f"coalesce(regexp_extract(subject, '{TEST_SUBJECT}'), '')"
    return Rows(
        name="no_test_text",
        sentence="No mail looks like a test.",
        batch=DRAFTS,
        severity="critical" if given.env == "production" else "warning",
        # A word that comes from the recipient's own facts is meant: the feature may be an integration.
        violations=f"""
            select message_id as example from batch
            where draft_hash is not null
                and (
                    ({subject} <> '' and not contains(lower({VALUES}), lower({subject})))
                    or regexp_matches(coalesce(text, ''), '{TEST_BODY}')
                )
        """,
        population=DRAFTED,
    )


def _alike(given: Given) -> Rows:
    return Rows(
        name="bodies_differ",
        sentence="A campaign with personal facts doesn't send the same words to everybody.",
        batch=DRAFTS,
        severity="warning",
        violations=f"""
            select campaign_id as example from batch where draft_hash is not null
            group by 1
            having count(*) >= {given.identical_floor} and count(distinct facts) > 1
                and count(distinct md5(regexp_replace(text, '{LINKS}', '', 'g'))) = 1
        """,
        observed="select format('{:,} campaigns', count(distinct campaign_id)) from batch",
        is_by_campaign=True,
    )
