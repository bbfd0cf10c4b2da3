"""The house stands as the design draws it: who may import whom, where the clock and each library may be used."""

from __future__ import annotations

import ast
import functools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "dagster_project"

# room -> rooms of ours that it may import besides itself
ARROWS = {
    "lifecycle": set(),
    "expectations": set(),
    "settings": set(),
    "ledger": {"lifecycle"},
    "adapters": {"lifecycle"},
    "demo": {"lifecycle"},
    "writing": {"settings", "ledger", "adapters", "lifecycle"},
    "mailing": {"settings", "adapters", "lifecycle"},
    "home": {"writing", "mailing", "settings", "ledger", "adapters", "demo", "expectations", "lifecycle"},
    "workers": {"home", "settings", "adapters", "lifecycle"},
    "defs": {"home", "workers", "settings", "ledger", "adapters", "demo", "expectations", "lifecycle"},
    "commands": {"home", "workers", "settings", "ledger", "adapters", "demo", "expectations", "lifecycle"},
    "cli": {"commands", "lifecycle"},
    "definitions": {"defs"},
}
# The one command that runs a tick may load the definitions; the one that serves the UI needs its instance.
EXCEPTIONS = {("commands/run.py", "definitions"), ("commands/run.py", "defs"), ("commands/ui.py", "defs")}

# library -> files that may import it: everything else must not know that it exists
LIBRARIES = {
    "dagster": ("definitions.py", "defs/"),
    "dagster_dbt": ("defs/models.py",),
    "dbt": ("adapters/models.py",),
    "great_expectations": ("expectations/",),
    "openai": (
        "adapters/language_model.py",
        "adapters/model_batch.py",
        "adapters/model_chain.py",
        "adapters/embeddings.py",
        "adapters/translator.py",
    ),
    "bm25s": ("adapters/knowledge.py",),
    "sqlalchemy": ("ledger/", "expectations/", "defs/history.py"),
    "duckdb": ("adapters/warehouse.py", "demo/", "expectations/"),
    "matplotlib": ("defs/plots.py",),
    "PIL": ("adapters/contact_sheet.py",),
    "smtplib": ("adapters/channels/",),
    "anymail": ("adapters/channels/esp_anymail.py",),
    "django": ("adapters/channels/esp_anymail.py",),
    "requests": ("adapters/channels/esp_anymail.py",),
    "typer": ("cli/",),
    "presidio_analyzer": ("adapters/redaction.py",),
    "tldextract": ("adapters/redaction.py",),
    "genai_prices": ("adapters/model_prices.py",),
    "babel": ("lifecycle/guards/", "lifecycle/formats.py", "adapters/catalogues.py"),
    "num2words": ("lifecycle/guards/",),
    "py3langid": ("lifecycle/guards/",),
    "itsdangerous": ("lifecycle/links.py", "adapters/inbox_app.py"),
    "starlette": ("adapters/inbox_app.py",),
    "uvicorn": ("adapters/serving.py",),
}


@functools.cache
def python_files() -> tuple[tuple[str, str, ast.Module], ...]:
    """(room, path within its package, tree) of every Python file of ours, read once."""
    return tuple(_python_files())


@functools.cache
def imports() -> tuple[tuple[str, str, frozenset[str]], ...]:
    """(room, path within its package, full dotted names of what it imports) of every Python file of ours."""
    return tuple((room, file, frozenset(imported(tree))) for room, file, tree in python_files())


def _python_files() -> Iterator[tuple[str, str, ast.Module]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE)
        yield inside.parts[0].removesuffix(".py"), str(inside), ast.parse(path.read_text())
    for path in sorted((ROOT / "expectations").rglob("*.py")):
        yield "expectations", f"expectations/{path.relative_to(ROOT / 'expectations')}", ast.parse(path.read_text())


