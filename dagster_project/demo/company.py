"""Ledgerline, a reporting product that does not exist: its people, accounts and telemetry as Parquet files.

The same seed and size give the same rows, on any number of threads. Nothing here asks the clock.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb

from dagster_project.demo import behaviour, commerce, effects, habits, people, population, words
from dagster_project.lifecycle.errors import InputError

GENERATOR_VERSION = 1
MANIFEST = "demo.json"
ENDS_AT = datetime(2026, 9, 1, 9, 0)
MOST_USERS = 10_000_000  # as many as the seven digits of a user_id can tell apart
FEWEST_DAYS, MOST_DAYS = 14, 730
MEMORY_LIMIT = "8GB"  # of DuckDB; beyond it spills beside the output
USER_DAYS_PER_CHUNK = 1_300_000  # of usage made and sorted at once: some 1.2 million events, 300 MB
TERMS_AGE = timedelta(days=12)  # the newest terms were published so long before the data was read
FILES = {
    "users": people.USER_FILE,
    "accounts": commerce.ACCOUNT_FILE,
    "subscriptions": commerce.SUBSCRIPTION_FILE,
    "consents": people.CONSENT_FILE,
    "tickets": people.TICKET_FILE,
    "truth": people.TRUTH_FILE,  # what the evaluation must find out; never landed
    "effects": effects.EFFECT_FILE,  # the same of messages
}
PREPARATION = (
    words.COUNTRIES,
    words.NAMES,
    words.COMPANY_WORDS,
    population.MACROS,
    population.CALENDAR,
    population.ACCOUNTS,
    commerce.PATHS,
    population.USERS,
    habits.MACROS,
    habits.HABITS,
    commerce.SUBSCRIPTIONS,
    behaviour.MACROS,
    behaviour.MILESTONES,
    behaviour.RHYTHMS,
)


@dataclasses.dataclass(frozen=True, slots=True)
class Summary:
    """What one generation wrote. `rows` is per relation, `bytes` is everything in the folder, times are UTC."""

    out: Path
    rows: dict[str, int]
    bytes: int
    seconds: float
    newest_event: datetime

    def as_dict(self) -> dict[str, object]:
        """The figures for a machine; without the folder, which the caller named."""
        return {
            "rows": self.rows,
            "bytes": self.bytes,
            "seconds": round(self.seconds, 2),
            "newest_event": self.newest_event.isoformat(),
        }


@dataclasses.dataclass(frozen=True, slots=True)
class _Order:
    """What to make. The same order gives the same rows."""

    users: int
    days: int
    seed: int
    ends_at: datetime

    @property
    def opens_at(self) -> datetime:
        """Usage before this is not kept."""
        return self.ends_at - timedelta(days=self.days)

    @property
    def variables(self) -> dict[str, object]:
        """What the SQL reads with `getvariable`."""
        terms_at = self.ends_at - TERMS_AGE
        newest_terms = f"{terms_at:%Y-%m}"
        return {
            "users": self.users,
            "internal_users": self.users // 250,
            "seed": self.seed,
            "ends_at": self.ends_at,
            "opens_at": self.opens_at,
            "first_day": _day_number(self.opens_at.date()),
            "terms_at": terms_at,
            "newest_terms": newest_terms,
            "words": behaviour.vocabulary(newest_terms),
        }


def generate(
    out: Path,
    *,
    users: int = 10_000,
    days: int = 120,
    seed: int = 7,
    ends_at: datetime = ENDS_AT,
    threads: int = 4,
) -> Summary:
    """Write the company into `out`, all of it or nothing. `ends_at` is the moment at which the data was read, in UTC.

    Raises InputError for a value out of bounds, a folder that holds anything but an earlier demo, and a failed write.
    """
    order = _Order(users, days, seed, ends_at.astimezone(UTC).replace(tzinfo=None) if ends_at.tzinfo else ends_at)
    _check(order, threads)
    out = out.resolve()
    _check_folder(out)
    started = time.perf_counter()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        building = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".part", dir=out.parent))
        try:
            rows, newest = _write(building, order, threads)
            _write_manifest(building, order, rows, newest)
            building.chmod(0o755)
            size = sum(file.stat().st_size for file in building.rglob("*") if file.is_file())
            _swap(building, out)
        finally:
            shutil.rmtree(building, ignore_errors=True)
    except (OSError, duckdb.IOException, duckdb.OutOfMemoryException) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"out: cannot write to {out}: {reason}; allowed: a writable folder with room") from error
    return Summary(out, rows, size, time.perf_counter() - started, newest)


def _check(order: _Order, threads: int) -> None:
    for name, found, least, most in (
        ("users", order.users, 1, MOST_USERS),
        ("days", order.days, FEWEST_DAYS, MOST_DAYS),
        ("seed", order.seed, 0, 2**63 - 1),
        ("ends_at's year", order.ends_at.year, 2000, 2099),
        ("threads", threads, 1, 256),
    ):
        if not least <= found <= most:
            raise InputError(f"{name}: found {found}; allowed: {least} to {most}")


def _check_folder(out: Path) -> None:
    """Refuse to replace what the demo did not write."""
    try:
        if out.exists() and not out.is_dir():
            raise InputError(f"out: {out} is a file; allowed: a folder")
        if out.is_dir() and any(out.iterdir()) and not (out / MANIFEST).is_file():
            raise InputError(f"out: {out} holds other files; allowed: a new or empty folder, or one with a {MANIFEST}")
    except OSError as error:
        raise InputError(f"out: cannot read {out}: {error.strerror}; allowed: a readable folder") from error


def _write(folder: Path, order: _Order, threads: int) -> tuple[dict[str, int], datetime]:
    """Rows per relation and the newest event's time."""
    events = folder / "events"
    events.mkdir()
    spill = folder / "spill"
    config = {"threads": threads, "memory_limit": MEMORY_LIMIT, "temp_directory": str(spill)}
    with duckdb.connect(config=config) as connection:
        connection.execute("set timezone = 'UTC'")
        for name, value in order.variables.items():
            connection.execute(f"set variable {name} = $value", {"value": value})
        for statements in PREPARATION:
            connection.execute(statements)
        rows = {name: _copy(connection, select, folder / f"{name}.parquet") for name, select in FILES.items()}
        rows["events"] = _write_milestones(connection, events) + _write_usage(connection, events, order)
        newest = connection.execute(
            "select max(occurred_at) from read_parquet($files)", {"files": str(events / "*.parquet")}
        ).fetchone()
    shutil.rmtree(spill, ignore_errors=True)
    return rows, newest[0] if newest else order.ends_at


