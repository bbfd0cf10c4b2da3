"""Send windows in SQL against an oracle in Python: every zone that DuckDB knows, every change of offset of five years.

17,364 examples over 556 zones, as of tzdata 2026.6. The oracle knows no steps of 15 minutes: within a stretch of one
offset a window is an interval, and the earliest point of all of them is when it opens. Zones come from zoneinfo there,
from ICU in DuckDB.
"""

from __future__ import annotations

import dataclasses
import importlib.resources
import itertools
import random
import zoneinfo
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from dagster_project.home import Home
from dagster_project.settings import Settings

pytestmark = pytest.mark.slow

FIRST, LAST = datetime(2024, 1, 1), datetime(2029, 1, 1)
HORIZON = timedelta(days=15)
QUARTER = timedelta(minutes=15)
# ICU's names for Canada/Saskatchewan and US/Pacific that zoneinfo has dropped.
OLD_NAMES = {"Canada/East-Saskatchewan": "America/Regina", "US/Pacific-New": "America/Los_Angeles"}
EVERY_DAY = (1, 2, 3, 4, 5, 6, 7)
AS_OF_OF_THE_COMPILATION = datetime(2001, 2, 3, 4, 5, 6)
# From a day before a change, so that a window opens across it, to well within what it did.
AROUND = (timedelta(hours=-26, seconds=17), timedelta(seconds=-1), timedelta(0), timedelta(minutes=100, seconds=1))


@dataclasses.dataclass(frozen=True)
class Window:
    """A window as a policy has it, and whether it skips the holidays of the made-up country."""

    from_hour: int
    to_hour: int
    weekdays: tuple[int, ...]
    country: str | None = None


WINDOWS = (
    Window(0, 24, EVERY_DAY),
    Window(2, 3, EVERY_DAY),
    Window(1, 4, (6, 7)),
    Window(9, 17, (1, 2, 3, 4, 5), "XX"),
    Window(23, 24, (1,), "XX"),
    Window(0, 1, (7,)),
)


def holidays() -> set[date]:
    """Every sixth day of the five years, by lot: no rule that a mistake could follow as well."""
    draw = random.Random(4)
    days = [(FIRST + timedelta(days=day)).date() for day in range((LAST + 2 * HORIZON - FIRST).days)]
    return {day for day in days if draw.random() < 1 / 6}


def zone_of(name: str) -> zoneinfo.ZoneInfo:
    """From the tzdata package: the system's files may be years older than what DuckDB has."""
    path = importlib.resources.files("tzdata").joinpath("zoneinfo", *OLD_NAMES.get(name, name).split("/"))
    with path.open("rb") as file:
        return zoneinfo.ZoneInfo.from_file(file, key=name)


def offset(zone: zoneinfo.ZoneInfo, instant: datetime) -> timedelta:
    """What a clock in the zone is ahead of UTC, at a time in UTC without a zone."""
    ahead = instant.replace(tzinfo=UTC).astimezone(zone).utcoffset()
    assert ahead is not None
    return ahead


def changes(zone: zoneinfo.ZoneInfo) -> list[datetime]:
    """The times in UTC at which the offset changes, from FIRST until the horizon after LAST."""
    found = []
    step = timedelta(days=4)  # Morocco's two changes around Ramadan are the closest, a month apart
    day, before = FIRST, offset(zone, FIRST)
    while day < LAST + 2 * HORIZON:
        after = offset(zone, day + step)
        if after != before:
            low, high = 0, step // QUARTER  # every change of these years is at a quarter of an hour
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(zone, day + middle * QUARTER) == before else (low, middle)
            found.append(day + high * QUARTER)
        day, before = day + step, after
    return found


def opening(
    zone: zoneinfo.ZoneInfo, changed: Sequence[datetime], window: Window, closed: set[date], as_of: datetime
) -> datetime | None:
    """When the window opens at or after `as_of`, in UTC; None when it doesn't within the horizon."""
    end = as_of.replace(minute=0, second=0) + HORIZON
    borders = [as_of, *(change for change in changed if as_of < change <= end), end + timedelta(microseconds=1)]
    for start, stop in itertools.pairwise(borders):
        ahead = offset(zone, start)
        day = (start + ahead).date()
        while datetime.combine(day, datetime.min.time()) - ahead < stop:
            midnight = datetime.combine(day, datetime.min.time()) - ahead
            opens = max(start, midnight + timedelta(hours=window.from_hour))
            shuts = min(stop, midnight + timedelta(hours=window.to_hour))
            off = window.country is not None and day in closed
            if opens < shuts and day.isoweekday() in window.weekdays and not off:
                return opens
            day += timedelta(days=1)
    return None


def moments(changed: Mapping[str, Sequence[datetime]]) -> Iterator[tuple[datetime, list[str]]]:
    """By lot before, at or after each change, with the zones that change then; and all zones at two random seconds."""
    together: dict[datetime, list[str]] = {}
    for name, times in changed.items():
        for time in times:
            if time < LAST:
                together.setdefault(time, []).append(name)
    draw = random.Random(5)
    for time, names in sorted(together.items()):
        yield time + draw.choice(AROUND), names
    for _ in range(2):
        yield FIRST + timedelta(seconds=draw.randrange(int((LAST - FIRST).total_seconds()))), list(changed)


def test_windows_open_when_the_oracle_says_in_all_zones_around_every_change_of_five_years(tmp_path: Path) -> None:
    models = Home(Settings(home=tmp_path)).models
    compiled = models.compiled(["int_send_windows"], AS_OF_OF_THE_COMPILATION)["int_send_windows"]
    sql = f"select window_id, is_open, opens_at from ({compiled})"
    zone_names = models.compiled(["int_time_zones"], AS_OF_OF_THE_COMPILATION)["int_time_zones"]
    closed = holidays()
    database = duckdb.connect()
    database.execute("attach ':memory:' as warehouse")
    database.execute("create table warehouse.main.holidays (country varchar, holiday_date date)")
    database.executemany("insert into warehouse.main.holidays values ('XX', ?)", [[day] for day in sorted(closed)])
    database.execute(
        "create table windows (id int, holiday_country varchar, from_hour int, to_hour int, weekdays varchar)"
    )
    database.executemany(
        "insert into windows values (?, ?, ?, ?, ?)",
        [[id_, w.country, w.from_hour, w.to_hour, str(list(w.weekdays))] for id_, w in enumerate(WINDOWS)],
    )
    names = [name for (name,) in database.execute(zone_names).fetchall()]
    zones = {name: zone_of(name) for name in names}
    changed = {name: changes(zone) for name, zone in zones.items()}
    literal = f"cast('{AS_OF_OF_THE_COMPILATION}' as timestamp)"
    assert literal in sql

    examples, wrong = 0, []
    for as_of, some in moments(changed):
        database.execute(
            """
            create or replace table warehouse.main.int_candidate_windows as
            select zone || '/' || id as window_id, zone as timezone, windows.* exclude (id)
            from unnest(?::varchar[]) as zones (zone)
            cross join windows
            """,
            [some],
        )
        found = database.execute(sql.replace(literal, f"timestamp '{as_of}'")).fetchall()
        assert len(found) == len(some) * len(WINDOWS)
        for window_id, is_open, opens_at in found:
            name, _, id_ = window_id.rpartition("/")
            expected = opening(zones[name], changed[name], WINDOWS[int(id_)], closed, as_of)
            examples += 1
            if (is_open, opens_at) != (expected == as_of, expected):
                wrong.append((name, WINDOWS[int(id_)], as_of, opens_at, expected))

    assert wrong == []
    assert len(names) > 500
    assert examples > 17_000
