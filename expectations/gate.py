"""Runs a gate: one suite on the warehouse, one answer."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import duckdb

from expectations import decide, deliver, draft, enrich, evaluate, ingest, review, score
from expectations.defaults import Given, given
from expectations.expectation import Expectation, ExpectationResult, GateError, GateResult, Suite

__all__ = ["STAGES", "ExpectationResult", "GateError", "GateResult", "run_gate", "suite"]

SUITES: Mapping[str, Callable[[Given], Suite]] = {
    "ingest": ingest.suite,
    "enrich": enrich.suite,
    "score": score.suite,
    "decide": decide.suite,
    "draft": draft.suite,
    "review": review.suite,
    "deliver": deliver.suite,
    "evaluate": evaluate.suite,
}
STAGES = tuple(SUITES)


def suite(stage: str, params: Mapping[str, object]) -> Suite:
    """What the gate after `stage` expects; raises GateError for an unknown stage or parameter."""
    if stage not in SUITES:
        raise GateError(f"gate {stage}: unknown stage; allowed are {', '.join(STAGES)}")
    return SUITES[stage](given(params))


def run_gate(stage: str, warehouse: Path, params: Mapping[str, object]) -> GateResult:
    """Judge the batch that wants to leave `stage`.

    `params` are the fields of `defaults.Given`. The warehouse is opened read-only and closed again: no connection
    outlives the call. Raises GateError when the gate can't be judged, which is no pass.
    """
    started = time.perf_counter()
    wanted = suite(stage, params)
    _require_tables(wanted, warehouse)
    by_table: dict[str, list[Expectation]] = {}
    for expectation in wanted.expectations:
        by_table.setdefault(expectation.batch, []).append(expectation)

    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # before the import: some versions count their users there
    from expectations.warehouse import judge  # takes seconds, once per process

    judged = {result.name: result for result in judge(warehouse, list(by_table.items()))}
    results = tuple(judged[expectation.name] for expectation in wanted.expectations)
    passed = all(result.passed or result.severity == "warning" for result in results)
    return GateResult(stage, passed, results, round(time.perf_counter() - started, 3))


def _require_tables(wanted: Suite, warehouse: Path) -> None:
    if not warehouse.is_file():
        raise GateError(f"gate {wanted.stage}: {warehouse}: no such warehouse")
    try:
        with duckdb.connect(str(warehouse), read_only=True) as connection:
            found = connection.execute("select table_schema || '.' || table_name from information_schema.tables")
            tables = {row[0] for row in found.fetchall()}
    except duckdb.Error as error:
        reason = str(error).strip().splitlines()[0][:300]
        raise GateError(f"gate {wanted.stage}: {warehouse}: can't be opened: {reason}") from error
    missing = [table for table in wanted.tables if table not in tables]
    if missing:
        raise GateError(f"gate {wanted.stage}: table {', '.join(missing)} is missing in {warehouse}")
