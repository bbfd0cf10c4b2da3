"""One revision of the project as files: read out of git into a folder, without a trace in git or in the working tree."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from dagster_project.lifecycle.errors import InputError

_SHORT = 12  # characters of a commit that a person compares
_PARTS = ("dbt_project", "templates")


def check_out(project: Path, revision: str, folder: Path) -> str:
    """Write what `revision` has of the project into `folder`; returns the commit.

    By an index of its own instead of `git worktree`, which leaves an entry in the repository when a process is killed.
    InputError where there is no repository, no such revision, or no project in it.
    """
    top = Path(_git(project, "rev-parse", "--show-toplevel") or _refuse_folder(project))
    inside = _git(project, "rev-parse", "--show-prefix") or ""
    commit = (
        None if revision.startswith("-") else _git(top, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    )
    if not commit:
        raise InputError(
            f"--base {revision}: no such revision in {top}; allowed is a commit, branch or tag that was fetched"
        )
    if _git(top, "rev-parse", "--verify", "--quiet", f"{commit}:{inside}dbt_project/dbt_project.yml") is None:
        raise InputError(
            f"--base {revision}: holds no {inside}dbt_project/dbt_project.yml; allowed is a revision of this project"
        )
    index = {"GIT_INDEX_FILE": str(folder / ".index")}
    folder.mkdir(parents=True)
    for part in _PARTS:
        if _git(top, "rev-parse", "--verify", "--quiet", f"{commit}:{inside}{part}") is not None:
            _must(_git(top, "read-tree", f"--prefix={part}/", f"{commit}:{inside}{part}", **index), revision)
    _must(_git(top, "checkout-index", "--all", f"--prefix={folder}/", **index), revision)
    return commit


def short(commit: str) -> str:
    """As much of a commit as a person compares."""
    return commit[:_SHORT]


def _git(folder: Path, *arguments: str, **environment: str) -> str | None:
    """What git prints; None when it says no."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}  # of a hook that calls us
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=False,
            env=kept | {"GIT_OPTIONAL_LOCKS": "0"} | environment,
        )
    except OSError as error:
        raise InputError(f"git: {error.strerror}; --base needs it on the path") from None
    return done.stdout.strip() if done.returncode == 0 else None


def _refuse_folder(project: Path) -> str:
    raise InputError(
        f"--base: {project} is in no git repository that this user may read; there is nothing to compare with"
    )


def _must(said: str | None, revision: str) -> None:
    if said is None:
        raise InputError(f"--base {revision}: git could not write its files beside the home; is the disk full?")


def changed_files(base: Path, head: Path) -> list[str]:
    """The project's files that are not the same in both folders, by path."""
    before, after = _files(base), _files(head)
    return sorted(
        name
        for name in before.keys() | after.keys()
        if name not in before or name not in after or before[name].read_bytes() != after[name].read_bytes()
    )


def _files(project: Path) -> dict[str, Path]:
    found = {}
    for part in _PARTS:
        for path in (project / part).rglob("*"):
            inside = path.relative_to(project)
            is_made = {"target", "logs", "__pycache__"} & set(inside.parts) or inside.name.startswith(".")
            if path.is_file() and not is_made:
                found[inside.as_posix()] = path
    return found
