"""YAML that people write: strictly read, with the line of what is wrong."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any

import yaml

from dagster_project.lifecycle.errors import InputError

try:  # ten times as fast, where PyYAML was built with libyaml
    from yaml import CSafeLoader as Loader
except ImportError:
    from yaml import SafeLoader as Loader


class _OneOfEachKey(Loader):  # pyright: ignore[reportGeneralTypeIssues]
    """Refuses a key that stands twice: YAML would silently keep the second, and the first was somebody's intention."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value} twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_yaml(source: str, file: str) -> Any:
    """What the text says. InputError with file and line for what is no YAML."""
    try:
        return yaml.load(source, _OneOfEachKey)  # noqa: S506  a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "characters YAML does not allow"
        raise InputError(f"{file}{f':{mark.line + 1}' if mark else ''}: found {problem}, allowed: valid YAML") from None
