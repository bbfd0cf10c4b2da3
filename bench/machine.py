"""Where a figure was taken. A figure without its machine says nothing, and one taken without bytecode says something wrong."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

LIBRARIES = (
    "SQLAlchemy",
    "cryptography",
    "Jinja2",
    "css-inline",
    "duckdb",
    "pandas",
    "polars",
    "dkimpy",
    "aiosmtplib",
)
FSYNCS = 50
INSTRUCTIONS = (
    "adx",
    "avx2",
    "avx512ifma",
    "sha_ni",
)  # without the third, an RSA-2048 signature takes two to three times as long
MIB = 1024 * 1024


def require_bytecode() -> None:
    """End with one line when this process may not keep bytecode: each worker would compile what it imports again, for seconds."""
    if sys.dont_write_bytecode or os.environ.get("PYTHONDONTWRITEBYTECODE"):
        raise SystemExit(
            "PYTHONDONTWRITEBYTECODE is set: found 1, allowed: unset, or starting the workers is what is measured"
        )


def describe(folder: Path) -> dict[str, Any]:
    """The machine in words that name nobody: no host, no path. `folder` is where the ledgers of the run will lie.

    `memory_mib` MiB, `fsync_us` median microseconds of a 4 KiB write with fsync, `load` processes of the last minute.
    """
    from dagster_project.ledger.database import durability_pragmas, sqlite

    compiled, imported = _bytecode()
    return {
        "cpu": _cpu("model name") or platform.machine(),
        "instructions": sorted(set(INSTRUCTIONS) & set(_cpu("flags").split())),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // MIB,
        "system": _system(),
        "kernel": platform.release(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "sqlite": sqlite.sqlite_version,
        "durability": ", ".join(
            pragma.removeprefix("PRAGMA ") for pragma in durability_pragmas(sqlite.sqlite_version_info)
        ),
        "filesystem": _filesystem(folder),
        "fsync_us": round(_fsync_us(folder), 1),
        "bytecode": f"{compiled} of {imported} imported modules",
        "load": round(os.getloadavg()[0], 2),
        "versions": {name: found for name in LIBRARIES if (found := _version(name))},
    }


def sentence(machine: dict[str, Any]) -> str:
    """The machine in one line of Markdown."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['cpu']} ({', '.join(machine['instructions'])}), {machine['cores']} cores,"
        f" {machine['memory_mib'] / 1024:.0f} GiB, {machine['system']}, kernel {machine['kernel']}, {machine['python']},"
        f" SQLite {machine['sqlite']} ({machine['durability']}) on {machine['filesystem']} (fsync {machine['fsync_us']:.0f} µs),"
        f" bytecode of {machine['bytecode']}, load {machine['load']} before the run; {versions}"
    )


def _cpu(line: str) -> str:
    """What Linux says of the first processor; nothing where it says nothing."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    return next((one.partition(":")[2].strip() for one in lines if one.startswith(line)), "")


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _filesystem(folder: Path) -> str:
    """Its kind. On `tmpfs` nothing is durable, and full durability costs nothing."""
    place, kind = "", "unknown"
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
        _, mounted, found, *_ = line.split(" ")
        if folder.resolve().is_relative_to(mounted) and len(mounted) >= len(place):
            place, kind = mounted, found
    return kind


def _fsync_us(folder: Path) -> float:
    seconds = []
    with tempfile.TemporaryFile(dir=folder) as file:
        for _ in range(FSYNCS):
            started = time.perf_counter()
            file.write(b"x" * 4096)
            file.flush()
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - started)
    return sorted(seconds)[FSYNCS // 2] * 1e6


def _bytecode() -> tuple[int, int]:
    """(with bytecode, all) of the modules imported from source so far."""
    cached = [module.__cached__ for module in list(sys.modules.values()) if getattr(module, "__cached__", None)]
    return sum(Path(name).exists() for name in cached), len(cached)


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None
