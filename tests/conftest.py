"""What every test may ask for, and the rule that nothing is skipped where everything is installed."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

import pytest

from dagster_project import cli
from dagster_project.commands.run import Report, run
from dagster_project.commands.settings import open_home
from dagster_project.demo.company import generate
from dagster_project.home import Home
from dagster_project.settings import Settings
from tests.shipped import shipped_templates

pytest_plugins = ["tests.postgresql"]

ROOT = Path(__file__).parent.parent
SHARED_DATA = ROOT.parent / "shared" / "data"
THREADS = 2


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="every point and every run, not a sample (make faults)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Faults are slow, and what asks PostgreSQL: the quick slice takes SQLite's half of each such pair."""
    for item in items:
        asks_postgresql = "postgresql_url" in getattr(item, "fixturenames", ()) or "postgresql" in item.name
        if asks_postgresql or "faults" in item.path.parts:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def is_long(pytestconfig: pytest.Config) -> bool:
    """Whether `--long` asks for every point, run and attempt, and not for a sample."""
    return bool(pytestconfig.getoption("--long"))


@pytest.fixture(autouse=True)
def no_settings_from_outside() -> Iterator[None]:
    """A test sees no setting of the machine it runs on, and leaves none behind: options of a command become settings."""
    before = dict(os.environ)
    for name in before:
        if name.startswith(("POSTRIDER_", "OPENAI_")) and name != "POSTRIDER_NO_SKIP":
            del os.environ[name]
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def shared_data() -> Path:
    """The folder of public data sets beside the checkout; they are no part of the repository."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the public data sets are not beside the checkout")
    return SHARED_DATA


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """With POSTRIDER_NO_SKIP a skip fails, unless what is missing is the public data, which nothing can install."""
    report = yield
    if os.environ.get("POSTRIDER_NO_SKIP") and report.skipped and not hasattr(report, "wasxfail"):
        reason = str(call.excinfo.value) if call.excinfo else ""
        if "public data sets" not in reason:
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid} was skipped although everything should be installed: {reason}"
    return report


@pytest.fixture(scope="session")
def small_company(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo company with 1,500 people and 90 days, made once per process. Not to be changed: copy it."""
    folder = tmp_path_factory.mktemp("company") / "demo"
    generate(folder, users=1_500, days=90, threads=2)
    return folder


@pytest.fixture
def company(small_company: Path, tmp_path: Path) -> Path:
    """A copy of the small company whose files a test may doctor."""
    return Path(shutil.copytree(small_company, tmp_path / "company"))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the dbt project and the templates that a test may edit, with what dbt had parsed of them."""
    for name in ("dbt_project", "templates"):
        shutil.copytree(ROOT / name, tmp_path / "project" / name)
    return tmp_path / "project"


@pytest.fixture(scope="session")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home in which nothing has run, whose project as it stands in the checkout dbt parses once per process. Not to be changed."""
    return Home(Settings(home=tmp_path_factory.mktemp("parsed") / "home"))


@pytest.fixture
def make_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, small_company: Path, parsed: Home
) -> Callable[..., Home]:
    """Opens a home in a fresh folder, on the small company unless told otherwise; settings go by their names. All homes on the
    project of the checkout share what dbt has parsed of it, and its templates."""

    def make(**settings: object) -> Home:
        chosen = {"home": tmp_path / "home", "data": small_company, "threads": THREADS} | settings
        for name, value in chosen.items():
            variable = name.upper() if name.startswith("openai") else f"POSTRIDER_{name.upper()}"
            monkeypatch.setenv(variable, str(value))
        home = open_home()
        of_checkout = ("project", "source", "dbt_target")
        if all(getattr(home.settings, name) == getattr(parsed.settings, name) for name in of_checkout):
            home.models.adopt(parsed.models)
            home.templates = shipped_templates()
        return home

    return make


@pytest.fixture
def tick() -> Callable[..., Report]:
    """Runs one tick of a home and gives its report."""
    return lambda home, as_of=None: run(home, as_of, lambda *_: None)


@pytest.fixture(scope="session")
def first_tick(tmp_path_factory: pytest.TempPathFactory, small_company: Path, parsed: Home) -> tuple[Path, Report]:
    """The folder of a home after the tick of 9 o'clock on the small company, which takes twelve seconds and is made once per process,
    and what that tick told. Not to be changed: copy it."""
    folder = tmp_path_factory.mktemp("ticked") / "home"
    with pytest.MonkeyPatch.context() as environment:  # Dagster's code location reads its settings there
        for name, value in {"HOME": folder, "DATA": small_company, "THREADS": THREADS}.items():
            environment.setenv(f"POSTRIDER_{name}", str(value))
        home = open_home()
        home.models.adopt(parsed.models)
        report = run(home, datetime(2026, 9, 1, 9), lambda *_: None)
    assert report.error is None
    return folder, report


@pytest.fixture
def make_ticked(make_home: Callable[..., Home], first_tick: tuple[Path, Report], tmp_path: Path) -> Callable[..., Home]:
    """As `make_home`, but the tick of 9 o'clock has run in this home."""

    def make(**settings: object) -> Home:
        shutil.copytree(first_tick[0], tmp_path / "home")
        return make_home(**settings)

    return make


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Runs the command line in this process: (exit code, standard output, standard error)."""

    def call_(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["postrider", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call_
