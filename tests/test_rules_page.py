"""docs/rules.md names every rule, and every reason that its SQL can give, and no other."""

from __future__ import annotations

import csv
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
DECIDE = ROOT / "dbt_project/models/intermediate/decide"
PAGE = (ROOT / "docs/rules.md").read_text()
ROW = re.compile(r"^\| ([a-z_, ]*) ?\| ((?:`[^`]+`(?:, )?)+) \|", re.MULTILINE)
# A reason is what `then` or `else` gives: a word, or the beginning of one.
REASON = re.compile(r"(?:then|else)\s+'([a-z_]+:?)'")


def words_in_sql() -> set[tuple[str, str]]:
    """(rule, reason) of every `then '…'` of every rule; `missing_fact:` stands for all its endings."""
    found = set()
    for file in DECIDE.glob("eligibility/int_eligibility__*.sql"):
        rule = file.stem.removeprefix("int_eligibility__")
        found |= {(rule, word) for word in REASON.findall(file.read_text())}
    return {(rule, word) for rule, word in found if word != "no_policy"}


def words_on_page() -> set[tuple[str, str]]:
    """(rule, reason) of every row of the two tables; a row without a rule goes on with the last one's."""
    found, rules = set(), [""]
    for named, reasons in ROW.findall(PAGE):
        rules = [rule.strip() for rule in named.split(",")] if named.strip() else rules
        words = [word.partition("<")[0] for word in re.findall(r"`([^`]+)`", reasons)]
        if len(rules) == len(words):
            found |= set(zip(rules, words, strict=True))
        else:
            found |= {(rules[0], word) for word in words}
    return found


def test_the_page_lists_the_rules_of_the_seed() -> None:
    """In the seed's order of precedence or not: none is missing, none is invented."""
    with (ROOT / "dbt_project/seeds/eligibility_rules.csv").open() as file:
        seed = {row["rule"] for row in csv.DictReader(file)}

    assert len(seed) == 18
    assert {rule for rule, _ in words_on_page()} == seed
    assert {file.stem.removeprefix("int_eligibility__") for file in DECIDE.glob("eligibility/*.sql")} == seed


def test_the_page_lists_the_reasons_that_the_sql_gives() -> None:
    """A word of a decision can be looked up; one that no rule gives any more is off the page."""
    # This one puts its words together.
    scopes = {("scoped_cap", f"{scope}_capped") for scope in ("account", "channel", "message_type")}

    assert words_on_page() == words_in_sql() | scopes
