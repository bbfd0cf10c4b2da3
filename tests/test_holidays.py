"""The seed of public holidays: what follows from the calendar is where the calendar puts it, and no year is half there."""

from __future__ import annotations

import csv
from collections import defaultdict
from datetime import date, timedelta
from pathlib import Path

from dateutil.easter import easter

DEMO = "AE AT AU BR CA CH DE EG ES FR GB IN JP MX SA US"
SEED = Path(__file__).parent.parent / "dbt_project/seeds/holidays.csv"
AFTER_EASTER = {"Good Friday": -2, "Easter Monday": 1, "Ascension Day": 39, "Whit Monday": 50, "Corpus Christi": 60}
# (month, ISO weekday, which one of the month; -1 the last)
NTH = {
    "Martin Luther King Day": (1, 1, 3),
    "Coming of Age Day": (1, 1, 2),
    "Washington's Birthday": (2, 1, 3),
    "Benito Juarez Day": (3, 1, 3),
    "Early May bank holiday": (5, 1, 1),
    "Spring bank holiday": (5, 1, -1),
    "Memorial Day": (5, 1, -1),
    "Marine Day": (7, 1, 3),
    "Summer bank holiday": (8, 1, -1),
    "Labor Day": (9, 1, 1),
    "Respect for the Aged Day": (9, 1, 3),
    "Columbus Day": (10, 1, 2),
    "Sports Day": (10, 1, 2),
    "Revolution Day": (11, 1, 3),
    "Thanksgiving Day": (11, 4, 4),
}


def rows() -> list[tuple[str, date, str]]:
    """(country, date, name) of every row."""
    with SEED.open() as file:
        return [(row["country"], date.fromisoformat(row["holiday_date"]), row["name"]) for row in csv.DictReader(file)]


def nth_weekday(year: int, month: int, weekday: int, which: int) -> date:
    """Counted by listing the month's days."""
    days = [date(year, month, 1) + timedelta(days=day) for day in range(31)]
    return [day for day in days if day.month == month and day.isoweekday() == weekday][which - (which > 0)]


def test_what_hangs_on_easter_is_that_far_from_it() -> None:
    hanging = [(day, name) for _, day, name in rows() if name in AFTER_EASTER]

    assert len(hanging) == 76
    assert [(day, name) for day, name in hanging if day - easter(day.year) != timedelta(days=AFTER_EASTER[name])] == []


def test_what_is_the_nth_weekday_of_a_month_is() -> None:
    moving = [(day, name) for _, day, name in rows() if name in NTH]

    assert len(moving) > 50
    assert [(day, name) for day, name in moving if day != nth_weekday(day.year, *NTH[name])] == []


def test_a_substitute_is_a_working_day_after_or_before_one_at_a_weekend() -> None:
    """Nobody needs a second day off for a holiday that was on a working day."""
    listed = rows()
    holidays = {(country, day) for country, day, _ in listed}
    substitutes = [row for row in listed if row[2].endswith(("(observed)", "(substitute)"))]

    assert substitutes
    for country, day, name in substitutes:
        own = next(
            other for there, other, called in listed
            if (there, called, other.year) == (country, name.rpartition(" (")[0], day.year)
        )  # fmt: skip
        assert day.isoweekday() <= 5, (country, day)
        assert own.isoweekday() >= 6, (country, own)
        between = [own + timedelta(days=n) for n in range(1, (day - own).days)]
        assert all(d.isoweekday() >= 6 or (country, d) in holidays for d in between), (country, day)


def test_every_country_of_the_demo_company_has_its_days_in_each_year() -> None:
    """A year that is half there would pass for one with few holidays."""
    years: dict[str, set[int]] = defaultdict(set)
    for country, day, _ in rows():
        years[country].add(day.year)

    assert dict(years) == {country: {2014, 2025, 2026, 2027} for country in DEMO.split()}
