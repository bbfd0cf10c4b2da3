"""The dbt project in this process: parsed once, run by stage, its failures in one line each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from itertools import chain
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


def test_dbts_variables_are_gone_from_the_environment_when_it_is_done(
    landed: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Dagster's code location reads its settings there: a tick would run with the threads that parsing takes."""
    monkeypatch.setenv("POSTRIDER_THREADS", "7")
    monkeypatch.delenv("POSTRIDER_WAREHOUSE", raising=False)

    with landed.models._dbt("other.duckdb", threads=1):
        assert (os.environ["POSTRIDER_THREADS"], os.environ["POSTRIDER_WAREHOUSE"]) == ("1", "other.duckdb")

    assert os.environ["POSTRIDER_THREADS"] == "7"
    assert "POSTRIDER_WAREHOUSE" not in os.environ


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

    results = in_project(project, landed).run(STAGING, MORNING, "r6")

    (node,) = [one for one in results if one.name == "nobody_is_called_ada"]
    assert (node.kind, node.status, node.failures, node.is_bad) == ("test", "fail", 3, True)
    assert node.message == "tests/nobody_is_called_ada.sql: Got 3 results, configured to fail if != 0"
    assert node.sentence == "nobody is called ada"
    assert node.compiled_sql is not None
    assert len(landed.warehouse.examples(node.compiled_sql)) == 3


@pytest.mark.parametrize(
    ("config", "sql"),
    [
        pytest.param("severity='error'", "select 1 as one where false", id="passes"),
        pytest.param("severity='error'", "select 1 as one", id="fails by one"),
        pytest.param("severity='warn'", "select 1 as one", id="warns"),
        pytest.param("error_if='> 2', warn_if='> 1'", "from range(2)", id="between its thresholds"),
        pytest.param("error_if='> 2', warn_if='> 1'", "from range(3)", id="beyond both"),
        pytest.param("severity='error', limit=2", "from range(7)", id="limited"),
        pytest.param("fail_calc='sum(range)'", "from range(4)", id="with a count of its own"),
        pytest.param("fail_calc='sum(range)'", "from range(0)", id="with a count of its own, of nothing"),
        pytest.param("severity='error'", "select no_such_column", id="is not SQL"),
    ],
)
def test_a_test_comes_to_what_dbt_says_it_comes_to(landed: Home, project: Path, config: str, sql: str) -> None:
    """Asked over one connection, and asked by dbt itself: the same status, count and words."""
    file = project / "dbt_project" / "tests" / "a_probe.sql"
    file.write_text(f"{{{{ config({config}) }}}}\n-- depends_on: {{{{ ref('stg_users') }}}}\n{sql}\n")
    models = in_project(project, landed)

    (ours,) = [one for one in models.run(STAGING, MORNING, "r8") if one.name == "a_probe"]
    (theirs,) = models.run(["a_probe"], MORNING, "r9", "test")

    assert (ours.status, ours.failures, ours.sentence, ours.tested) == (
        theirs.status,
        theirs.failures,
        theirs.sentence,
        theirs.tested,
    )
    assert ours.message.startswith("tests/a_probe.sql: ") == theirs.message.startswith("tests/a_probe.sql: ")
    assert ("no_such_column" in ours.message) == ("no_such_column" in theirs.message)
    if ours.status != "error":
        assert ours.message == theirs.message


def as_dbt_lists(models: Models, select: list[str]) -> list[str]:
    """unique_ids of what dbt's own build of this selection would run."""
    variables = {"as_of": "2026-09-01 09:00:00", "run_id": "listing"}
    arguments = [
        "--select",
        *select,
        "--indirect-selection",
        "buildable",
        "--output",
        "json",
        "--output-keys",
        "unique_id",
    ]
    common = models._arguments(models.home / "dbt", variables)
    threads = common.index("--threads")
    with models._dbt(str(models.warehouse), models._manifest) as dbt:
        result = dbt.invoke(["list", *arguments, *common[:threads], *common[threads + 2 :]])
    assert result.success, result.exception
    return [json.loads(line)["unique_id"] for line in result.result]  # type: ignore


def test_the_tests_asked_are_those_that_dbt_would_ask(landed: Home) -> None:
    """Every data test that stands on a table is asked in exactly one stage, and in the one in which dbt's own build asks it."""
    from dagster_project.adapters.data_tests import tests_on
    from dagster_project.defs.models import SELECTED

    manifest = landed.models._manifest
    asked: list[str] = []
    for stage, select in SELECTED.items():
        listed = as_dbt_lists(landed.models, select)
        built = [name for name in listed if not name.startswith(("test.", "unit_test."))]
        ours = {test.unique_id for test in tests_on(manifest.nodes, manifest.sources, built)}
        assert ours == {name for name in listed if name.startswith("test.")}, stage
        asked += ours

    standing = {name for name in landed.models.queries_of_tests(MORNING) if manifest.nodes[name].depends_on_nodes}
    assert sorted(asked) == sorted(standing)


def test_what_keeps_its_past_is_not_built_on_what_a_test_refused(landed: Home, project: Path) -> None:
    """`last` waits for the tests of everything else, and its own tests for it."""
    test = project / "dbt_project" / "tests" / "nobody_is_called_ada.sql"
    test.write_text("select user_id from {{ ref('stg_demo__users') }} limit 3\n")
    models = in_project(project, landed)

    refused = {node.name: node.status for node in models.run(STAGING, MORNING, "r10", last=["stg_users"])}
    test.unlink()
    accepted = {
        node.name: node.status for node in in_project(project, landed).run(STAGING, MORNING, "r11", last=["stg_users"])
    }

    assert refused["nobody_is_called_ada"] == "fail"
    assert "stg_users" not in refused
    assert accepted["stg_users"] == "success"
    assert refused.keys() - {"nobody_is_called_ada"} < accepted.keys()


def test_every_model_that_keeps_its_past_is_built_last(landed: Home) -> None:
    from dagster_project.defs.models import LAST

    nodes = landed.models._manifest.nodes.values()

    assert {node.name for node in nodes if node.config.get("materialized") == "incremental"} == set(
        chain(*LAST.values())
    )


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
