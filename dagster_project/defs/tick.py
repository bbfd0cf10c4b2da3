"""Running one tick in this process, and hearing how it goes."""

from __future__ import annotations

import dataclasses
import os
from collections import defaultdict
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import dagster as dg
from dagster._core.instance.ref import InstanceRef
from dagster_shared.error import SerializableErrorInfo

from dagster_project.defs.history import KeptEventLog
from dagster_project.home import Home
from dagster_project.lifecycle.stages import STAGES

# Telemetry off; one run at a time, because a DuckDB file has one process at a time.
DAGSTER_YAML = """\
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  runs:
    max_concurrent_runs: 1
"""
STAGE_OF_ASSET = {"drafts": "draft", "reviews": "review", "releases": "review", "deliveries": "deliver"}

DISK_FULL = ("no space left", "disk is full")  # as DuckDB and the system say it, and as SQLite does

StageListener = Callable[[str, str, float], None]  # stage, "started" | "done" | "failed", seconds


@dataclasses.dataclass(frozen=True, slots=True)
class TickOutcome:
    """How the run went: seconds per stage that started, and one line per step that failed."""

    succeeded: bool
    seconds: dict[str, float]
    failures: dict[str, str]  # stage -> one line
    input_error: str | None  # set when the input was wrong: exit code 2


def prepare_instance(home: Home) -> None:
    """Run history under the home, so that the UI shows what the command line ran."""
    folder = home.path / "dagster"
    folder.mkdir(parents=True, exist_ok=True)
    settings = folder / "dagster.yaml"
    if not settings.exists():
        settings.write_text(DAGSTER_YAML)
    os.environ["DAGSTER_HOME"] = str(folder.resolve())


def run_tick(
    definitions: dg.Definitions, home: Home, run_id: str, as_of: datetime, listener: StageListener
) -> TickOutcome:
    """One tick in this process. Never raises for what a stage did: that is in the outcome."""
    watch = StageWatch(listener)
    # Only what went wrong would be worth a log line, and the outcome says that better.
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    prepare_instance(home)
    with _instance(home.path / "dagster") as instance:
        instance.add_event_listener(run_id, watch.hear)
        result = definitions.resolve_job_def("tick_job").execute_in_process(
            run_config={"ops": {"ingest": {"config": {"as_of": as_of.isoformat()}}}} | quiet,
            instance=instance,
            run_id=run_id,
            raise_on_error=False,
        )
    watch.finish()
    return TickOutcome(result.success, dict(watch.seconds), watch.failures, watch.input_error)


def _instance(folder: Path) -> dg.DagsterInstance:
    """The instance that the UI shows. Where its history is in SQLite, as it is unless `dagster.yaml` says otherwise, the tick writes
    it over kept connections."""
    standard = InstanceRef.from_dir(str(folder))
    data = standard.event_storage_data
    if data is None or data.class_name != "SqliteEventLogStorage":
        return dg.DagsterInstance.from_ref(standard)
    kept = {"module": KeptEventLog.__module__, "class": KeptEventLog.__name__, "config": data.config_dict}
    return dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(folder), overrides={"event_log_storage": kept}))


def stage_of(step_key: str) -> str:
    """The stage of a Dagster step: assets and gates carry it in their names."""
    for stage in STAGES:
        if step_key in (stage, f"{stage}_models") or step_key.endswith(f"gate_{stage}"):
            return stage
    return STAGE_OF_ASSET[step_key]


def _causes(event: dg.DagsterEvent) -> list[SerializableErrorInfo]:
    """The error of a failed step and what caused it, outermost first."""
    chain: list[SerializableErrorInfo] = []
    error = event.step_failure_data.error
    while error is not None:
        chain.append(error)
        error = error.cause
    return chain


class StageWatch:
    """Adds up the seconds of each stage and tells when one starts and ends."""

    def __init__(self, tell: StageListener) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.failures: dict[str, str] = {}
        self.input_error: str | None = None
        self._tell = tell
        self._began: dict[str, float] = {}
        self._current: str | None = None

    def hear(self, entry: dg.EventLogEntry) -> None:
        event = entry.dagster_event
        if event is None or event.step_key is None:
            return
        stage = stage_of(event.step_key)
        if event.event_type_value == "STEP_START":
            self._began[event.step_key] = entry.timestamp
            if stage != self._current:
                self.finish()
                self._current = stage
                self._tell(stage, "started", 0.0)
        elif event.event_type_value in ("STEP_SUCCESS", "STEP_FAILURE"):
            self.seconds[stage] += entry.timestamp - self._began.get(event.step_key, entry.timestamp)
            if event.event_type_value == "STEP_FAILURE":
                self._fail(stage, event)

    def finish(self) -> None:
        """The current stage is over."""
        if self._current is not None:
            self._tell(self._current, "done", self.seconds[self._current])
            self._current = None

    def _fail(self, stage: str, event: dg.DagsterEvent) -> None:
        self._tell(stage, "failed", self.seconds[stage])
        self._current = None
        chain = _causes(event)
        told = next((error for error in chain if error.cls_name == "InputError"), chain[-1] if chain else None)
        line = " ".join(told.message.split()) if told else "failed"
        self.failures[stage] = line.removeprefix("dagster._core.definitions.events.Failure: ")
        is_disk_full = any(words in self.failures[stage].lower() for words in DISK_FULL)
        if told and (told.cls_name == "InputError" or is_disk_full):
            self.input_error = self.failures[stage].split("InputError: ", 1)[-1]
