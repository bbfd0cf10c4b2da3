"""The dbt project in this process: parsed once, run by stage, its failures in one line each."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from dagster_project.adapters.models import Models
from dagster_project.home import Home
from dagster_project.lifecycle.errors import InputError

pytestmark = pytest.mark.slow

MORNING = datetime(2026, 9, 1, 9)
STAGING = ["stg_demo__users", "stg_users"]


@pytest.fixture(scope="module")
def landed(tmp_path_factory: pytest.TempPathFactory, small_company: Path) -> Home:
    """A home whose source has landed and whose staging models stand. Not to be changed."""
    from dagster_project.settings import Settings

    home = Home(Settings(home=tmp_path_factory.mktemp("models"), data=small_company, threads=2))
    home.prepare()
    home.warehouse.land(home.pack, home.data)
    with home.ledger() as ledger:
        home.warehouse.write(ledger.land(home.pack.name), schema="raw")
    assert not [
        node for node in home.models.run(["fqn:postrider.staging", "resource_type:seed"], MORNING, "r1") if node.is_bad
    ]
    return home


def in_project(project: Path, landed: Home) -> Models:
    """The models of an edited project over the landed rows."""
    return Models(project / "dbt_project", landed.path, landed.warehouse.path, "demo", "local", threads=2)


def test_a_run_tells_what_became_of_each_node(landed: Home) -> None:
    """Models and their tests, each with its kind, its words, and the model that a test stands on."""
    results = {node.name: node for node in landed.models.run(STAGING, MORNING, "r2")}

    model = results["stg_users"]
    assert (model.kind, model.status, model.is_bad) == ("model", "success", False)
    tests = [node for node in results.values() if node.kind == "test" and node.tested == model.unique_id]
    assert tests
    assert all(node.status == "pass" and node.sentence and node.compiled_sql for node in tests)
    assert not [node for node in results.values() if node.kind == "unit_test"]


def test_a_generic_test_says_what_it_demands(landed: Home) -> None:
    """dbt's own names run all arguments together: accepted_values_stg_users_timezone_source_user__account."""
    sentences = {node.sentence for node in landed.models.run(["stg_users", "stg_consents"], MORNING, "r7")}

    assert "stg_users has one row per user_id, which is never null" in sentences
    assert "stg_consents.status is one of granted, withdrawn" in sentences


def test_the_time_reaches_the_sql(landed: Home) -> None:
    """A year earlier is another query, not another clock."""
    now = landed.models.compiled(["stg_users"], MORNING)["stg_users"]
    then = landed.models.compiled(["stg_users"], datetime(2025, 9, 1, 9))["stg_users"]

    assert "2026-09-01 09:00:00" in now
    assert "2025-09-01 09:00:00" in then
    assert now.replace("2026-09-01", "2025-09-01") == then


def test_the_file_is_free_after_a_run(landed: Home) -> None:
    """dbt keeps its connection open until told otherwise, and a DuckDB file has one process at a time."""
    landed.models.run(["stg_users"], MORNING, "r3")

    code = f"import duckdb; duckdb.connect({str(landed.warehouse.path)!r}).execute('select count(*) from stg_users')"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_parsed_project_can_be_lent(landed: Home, tmp_path: Path) -> None:
    """Another home takes over the manifest instead of parsing for seconds, and builds into its own file."""
    other = Models(landed.models.project, tmp_path, tmp_path / "warehouse.duckdb", "demo", "local", threads=2)
    other.adopt(landed.models)
    landed.warehouse.copy_landed(other.warehouse)

    results = other.run([*STAGING, "resource_type:seed"], MORNING, "r4")

    assert not [node for node in results if node.is_bad]
    assert other._manifest is landed.models._manifest


def test_sql_that_fails_is_one_line_with_its_file(landed: Home, project: Path) -> None:
    """The file as it stands in the repository, the database's words, no line break and no folder of this machine."""
    broken = project / "dbt_project" / "models" / "staging" / "demo" / "stg_demo__tickets.sql"
    assert broken.exists()
    broken.write_text("select no_such_column from {{ source('demo', 'raw_tickets') }}\n")

    (node,) = [
        one for one in in_project(project, landed).run(["stg_demo__tickets"], MORNING, "r5") if one.kind == "model"
    ]

    assert node.is_bad
    assert node.message.startswith("models/staging/demo/stg_demo__tickets.sql: ")
    assert "no_such_column" in node.message
    assert "\n" not in node.message
    assert str(project) not in node.message


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        pytest.param("models/staging/broken.yml", "models: [", "broken.yml", id="YAML"),
        pytest.param("models/staging/broken.sql", "select {% if %}", "broken.sql", id="Jinja"),
        pytest.param("models/staging/broken.sql", "select * from {{ ref('nowhere') }}", "nowhere", id="reference"),
    ],
)
def test_a_project_that_cannot_be_parsed_is_one_line(
    landed: Home, project: Path, file: str, text: str, words: str
) -> None:
    (project / "dbt_project" / file).write_text(text)

    with pytest.raises(InputError) as refused:
        _ = in_project(project, landed).manifest

    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
    assert str(project) not in str(refused.value)


def test_a_failing_test_is_told_with_its_count(landed: Home, project: Path) -> None:
    """Its own sentence, how many rows broke it, and the query that finds them."""
    test = project / "dbt_project" / "tests" / "nobody_is_called_ada.sql"
    test.write_text("{{ config(severity='error') }}\nselect user_id from {{ ref('stg_users') }} limit 3\n")

    (node,) = in_project(project, landed).run(["nobody_is_called_ada"], MORNING, "r6")

    assert (node.kind, node.status, node.failures, node.is_bad) == ("test", "fail", 3, True)
    assert node.sentence == "nobody is called ada"
    assert node.compiled_sql is not None
    assert len(landed.warehouse.examples(node.compiled_sql)) == 3


def test_a_rebuild_that_fails_says_which_model(landed: Home, project: Path) -> None:
    model = project / "dbt_project" / "models" / "intermediate" / "enrich" / "int_user_days.sql"
    model.write_text("select 1 / nothing as events\n")

    with pytest.raises(InputError, match=r"int_user_days\.sql: "):
        in_project(project, landed).rebuild(MORNING)


def test_another_packs_models_are_left_out(make_home: Callable[..., Home]) -> None:
    """The pack decides which staging models exist at all."""
    names = {
        source: {node["name"] for node in make_home(source=source).models.manifest["nodes"].values()}
        for source in ("demo", "yammer")
    }

    assert "stg_demo__users" in names["demo"] - names["yammer"]
    assert "stg_yammer__users" in names["yammer"] - names["demo"]
    assert {"stg_users", "fct_decisions"} <= names["demo"] & names["yammer"]
