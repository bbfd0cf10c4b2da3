"""YAML that people write: strictly read, with the line of what is wrong."""

from __future__ import annotations

from typing import Any

import yaml

from dagster_project.lifecycle.errors import InputError

FAST = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML was built with libyaml


def read_yaml(source: str, file: str) -> Any:
    """What the text says. InputError with file and line for what is no YAML, and for a key that stands twice in a mapping:
    YAML would silently keep the second, and the first was somebody's intention."""
    try:
        return _read(source, FAST)
    except yaml.YAMLError as refused:
        error = _in_clearer_words(source) or refused
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or "characters YAML does not allow"
        raise InputError(f"{file}{f':{mark.line + 1}' if mark else ''}: found {problem}, allowed: valid YAML") from None


def _read(source: str, loader: Any) -> Any:
    _refuse_twice(yaml.compose(source, loader))
    return yaml.load(source, loader)  # noqa: S506  a SafeLoader


def _in_clearer_words(source: str) -> yaml.YAMLError | None:
    """libyaml says less of what it found, and of its line."""
    try:
        _read(source, yaml.SafeLoader)
    except yaml.YAMLError as error:
        return error
    return None


def _refuse_twice(root: yaml.Node | None) -> None:
    """Looks at the text's own nodes: in a mapping that was made of others (`<<`), what it overrides would stand twice."""
    waiting: list[yaml.Node | None] = [root]
    known: set[int] = set()
    while waiting:
        node = waiting.pop()
        if id(node) in known:  # an alias
            continue
        known.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
        elif isinstance(node, yaml.MappingNode):
            seen: set[str] = set()
            for key, value in node.value:
                waiting.append(value)
                if isinstance(key, yaml.ScalarNode) and key.value in seen:
                    raise yaml.MarkedYAMLError(problem=f"the key {key.value} twice", problem_mark=key.start_mark)
                seen.add(key.value if isinstance(key, yaml.ScalarNode) else str(id(key)))
