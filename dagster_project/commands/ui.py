"""`postrider ui`: Dagster's own UI over this home, on this machine only."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from dagster_project.home import Home
from dagster_project.settings import PROJECT_ROOT


def ui(home: Home, port: int) -> None:
    """Replace this process by `dagster dev` (web server and daemon), with the home's run history."""
    from dagster_project.defs.tick import prepare_instance

    home.prepare()
    prepare_instance(home)
    os.chdir(PROJECT_ROOT)
    dagster = Path(sys.executable).parent / "dagster"
    os.execv(dagster, [str(dagster), "dev", "-w", "workspace.yaml", "-h", "127.0.0.1", "-p", str(port)])  # noqa: S606
