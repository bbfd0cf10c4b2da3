"""Jinja as templates may use it: expressions over facts, `{% if %}`, and slots. Nothing else compiles.

Authors are trusted, but a template is edited by many hands and a sandbox alone has had escapes: what is not needed is
not there. No calls, no includes, no `safe`, no globals; a null fact that would print "None" is an error.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Callable, Collection, Mapping
from typing import Any

from jinja2 import StrictUndefined, TemplateSyntaxError, UndefinedError, meta, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from dagster_project.adapters.filling import filling
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.template import TemplateSpec, display, shorten
from dagster_project.lifecycle.translation import PLURAL_FORM, SOURCE, Language, form_of

_SLOT = re.compile(r"\{%-?\s*slot\s+([a-z][a-z0-9_]*)\s*-?%\}(.*?)\{%-?\s*endslot\s*-?%\}", re.DOTALL)
_ALLOWED_NODES = (
    nodes.Template, nodes.Output, nodes.TemplateData, nodes.If, nodes.Name, nodes.Const, nodes.Getattr, nodes.Getitem,
    nodes.Filter, nodes.Test, nodes.CondExpr, nodes.Compare, nodes.Operand, nodes.Not, nodes.And, nodes.Or, nodes.Add,
    nodes.Sub, nodes.Concat, nodes.Keyword,
)  # fmt: skip


_NULL = "a null fact would be printed; give it a default with `or`"


def _plural(count: float | None, one: str, many: str | None = None) -> str:
    if count is None:
        raise UndefinedError(_NULL)
    return f"{display(count)} {one if count == 1 else many or one + 's'}"


def _upfirst(text: str) -> str:
    return text[:1].upper() + text[1:]


FILTERS: Mapping[str, Callable[..., str]] = {"plural": _plural, "short": shorten, "upfirst": _upfirst}


def _plural_form(rule: Callable[[int], int]) -> Callable[[float | None], int]:
    """The filter that a resolved plural asks. A fraction takes the form of what is left over."""

    def form(count: float | None) -> int:
        if count is None:
            raise UndefinedError(_NULL)
        return rule(int(count)) if count == int(count) else _NO_FORM

    return form


_NO_FORM = -1


@functools.lru_cache(maxsize=128)
def environment(language: Language, *, is_html: bool) -> ImmutableSandboxedEnvironment:
    """Jinja as templates of this language may use it."""
    locale = language.locale

    def finalize(value: object) -> object:
        if isinstance(value, str):
            return value
        if value is None:
            raise UndefinedError(_NULL)
        if isinstance(value, int | float):
            return display(value, locale)
        return value

    made = ImmutableSandboxedEnvironment(undefined=StrictUndefined, autoescape=is_html, finalize=finalize)
    made.filters.clear()
    made.filters.update(FILTERS)
    made.filters[PLURAL_FORM] = _plural_form(form_of(language.plural))
    made.globals.clear()
    return made


HTML = environment(SOURCE, is_html=True)
TEXT = environment(SOURCE, is_html=False)


class Expression:
    """One compiled template. `render` returns words or raises InputError with file and, where known, line.

    `fixed` are values that are the same in every render; those given to `render` must agree with them.
    """

    def __init__(
        self,
        source: str,
        file: str,
        *,
        is_html: bool,
        fixed: Mapping[str, Any] | None = None,
        language: Language = SOURCE,
    ) -> None:
        self._file = file
        jinja = environment(language, is_html=is_html)
        try:
            code = jinja.compile(source, file, file)
        except TemplateSyntaxError as error:
            raise InputError(f"{file}:{error.lineno}: {error.message}") from None
        self._template = jinja.template_class.from_code(jinja, code, {})
        self._fill = filling(source, jinja, fixed or {})

    def render(self, values: Mapping[str, Any]) -> str:
        if self._fill is not None:
            with contextlib.suppress(UndefinedError, TypeError, ArithmeticError, LookupError):
                return self._fill(values)
        return self.render_plainly(values)

    def render_plainly(self, values: Mapping[str, Any]) -> str:
        """As Jinja renders it, several times as slow. It knows the line of what is wrong."""
        try:
            return self._template.render(values)
        except (UndefinedError, TypeError, ArithmeticError) as error:
            line, frame = None, error.__traceback__
            while frame:  # the innermost frame inside the template knows the line
                if frame.tb_frame.f_code.co_filename == self._file:
                    line = frame.tb_lineno
                frame = frame.tb_next
            raise InputError(f"{self._file}{f':{line}' if line else ''}: {error}") from None


def expand_slots(source: str, spec: TemplateSpec, file: str) -> str:
    """`{% slot x %}words{% endslot %}` becomes an `{% if %}` over the slot's text, with the words as its default."""

    def expand(match: re.Match[str]) -> str:
        name, words = match[1], match[2]
        if name not in spec.slots:
            line = source.count("\n", 0, match.start()) + 1
            raise InputError(f"{file}:{line}: found slot {name}, allowed: {', '.join(spec.slots) or 'none'}")
        return f'{{% if slots["{name}"] %}}{{{{ slots["{name}"] }}}}{{% else %}}{words}{{% endif %}}'

    return _SLOT.sub(expand, source)


