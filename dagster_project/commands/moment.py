"""One moment of a home, past or present, as its models see it: what `explain` asks its questions of."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from dagster_project.adapters.slices import Slices, open_slices
from dagster_project.home import Home
from dagster_project.ledger.rows import TickRow
from dagster_project.lifecycle.errors import InputError

TRIGGER, RULE = "int_triggers__", "int_eligibility__"


@dataclasses.dataclass(frozen=True, slots=True)
class Moment:
    """The models' SQL as of a time, and slices of what it makes."""

    as_of: datetime
    tick: TickRow
    queries: Mapping[str, str]
    slices: Slices

    @property
    def campaigns(self) -> list[str]:
        """Every campaign that has a trigger, on the roster or not."""
        return sorted(name.removeprefix(TRIGGER) for name in self.queries if name.startswith(TRIGGER))

    @property
    def roster(self) -> set[str]:
        """Campaigns whose candidates are decided on."""
        selects = self.slices.selects
        live = selects.branches.get("int_candidates_unioned", ["int_candidates_unioned"])
        return {selects.same(name).partition("/")[0].removeprefix(TRIGGER) for name in live}

    @property
    def rules(self) -> list[str]:
        """The model of every eligibility rule."""
        return sorted(name for name in self.queries if name.startswith(RULE))

    def check_campaign(self, campaign_id: str | None) -> None:
        """InputError for a campaign that nobody knows."""
        if campaign_id is not None and campaign_id not in self.campaigns:
            raise InputError(f"--campaign {campaign_id}: unknown; allowed are {', '.join(self.campaigns)}")


@contextlib.contextmanager
def at_moment(home: Home, as_of: datetime | None) -> Iterator[Moment]:
    """The moment asked for, else the last tick's.

    At the last tick's own time its tables answer. At any other nothing is taken from them: what an answer needs is made from
    the landed rows and the ledger as it stands by the models' own SQL. InputError where there is nothing to ask.
    """
    with home.ledger() as ledger:
        tick = ledger.last_tick(home.pack.name)
        if tick is None:
            raise InputError(f"{home.path}: no tick of pack {home.pack.name} yet; `postrider run` makes one")
    as_of = as_of or tick.as_of
    queries = home.models.queries(as_of)
    columns = home.warehouse.columns()
    is_built = tick.as_of == as_of and _is_built(home, tick, columns)
    landed = {}
    if not is_built:
        refuse_other_rows(home, columns)
        with home.ledger() as ledger:  # what the last tick itself did is history for every later moment
            landed = ledger.land(home.pack.name)
    with open_slices(home.warehouse, columns, queries, is_built=is_built, landed=landed) as slices:
        moment = Moment(as_of, tick, queries, slices)
        _refuse_before_data(home, moment)
        yield moment


def _is_built(home: Home, tick: TickRow, columns: Mapping[str, Sequence[str]]) -> bool:
    """Do the warehouse's models stand as that tick left them, all of the same time and of its pack?"""
    if tick.status != "done" or "int_verdicts" not in columns:
        return False
    return home.warehouse.rows("select max(as_of) as as_of from int_verdicts")[0]["as_of"] == tick.as_of


def refuse_other_rows(home: Home, columns: Mapping[str, Sequence[str]]) -> None:
    """InputError unless the landed rows have this pack's columns."""
    if any(name not in columns.get(f"raw.{table.name}", ()) for table in home.pack.tables for name in table.columns):
        raise InputError(
            f"{home.warehouse.path}: holds no rows of pack {home.pack.name};"
            f" `postrider run --source {home.pack.name}` lands them again"
        )


def _refuse_before_data(home: Home, moment: Moment) -> None:
    """InputError for a time at which nobody had signed up yet."""
    people = moment.slices.table(f"stg_{home.pack.name}__users")
    ((first,),) = moment.slices.connection.execute(f"select min(created_at) from {people}").fetchall()
    if first is None or moment.as_of < first:
        since = "nobody is there at all" if first is None else f"the first person signed up at {first.isoformat()}Z"
        raise InputError(f"--as-of {moment.as_of.isoformat()}Z: before the data; {since}")
