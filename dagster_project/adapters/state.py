"""What a tick may carry on from the last one instead of making it anew (docs/state.md).

The models that are kept say in a comment of their table what they were made from. A tick that finds all of it as it was, and only new
receipts behind it, has dbt move them on; anything else, and every doubt, is a full recompute with its reason.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from dagster_project.adapters.models import Models
from dagster_project.adapters.warehouse import LANDED_FILES, Warehouse
from dagster_project.lifecycle.message import content_hash
from dagster_project.lifecycle.source import SourcePack

KEPT = "kept"  # the materialisation
_ANY_TIME = datetime(2001, 2, 3, 4, 5, 6)  # the models' SQL is compared as of one time
_MACROS = ("state.sql", "materializations.sql")


@dataclasses.dataclass(frozen=True, slots=True)
class Carrying:
    """How a tick makes the kept models: dbt's variables, and the sentence for the report."""

    variables: Mapping[str, object]
    told: str
    moves_on: bool = False


def carrying(warehouse: Warehouse, models: Models, pack: SourcePack, data: Path, as_of: datetime) -> Carrying:
    """What a tick at `as_of` may do, the source having landed: move the kept models on, or make them anew, and why."""
    queries = models.queries(_ANY_TIME)  # may have dbt open the warehouse, which no connection of ours may hold then
    with warehouse.connect():  # while one is open, others cost a fortieth of the 25 ms that opening the file takes
        found = {name: _comment(warehouse, name) for name in kept_models(models)}
        now = _made_of(warehouse, models, queries, pack, as_of)
        reason, before = _reason(found, now, warehouse, pack, data)
    if reason or before is None:
        return anew(now, reason)
    moving = {"moves_from": before["as_of"].replace("T", " "), "received_until": before["received_until"]}
    sentence = f"moved on from {before['as_of']}Z"
    return Carrying({**_kept_as(now, sentence), **moving}, sentence, moves_on=True)


def anew(now: Mapping[str, Any], reason: str) -> Carrying:
    """A full recompute, and what it will have been made of."""
    sentence = f"made anew: {reason}"
    return Carrying(_kept_as(now, sentence), sentence)


def made_anew(carried: Carrying, reason: str) -> Carrying:
    """A full recompute in the place of what could not be moved on."""
    return anew(json.loads(str(carried.variables["kept_as"])), reason)


def kept_models(models: Models) -> list[str]:
    """The models of this pack that are moved on, by name."""
    return sorted(name for name, kind in models.materializations().items() if kind == KEPT)


def told(warehouse: Warehouse, models: Models) -> str | None:
    """How the last tick made the kept models; None where none has said."""
    with warehouse.connect():
        comments = [_comment(warehouse, name) for name in kept_models(models)]
    return next((one["kept_as"].get("told") for one in comments if one), None)


def _kept_as(now: Mapping[str, Any], sentence: str) -> dict[str, object]:
    return {"kept_as": json.dumps({**now, "told": sentence})}


def _made_of(
    warehouse: Warehouse, models: Models, queries: Mapping[str, str], pack: SourcePack, as_of: datetime
) -> dict[str, Any]:
    """Everything that the kept models depend on, as it is now."""
    events, received = pack.gate["events"], pack.gate["event_received_at"]
    (path,) = (table.path for table in pack.tables if table.name == events)
    until = None
    if received is not None and ".csv" not in path:
        (row,) = warehouse.rows(
            f"select least(max({received})::timestamp, ?::timestamp)::varchar as until from raw.{events}", [as_of]
        )
        until = row["until"]
    files = warehouse.rows(f"select path, bytes, modified_ns from {LANDED_FILES} where table_name = ?", [events])
    return {
        "source": pack.name,
        "as_of": as_of.isoformat(),
        "received_until": until,
        "files": {row["path"]: [row["bytes"], row["modified_ns"]] for row in files},
        "made_by": _made_by(warehouse, models, queries),
    }


