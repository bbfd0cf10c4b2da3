"""The dbt project, in this process: parsed once, then run stage by stage with the same manifest.

A dbt command of its own would cost about 3.5 s of imports and parsing for each stage; with the manifest kept,
an invocation starts in about 0.3 s.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import logging
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dagster_project.adapters.data_tests import judge, tests_on
from dagster_project.adapters.templates import template_files
from dagster_project.adapters.warehouse import Warehouse
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.policy_versions import template_references

if TYPE_CHECKING:
    from dbt.cli.main import dbtRunner
    from dbt.contracts.graph.manifest import Manifest


DECIDING = ("+int_verdicts", "+int_model_versions", "+path:models/intermediate/score/triggers")
_EXAMPLE_TIMES = (datetime(2001, 2, 3, 4, 5, 6), datetime(2110, 11, 12, 13, 14, 15))


@dataclasses.dataclass(frozen=True, slots=True)
class NodeResult:
    """What one model, seed or test of a run came to."""

    unique_id: str
    kind: str  # model, seed, test
    name: str
    sentence: str  # a test's description, else its name in words
    tested: str | None  # unique_id of the model that a test stands on
    status: str  # success, pass, warn, fail, error, skipped
    message: str
    failures: int
    seconds: float
    compiled_sql: str | None

    @property
    def is_bad(self) -> bool:
        return self.status in ("fail", "error", "runtime error")


class Models:
    """The dbt models of one source pack over one warehouse file."""

    def __init__(self, project: Path, home: Path, warehouse: Path, source_pack: str, target: str, threads: int) -> None:
        self.project = project
        self.home = home
        self.warehouse = warehouse
        self.source_pack = source_pack
        self.target = target
        self.threads = threads
        self._lender: Models | None = None
        self._refused: tuple[str, InputError] | None = None  # a state of the project that can't be parsed, and why

    @property
    def parsed(self) -> Path:
        """Parsing depends on the project and the pack alone, so its cache is shared by all homes."""
        return self.project / "target" / self.source_pack

    @cached_property
    def _manifest(self) -> Manifest:
        if self._lender:
            return self._lender._manifest  # noqa: SLF001  of the same class
        state = self._state_of_project()
        if self._refused and self._refused[0] == state:  # `check` looks at a dozen parts, each of which asks
            raise self._refused[1]
        self.parsed.mkdir(parents=True, exist_ok=True)
        # Two processes that parse at once would write the same files; the second waits and finds the work done.
        with (self.parsed / "parse.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            # No path and one thread, wherever the project lies: dbt parses everything anew (7 s) when a variable that its
            # profile reads has changed. The stem is the database's name in the manifest, so it must be every warehouse's.
            with self._dbt(self.warehouse.name, threads=1) as dbt:
                result = dbt.invoke(["parse", *self._arguments(self.parsed, {})])
        if not result.success:
            error = self._error(result.exception)
            self._refused = (state, error) if isinstance(error, InputError) else None
            raise error
        return result.result  # pyright: ignore[reportReturnType]

    @property
    def template_references(self) -> dict[str, dict[str, str]]:
        """What stands for the templates in a policy's hash: campaign -> variant -> hash of its files as they are now."""
        return template_references(template_files(self.project.parent / "templates"))

    def adopt(self, other: Models) -> None:
        """Use this same project as `other` has parsed it, or will when it is first asked, over this warehouse."""
        self._lender = other

    @cached_property
    def manifest(self) -> Mapping[str, Any]:
        """dbt's manifest as a dictionary. Raises InputError when the project can't be parsed."""
        if self._lender:
            return self._lender.manifest
        _ = self._manifest
        manifest = json.loads((self.parsed / "manifest.json").read_text())
        _refuse_circle(manifest["parent_map"])
        return manifest

    def run(
        self,
        select: Sequence[str],
        as_of: datetime,
        run_id: str,
        command: str = "build",
        without: Sequence[str] = ("unit_test",),
        last: Sequence[str] = (),
        variables: Mapping[str, object] | None = None,
    ) -> list[NodeResult]:
        """Build (or `compile`, or `test`) these nodes as of one moment, without the unit tests, which belong to CI.

        A build asks the tests itself, after the models (`data_tests.py`). `last` are those among them that keep their past: what
        is made anew in each tick may stand on what a test then refuses, but those are built only when all else is well.
        `variables` say how the models are made that are kept from tick to tick (`state.py`); without, they are made anew.
        Failures are in the results; only a broken call raises.
        """
        if command != "build":
            return self._invoke(command, select, as_of, run_id)
        is_tested = "test" not in without
        kinds = dict.fromkeys(["test", *without])
        leave_out = [word for kind in kinds for word in ("--exclude-resource-type", kind)]
        but_last = ("--exclude", *last) if last else ()
        results = self._invoke("build", select, as_of, run_id, *leave_out, *but_last, variables=variables)
        if is_tested:
            results += self._tested(results, as_of)
        if last and not any(result.is_bad for result in results):
            results += self._invoke("build", last, as_of, run_id, *leave_out)
            if is_tested:
                results += self._tested(results, as_of)
        return results

    def _invoke(
        self,
        command: str,
        select: Sequence[str],
        as_of: datetime,
        run_id: str,
        *options: str,
        variables: Mapping[str, object] | None = None,
    ) -> list[NodeResult]:
        """One call of dbt over the warehouse; `variables` are dbt's, besides time, run and templates."""
        manifest = self._manifest
        given = {
            "as_of": as_of.isoformat(sep=" "),
            "run_id": run_id,
            "templates": self.template_references,
            **(variables or {}),
        }
        with self._dbt(str(self.warehouse), manifest) as dbt:
            result = dbt.invoke(
                [
                    command,
                    "--no-write-json",
                    "--select",
                    *select,
                    *options,
                    *self._arguments(self.home / "dbt", given),
                ]
            )
        if result.exception is not None:
            raise self._error(result.exception)
        return [self._node_result(entry) for entry in result.result.results]  # pyright: ignore[reportOptionalMemberAccess, reportAttributeAccessIssue]

    def _tested(self, results: Sequence[NodeResult], as_of: datetime) -> list[NodeResult]:
        """What became of the tests that these results make possible, those left out that have been asked already."""
        manifest = self._manifest
        statuses = {result.unique_id: result.status for result in results}
        built = [result.unique_id for result in results if result.kind != "test"]
        tests = [test for test in tests_on(manifest.nodes, manifest.sources, built) if test.unique_id not in statuses]
        ready = [
            test for test in tests if all(statuses.get(name, "success") == "success" for name in test.depends_on_nodes)
        ]
        queries = self.queries_of_tests(as_of) if ready else {}
        verdicts = judge(Warehouse(self.warehouse, self.threads), ready, queries)
        told = []
        for test in tests:
            status, failures, message, seconds = verdicts.get(test.unique_id, ("skipped", 0, "", 0.0))
            told.append(self._told(test, status, message, failures, seconds, queries.get(test.unique_id)))
        return told

    def queries(self, as_of: datetime) -> dict[str, str]:
        """The SQL of every model up to the decisions, and of every trigger, as of one moment, by model name."""
        return self._compiled_once("model", as_of)

    def queries_of_tests(self, as_of: datetime) -> dict[str, str]:
        """The SQL of every data test as of one moment, by unique_id."""
        return self._compiled_once("test", as_of)

    def _compiled_once(self, kind: Literal["model", "test"], as_of: datetime) -> dict[str, str]:
        """What dbt makes of all nodes of one kind as of one moment.

        Compiled once per state of the project, because dbt takes 5 s to import, read its cache and compile. The time stands in
        them as the literal that `as_of()` writes; that nothing else depends on it is seen by compiling for two times. Where
        something does, nothing of its kind is kept, and dbt is asked each time. Both kinds at once take little more than one.
        """
        key = self._state_of_project()
        found: dict[str, Any] = {}
        with contextlib.suppress(OSError, ValueError):
            found = json.loads(self._kept.read_text())
        if found.get("key") != key:
            found = {"key": key, "time": _EXAMPLE_TIMES[0].isoformat(sep=" "), **self._compiled_twice()}
            beside = self._kept.with_name(f"{self._kept.name}.{os.getpid()}")
            beside.write_text(json.dumps(found))
            beside.replace(self._kept)  # a reader sees the old file or the new one
        if found[kind] is None:
            return self._compiled_all(as_of)[kind]
        return {name: sql.replace(found["time"], as_of.isoformat(sep=" ")) for name, sql in found[kind].items()}

    @property
    def _kept(self) -> Path:
        return self.parsed / "compiled.json"

    def _compiled_twice(self) -> dict[str, dict[str, str] | None]:
        """By kind, the SQL as of the first example; None where another time changes more of it than the time."""
        first, second = (self._compiled_all(time) for time in _EXAMPLE_TIMES)
        one, other = (time.isoformat(sep=" ") for time in _EXAMPLE_TIMES)
        return {
            kind: made if {name: sql.replace(one, other) for name, sql in made.items()} == second[kind] else None
            for kind, made in first.items()
        }

    def _compiled_all(self, as_of: datetime) -> dict[str, dict[str, str]]:
        """By kind. `run_id` is another for another time: what asks for it is seen like what asks for the time."""
        made: dict[str, dict[str, str]] = {"model": {}, "test": {}}
        for result in self._invoke("compile", [*DECIDING, "test_type:data"], as_of, f"as of {as_of}"):
            if result.kind in made:
                made[result.kind][result.name if result.kind == "model" else result.unique_id] = (
                    result.compiled_sql or ""
                )
        return made

    def _state_of_project(self) -> str:
        """A hash over the files that dbt compiles, by path, size and time of change, and over what it is told."""
        files = sorted(
            (str(path.relative_to(self.project)), stat.st_size, stat.st_mtime_ns)
            for path in self.project.rglob("*")
            if path.suffix in (".sql", ".yml", ".csv") and "target" not in path.relative_to(self.project).parts
            for stat in [path.stat()]
        )
        told = [self.source_pack, self.target, self.template_references, DECIDING]
        return hashlib.sha256(json.dumps([files, *told]).encode()).hexdigest()

    def rebuild(self, as_of: datetime) -> None:
        """Build everything up to the decisions as of a moment, without tests. InputError when a model fails."""
        bad = [
            node for node in self.run(["+int_verdicts"], as_of, "rebuild", without=("test", "unit_test")) if node.is_bad
        ]
        if bad:
            raise InputError(bad[0].message)

    def compiled(
        self, select: Sequence[str], as_of: datetime, variables: Mapping[str, object] | None = None
    ) -> dict[str, str]:
        """The SQL of these models as of one moment, by model name."""
        results = self._invoke("compile", select, as_of, "compile", variables=variables)
        return {result.name: result.compiled_sql or "" for result in results if result.kind == "model"}

    def materializations(self) -> dict[str, str]:
        """How dbt makes each model: view, table, incremental, by model name."""
        nodes = self.manifest["nodes"].values()
        return {node["name"]: node["config"]["materialized"] for node in nodes if node["resource_type"] == "model"}

    @property
    def files(self) -> dict[str, str]:
        """Where each model's SQL is, within the dbt project, by model name."""
        nodes = self.manifest["nodes"].values()
        return {node["name"]: node["original_file_path"] for node in nodes if node["resource_type"] == "model"}

    def columns(self, model: str) -> dict[str, str]:
        """The columns that a model's contract promises, with their types."""
        nodes = self.manifest["nodes"].values()
        (node,) = (node for node in nodes if node["resource_type"] == "model" and node["name"] == model)
        return {name: column["data_type"] for name, column in node["columns"].items()}

    def _arguments(self, target_path: Path, variables: Mapping[str, object]) -> list[str]:
        return [
            "--project-dir", str(self.project), "--profiles-dir", str(self.project), "--target", self.target,
            "--target-path", str(target_path), "--log-path", str(self.home / "dbt"), "--log-level-file", "none",
            "--log-level", "none", "--quiet", "--no-use-colors", "--threads", str(self.threads),
            "--vars", json.dumps({"source_pack": self.source_pack, **variables}),
        ]  # fmt: skip

    @contextlib.contextmanager
    def _dbt(self, warehouse: str, manifest: Manifest | None = None, threads: int | None = None) -> Iterator[dbtRunner]:
        """A runner that leaves the warehouse file free for the next step when it is done."""
        told = {"POSTRIDER_WAREHOUSE": warehouse, "POSTRIDER_THREADS": str(threads or self.threads)}
        before = {name: os.environ.get(name) for name in told}
        os.environ.update(told)
        from dbt.adapters.duckdb.connections import DuckDBConnectionManager
        from dbt.cli.main import dbtRunner

        try:
            yield dbtRunner(manifest=manifest)
        finally:
            DuckDBConnectionManager.close_all_connections()
            logging.getLogger("dbt").handlers.clear()
            # Dagster's code location reads its settings from the environment: a tick would run with the parser's one thread.
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value

    def _node_result(self, entry: Any) -> NodeResult:
        node = entry.node
        sql = getattr(node, "compiled_code", None)
        return self._told(node, str(entry.status), entry.message, entry.failures, entry.execution_time, sql)

    def _told(
        self, node: Any, status: str, message: str | None, failures: int | None, seconds: float, sql: str | None
    ) -> NodeResult:
        return NodeResult(
            unique_id=node.unique_id,
            kind=str(node.resource_type),
            name=node.name,
            sentence=_first_sentence(node.description) or _sentence(node),
            tested=getattr(node, "attached_node", None),
            status=status,
            message=f"{node.original_file_path}: {self._one_line(message)}" if message else "",
            failures=int(failures or 0),
            seconds=float(seconds),
            compiled_sql=sql,
        )

    def _error(self, cause: BaseException | None) -> BaseException:
        """What to raise for what dbt caught. It also catches Ctrl-C, which is nobody's wrong input."""
        return cause if isinstance(cause, KeyboardInterrupt) else InputError(self._one_line(cause))

    def _one_line(self, error: object) -> str:
        text = re.sub(r"\s+", " ", str(error)).strip()
        text = text.replace(f"{self.project.parent}/", "")
        return re.sub(r"^(Runtime|Parsing|Compilation|Database) Error\s*", "", text)[:600]


