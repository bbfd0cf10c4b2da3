"""The warehouse as Great Expectations sees it. Importing this module takes seconds: only `gate.py` does, and late.

Great Expectations has no DuckDB data source, and its generic SQL one leaves a connection before it has read the
rows, which DuckDB answers with nothing. Both classes use its own extension points: a data source with a type of
its own, and an engine that opens one connection and keeps it until it is closed.
"""

from __future__ import annotations

import contextlib
import functools
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import great_expectations as gx
import great_expectations.expectations as gallery
import sqlalchemy as sa
import sqlalchemy.event
from great_expectations.core import ExpectationSuite
from great_expectations.data_context.types.base import ProgressBarsConfig
from great_expectations.datasource.fluent.sql_datasource import SQLDatasource
from great_expectations.execution_engine.sqlalchemy_execution_engine import SqlAlchemyExecutionEngine
from great_expectations.expectations.core.unexpected_rows_expectation import UnexpectedRowsExpectation
from great_expectations.expectations.expectation import Expectation as GalleryExpectation

from expectations.expectation import EXAMPLES, Builtin, Expectation, ExpectationResult, GateError, Rows

MAX_CAMPAIGNS = 10_000
# What fails is raised as a GateError; the library would print it as well, with its traceback.
logging.getLogger("great_expectations").setLevel(logging.CRITICAL)
logging.getLogger("great_expectations.data_context.types.base").setLevel(logging.CRITICAL)  # it sets its own level


