"""What compiled models read of each other, told by their SQL as dbt writes it: `"database"."schema"."relation"`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

LANDED = "raw"  # the schema of what was received
_RELATION = re.compile(rf'"\w+"\."(main|{LANDED})"\."(\w+)"')


def reads(sql: str) -> set[str]:
    """Names of the relations that compiled SQL reads, the landed ones too."""
    return {name for _, name in _RELATION.findall(sql)}


def in_schema(sql: str, schema: str) -> str:
    """The same SQL over the models of this schema; what landed is read where it lies."""
    return _RELATION.sub(lambda found: f'"{LANDED if found[1] == LANDED else schema}"."{found[2]}"', sql)


def upstream(queries: Mapping[str, str], targets: Collection[str]) -> dict[str, str]:
    """The models that these are made of, themselves too, in their order."""
    wanted: set[str] = set()
    waiting = [name for name in targets if name in queries]
    while waiting:
        wanted |= set(waiting)
        waiting = [name for one in waiting for name in reads(queries[one]) if name in queries and name not in wanted]
    return {name: sql for name, sql in queries.items() if name in wanted}


def downstream(queries: Mapping[str, str], roots: Collection[str]) -> set[str]:
    """The models that any of these reaches, themselves too. `queries` in dbt's order: what a model reads stands before it."""
    reached = set(roots)
    for name, sql in queries.items():
        if reads(sql) & reached:
            reached.add(name)
    return reached & set(queries)
