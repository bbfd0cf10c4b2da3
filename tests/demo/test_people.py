"""Who is there: names, places, addresses, consents, and how the accounts hang together."""

from __future__ import annotations

from zoneinfo import available_timezones

import duckdb
import pytest

RESERVED = r"^.*@([a-z0-9-]+\.)*(example|example\.com|example\.net|example\.org)$"


def value(connection: duckdb.DuckDBPyConnection, sql: str) -> float:
    """The one figure that `sql` gives."""
    return connection.execute(sql).fetchall()[0][0]


def test_addresses_are_unique_and_lie_under_reserved_names(ledgerline: duckdb.DuckDBPyConnection) -> None:
    addresses = value(ledgerline, "select count(email) from users")
    anywhere = value(ledgerline, f"select count(*) from users where regexp_matches(email, '{RESERVED}')")
    elsewhere = ledgerline.execute(
        "select email from users where not regexp_matches(email, '[.@](example|example.com|example.net|example.org)$')"
    ).fetchall()

    assert value(ledgerline, "select count(distinct lower(email)) from users") == addresses
    assert elsewhere == []
    assert anywhere >= 0.997 * addresses


def test_few_addresses_are_missing_or_broken(ledgerline: duckdb.DuckDBPyConnection) -> None:
    broken = "email is null or not regexp_full_match(email, '[^@ ]+@[^@ ]+')"

    assert value(ledgerline, f"select avg(({broken})::int) from users") < 0.006


def test_zones_fit_the_country_but_for_some_missing_and_invalid_ones(ledgerline: duckdb.DuckDBPyConnection) -> None:
    missing = value(ledgerline, "select avg((timezone is null)::int) from users")
    zones = {row[0]: row[1] for row in ledgerline.execute("select timezone, count(*) from users group by 1").fetchall()}
    invalid = sum(count for zone, count in zones.items() if zone and zone not in available_timezones())
    other = value(
        ledgerline,
        """
        select count(*) from users inner join truth using (user_id)
        where timezone != true_timezone and (timezone like 'Europe/%' or timezone like 'America/%')
            and timezone != 'Europe/Atlantis'
        """,
    )

    assert 0.02 < missing < 0.06
    assert 0.003 < invalid / 1_500 < 0.02
    assert other == 0


def test_all_languages_are_spoken_and_names_keep_their_letters(ledgerline: duckdb.DuckDBPyConnection) -> None:
    languages = {row[0] for row in ledgerline.execute("select distinct locale[:2] from users").fetchall()}
    locales = {row[0] for row in ledgerline.execute("select distinct locale from users").fetchall()}
    names = {row[0] for row in ledgerline.execute("select distinct first_name from users").fetchall()}

    assert languages >= {"en", "de", "fr", "es", "ja", "ar", None}
    assert locales >= {"en-GB", "pt-BR"}
    assert names >= {"Jürgen", "Zoë", "陽子", "محمد", "O'Brien", None}


def test_internal_people_work_at_ledgerline_and_nobody_else_does(ledgerline: duckdb.DuckDBPyConnection) -> None:
    assert value(ledgerline, "select count(*) from users where is_internal") == 6
    assert value(ledgerline, "select count(*) from users where is_internal != (email like '%@ledgerline.example')") == 0


def test_every_account_has_one_owner_who_came_first(ledgerline: duckdb.DuckDBPyConnection) -> None:
    owners = """
        select count(*) from accounts inner join users on owner_user_id = user_id
        where role = 'owner' and users.account_id = accounts.account_id and users.created_at = accounts.created_at
    """
    early = (
        "select count(*) from users inner join accounts using (account_id) where users.created_at < accounts.created_at"
    )

    assert value(ledgerline, owners) == value(ledgerline, "select count(*) from accounts")
    assert value(ledgerline, "select count(*) from users where role = 'owner'") == value(ledgerline, owners)
    assert value(ledgerline, early) == 0


def test_accounts_are_of_every_size_and_most_are_small(ledgerline: duckdb.DuckDBPyConnection) -> None:
    sizes = "select count(*) as size from users where not is_internal group by account_id"

    assert value(ledgerline, f"select median(size) from ({sizes})") <= 3
    assert value(ledgerline, f"select max(size) from ({sizes})") >= 20


def test_parents_are_other_accounts(ledgerline: duckdb.DuckDBPyConnection) -> None:
    loops = """
        select count(*) from accounts as child
        left join accounts as parent on child.parent_account_id = parent.account_id
        where child.parent_account_id is not null and (
            parent.account_id is null or parent.account_id = child.account_id or parent.parent_account_id is not null
        )
    """

    assert value(ledgerline, "select count(parent_account_id) from accounts") > 0
    assert value(ledgerline, loops) == 0


def test_consent_begins_with_a_grant_at_sign_up(ledgerline: duckdb.DuckDBPyConnection) -> None:
    first = """
        select count(*) from (
            select user_id, message_type, min_by(status, recorded_at) as status, min(recorded_at) as recorded_at
            from consents group by 1, 2
        ) inner join users using (user_id) where status != 'granted' or recorded_at != created_at
    """

    assert value(ledgerline, first) == 0


@pytest.mark.parametrize(
    ("message_type", "granted", "withdrawn"), [("product_tips", 0.90, 0.08), ("product_news", 0.82, 0.12)]
)
def test_some_never_consent_and_some_withdraw(
    ledgerline: duckdb.DuckDBPyConnection, message_type: str, granted: float, withdrawn: float
) -> None:
    asked = f"select count(distinct user_id) from consents where message_type = '{message_type}'"
    left = f"{asked} and status = 'withdrawn'"

    assert value(ledgerline, asked) / 1_500 == pytest.approx(granted, abs=0.04)
    assert value(ledgerline, left) / value(ledgerline, asked) == pytest.approx(withdrawn, abs=0.04)


def test_tickets_close_after_they_open_or_stay_open(ledgerline: duckdb.DuckDBPyConnection) -> None:
    wrong = "(status = 'closed') != (closed_at is not null) or closed_at <= opened_at"

    assert value(ledgerline, "select count(*) from tickets where status = 'open'") > 0
    assert value(ledgerline, f"select count(*) from tickets where {wrong}") == 0