def used_slots(source: str) -> set[str]:
    return {match[1] for match in _SLOT.finditer(source)}


class _Keys:
    """Names that a template reaches with a dot. No attributes of its own, so an id can be any word."""

    __slots__ = ("_values",)

    def __init__(self, values: Mapping[str, object]) -> None:
        self._values = values

    def __getitem__(self, key: str) -> object:
        return self._values[key]


def call_to_actions(spec: TemplateSpec) -> object:
    """What `cta` is in a template: `cta.<id>.label`, `cta.<id>.url`."""
    return _Keys({name: _Keys({"label": cta.label, "url": cta.url}) for name, cta in spec.ctas.items()})


def check_expressions(source: str, file: str, spec: TemplateSpec, names: Collection[str]) -> None:
    """Refuse syntax errors, undeclared names, unknown filters, slots and CTAs, and every construct not listed above."""
    try:
        tree = TEXT.parse(source, file, file)
    except TemplateSyntaxError as error:
        raise InputError(f"{file}:{error.lineno}: {error.message}") from None
    for node in _walk(tree):
        if not isinstance(node, _ALLOWED_NODES):
            line = next((inner.lineno for inner in _walk(node) if inner.lineno), 1)  # some nodes know no line
            raise InputError(f"{file}:{line}: found {type(node).__name__.lower()}, allowed: expressions, if, slot")
        if isinstance(node, nodes.Filter) and node.name not in {*FILTERS, PLURAL_FORM}:
            raise InputError(f"{file}:{node.lineno}: found filter {node.name}, allowed: {', '.join(sorted(FILTERS))}")
        if isinstance(node, nodes.Getattr | nodes.Getitem):
            _check_path(node, file, spec)
    undeclared = meta.find_undeclared_variables(tree) - set(names)
    if undeclared:
        name = next(node for node in tree.find_all(nodes.Name) if node.name in undeclared)
        raise InputError(f"{file}:{name.lineno}: found {name.name}, allowed: {', '.join(sorted(names))}")


def _walk(node: nodes.Node) -> list[nodes.Node]:
    return [node, *(inner for child in node.iter_child_nodes() for inner in _walk(child))]


def _check_path(node: nodes.Getattr | nodes.Getitem, file: str, spec: TemplateSpec) -> None:
    """Only `cta.<id>`, `cta.<id>.label|url` and `slots["<name>"]` are paths."""
    parent = node.node
    if isinstance(node, nodes.Getitem) and isinstance(parent, nodes.Name) and parent.name == "slots":
        if isinstance(node.arg, nodes.Const) and node.arg.value in spec.slots:
            return
        raise InputError(f"{file}:{node.lineno}: found an unknown slot, allowed: {', '.join(spec.slots) or 'none'}")
    if isinstance(node, nodes.Getattr):
        if isinstance(parent, nodes.Name) and parent.name == "cta":
            if node.attr in spec.ctas:
                return
            raise InputError(f"{file}:{node.lineno}: found cta.{node.attr}, allowed: {', '.join(spec.ctas) or 'none'}")
        owner = parent.node if isinstance(parent, nodes.Getattr) else None
        if isinstance(owner, nodes.Name) and owner.name == "cta" and node.attr in ("label", "url"):
            return
    raise InputError(f"{file}:{node.lineno}: found a path, allowed: cta.<id>.label, cta.<id>.url")
