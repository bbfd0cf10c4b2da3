"""How the knowledge base looks on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.markup import escape

from dagster_project.commands.report import SHORT, mark, out, table


def show_knowledge(answer: Mapping[str, Any]) -> None:
    """One row per article; what isn't valid now is marked."""
    made = table("", "id", "kind", "area", "campaigns~", "locales~", "valid", "said", "excerpts#")
    for one in answer["articles"]:
        until = f" to {one['valid_to']}" if one["valid_to"] else " on"
        valid = f"{one['valid_from']}{until}"
        made.add_row(
            one["id"], one["kind"], one["product_area"], _several(one["campaigns"]), _several(one["locales"]),
            valid if one["is_valid"] else f"[red]{valid}[/]", mark(one["grounds"]), str(one["excerpts"]),
        )  # fmt: skip
    out.print(made)
    if not (answer["most_chars"] and answer["most_excerpts"]):
        out.print("no writer sees any: POSTRIDER_KNOWLEDGE_CHARS or POSTRIDER_KNOWLEDGE_EXCERPTS is 0")
    else:
        out.print(
            f"a writer sees at most {answer['most_excerpts']} excerpts of {answer['most_chars']:,} characters in all"
        )


def show_search(answer: Mapping[str, Any]) -> None:
    """One row per excerpt that was found, and whether the budget lets a writer see it."""
    made = table("", "excerpt", "kind", "title~", "hash", "chars#", "score#", "said", "shown")
    for one in answer["found"]:
        made.add_row(
            one["id"], one["kind"], escape(one["title"]), one["hash"][:SHORT], f"{one['chars']:,}",
            f"{one['score']:.2f}", mark(one["grounds"]), mark(one["is_shown"]),
        )  # fmt: skip
    out.print(made)
    out.print(f"of {answer['eligible']:,} excerpts that this writer may see")


def _several(names: str | Sequence[str]) -> str:
    return names if isinstance(names, str) else ", ".join(names)
