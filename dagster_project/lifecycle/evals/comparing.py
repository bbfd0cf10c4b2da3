"""An eval beside an earlier one, and beside what was declared of it. Pure."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.evals.figures import MEASURES

_KEY = ("campaign_id", "variant", "mode", "locale")
_OF_PATTERNS = ("contexts", "prompts", "models")


@dataclasses.dataclass(frozen=True, slots=True)
class Threshold:
    """A number that a measure may not be below, or not be above."""

    measure: str
    side: Literal["below", "above"]
    number: float

    def is_passed(self, found: float | None) -> bool:
        """What isn't measured passes no threshold."""
        if found is None:
            return False
        return found < self.number if self.side == "below" else found > self.number


def read_thresholds(below: Sequence[str], above: Sequence[str]) -> list[Threshold]:
    """Each `measure=number`; InputError for another form, an unknown measure, or what is no number."""
    found: list[Threshold] = []
    sides: tuple[tuple[Literal["below", "above"], Sequence[str]], ...] = (("below", below), ("above", above))
    for side, texts in sides:
        for text in texts:
            name, _, number = text.partition("=")
            try:
                bound = float(number)
            except ValueError:
                bound = math.nan
            if name not in MEASURES or not math.isfinite(bound):
                raise InputError(
                    f"--fail-{side} {text}: found {text!r}, allowed: measure=number, of {', '.join(MEASURES)}"
                )
            found.append(Threshold(name, side, bound))
    return found


def failed(report: Mapping[str, Any], thresholds: Sequence[Threshold]) -> list[str]:
    """One line per row, and for the whole, whose measure has passed a threshold. Sums are held against the whole alone."""
    lines = []
    for one in thresholds:
        is_sum = one.measure in ("calls", "tokens", "dollars")
        of = [] if is_sum else [(" ".join(row[key] for key in _KEY), row) for row in report["cases"]]
        for name, row in [*of, ("all", report["all"])]:
            value = row["measures"].get(one.measure)
            if one.is_passed(value):
                lines.append(f"{name}: {one.measure} {value:g}, {one.side} {one.number:g}")
    return lines


def difference(base: Mapping[str, Any], head: Mapping[str, Any]) -> dict[str, Any]:
    """What differs of what was measured, and of the figures: [base, head] by name. A row that only one has is named."""
    before = {tuple(row[key] for key in _KEY): row for row in base["cases"]}
    after = {tuple(row[key] for key in _KEY): row for row in head["cases"]}
    changed = [
        dict(zip(_KEY, key, strict=True)) | figures
        for key in sorted(before.keys() & after.keys())
        if (figures := _differing(before[key], after[key]))
    ]
    return {
        "inputs": {name: [base[name], head[name]] for name in _OF_PATTERNS if base[name] != head[name]},
        "is_comparable": base["contexts"] == head["contexts"],
        "only_in_base": [" ".join(key) for key in sorted(before.keys() - after.keys())],
        "only_in_head": [" ".join(key) for key in sorted(after.keys() - before.keys())],
        "all": _differing(base["all"], head["all"]) if before.keys() == after.keys() else {},
        "cases": changed,
    }


def _differing(base: Mapping[str, Any], head: Mapping[str, Any]) -> dict[str, Any]:
    """Measures, and counts by word, that aren't the same."""
    found: dict[str, Any] = {}
    for name in MEASURES:
        pair = [base["measures"].get(name), head["measures"].get(name)]
        if pair[0] != pair[1]:
            found.setdefault("measures", {})[name] = pair
    for what in ("rejections", "fallbacks", "to_person"):
        for word in sorted({*base[what], *head[what]}):
            pair = [base[what].get(word, 0), head[what].get(word, 0)]
            if pair[0] != pair[1]:
                found.setdefault(what, {})[word] = pair
    return found


def read_report(raw: object, file: str) -> dict[str, Any]:
    """A kept report. InputError where it is none."""
    shape: Mapping[str, type] = {"contexts": str, "prompts": dict, "models": list, "cases": list, "all": dict}
    if not isinstance(raw, dict) or any(not isinstance(raw.get(name), kind) for name, kind in shape.items()):
        raise InputError(f"{file}: found no report of evals, allowed: what `postrider drafts eval --json` prints")
    counts = ("measures", "rejections", "fallbacks", "to_person")
    for row in [*raw["cases"], raw["all"]]:
        is_row = isinstance(row, dict) and all(isinstance(row.get(name), dict) for name in counts)
        if not is_row or (row is not raw["all"] and any(not isinstance(row.get(key), str) for key in _KEY)):
            raise InputError(
                f"{file}: found a row without its figures, allowed: what `postrider drafts eval --json` prints"
            )
    return raw
