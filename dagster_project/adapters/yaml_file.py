"""YAML that people write: strictly read, with the line of what is wrong."""

from __future__ import annotations

from typing import Any

import yaml

from dagster_project.lifecycle.errors import InputError


class _OneOfEachKey(yaml.SafeLoader):
    """Refuses a key that stands twice: YAML would silently keep the second, and the first was somebody's intention.

    Looks where the text is read: in a mapping that was made of others (`<<`), what it overrides would stand twice.
    """

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.MarkedYAMLError(problem=f"the key {key.value} twice", problem_mark=key.start_mark)
            seen.add(key.value)
        return node

    def construct_yaml_timestamp(self, node: Any) -> Any:
        """A day that no calendar has stays text: whoever reads the key then says what is allowed, instead of a ValueError."""
        try:
            return super().construct_yaml_timestamp(node)
        except ValueError:
            return node.value


_OneOfEachKey.add_constructor("tag:yaml.org,2002:timestamp", _OneOfEachKey.construct_yaml_timestamp)


def read_yaml(source: str, file: str) -> Any:
    """What the text says. InputError with file and line for what is no YAML."""
    try:
        return yaml.load(source, _OneOfEachKey)  # noqa: S506  a SafeLoader
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "characters YAML does not allow"
        raise InputError(f"{file}{f':{mark.line + 1}' if mark else ''}: found {problem}, allowed: valid YAML") from None
