"""Debian's smtp-sink and smtp-source: found or unpacked, and run."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pwd
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.servers import BACKLOG, LOOPBACK, START_SECONDS, Server, end

SOURCE_SESSIONS = 16
TOOLS = ("smtp-sink", "smtp-source")
_NOT_FOUND = re.compile(r"^\s*(\S+) => not found", re.MULTILINE)


class MissingError(RuntimeError):
    """A tool is neither here nor to be had. One line."""


@dataclasses.dataclass(frozen=True, slots=True)
class Postfix:
    """The two tools, how they were come by, and the environment in which they find their libraries."""

    sink: str
    source: str
    version: str
    environment: Mapping[str, str]
    origin: str  # installed, or unpacked for this run


def find_postfix(folder: Path) -> Postfix:
    """Those on PATH or in /usr/sbin, else those of Debian's package, unpacked into `folder` and not installed."""
    search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin"])
    found = [shutil.which(tool, path=search) for tool in TOOLS]
    if found[0] and found[1]:
        version = _told(["dpkg-query", "--show", "--showformat=${Version}", "postfix"]) or "unknown"
        return Postfix(found[0], found[1], version, dict(os.environ), "installed")
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise MissingError("smtp-sink and smtp-source: found neither them nor apt-get; allowed: the package postfix")
    return _unpacked(folder)


def _unpacked(folder: Path) -> Postfix:
    tree = folder / "tree"
    (archive,) = _fetched(folder, "postfix")
    _unpack(archive, tree)
    sink, source = (tree / "usr/sbin" / tool for tool in TOOLS)
    environment = dict(os.environ) | {"LD_LIBRARY_PATH": _library_folders(tree)}
    if _missing_libraries(sink, environment):
        depends = _told(["dpkg-deb", "--field", str(archive), "Depends"]) or ""
        names = [entry.split("|")[0].split("(")[0].strip() for entry in depends.split(",")]
        for name in names:
            if name.startswith("lib") and not name.startswith("libc6"):
                for library in _fetched(folder, name):
                    _unpack(library, tree)
        environment["LD_LIBRARY_PATH"] = _library_folders(tree)
    if missing := _missing_libraries(sink, environment):
        raise MissingError(f"smtp-sink: found no {', '.join(missing)}; allowed: the package postfix, installed")
    return Postfix(
        str(sink), str(source), _told(["dpkg-deb", "--field", str(archive), "Version"]) or "?", environment, "unpacked"
    )


def _fetched(folder: Path, package: str) -> list[Path]:
    """The package's file; nothing is installed. MissingError when apt-get cannot have it."""
    got = subprocess.run(
        ["apt-get", "download", "--quiet", package], cwd=folder, capture_output=True, text=True, check=False
    )
    archives = sorted(folder.glob(f"{package}_*.deb"))
    if got.returncode or not archives:
        reason = next(
            (line for line in got.stderr.splitlines() if line.startswith("E:")), f"exit code {got.returncode}"
        )
        raise MissingError(f"smtp-sink and smtp-source: not installed, and apt-get download {package} says: {reason}")
    return archives[-1:]


def _unpack(archive: Path, tree: Path) -> None:
    subprocess.run(["dpkg-deb", "--extract", str(archive), str(tree)], check=True, capture_output=True)


def _library_folders(tree: Path) -> str:
    return os.pathsep.join(sorted({str(path.parent) for path in tree.rglob("*.so*")}))


def _missing_libraries(program: Path, environment: Mapping[str, str]) -> list[str]:
    told = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=False, env=dict(environment))
    return _NOT_FOUND.findall(told.stdout)


def _told(command: list[str]) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


@contextlib.contextmanager
def smtp_sink(postfix: Postfix) -> Iterator[Server]:
    """A running smtp-sink. It keeps nothing, counts nothing, and never pushes back."""
    user = ["-u", pwd.getpwuid(os.getuid()).pw_name] if os.getuid() == 0 else []
    port = _free_port()
    command = [postfix.sink, *user, "-h", "sink.example", f"{LOOPBACK}:{port}", str(BACKLOG)]
    process = subprocess.Popen(
        command, env=dict(postfix.environment), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    try:
        _wait_for(port, process)
        yield Server(port, process)
    finally:
        end(process)


def _free_port() -> int:
    with socket.create_server((LOOPBACK, 0)) as free:
        return free.getsockname()[1]


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    given_up = time.monotonic() + START_SECONDS
    while time.monotonic() < given_up and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection((LOOPBACK, port), timeout=1):
            return
        time.sleep(0.02)
    end(process)
    said = process.stderr.read().decode(errors="replace").strip() if process.stderr else ""
    raise RuntimeError(f"the sink did not start: {said[:200] or 'no answer'}")


def smtp_source(postfix: Postfix, port: int, messages: int, size: int) -> float:
    """Seconds for so many messages with so many octets of content over 16 connections that stay open (`-d`; without it
    every message has a connection of its own, and costs more than twice as much)."""
    command = [postfix.source, "-d", "-M", "source.example", "-f", "a@source.example", "-t", "b@customer.example"]
    command += ["-s", str(SOURCE_SESSIONS), "-l", str(size), "-m", str(messages), f"inet:{LOOPBACK}:{port}"]
    started = time.perf_counter()
    done = subprocess.run(command, env=dict(postfix.environment), capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise RuntimeError(f"smtp-source ended with {done.returncode}: {done.stderr.strip()[:200]}")
    return seconds
