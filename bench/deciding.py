"""One case of `decide.py` in a process of its own: `python -m bench.deciding NAME`, as `cases.py` does for delivering.

The SQL is the models' own, as dbt compiles it, run in the order of the lineage; dbt's own time is not in it. Sources are read where they
lie, as Parquet: what a tick copies into its warehouse first is no part of deciding.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import resource
import shutil
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

CARRIED = "carried"  # folder of the warehouse as a tick one day earlier left it
LANDED = "landed"  # folder of the warehouse with seeds and an empty ledger, and views on the company's files
WAREHOUSE = "warehouse.duckdb"  # the name stands in the compiled SQL
MODELS, VOCABULARY = "models.json", "vocabulary.parquet"
ACTIVITY, DECISIONS = "int_user_activity", "int_verdicts"
ACTIVITY_COLUMNS = """user_id, active_days_7d, active_days_28d, active_days_prior_28d, events_28d, features_used_28d, invites_sent,
    is_bot, engaged_since, power_since, activated_at, last_seen_at"""
VERDICT_COLUMNS = "message_id, verdict, reason, variant, send_after"
KIB_PER_MIB = 1024
FORMS = {  # of the materialisation's `put_together`
    "sum": "old.{0} + new.{0}",
    "bit_or": "old.{0} | new.{0}",
    "min": "least(old.{0}, new.{0})",
    "max": "greatest(old.{0}, new.{0})",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """What a case is told. `folder` holds the prepared company; `scratch` is the case's own."""

    folder: str
    scratch: str
    users: int = 0
    threads: int = 4
    memory_limit: str = "8GB"

    @property
    def events(self) -> str:
        return str(Path(self.folder) / "demo" / "events" / "*.parquet")


Figures = dict[str, Any]


def prepare(order: Order) -> Figures:
    """Make the company, the seeds, an empty ledger, the list of models with their SQL, and what a tick of the day before kept."""
    import duckdb

    from dagster_project.adapters.state import kept_models
    from dagster_project.demo.company import generate
    from dagster_project.home import Home
    from dagster_project.settings import Settings

    folder = Path(order.folder)
    made = generate(folder / "demo", users=order.users, threads=order.threads)
    landed = folder / LANDED
    home = Home(Settings(home=landed, data=folder / "demo", threads=order.threads))
    home.prepare()
    with home.ledger() as ledger:
        home.warehouse.write(ledger.land(home.pack.name), schema="raw")
    as_of = home.default_as_of()
    seeds = home.models.run(["resource_type:seed"], as_of, "bench")
    bad = [node.message for node in seeds if node.is_bad and node.kind == "seed"]
    if bad:
        raise RuntimeError(bad[0])
    nodes = {node["name"]: node for node in home.models.manifest["nodes"].values()}
    queries = home.models.queries(as_of)
    before = as_of - timedelta(days=1)
    yesterday = str(before)
    moved = home.models.compiled(
        kept_models(home.models), as_of, {"moves_from": yesterday, "received_until": yesterday}
    )
    models = [
        {
            "name": name,
            "sql": queries[name],
            "moved": moved.get(name),
            "until": yesterday,
            "config": nodes[name]["config"],
            "materialized": nodes[name]["config"]["materialized"],
            "parents": [parent.rpartition(".")[2] for parent in nodes[name]["depends_on"]["nodes"]],
        }
        for name in _in_order(nodes, set(queries))
    ]
    (folder / MODELS).write_text(json.dumps({"as_of": as_of.isoformat(), "models": models}))
    with duckdb.connect(str(home.warehouse.path)) as connection:
        for table in home.pack.tables:
            columns = ", ".join(table.columns)
            files = folder / "demo" / table.path
            connection.execute(f"create view raw.{table.name} as select {columns} from read_parquet('{files}')")
        vocabulary = "select event_name, kind, label from product_events where source_pack = 'demo'"
        connection.execute(f"copy ({vocabulary}) to '{folder / VOCABULARY}' (format parquet)")
    (folder / CARRIED).mkdir()
    file = shutil.copy(folder / LANDED / WAREHOUSE, folder / CARRIED / WAREHOUSE)
    earlier = home.models.queries(before)
    with duckdb.connect(str(file), config={"threads": order.threads, "memory_limit": order.memory_limit}) as connection:
        connection.execute("set TimeZone = 'UTC'")
        for model in _needed({model["name"]: model for model in models}, ACTIVITY):
            connection.execute(_made({**model, "sql": earlier[model["name"]]}))
    return {"rows": made.rows, "bytes": made.bytes, "seconds": made.seconds}


def scan(order: Order) -> Figures:
    """Read every value of the four columns that deciding stands on."""
    import duckdb

    with duckdb.connect(config={"threads": order.threads, "memory_limit": order.memory_limit}) as connection:
        started = time.perf_counter()
        (rows, _) = connection.execute(
            "select count(*), bit_xor(hash(user_id, event_name, occurred_at, received_at)) from read_parquet(?)",
            [order.events],
        ).fetchone() or (0, 0)
        return {"seconds": time.perf_counter() - started, "rows": rows}