class DuckDBEngine(SqlAlchemyExecutionEngine):
    """Keeps its one connection open between queries."""

    @contextlib.contextmanager
    def get_connection(self) -> Iterator[sa.Connection]:
        connection = self._connection or self.engine.connect()
        self._connection = connection
        yield connection

    def close(self) -> None:
        """Let go of the file: the next step opens it for writing."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self.engine.dispose()


class DuckDBDatasource(SQLDatasource):
    """A DuckDB file, read-only, in UTC."""

    type: Literal["duckdb"] = "duckdb"  # pyright: ignore[reportIncompatibleVariableOverride]
    connection_string: str = "duckdb://"  # pyright: ignore[reportIncompatibleVariableOverride]
    path: str

    @property
    def execution_engine_type(self) -> type[SqlAlchemyExecutionEngine]:
        return DuckDBEngine

    def _create_engine(self) -> sa.Engine:
        # A URL object and not a string: a home folder may hold any character.
        # Autocommit: after a query that fails, the next one must not fail for that reason alone.
        engine = sa.create_engine(
            sa.URL.create("duckdb", database=self.path),
            connect_args={"read_only": True},
            isolation_level="AUTOCOMMIT",
        )
        sqlalchemy.event.listen(engine, "connect", _use_utc)
        return engine

    def get_execution_engine(self) -> SqlAlchemyExecutionEngine:
        engine = self._execution_engine or DuckDBEngine(engine=self.get_engine(), create_temp_table=False)
        self._execution_engine = engine
        return engine


def _use_utc(connection: Any, _record: object) -> None:
    connection.execute("set TimeZone = 'UTC'")


class ExpectNoViolations(UnexpectedRowsExpectation):
    """Passes when the one row that its query returns counts no more violations than `mostly` allows."""

    # The gallery's class would run its query twice, once for the rows and once for their number.
    metric_dependencies: ClassVar[tuple[str, ...]] = ("unexpected_rows_query.table",)
    mostly: float = 1.0

    def _validate(
        self,
        metrics: dict[str, Any],
        runtime_configuration: object = None,  # noqa: ARG002 - the gallery's signature
        execution_engine: object = None,  # noqa: ARG002
    ) -> dict[str, Any]:
        found = dict(metrics["unexpected_rows_query.table"][0])
        # Rounded first: (1 - 0.995) * 1000 is a hair below 5.
        allowed = int(round((1 - self.mostly) * (found["population"] or 0), 6))
        return {
            "success": found["unexpected_count"] <= allowed,
            "result": {"observed_value": found["unexpected_count"], "details": found | {"allowed": allowed}},
        }


@functools.cache
def _context() -> Any:
    """One per process, in memory: nothing is read from a project folder, and nothing is drawn."""
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    return context


def judge(path: Path, suites: Sequence[tuple[str, Sequence[Expectation]]]) -> list[ExpectationResult]:
    """Judge each table's expectations on a DuckDB file; one result per expectation, table by table.

    Opens the file read-only and has closed it on return, whatever happens. Raises GateError when an expectation
    can't be judged.
    """
    source = DuckDBDatasource.parse_obj({"name": "warehouse", "path": str(path)})
    _context().data_sources.add_or_update_duckdb(source)
    try:
        return [result for table, expectations in suites for result in _judge_table(source, table, list(expectations))]
    finally:
        source.get_execution_engine().close()


def _judge_table(source: DuckDBDatasource, table: str, expectations: list[Expectation]) -> list[ExpectationResult]:
    schema, _, name = table.partition(".")
    asset = source.add_table_asset(name=table, table_name=name, schema_name=schema)
    batch = asset.add_batch_definition_whole_table("whole").get_batch()
    suite = ExpectationSuite(name=table, expectations=[_translate(expectation) for expectation in expectations])
    outcome = batch.validate(suite, result_format="SUMMARY")
    by_name = {(result.expectation_config or suite).meta["name"]: result for result in outcome.results}
    return [_result(expectation, by_name[expectation.name]) for expectation in expectations]


def _translate(expectation: Expectation) -> GalleryExpectation:
    said = {"description": expectation.sentence, "severity": expectation.severity, "meta": {"name": expectation.name}}
    if isinstance(expectation, Builtin):
        return getattr(gallery, expectation.kind)(**expectation.arguments, **said)
    return ExpectNoViolations(unexpected_rows_query=_query(expectation), mostly=expectation.mostly, **said)


def _query(rows: Rows) -> str:
    """One row: how many violations, the first keys among them, out of how many, and what was found in words."""
    limit = MAX_CAMPAIGNS if rows.is_by_campaign else EXAMPLES
    # Braces and colons have a meaning for Great Expectations and SQLAlchemy, which fill in names there.
    population, observed, violations = (
        part.replace("{", "{{").replace("}", "}}").replace(":", "\\:")
        for part in (rows.population or "null", rows.observed or "null", rows.violations)
    )
    return f"""
        with batch as not materialized (select * from {{batch}}),
        violations as ({violations})
        select
            count(*) as unexpected_count,
            coalesce(min(cast(example as varchar), {limit}), []) as examples,
            ({population}) as population,
            cast(({observed}) as varchar) as observed
        from violations
    """


def _result(expectation: Expectation, outcome: Any) -> ExpectationResult:
    error = _error(outcome.exception_info)
    if error:
        raise GateError(f"expectation {expectation.name} on {expectation.batch} can't be judged: {error}")
    found = outcome.result
    if isinstance(expectation, Builtin):
        # A map expectation counts broken values; a table expectation only says what it saw.
        count = found.get("unexpected_count", 0 if outcome.success else 1)
        keys = found.get("partial_unexpected_list") or []
        seen = found.get("observed_value")
        observed = f"{seen:,}" if isinstance(seen, int) else f"{count:,} of {found.get('element_count', 0):,}"
    else:
        details = found["details"]
        count, keys = details["unexpected_count"], details["examples"]
        observed = details["observed"] or _counted(details)
    examples = tuple(dict.fromkeys(str(key) for key in keys))
    is_by_campaign = isinstance(expectation, Rows) and expectation.is_by_campaign
    return ExpectationResult(
        name=expectation.name,
        sentence=expectation.sentence,
        severity=expectation.severity,
        passed=bool(outcome.success),
        unexpected_count=int(count),
        examples=examples[:EXAMPLES],
        observed=observed,
        campaigns=examples if is_by_campaign else (),
    )


def _counted(details: dict[str, Any]) -> str:
    count, population = details["unexpected_count"], details["population"]
    if population is None:
        return f"{count:,}"
    share = f" ({count / population:.2%})" if count and population else ""
    return f"{count:,} of {population:,}{share}"


def _error(info: dict[str, Any]) -> str | None:
    """The first line of the database's complaint, null when there was none."""
    for found in [info, *(value for value in info.values() if isinstance(value, dict))]:
        if found.get("raised_exception"):
            return str(found.get("exception_message")).strip().splitlines()[0][:300]
    return None
