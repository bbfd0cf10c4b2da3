"""Past ticks in a scratch warehouse: what `simulate`, `run --plan` and arbitration's comparison decide in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from dagster_project.adapters.dependencies import reads
from dagster_project.adapters.models import DECIDING, Models
from dagster_project.adapters.replay import (
    DECISIONS,
    MARKER,
    MESSAGES,
    TICKS,
    VERDICTS,
    Replay,
    with_variable_time,
)
from dagster_project.adapters.warehouse import Warehouse
from dagster_project.commands.scratch import scratch_folder
from dagster_project.home import Home
from dagster_project.ledger.landing import LANDED
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.explanation import refuse_forms
from dagster_project.lifecycle.expression import columns_of, exit_problem, people_of, value_problem


@contextlib.contextmanager
def replaying(
    home: Home,
    first: datetime,
    changes: Sequence[Mapping[str, Any]],
    variables: Sequence[Mapping[str, object]] = ({},),
) -> Iterator[tuple[Replay, Mapping[str, str]]]:
    """A replay in a scratch warehouse that is gone after the `with`, over the source's files and the ledger as it stood before
    the first tick; and the SQL of the invariants of decisions, by name. `variables`: per policy what dbt is told besides the
    project's own. `changes`: per further policy what it changes."""
    with scratch_folder("simulate") as folder:
        # Its stem is the database's name in the compiled SQL.
        warehouse = Warehouse(folder / home.settings.warehouse_path.name, home.settings.threads)
        warehouse.land(home.pack, home.data)
        _refuse_before_data(home, warehouse, first)
        models = Models(
            home.models.project,
            folder,
            warehouse.path,
            home.pack.name,
            home.settings.dbt_target,
            home.settings.threads,
        )
        models.adopt(home.models)
        bad = [
            node
            for node in models.run(["resource_type:seed"], first, "simulate", without=("test", "unit_test"))
            if node.is_bad
        ]
        if bad:
            raise InputError(bad[0].message)
        queries = [models.compiled(DECIDING, MARKER, told) if told else models.queries(MARKER) for told in variables]
        refuse_forms(queries[0])
        _refuse_expressions(changes, queries[0])
        queries += [models.compiled(DECIDING, MARKER, {"simulated_policies": changed}) for changed in changes]
        with warehouse.connect() as connection:
            connection.execute(f"create table main.{DECISIONS} (decision_id varchar)")  # there: its SQL adds to it
        compiled = models.run([DECISIONS, "test_type:singular"], MARKER, "simulate", command="compile")
        sql = {node.name: node.compiled_sql or "" for node in compiled}
        tests = {node.name: node.compiled_sql or "" for node in compiled if node.kind == "test"}
        kinds = home.models.materializations()
        with warehouse.connect() as connection:
            connection.execute(f"drop table main.{DECISIONS}")
            replay = Replay(
                connection,
                queries,
                sql[DECISIONS],
                home.models.columns(DECISIONS),
                {name for name, kind in kinds.items() if kind == "view"},
                _history(home, first),
                home.pack.name,
            )
            replay.start()
            nodes = home.models.manifest["nodes"].values()
            seeds = {node["name"] for node in nodes if node["resource_type"] == "seed"}
            yield replay, _invariants(tests, {*queries[0], *seeds, DECISIONS})


def _refuse_before_data(home: Home, warehouse: Warehouse, first: datetime) -> None:
    """InputError for a time at which nobody had signed up yet."""
    (row,) = warehouse.rows("select min(created_at)::varchar as first from raw.raw_users")
    since = row["first"] and datetime.fromisoformat(row["first"]).replace(tzinfo=None)
    if since is None or first < since:
        told = (
            f"the first person of pack {home.pack.name} signed up at {since.isoformat()}Z"
            if since
            else "nobody is there at all"
        )
        raise InputError(f"--from {first.isoformat()}Z: before the data; {told}")


def _refuse_expressions(changes: Sequence[Mapping[str, Any]], queries: Mapping[str, str]) -> None:
    """InputError for an end of a sequence, or a value, that the models could not be built with."""
    columns, people = columns_of(queries["int_users_enriched"]), people_of(queries)
    for campaign, policy in (item for changed in changes for item in changed.items()):
        condition = (policy["sequence"] or {}).get("exit_when")
        if condition and (problem := exit_problem(campaign, condition, columns)):
            raise InputError(f"--policy: {problem}")
        if (value := policy.get("value")) and (problem := value_problem(campaign, value, people)):
            raise InputError(f"--policy: {problem}")


def _history(home: Home, first: datetime) -> dict[str, pa.Table]:
    """The ledger as it stood before the first tick; empty where this home has none. What came later has not happened."""
    if home.settings.ledger_url is None and not (home.path / "ledger.sqlite").exists():
        return {name: schema.empty_table() for name, schema in LANDED.items()}
    with home.ledger() as ledger:
        landed = ledger.land(home.pack.name)
    kept = {
        name: [row for row in landed[name].to_pylist() if row[when] < first]
        for name, when in ((MESSAGES, "planned_as_of"), (TICKS, "as_of"))
    }
    for row in kept[MESSAGES]:
        if row["state_as_of"] >= first:
            row |= {"state": "planned", "state_reason": None, "state_as_of": row["planned_as_of"]}
        if row["sent_as_of"] is not None and row["sent_as_of"] >= first:
            row["sent_as_of"] = None
    return landed | {name: pa.Table.from_pylist(rows, schema=LANDED[name]) for name, rows in kept.items()}


def _invariants(tests: Mapping[str, str], there: set[str]) -> dict[str, str]:
    """The tests of this project that look at verdicts and read nothing else than what a replay makes."""
    return {
        name: with_variable_time(name, sql)
        for name, sql in tests.items()
        if VERDICTS in reads(sql) and reads(sql) <= there
    }