def imported(tree: ast.Module) -> set[str]:
    """Full dotted names of everything a file imports, at the top or inside functions."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, so that a moved file can't change its meaning"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def test_imports_run_one_way() -> None:
    """definitions → defs → {adapters, ledger, expectations, demo} → lifecycle, and no other arrow."""
    wrong = []
    for room, file, names in imports():
        for name in sorted(names):
            parts = name.split(".")
            target = parts[1] if parts[0] == "dagster_project" and len(parts) > 1 else parts[0]
            if parts[0] not in ("dagster_project", "expectations") or room in (target, "__init__"):
                continue
            if target not in ARROWS[room] and (file, target) not in EXCEPTIONS:
                wrong.append(f"{file} imports {name}")

    assert wrong == []


def test_every_room_is_known() -> None:
    """A new room is drawn in the arrows before it gets its first line."""
    rooms = {room for room, _, _ in python_files()} - {"__init__"}

    assert rooms == set(ARROWS)


@pytest.mark.parametrize("library", LIBRARIES)
def test_each_library_has_its_room(library: str) -> None:
    """A library is imported where its adapter is, and nowhere else."""
    wrong = [
        file
        for _, file, names in imports()
        if any(name.split(".")[0] == library for name in names) and not file.startswith(LIBRARIES[library])
    ]

    assert wrong == []


def test_the_inspectors_are_locked_without_naming_a_registry() -> None:
    """Exact versions with their hashes; where they come from is a matter of whoever installs them."""
    lock = json.loads((ROOT / "inspectors/package-lock.json").read_text())
    wanted = json.loads((ROOT / "inspectors/package.json").read_text())["dependencies"]
    packages = {name: entry for name, entry in lock["packages"].items() if name}

    assert [name for name, entry in packages.items() if "resolved" in entry or "integrity" not in entry] == []
    assert {name: packages[f"node_modules/{name}"]["version"] for name in wanted} == wanted
    assert "registry" not in (ROOT / "inspectors/.npmrc").read_text().replace("omit-lockfile-registry-resolved", "")


def test_only_the_clock_asks_the_time() -> None:
    """`as_of` comes from outside; a line that asks the machine's clock can't be replayed."""
    clock = re.compile(r"\b(datetime\.(now|utcnow|today)|date\.today|time\.time)\(")
    asked = [
        str(path.relative_to(ROOT))
        for folder in (PACKAGE, ROOT / "expectations")
        for path in folder.rglob("*.py")
        if clock.search(path.read_text())
    ]

    assert asked == ["dagster_project/adapters/clock.py"]


def test_models_ask_no_clock_and_draw_no_lots() -> None:
    """SQL takes `as_of()` for the time and hash buckets for chance; `any_value` differs from run to run."""
    forbidden = re.compile(r"\b(current_date|current_timestamp|now|today|random|any_value|getdate|uuid)\b\s*(\(|\b)")
    found = {
        str(path.relative_to(ROOT)): match[0]
        for path in (ROOT / "dbt_project").rglob("*.sql")
        if "target" not in path.parts
        and (
            match := forbidden.search(
                re.sub(r"--.*|\{#.*?#\}", "", path.read_text(), flags=re.DOTALL if "{#" in path.read_text() else 0)
            )
        )
    }

    assert found == {}


def test_the_domain_imports_no_dagster() -> None:
    """`import dagster_project.lifecycle` stays light: an empty package file, no Dagster behind it."""
    code = "import dagster_project.lifecycle.planning, sys, json; print(json.dumps(sorted(sys.modules)))"
    loaded = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT).stdout)

    assert (PACKAGE / "__init__.py").read_text() == ""
    assert not [name for name in loaded if name.split(".")[0] in ("dagster", "dbt", "great_expectations", "duckdb")]


def asset_functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Functions under an asset, asset check, multi-asset, schedule or sensor decorator."""
    for _, file, tree in python_files():
        if not file.startswith("defs/"):
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef) and any(
                "asset" in ast.unparse(decorator).split("(")[0] for decorator in node.decorator_list
            ):
                yield f"{file}:{node.name}", node


def test_asset_bodies_are_short() -> None:
    """Read, call one function, write, return metadata: at most 30 lines, the docstring not counted."""
    long = {}
    for name, node in asset_functions():
        body = node.body[1:] if ast.get_docstring(node) else node.body
        lines = body[-1].end_lineno - body[0].lineno + 1  # pyright: ignore[reportOptionalOperand]
        if lines > 30:
            long[name] = lines

    assert long == {}
    assert len(list(asset_functions())) >= 7


def test_asset_bodies_hold_no_sql_and_no_prompt() -> None:
    """A query belongs to dbt or an adapter, a prompt to templates/prompts."""
    query = re.compile(r"\b(select|insert|update|delete|with)\b.+\b(from|into|set|as \()\b", re.IGNORECASE | re.DOTALL)
    prompt = re.compile(r"\b(you are|your task|respond with|write a)\b", re.IGNORECASE)
    found = [
        f"{name}: {text.value[:60]}"
        for name, node in asset_functions()
        for statement in (node.body[1:] if ast.get_docstring(node) else node.body)
        for text in ast.walk(statement)
        if isinstance(text, ast.Constant)
        and isinstance(text.value, str)
        and (query.search(text.value) or prompt.search(text.value))
    ]

    assert found == []
