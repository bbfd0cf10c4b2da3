"""Models of files that people edit, and the one line that says what is wrong in them.

The first sentence of every field's description says what is allowed: it ends the error line, and stands in the JSON
schema that editors read. After it comes what the value means.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from dagster_project.lifecycle.errors import InputError

_FOUND_CHARACTERS = 60  # longer finds are cut: an error is one line


class StrictModel(BaseModel):
    """No unknown key, no silent conversion, no change after the check."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


Model = TypeVar("Model", bound=StrictModel)


def parse_strictly(model: type[Model], raw: object, file: str, key: str) -> Model:
    """`raw`, as YAML gave it at `key` of `file`, as a model. Raises InputError with the first thing that is wrong."""
    try:
        # Through JSON, because there strict means "a list is a list, 3 is not '3'", and YAML has no tuples.
        return model.model_validate_json(json.dumps(_with_text_keys(raw), default=str))
    except ValidationError as invalid:
        # An unknown key comes first: it is nearly always the misspelt form of one reported as missing.
        error = min(invalid.errors(), key=lambda found: found["type"] != "extra_forbidden")
        raise InputError(f"{file}: {_sentence(model, error, key)}") from None


def contradiction(key: str, found: object, allowed: str) -> PydanticCustomError:
    """For validators of whole models: the values of two keys do not go together, and `key` is the one to change."""
    return PydanticCustomError("contradiction", "{key}", {"key": key, "found": found, "allowed": allowed})


def allowed_text(model: type[StrictModel], field: str) -> str:
    """What a field may hold, in words: the first sentence of its description."""
    return (model.model_fields[field].description or "").split(". ")[0]


def _sentence(model: type[StrictModel], error: ErrorDetails, key: str) -> str:
    """`<key>.<field>: found …, allowed is …` for one error of pydantic."""
    path, annotation = key, model
    allowed = f"a mapping of {', '.join(model.model_fields)}"
    for part in error["loc"]:
        inside = _model_in(annotation)
        if inside is not None and part in inside.model_fields:
            allowed = allowed_text(inside, str(part))
            annotation = inside.model_fields[str(part)].annotation
            path = f"{path}.{part}"
        elif isinstance(part, int):
            path = f"{path}[{part}]"
        elif get_origin(annotation) is dict and part != "[key]":
            path = f"{path}.{_printable(str(part))}"
    inside = _model_in(annotation)
    if error["type"] == "contradiction":
        rule = error.get("ctx", {})
        return f"{path}.{rule['key']}: found {_shown(rule['found'])}, allowed is {rule['allowed']}"
    if error["type"] == "extra_forbidden" and inside is not None:
        return f"{path}: {_unknown_key(str(error['loc'][-1]), list(inside.model_fields))}"
    found = "nothing" if error["type"] == "missing" else _shown(error["input"])
    return f"{path}: found {found}, allowed is {allowed}"


def _unknown_key(key: str, known: Sequence[str]) -> str:
    nearest = difflib.get_close_matches(key, known, n=1)
    hint = f" (did you mean '{nearest[0]}'?)" if nearest else ""
    return f"found unknown key {_shown(key)}{hint}, allowed are {', '.join(known)}"


def _model_in(annotation: object) -> type[StrictModel] | None:
    """The model in an annotation such as `Caps | None`; None where there is only a plain value."""
    if isinstance(annotation, type) and issubclass(annotation, StrictModel):
        return annotation
    if get_origin(annotation) is Literal:
        return None
    return next((inside for part in get_args(annotation) if (inside := _model_in(part)) is not None), None)


def _with_text_keys(value: object) -> object:
    """The same value with text for keys: YAML also has dates, numbers and null there, JSON does not."""
    if isinstance(value, Mapping):
        return {str(key): _with_text_keys(inside) for key, inside in value.items()}
    if isinstance(value, list | tuple):
        return [_with_text_keys(inside) for inside in value]
    return value


def _shown(value: object) -> str:
    """A value as YAML would show it, on one line and cut to a readable length."""
    text = repr(value) if isinstance(value, str) else _printable(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= _FOUND_CHARACTERS else f"{text[:_FOUND_CHARACTERS]}…"


def _printable(text: str) -> str:
    """Line breaks, in all their Unicode forms, and other invisible characters as escapes."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
