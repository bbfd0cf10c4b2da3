"""The expectations of a gate that are SQL, judged on an open connection: for a simulation, which judges hundreds of ticks."""

from __future__ import annotations

from collections.abc import Mapping

from duckdb import DuckDBPyConnection

from expectations.decide import suite
from expectations.defaults import given
from expectations.expectation import Rows


def audience(connection: DuckDBPyConnection, params: Mapping[str, object]) -> list[tuple[Rows, list[str]]]:
    """The expectations of the gate after decide that compare campaigns and are broken, each with its campaigns.

    `params` are the fields of `defaults.Given`; tables stand where the gate looks for them.
    """
    found = []
    for expectation in suite(given(params)).expectations:
        if isinstance(expectation, Rows) and expectation.is_by_campaign:
            campaigns = connection.execute(f"""
                with batch as not materialized (select * from {expectation.batch}),
                violations as ({expectation.violations})
                select distinct example from violations order by example
            """).fetchall()
            if campaigns:
                found.append((expectation, [row[0] for row in campaigns]))
    return found