def activity(order: Order) -> Figures:
    """What each user did, by the models."""
    return _run(order, ACTIVITY, ACTIVITY_COLUMNS)


def activity_carried(order: Order) -> Figures:
    """The same, moved on from the day before."""
    return _run(order, ACTIVITY, ACTIVITY_COLUMNS, carried=True)


def polars(order: Order) -> Figures:
    """The same with polars; importing it is not in the time."""
    importlib.import_module("polars")
    from bench.activity import with_polars

    return _timed(order, with_polars)


def pandas(order: Order) -> Figures:
    """The same with pandas; importing it is not in the time."""
    importlib.import_module("pandas")
    from bench.activity import with_pandas

    return _timed(order, with_pandas)


def decide(order: Order) -> Figures:
    """Every model up to the verdicts; `hash` is over all of them."""
    return _run(order, DECISIONS, VERDICT_COLUMNS)


def decide_carried(order: Order) -> Figures:
    """The same in a tick that moves on what the day before kept."""
    return _run(order, DECISIONS, VERDICT_COLUMNS, carried=True)


def _timed(order: Order, work: Any) -> Figures:
    out = Path(order.scratch) / "out.parquet"
    as_of = datetime.fromisoformat(json.loads((Path(order.folder) / MODELS).read_text())["as_of"])
    started = time.perf_counter()
    work(order.events, Path(order.folder) / VOCABULARY, as_of, out)
    return {"seconds": time.perf_counter() - started, "out": str(out)}


def _run(order: Order, goal: str, columns: str, *, carried: bool = False) -> Figures:
    """Build a model and all that it stands on in a copy of the landed warehouse, or of what the day before kept; `slowest` has the
    seconds of the five slowest."""
    import duckdb

    folder, scratch = Path(order.folder), Path(order.scratch)
    file = shutil.copy(folder / (CARRIED if carried else LANDED) / WAREHOUSE, scratch / WAREHOUSE)
    models = _needed({model["name"]: model for model in json.loads((folder / MODELS).read_text())["models"]}, goal)
    out = scratch / "out.parquet"
    config = {"threads": order.threads, "memory_limit": order.memory_limit, "temp_directory": str(scratch / "spill")}
    seconds: dict[str, float] = {}
    with duckdb.connect(str(file), config=config) as connection:
        connection.execute("set TimeZone = 'UTC'")
        for model in models:
            started = time.perf_counter()
            connection.execute(_moved(model) if carried and model["moved"] else _made(model))
            seconds[model["name"]] = time.perf_counter() - started
        started = time.perf_counter()
        connection.execute(f"copy (select {columns} from main.{goal} order by 1) to '{out}' (format parquet)")
        seconds["write"] = time.perf_counter() - started
        count, digest = connection.execute(f"select count(*), bit_xor(hash(t)) from '{out}' as t").fetchone() or (0, 0)
    slowest = dict(sorted(seconds.items(), key=lambda item: -item[1])[:5])
    return {"seconds": sum(seconds.values()), "rows": count, "hash": str(digest), "slowest": slowest, "out": str(out)}


def _made(model: dict[str, Any]) -> str:
    """The statement that makes a model anew."""
    kind = "view" if model["materialized"] == "view" else "table"
    return f"create or replace {kind} main.{model['name']} as {model['sql']}"


def _moved(model: dict[str, Any]) -> str:
    """The statements that move a kept model on, as its materialisation does."""
    name, sql, config = f"main.{model['name']}", model["moved"], model["config"]
    if after := config.get("replaces_what_is_after"):
        return f"delete from {name} where {after} > timestamp '{model['until']}'; insert into {name} by name ({sql})"
    if not config["unique_key"]:
        return f"create or replace table {name} as {sql}"
    on = " and ".join(f"old.{key} is not distinct from new.{key}" for key in config["unique_key"])
    columns = (config.get("put_together") or {}).items()
    sets = ", ".join(f"{column} = {FORMS[how].format(column)}" for column, how in columns)
    return (
        f"merge into {name} as old using ({sql}) as new on {on}"
        f" when matched then update {f'set {sets}' if sets else 'by name'} when not matched then insert by name"
    )


def _in_order(nodes: dict[str, Any], wanted: set[str]) -> list[str]:
    """Each model after those that it reads."""
    done: dict[str, None] = {}

    def add(name: str) -> None:
        if name in wanted and name not in done:
            for parent in nodes[name]["depends_on"]["nodes"]:
                add(parent.rpartition(".")[2])
            done[name] = None

    for name in sorted(wanted):
        add(name)
    return list(done)


def _needed(models: dict[str, Any], goal: str) -> list[dict[str, Any]]:
    """The goal and what it stands on, in the order in which `models` are."""
    needed, waiting = set(), [goal]
    while waiting:
        name = waiting.pop()
        if name in models and name not in needed:
            needed.add(name)
            waiting += models[name]["parents"]
    return [model for name, model in models.items() if name in needed]


CASES = {
    case.__name__: case for case in (prepare, scan, activity, activity_carried, polars, pandas, decide, decide_carried)
}


def main() -> None:
    order = Order(**json.load(sys.stdin))
    figures = CASES[sys.argv[1]](order)
    figures["peak_rss_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_PER_MIB
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
