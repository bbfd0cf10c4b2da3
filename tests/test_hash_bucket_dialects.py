"""One draw in every engine: the macro's SQL, run by the engines themselves, gives the vectors that Python is held to.

Spark is half a gigabyte, so its words are only looked at here; Spark SQL 4.3.0 drew the same numbers from them when they were written.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

import duckdb
import jinja2
import pytest
import sqlalchemy as sa

from tests.lifecycle.test_bucket import TWIN, VECTORS

MACRO = TWIN.parents[1] / "macros" / "hash_bucket.sql"
SELECT = 'select {{ hash_bucket(salt, "\'" ~ key ~ "\'") }} as drawn'


def spelled(engine: str, salt: str, key: str) -> str:
    """The query as dbt would send it to this engine: its own spelling where the project has one, else the default."""

    def dispatch(name: str, _: str) -> Callable[..., str]:
        macros = template.module
        return getattr(macros, f"{engine}__{name}", None) or getattr(macros, f"default__{name}")

    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, extensions=["jinja2.ext.do"])
    given: dict[str, Any] = {"return": lambda value: value, "adapter": types.SimpleNamespace(dispatch=dispatch)}
    environment.globals |= given
    template = environment.from_string(MACRO.read_text(encoding="utf-8"))
    return environment.from_string(MACRO.read_text(encoding="utf-8") + SELECT).render(salt=salt, key=key).strip()


@pytest.mark.parametrize(("salt", "key", "expected"), VECTORS)
def test_duckdb_draws_the_number(salt: str, key: str, expected: str) -> None:
    with duckdb.connect() as connection:
        drawn = connection.execute(spelled("duckdb", salt, key)).fetchone()

    assert drawn == (float(expected),)


@pytest.mark.slow
def test_postgresql_draws_the_numbers(postgresql_url: str) -> None:
    engine = sa.create_engine(postgresql_url.replace("postgresql:", "postgresql+psycopg:"), poolclass=sa.NullPool)
    with engine.connect() as connection:
        drawn = [
            float(connection.exec_driver_sql(spelled("postgres", salt, key)).scalar_one()) for salt, key, _ in VECTORS
        ]

    assert drawn == [float(expected) for _, _, expected in VECTORS]


def test_engines_that_spell_it_differently_are_asked_differently() -> None:
    """Or the test of PostgreSQL would have asked it in DuckDB's words."""
    duck, postgres, spark = (spelled(engine, "a", "b") for engine in ("duckdb", "postgres", "spark"))

    assert "0x" in duck
    assert "bit(64)" in postgres
    assert "conv(" in spark