def _made_by(warehouse: Warehouse, models: Models, queries: Mapping[str, str]) -> str:
    """A hash over the SQL that makes the kept models, moved on or anew, its vars, its vocabulary, and the engine."""
    manifest = models.manifest
    nodes = {node["name"]: node for node in manifest["nodes"].values()}
    reached, waiting = set[str](), list(kept_models(models))
    while waiting:
        name = waiting.pop()
        if name in nodes and name not in reached:
            reached.add(name)
            parents = nodes[name]["depends_on"].get("nodes", ())  # a seed has none
            waiting += [parent.rpartition(".")[2] for parent in parents]
    return content_hash(
        {
            "engine": warehouse.rows("select version() as version")[0]["version"],
            "sql": {name: queries.get(name) for name in sorted(reached)},
            "text": {name: nodes[name]["checksum"]["checksum"] for name in sorted(reached)},
            "macros": [(models.project / "macros" / name).read_text() for name in _MACROS],
        }
    )


def _reason(
    found: Mapping[str, Mapping[str, Any] | None],
    now: Mapping[str, Any],
    warehouse: Warehouse,
    pack: SourcePack,
    data: Path,
) -> tuple[str, Mapping[str, Any] | None]:
    """Why the kept models can't be moved on to now; empty, and what they were made of, where they can."""
    if now["received_until"] is None:
        return f"source {pack.name} does not tell when its events were received", None
    for name, comment in found.items():
        if comment is None:
            return f"{name} was not kept by a tick", None
        if (rows := _count(warehouse, name)) != comment["rows"]:
            return f"{name} has {rows} rows, and not {comment['rows']} as it was kept", None
    states = [comment["kept_as"] for comment in found.values() if comment]
    before = states[0]
    if any(_without_words(state) != _without_words(before) for state in states):
        return "a tick was broken off between them", None
    if before["source"] != now["source"]:
        return f"they are of source {before['source']}", None
    if before["made_by"] != now["made_by"]:
        return "their SQL, vars, vocabulary or engine has changed", None
    if now["as_of"] < before["as_of"]:
        return f"they stand at {before['as_of']}Z, which is later", None
    return _changed_files(before, now, warehouse, pack, data), before


def _changed_files(
    before: Mapping[str, Any], now: Mapping[str, Any], warehouse: Warehouse, pack: SourcePack, data: Path
) -> str:
    """What is wrong with the source's files; empty where all that they had is as it was, and new ones have later receipts only."""
    for path, stamp in before["files"].items():
        if path not in now["files"]:
            return f"{path} is gone from the source"
        if now["files"][path] != stamp:
            return f"{path} of the source has changed"
    new = sorted(now["files"].keys() - before["files"].keys())
    if new and (early := _earliest(warehouse, [str(data / path) for path in new], pack)) is not None:
        is_late = early <= datetime.fromisoformat(before["received_until"])
        return f"{new[0]} brought events received by {before['received_until']}" if is_late else ""
    return ""


def _earliest(warehouse: Warehouse, files: Iterable[str], pack: SourcePack) -> datetime | None:
    """The earliest receipt in these files of events."""
    (row,) = warehouse.rows(
        f"select min({pack.gate['event_received_at']})::timestamp as early from read_parquet(?)", [list(files)]
    )
    return row["early"]


def _comment(warehouse: Warehouse, name: str) -> dict[str, Any] | None:
    """What a kept table says of itself; None where it isn't there or says nothing that can be read."""
    rows = warehouse.rows(
        "select comment from duckdb_tables() where schema_name = 'main' and table_name = ? and comment is not null",
        [name],
    )
    try:
        comment = json.loads(rows[0]["comment"])
        return comment if {"rows", "kept_as"} <= comment.keys() else None
    except (IndexError, ValueError, AttributeError):
        return None


def _without_words(state: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in state.items() if name != "told"}


def _count(warehouse: Warehouse, name: str) -> int:
    return warehouse.counts([name]).get(name, 0)
