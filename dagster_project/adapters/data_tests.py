"""dbt's data tests, put to the warehouse over one connection.

As a node of its own each test costs dbt some 50 ms, whatever it asks; there are more of them than of models. Here dbt still says what
they ask and when they fail: its compiled SQL, in the frame of its own `get_test_sql`, judged as its `TestRunner` does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from dagster_project.adapters.warehouse import Warehouse

Verdict = tuple[str, int, str, float]  # status as dbt names it, failures, message, seconds


def tests_on(nodes: Mapping[str, Any], sources: Collection[str], built: Collection[str]) -> list[Any]:
    """The tests that what was built makes possible: one that stands on it, and on nothing else but what that is made from. That is
    dbt's selection `buildable`: a test waits for the stage in which the last of its tables is built."""
    reached = {*built, *sources}
    waiting = list(built)
    while waiting:
        parents = {name for name in nodes[waiting.pop()].depends_on_nodes if name in nodes} - reached
        reached |= parents
        waiting += parents
    return [
        node
        for _, node in sorted(nodes.items())
        if str(node.resource_type) == "test"
        and not set(node.depends_on_nodes).isdisjoint(built)
        and reached.issuperset(node.depends_on_nodes)
    ]


def judge(warehouse: Warehouse, tests: Collection[Any], queries: Mapping[str, str]) -> dict[str, Verdict]:
    """unique_id → what became of the test; `queries` are their compiled SQL."""
    rows = warehouse.first_rows({test.unique_id: _framed(test.config, queries[test.unique_id]) for test in tests})
    return {
        test.unique_id: (*_verdict(test.config, rows[test.unique_id][0]), rows[test.unique_id][1]) for test in tests
    }


def _framed(config: Any, sql: str) -> str:
    """How many rows, and whether they are too many: the query that dbt would send."""
    limit = f"limit {config.limit}" if config.limit is not None else ""
    return f"""
        select
            {config.fail_calc} as failures,
            {config.fail_calc} {config.warn_if} as should_warn,
            {config.fail_calc} {config.error_if} as should_error
        from (
            {sql}
            {limit}
        ) as dbt_internal_test
    """


def _verdict(config: Any, answer: tuple[Any, ...] | str) -> tuple[str, int, str]:
    if isinstance(answer, str):
        return "error", 0, answer
    if None in answer:  # a sum over no rows, say: dbt too takes it for no answer
        return "error", 0, f"fail_calc {config.fail_calc!r} came to null; allowed: a number"
    failures, should_warn, should_error = int(answer[0]), bool(answer[1]), bool(answer[2])
    counted = f"Got {failures} result{'' if failures == 1 else 's'}, configured to"
    if config.severity.upper() == "ERROR" and should_error:
        return "fail", failures, f"{counted} fail if {config.error_if}"
    if should_warn:
        return "warn", failures, f"{counted} warn if {config.warn_if}"
    return "pass", 0, ""
