"""What an expectation is, and what a gate answers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal

Severity = Literal["critical", "warning"]
EXAMPLES = 5


class GateError(ValueError):
    """A gate can't be judged: unknown stage or parameter, missing table, unreadable warehouse. One line."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Rows:
    """An expectation that is broken by rows: `violations` selects one row per violation, with a column `example`.

    `batch` in its SQL is the table that the expectation looks at. `example` is what a person would search for:
    the key of the row. With `mostly` below 1 that share of the `population` (a scalar SQL expression) must be free
    of violations. `observed` (scalar SQL of type varchar) says what was found, where a count alone doesn't tell.
    With `is_by_campaign` the examples are campaigns, and the result names all of them.
    """

    name: str
    sentence: str
    batch: str  # schema.table
    violations: str
    severity: Severity = "critical"
    population: str | None = None
    mostly: float = 1.0
    observed: str | None = None
    is_by_campaign: bool = False


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Builtin:
    """An expectation of Great Expectations' own gallery, by its class name and arguments."""

    name: str
    sentence: str
    batch: str  # schema.table
    kind: str
    arguments: Mapping[str, Any]
    severity: Severity = "critical"


Expectation = Rows | Builtin


@dataclasses.dataclass(frozen=True, slots=True)
class Suite:
    """The expectations of one gate, and the tables they read beside their batches."""

    stage: str
    expectations: tuple[Expectation, ...]
    reads: tuple[str, ...] = ()  # schema.table

    @property
    def tables(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*(expectation.batch for expectation in self.expectations), *self.reads]))


@dataclasses.dataclass(frozen=True, slots=True)
class ExpectationResult:
    """One expectation, judged on one batch. `examples` are up to five keys; `campaigns` are all campaigns concerned."""

    name: str
    sentence: str
    severity: Severity
    passed: bool
    unexpected_count: int
    examples: tuple[str, ...]
    observed: str
    campaigns: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """The sentence, what was found instead, and where to look."""
        where = f"; for example {', '.join(self.examples)}" if self.examples and not self.passed else ""
        return f"{self.sentence} Found: {self.observed}{where}."


@dataclasses.dataclass(frozen=True, slots=True)
class GateResult:
    """One gate, run once. It passes unless a critical expectation fails."""

    stage: str
    passed: bool
    results: tuple[ExpectationResult, ...]
    seconds: float

    @property
    def failed(self) -> tuple[ExpectationResult, ...]:
        """Critical expectations that failed: the batch may not pass."""
        return tuple(result for result in self.results if not result.passed and result.severity == "critical")

    @property
    def warnings(self) -> tuple[ExpectationResult, ...]:
        """Failed expectations that only ask for a look."""
        return tuple(result for result in self.results if not result.passed and result.severity == "warning")

    @property
    def cautioned(self) -> tuple[str, ...]:
        """Campaigns that a warning names, sorted."""
        return tuple(sorted({campaign for result in self.warnings for campaign in result.campaigns}))

    def as_records(self) -> list[dict[str, Any]]:
        """One dictionary per expectation, ready for JSON."""
        return [
            dataclasses.asdict(result) | {"examples": list(result.examples), "campaigns": list(result.campaigns)}
            for result in self.results
        ]

    def as_markdown(self) -> str:
        """A table for the lineage page: failures first."""
        words = {True: "ok", False: "FAILED"}
        ordered = [*self.failed, *self.warnings, *(result for result in self.results if result.passed)]
        lines = ["| | expectation | found | examples |", "|---|---|---|---|"]
        for result in ordered:
            mark = "warning" if result in self.warnings else words[result.passed]
            cells = [mark, result.sentence, result.observed, ", ".join(result.examples)]
            lines.append("| " + " | ".join(_cell(cell) for cell in cells) + " |")
        return "\n".join(lines)


def _cell(text: str) -> str:
    """Text that can't end its cell or row."""
    return " ".join(text.replace("|", "\\|").split())