def _refuse_circle(parents: Mapping[str, Sequence[str]]) -> None:
    """InputError for models that are made of each other. dbt parses them without a word; Dagster then says that it can't."""
    try:
        TopologicalSorter(parents).prepare()
    except CycleError as error:
        circle = " → ".join(name.rpartition(".")[2] for name in error.args[1])
        raise InputError(
            f"dbt_project: found models that are made of each other: {circle}; allowed: no circle"
        ) from None


def _sentence(node: Any) -> str:
    """What a test demands, in words: dbt's own name for a generic test runs all its arguments together."""
    test = getattr(node, "test_metadata", None)
    phrase = _GENERIC_TESTS.get(test.name) if test else None
    if test is None or phrase is None:
        return node.name.replace("_", " ")
    table = node.attached_node.rpartition(".")[2] if node.attached_node else node.name
    listed = {name: ", ".join(map(str, value)) for name, value in test.kwargs.items() if isinstance(value, list)}
    where = f"{table}.{node.column_name}" if node.column_name else table
    return f"{where} {phrase.format(**{'columns': '', 'values': '', 'to': '', **test.kwargs, **listed})}"


_GENERIC_TESTS: Mapping[str, str] = {
    "primary_key": "has one row per {columns}, which is never null",
    "not_null": "is never null",
    "unique": "is in one row only",
    "accepted_values": "is one of {values}",
    "relationships": "is found in {to}",
}


def _first_sentence(text: str) -> str:
    return " ".join(text.split()).split(". ")[0]
