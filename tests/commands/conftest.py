"""One home with one tick, made once per process; tests that change something take a copy."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from dagster_project.commands.run import Report, run
from dagster_project.commands.settings import open_home
from dagster_project.home import Home
from dagster_project.settings import Settings

THREADS = 2


def _tick_in(folder: Path, company: Path, as_of: datetime) -> None:
    """One tick of the home in this folder; Dagster's code location reads its settings from the environment."""
    with pytest.MonkeyPatch.context() as environment:
        for name, value in {"HOME": folder, "DATA": company, "THREADS": THREADS}.items():
            environment.setenv(f"POSTRIDER_{name}", str(value))
        report = run(open_home(), as_of, lambda *_: None)
    assert report.error is None


@pytest.fixture
def tick_in() -> Callable[[Path, Path, datetime], None]:
    """Runs one tick of a home folder."""
    return _tick_in


@pytest.fixture(scope="session")
def opened(small_company: Path, parsed: Home) -> Callable[[Path], Home]:
    """Opens a home folder on the small company; all of them share one parsed project."""

    def open_(folder: Path) -> Home:
        home = Home(Settings(home=folder, data=small_company, threads=THREADS))
        home.models.adopt(parsed.models)
        return home

    return open_


@pytest.fixture(scope="session")
def ticked(first_tick: tuple[Path, Report], opened: Callable[[Path], Home]) -> Home:
    """A home after the tick of 9 o'clock. Not to be changed."""
    return opened(first_tick[0])


@pytest.fixture
def home(ticked: Home, tmp_path: Path, opened: Callable[[Path], Home]) -> Home:
    """A copy of the ticked home that a test may change."""
    return opened(Path(shutil.copytree(ticked.path, tmp_path / "home")))
