"""Two revisions of the project, built beside each other in a scratch folder from what has landed in a home."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from pydantic import SecretStr

from dagster_project.adapters.building import Builds
from dagster_project.adapters.dependencies import LANDED
from dagster_project.adapters.models import DECIDING
from dagster_project.adapters.slices import Slices
from dagster_project.adapters.warehouse import Warehouse
from dagster_project.commands.moment import TRIGGER, refuse_other_rows
from dagster_project.home import Home
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.explanation import refuse_forms
from dagster_project.lifecycle.selects import Selects

BASE, HEAD = "base", "head"
# Both sides draft under one key, which signs no mail: else every unsubscribe link would be a difference.
_KEY = SecretStr("a comparison's links lead nowhere")
_NO_MODEL = {"openai_api_key": None, "openai_base_url": None}


@dataclasses.dataclass(frozen=True, slots=True)
class Side:
    """One revision: its project over a scratch home, and slices of what its models make."""

    name: str
    home: Home
    queries: Mapping[str, str]
    slices: Slices
    as_of: datetime

    def has(self, campaign_id: str) -> bool:
        return f"{TRIGGER}{campaign_id}" in self.queries


@contextlib.contextmanager
def sides(home: Home, project: Path, scratch: Path, as_of: datetime) -> Iterator[tuple[Builds, Side, Side]]:
    """The base, which is the project in the folder `project`, and the head, which is that of the home, both built as of a time over
    the landed rows and the ledger as it stands. What is wrong with the base says so in its InputError."""
    base = _beside(home, scratch / "of-base", project)
    head = _beside(home, scratch / "of-head", home.settings.project)
    head.models.adopt(home.models)
    _lend_parsed(home, base)
    with of_base():
        base_queries = base.models.compiled(DECIDING, as_of)
        _seed(base, as_of)
    head_queries = head.models.queries(as_of)
    refuse_forms(head_queries)
    _seed(head, as_of)
    built = Warehouse(scratch / "built.duckdb", home.settings.threads)
    with home.ledger() as ledger:
        built.write(ledger.land(home.pack.name), schema=LANDED)
    with built.connect() as connection:
        home.warehouse.attach_to(connection, "landed")
        builds = Builds(connection)
        landed = builds.columns(LANDED, "landed")
        refuse_other_rows(home, landed)
        builds.land("landed", [name.removeprefix(f"{LANDED}.") for name in landed])
        with of_base():
            builds.add(BASE, base_queries, base.warehouse)
        builds.add(HEAD, head_queries, head.warehouse)
        if builds.rows(f"select count(*) as people from {HEAD}.stg_users")[0]["people"] == 0:
            raise InputError(f"--as-of {as_of.isoformat()}Z: before the data; nobody had signed up by then")
        yield builds, _side(builds, BASE, base, base_queries, as_of), _side(builds, HEAD, head, head_queries, as_of)


@contextlib.contextmanager
def of_base() -> Iterator[None]:
    """What is wrong with the base says so."""
    try:
        yield
    except InputError as error:
        raise InputError(f"--base: that revision can't be built: {error}") from error


def _beside(home: Home, folder: Path, project: Path) -> Home:
    """The same settings over a scratch home; nothing is asked of a language model."""
    folder.mkdir()
    changed = {"home": folder, "data": home.data, "project": project, "secret_keys": _KEY, **_NO_MODEL}
    return Home(home.settings.model_copy(update=changed))


def _lend_parsed(home: Home, base: Home) -> None:
    """Let dbt parse of the base only what differs from what it has parsed of the working tree: 7 s otherwise."""
    parsed = home.models.parsed / "partial_parse.msgpack"
    if parsed.is_file():
        base.models.parsed.mkdir(parents=True)
        shutil.copy(parsed, base.models.parsed)


def _seed(side: Home, as_of: datetime) -> None:
    """Make a revision's seeds in its own scratch warehouse."""
    results = side.models.run(["resource_type:seed"], as_of, "diff", without=("test", "unit_test"))
    if bad := [node for node in results if node.is_bad]:
        raise InputError(bad[0].message)


def _side(builds: Builds, name: str, home: Home, queries: Mapping[str, str], as_of: datetime) -> Side:
    columns = builds.columns(name) | builds.columns(LANDED)
    stored = {relation: relation if "." in relation else f'{name}."{relation}"' for relation in columns}
    return Side(name, home, queries, Slices(builds.connection, Selects(queries, columns, "duckdb"), stored), as_of)
