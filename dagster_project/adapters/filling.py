"""A template as one Python function: its constant words are strings of the code, only what differs between people is worked out.

Jinja's own code asks its environment for every name and escapes every constant anew. What templates may say (expressions.py) is
little, so it is translated here, node by node. What is not translated, and whatever fails, is Jinja's to render: it says why.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import Environment, nodes
from jinja2.runtime import markup_join, str_join
from markupsafe import escape

Fill = Callable[[Mapping[str, Any]], str]  # the values of a render -> the words, as Jinja would write them
_OPERATORS = {nodes.And: "and", nodes.Or: "or", nodes.Add: "+", nodes.Sub: "-"}
_COMPARED = {"eq": "==", "ne": "!=", "gt": ">", "gteq": ">=", "lt": "<", "lteq": "<=", "in": "in", "notin": "not in"}


class _UntranslatedError(Exception):
    """A node that is left to Jinja."""


def filling(source: str, environment: Environment, fixed: Mapping[str, Any]) -> Fill | None:
    """The function of this template, None where it says something that is left to Jinja. `fixed` are values that never change:
    they become part of the code. The function raises whatever an expression raises."""
    translation = _Translation(environment, fixed)
    try:
        words = translation.body(environment.parse(source).body)
    except _UntranslatedError:
        return None
    names = "".join(f"    v_{name} = values[{name!r}]\n" for name in sorted(translation.names))
    code = compile(f"def fill(values):\n{names}    return {words}\n", "<filling>", "exec")
    exec(code, translation.known)  # noqa: S102  as Jinja does it, of nodes that were checked one by one
    return translation.known["fill"]


class _Translation:
    """From Jinja's nodes to the text of one Python expression; `known` are the functions and values that it names."""

    def __init__(self, environment: Environment, fixed: Mapping[str, Any]) -> None:
        self._environment, self._fixed = environment, fixed
        self._context = nodes.EvalContext(environment)
        self._is_html = self._context.autoescape
        self.names: set[str] = set()
        write = _in_html if self._is_html else _in_text
        self.known: dict[str, Any] = {
            "__builtins__": {},
            "write": write(environment.finalize),
            "join": "".join,
            "concat": markup_join if self._is_html else str_join,
        }

    def body(self, children: list[nodes.Node]) -> str:
        """The words of a list of nodes, constants next to one another as one."""
        pieces: list[str] = []  # Python expressions
        constant = ""
        for child in children:
            for piece in self._pieces(child):
                if isinstance(piece, nodes.TemplateData):
                    constant += piece.data
                    continue
                pieces += [repr(constant)] * bool(constant) + [str(piece)]
                constant = ""
        pieces += [repr(constant)] * bool(constant)
        return pieces[0] if len(pieces) == 1 else f"join(({''.join(f'{piece}, ' for piece in pieces)}))"

    def _pieces(self, node: nodes.Node) -> list[nodes.TemplateData | str]:
        if isinstance(node, nodes.Output):
            return [self._printed(child) for child in node.nodes]
        if isinstance(node, nodes.If):
            return [self._chosen([node, *node.elif_], node.else_)]
        raise _UntranslatedError(type(node).__name__)

    def _chosen(self, branches: list[nodes.If], otherwise: list[nodes.Node]) -> str:
        """`body if test else …` over a chain of if and elif."""
        if not branches:
            return self.body(otherwise)
        first, *rest = branches
        return f"({self.body(first.body)} if {self._value(first.test)} else {self._chosen(rest, otherwise)})"

    def _printed(self, node: nodes.Expr) -> nodes.TemplateData | str:
        """What `{{ … }}` prints. Of a constant Jinja makes words while it compiles, escaped before they are finalized."""
        if isinstance(node, nodes.TemplateData):
            return node
        try:
            node.as_const(self._context)
        except nodes.Impossible:
            pass
        else:
            raise _UntranslatedError("constant")
        found = self._fixed_value(node)
        if isinstance(found, str):
            return nodes.TemplateData(self.known["write"](found))
        return f"write({self._value(node)})"

    def _fixed_value(self, node: nodes.Node) -> Any:
        """The value of a path that begins with a fixed name; None of anything else."""
        if isinstance(node, nodes.Name):
            return self._fixed.get(node.name)
        if isinstance(node, nodes.Getattr) and (owner := self._fixed_value(node.node)) is not None:
            return self._environment.getattr(owner, node.attr)
        return None

    def _value(self, node: nodes.Node | None) -> str:
        """A Python expression with the value of a node."""
        if isinstance(node, nodes.Const):
            return repr(node.value)
        if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
            return f"{self._value(node.node)}[{node.arg.value!r}]"
        if isinstance(node, nodes.Name | nodes.Getattr):
            found = self._fixed_value(node)
            if isinstance(found, str):
                return repr(found)
            if isinstance(node, nodes.Name) and node.name not in self._fixed:
                self.names.add(node.name)
                return f"v_{node.name}"
        return self._operation(node)

    def _operation(self, node: nodes.Node | None) -> str:
        match node:
            case nodes.Not():
                return f"(not {self._value(node.node)})"
            case nodes.And() | nodes.Or() | nodes.Add() | nodes.Sub():
                return f"({self._value(node.left)} {_OPERATORS[type(node)]} {self._value(node.right)})"
            case nodes.Concat():
                return f"concat(({''.join(f'{self._value(child)}, ' for child in node.nodes)}))"
            case nodes.Compare():
                compared = (f"{_COMPARED[one.op]} {self._value(one.expr)}" for one in node.ops)
                return f"({self._value(node.expr)} {' '.join(compared)})"
            case nodes.CondExpr():  # without an else Jinja has an undefined value, which is no node
                return f"({self._value(node.expr1)} if {self._value(node.test)} else {self._value(node.expr2)})"
            case nodes.Filter():
                return self._call("filter", self._environment.filters, node)
            case nodes.Test():
                return self._call("test", self._environment.tests, node)
            case _:
                raise _UntranslatedError(type(node).__name__)

    def _call(self, kind: str, functions: Mapping[str, Callable[..., Any]], node: nodes.Filter | nodes.Test) -> str:
        function = functions.get(node.name)
        is_plain = not (node.dyn_args or node.dyn_kwargs or hasattr(function, "jinja_pass_arg"))
        if function is None or not is_plain:
            raise _UntranslatedError(node.name)
        self.known[f"{kind}_{node.name}"] = function
        given = [self._value(one) for one in (node.node, *node.args)]
        given += [f"{one.key}={self._value(one.value)}" for one in node.kwargs]
        return f"{kind}_{node.name}({', '.join(given)})"


def _in_text(finalize: Callable[[Any], Any] | None) -> Callable[[Any], str]:
    def write(value: Any) -> str:
        return value if type(value) is str else str(finalize(value) if finalize else value)

    return write


def _in_html(finalize: Callable[[Any], Any] | None) -> Callable[[Any], str]:
    def write(value: Any) -> str:
        if type(value) is not str:
            return str(escape(finalize(value) if finalize else value))
        # Most values need no escape, and to make one of markupsafe's objects takes four times as long as these searches.
        if "&" in value or "<" in value or ">" in value or "'" in value or '"' in value:
            return str(escape(value))
        return value

    return write
