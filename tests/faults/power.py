"""What a disk may hold after the power was cut, from the system calls of the processes that wrote to it.

A disk is held to what POSIX promises, and to nothing more. What was synced is there. Of what was written since, each sector of a file
holds what it held at one of the moments since, each sector by itself; a file is as long as it was at one of them; a name that was made or
removed in a folder that was not synced since is there or is not. A sector is never torn in itself: SQLite counts on that.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Generic, Literal, TypeVar

CALLS = (
    "open,openat,creat,mkdir,mkdirat,rmdir,unlink,unlinkat,rename,renameat,renameat2,link,linkat,symlink,symlinkat,write,writev,"
    "pwrite64,pwritev,pwritev2,ftruncate,truncate,fallocate,copy_file_range,fsync,fdatasync,sync,syncfs,sendto,sendmsg"
)
What = Literal["make", "folder", "remove", "write", "size", "syncing", "sync", "sent", "told"]
Change, Content = TypeVar("Change"), TypeVar("Content")
Pick = Callable[[int], int]  # which one of so many moments, of which the first is the sync
_UNFINISHED = " <unfinished ...>"
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+)")
_WHAT: Mapping[str, What] = {
    "open": "make",
    "openat": "make",
    "mkdir": "folder",
    "mkdirat": "folder",
    "unlink": "remove",
    "unlinkat": "remove",
    "pwrite64": "write",
    "ftruncate": "size",
    "truncate": "size",
    "fsync": "sync",
    "fdatasync": "sync",
}
_TEXT = re.compile(r'[<"]((?:\\x[0-9a-f]{2})*)[>"]')
_NUMBER = re.compile(r"(?<=, )\d+(?=,|$)")


# --- what the processes did -------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, slots=True)
class Event:
    """One call that was answered without an error. A sync is two: `syncing` when it is called, `sync` when it is answered, and only what
    was there at the first is safe after the second. `sent` is what went into a socket, `told` what went into the file that tells."""

    what: What
    process: int
    path: tuple[str, ...] = ()  # from the traced folder on
    data: bytes = b""
    number: int = 0  # offset of a write, length of a size


def read_trace(trace: Path, root: Path, telling: Path) -> list[Event]:
    """The calls in the folder `root`, in the order of `strace -f -qq -y -xx -s SIZE -e trace=CALLS`. What one process was in the middle of
    when another was heard of counts from its beginning. ValueError for a call that is not known here: a state that leaves it out would
    prove nothing."""
    events: list[list[Event]] = []
    begun: dict[str, tuple[int, str]] = {}  # process → where its call began, and how
    for line in trace.read_text().splitlines():
        process, _, call = line.partition(" ")
        call = call.strip()
        if call.endswith(_UNFINISHED):
            begun[process] = len(events), call.removesuffix(_UNFINISHED)
            events.append([])
        elif call.startswith("<..."):
            place, beginning = begun.pop(process)
            found = _events(int(process), beginning + call.partition(" resumed>")[2], root, telling)
            if found and found[-1].what == "sync":
                events[place], found = found[:1], found[1:]
                events.append(found)
            else:
                events[place] = found
        elif not call.startswith(("+++", "---")):
            events.append(_events(int(process), call, root, telling))
    return [event for some in events for event in some]


def _events(process: int, line: str, root: Path, telling: Path) -> list[Event]:
    parts = _CALL.match(line)
    if parts is None:
        raise ValueError(f"found {line[:200]!r}; allowed: a call and its answer")
    call, arguments, answer = parts[1], parts[2], int(parts[3])
    texts = [bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(arguments)]
    paths = [Path(text.decode("utf-8", "replace")) for text in texts[:2]]  # the second may be data
    if answer < 0:
        return []
    if call in ("sendto", "sendmsg"):
        return [Event("sent", process, data=texts[1][:answer])]
    if call == "write" and paths[0] == telling:
        return [Event("told", process, data=texts[1])]
    inside = [path.relative_to(root).parts for path in paths if path.is_relative_to(root)]
    if not inside or (call in ("open", "openat") and "O_CREAT" not in arguments):
        return []
    what, path = _WHAT.get(call), inside[-1]
    if what is None:
        raise ValueError(f"found {call}({arguments[:100]}); allowed in the traced folder: {', '.join(_WHAT)}")
    if what == "sync":
        return [Event("syncing", process, path), Event("sync", process, path)]
    numbers = [int(one) for one in _NUMBER.findall(arguments)]
    return [Event(what, process, path, texts[1][:answer] if what == "write" else b"", numbers[-1] if numbers else 0)]


# --- what the disk made of it -----------------------------------------------------------------------------------------


class Disk:
    """The traced folder, which itself is safe. `apply` takes what was done; `cut` is one of the things that may be left."""

    def __init__(self) -> None:
        self._root = _Folder()

    def apply(self, event: Event) -> None:
        """What was sent and told changes nothing here."""
        if event.what in ("sent", "told"):
            return
        if event.what in ("make", "folder", "remove"):
            folder, name = self._at(event.path[:-1]), event.path[-1]
            assert isinstance(folder, _Folder)
            if event.what != "make" or folder.now.get(name) is None:  # else it was opened
                folder.put(name, {"make": _File, "folder": _Folder, "remove": lambda: None}[event.what]())
            return
        node = self._at(event.path)
        if event.what in ("write", "size"):
            assert isinstance(node, _File)
            node.change(event.number, event.data if event.what == "write" else None)
        elif event.what == "syncing":
            node.begin_sync(event.process)
        else:
            node.end_sync(event.process)

    def cut(self, target: Path, sector: int, pick: Pick) -> None:
        """Put into `target` what a disk with sectors of so many octets holds after the power was cut now."""
        self._root.cut(target, sector, pick)

    def _at(self, path: tuple[str, ...]) -> _File | _Folder:
        found: _File | _Folder | None = self._root
        for name in path:
            assert isinstance(found, _Folder), path
            found = found.now.get(name)
        assert found is not None, path
        return found


class _Folder:
    """Names. What they name is safe or not by its own sync."""

    def __init__(self) -> None:
        self.now: dict[str, _File | _Folder | None] = {}
        self._safe: dict[str, _File | _Folder | None] = {}
        self._changes = _Changes[tuple[str, "_File | _Folder | None"], dict[str, "_File | _Folder | None"]]()

    def put(self, name: str, node: _File | _Folder | None) -> None:
        self._changes.since.append((name, node))
        self.now[name] = node

    def begin_sync(self, process: int) -> None:
        self._changes.begin_sync(process, dict(self.now))

    def end_sync(self, process: int) -> None:
        self._safe = self._changes.end_sync(process, self._safe)

    def cut(self, target: Path, sector: int, pick: Pick) -> None:
        target.mkdir()
        for name in self.now:
            moments = [self._safe.get(name), *(node for changed, node in self._changes.since if changed == name)]
            left = moments[pick(len(moments))]
            if left is not None:
                left.cut(target / name, sector, pick)


class _File:
    """Octets."""

    def __init__(self) -> None:
        self._now = bytearray()
        self._safe = b""
        self._changes = _Changes[tuple[int, bytes | None], bytes]()

    def change(self, number: int, data: bytes | None) -> None:
        """Write data at an offset; without data, a new length."""
        self._changes.since.append((number, data))
        _change(self._now, number, data)

    def begin_sync(self, process: int) -> None:
        self._changes.begin_sync(process, bytes(self._now))

    def end_sync(self, process: int) -> None:
        self._safe = self._changes.end_sync(process, self._safe)

    def cut(self, target: Path, sector: int, pick: Pick) -> None:
        now, lengths = bytearray(self._safe), [len(self._safe)]
        moments: dict[int, list[bytes]] = {}  # sector → what it held, from the sync on
        for number, data in self._changes.since:
            before = bytes(now)
            _change(now, number, data)
            lengths.append(len(now))
            end = number + len(data) if data is not None else max(len(before), len(now))
            for one in range(number // sector, -(-end // sector)):
                place = slice(one * sector, (one + 1) * sector)
                moments.setdefault(one, [before[place]]).append(bytes(now[place]))
        left = bytearray(self._safe)
        _change(left, lengths[pick(len(lengths))], None)
        for one, held in moments.items():
            content, at = held[pick(len(held))], one * sector
            left[at : at + len(content)] = content[: max(len(left) - at, 0)]
        target.write_bytes(left)


class _Changes(Generic[Change, Content]):
    """What was done since the last sync. A sync that is answered makes safe what it found when it was called, and no more."""

    def __init__(self) -> None:
        self.since: list[Change] = []
        self._safe = 0  # changes before those
        self._begun: dict[int, tuple[Content, int]] = {}  # process → what its sync found

    def begin_sync(self, process: int, content: Content) -> None:
        self._begun[process] = content, self._safe + len(self.since)

    def end_sync(self, process: int, safe: Content) -> Content:
        """The content that is safe now: that of another's sync, when this was called sooner and answered later."""
        content, count = self._begun.pop(process)
        if count < self._safe:
            return safe
        del self.since[: count - self._safe]
        self._safe = count
        return content


def _change(content: bytearray, number: int, data: bytes | None) -> None:
    """What a hole holds is zeros."""
    length = number if data is None else max(len(content), number + len(data))
    content.extend(bytes(max(length - len(content), 0)))
    if data is None:
        del content[number:]
    else:
        content[number : number + len(data)] = data