def _write_milestones(connection: duckdb.DuckDBPyConnection, folder: Path) -> int:
    """Part 0: the milestones of all times."""
    select = behaviour.FINISHED.format(drafted=behaviour.DRAFTED_MILESTONES, during="true")
    written = _copy(connection, select, folder / "part-000.parquet")
    connection.execute("drop table milestones")
    return written


def _write_usage(connection: duckdb.DuckDBPyConnection, folder: Path, order: _Order) -> int:
    """One part per some days of usage, so that memory stays bounded at any size."""
    select = behaviour.FINISHED.format(drafted=behaviour.DRAFTED_USAGE, during="occurred_at >= getvariable('opens_at')")
    chunk = max(1, USER_DAYS_PER_CHUNK // order.users)
    # A local day can begin a UTC day earlier and end a UTC day later.
    first, last = _day_number(order.opens_at.date()) - 1, _day_number(order.ends_at.date()) + 1
    written = 0
    for part, start in enumerate(range(first, last + 1, chunk), start=1):
        connection.execute(f"set variable chunk_first = {start}")
        connection.execute(f"set variable chunk_last = {min(start + chunk - 1, last)}")
        connection.execute(behaviour.CHUNK)
        written += _copy(connection, select, folder / f"part-{part:03d}.parquet")
    return written


def _copy(connection: duckdb.DuckDBPyConnection, select: str, file: Path) -> int:
    """Rows written."""
    target = str(file).replace("'", "''")
    counted = connection.execute(f"copy ({select}) to '{target}' (format parquet, compression zstd)").fetchone()
    return int(counted[0]) if counted else 0


def _day_number(day: date) -> int:
    return (day - date(1970, 1, 1)).days


def _write_manifest(folder: Path, order: _Order, rows: dict[str, int], newest: datetime) -> None:
    manifest = {
        "company": "Ledgerline",
        "generator_version": GENERATOR_VERSION,
        "users": order.users,
        "days": order.days,
        "seed": order.seed,
        "ends_at": order.ends_at.isoformat(),
        "newest_event": newest.isoformat(),
        "rows": rows,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")


def _swap(building: Path, out: Path) -> None:
    """Put the finished folder in place; the earlier one goes only after its successor stands."""
    earlier = building.with_suffix(".old")
    if out.exists():
        out.rename(earlier)
    try:
        building.rename(out)
    except OSError:
        if earlier.exists():
            earlier.rename(out)
        raise
    shutil.rmtree(earlier, ignore_errors=True)
