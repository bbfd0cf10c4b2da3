"""Whose rows a select makes: what the models' SQL proves of it."""

from __future__ import annotations

from functools import cache

from sqlglot import exp

from dagster_project.lifecycle.selects import Selects
from dagster_project.lifecycle.sql_parts import tables

PERSON_ID = "user_id"  # the source contract's name, in every relation


class People:
    """Finds people in the columns of one graph."""

    def __init__(self, selects: Selects) -> None:
        self._selects = selects
        self.is_personal = cache(self._is_personal)
        self.is_about_people = cache(self._is_about_people)

    def _is_about_people(self, name: str) -> bool:
        """Is anything of this node made of rows about people or their accounts? What isn't is small, and the same for all."""
        name = self._selects.same(name)
        if name not in self._selects.nodes:
            return not {PERSON_ID, "account_id"}.isdisjoint(self._selects.columns(name))
        return any(self.is_about_people(table.name) for table in tables(self._selects.nodes[name]))

    def _is_personal(self, name: str, column: str) -> bool:
        """Do equal values of this column mean the same person? A user's id, or a key made of it."""
        name = self._selects.same(name)
        if name not in self._selects.nodes:
            return column == PERSON_ID
        if name in self._selects.branches:
            position = self._selects.columns(name).index(column)
            return all(
                position < len(columns) and self.is_personal(branch, columns[position])
                for branch in self._selects.branches[name]
                for columns in [self._selects.columns(self._selects.same(branch))]
            )
        made = self._selects.definition(name, column)
        return made is not None and self.tells_person(name, made)

    def tells_person(self, name: str, made: exp.Expr) -> bool:
        """Do equal values of this expression in a select mean the same person?"""
        if isinstance(made, exp.Column):
            found = self._selects.resolve(name, made)
            return found is not None and found[0].node is not None and self.is_personal(found[0].node, found[1])
        if isinstance(made, exp.Case):
            default = made.args.get("default")
            results = [*(branch.args["true"] for branch in made.args["ifs"]), default]
            return all(result is not None and self.tells_person(name, result) for result in results)
        if isinstance(made, (exp.Paren, exp.Cast, exp.MD5, exp.Coalesce)):
            return self.tells_person(name, made.this)
        if isinstance(made, exp.DPipe):
            return self.tells_person(name, made.left) or self.tells_person(name, made.right)
        if isinstance(made, (exp.Concat, exp.ConcatWs)):
            return any(self.tells_person(name, part) for part in made.expressions)
        return False

    def personal_column(self, name: str) -> str | None:
        """A column of a node that tells whose row it is, the user's id first."""
        columns = self._selects.columns(self._selects.same(name))
        ordered = sorted(columns, key=lambda column: column != PERSON_ID)
        return next((column for column in ordered if self.is_personal(name, column)), None)
