"""The power is cut: whatever the disk had not yet been made to keep is gone, in part or as a whole. SQLite's ledger must still know of
every mail that may have left.

A ledger is traced from the making of its folder to the last mail; then, for each moment, folders are made that a disk may hold if the
power was cut then, and the next process goes on in each. A machine that was off has another boot id, so no worker's notes count.
"""

from __future__ import annotations

import dataclasses
import random
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Self

import pytest

from dagster_project.adapters import delivering
from dagster_project.adapters.channels.base import Receipt, SingleTransport
from dagster_project.adapters.clock import utc_now
from dagster_project.ledger import open_ledger
from dagster_project.ledger.database import durability_pragmas
from dagster_project.lifecycle.message import Via
from dagster_project.lifecycle.mime import Built
from tests.released import Recorder

from .conftest import LETTERHEAD
from .power import CALLS, Disk, Event, Pick, read_trace

Figures = Callable[..., None]
Pragmas = tuple[str, ...]
MESSAGES = 18
SECTORS = (512, 4096)
SHORT_LOG = "PRAGMA wal_autocheckpoint=30"  # of pages: written back into the ledger, and begun anew, all the time
WAL, WITHOUT_WAL = durability_pragmas((3, 53, 0)), durability_pragmas((3, 40, 0))
CAREFUL = {
    "WAL": (1, WAL),
    "WAL, its log begun anew again and again": (1, (*WAL, SHORT_LOG)),
    "the same, two workers": (2, (*WAL, SHORT_LOG)),
    "no WAL, two workers": (2, WITHOUT_WAL),
}
CARELESS = {
    "WAL, synchronous=NORMAL": ("PRAGMA journal_mode=WAL", "PRAGMA synchronous=NORMAL"),
    "no WAL, synchronous=FULL": ("PRAGMA journal_mode=DELETE", "PRAGMA synchronous=FULL"),
}
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace (Debian: strace) is not installed")


@pytest.fixture
def database() -> str:
    return "sqlite"


@dataclasses.dataclass(frozen=True, slots=True)
class Cut:
    """A moment at which the power goes, and what the world knows by then."""

    number: int  # of the event after which it goes
    past_the_dot: frozenset[str]  # message_ids whose mails may have been accepted
    committed: int  # the event of the ledger that its process believed to be safe


class Life:
    """What the processes did, from an empty folder on."""

    def __init__(self, folder: Path, workers: int, pragmas: Pragmas) -> None:
        trace, told, disk = folder / "trace", folder / "told", folder / "disk"
        disk.mkdir(parents=True)
        with Recorder(folder / "record") as recorder:
            command = ["strace", "-f", "-qq", "-y", "-xx", "-s", "10000000", "-e", f"trace={CALLS}", "-o", str(trace)]
            command += [sys.executable, "-m", "tests.faults.one_life", str(disk / "home" / "ledger.sqlite")]
            command += [str(recorder.port), str(MESSAGES), str(workers), str(told), *pragmas]
            subprocess.run(command, check=True, cwd=Path(__file__).parent.parent.parent)
            assert len(recorder.lines()) == MESSAGES
        self.events = read_trace(trace, disk, told)
        self._is_told_right(disk, folder / "whole")

    def _is_told_right(self, disk: Path, whole: Path) -> None:
        """Replayed without a cut, the calls leave what the folder holds: none is missing, none misread."""
        for made, _ in self.moments():
            last = made
        last.cut(whole, SECTORS[0], everything)
        for file in (disk / "home").iterdir():
            assert (whole / "home" / file.name).read_bytes() == file.read_bytes(), file.name
        assert len(list((whole / "home").iterdir())) == len(list((disk / "home").iterdir()))

    def moments(self) -> Iterator[tuple[Disk, Cut]]:
        """After each event: the disk, and what is known."""
        disk, committed = Disk(), 0
        smtp: dict[int, Smtp] = defaultdict(Smtp)  # each process has one connection
        for number, event in enumerate(self.events):
            disk.apply(event)
            if event.what == "sent":
                smtp[event.process].hear(event.data)
            if event.what == "told":
                committed = max(committed, int(event.data))
            left = (message_id for one in smtp.values() for message_id in one.past_the_dot)
            yield disk, Cut(number, frozenset(left), committed)

    def turns(self) -> list[int]:
        """The events around which something changes for good: each sync when it is called and when it is answered, each mail, each
        commit."""
        return [number for number, event in enumerate(self.events) if event.what in ("syncing", "sync", "sent", "told")]

    def writes(self) -> list[int]:
        return [number for number, event in enumerate(self.events) if event.what in ("write", "size", "remove")]


class Smtp:
    """The client's side of one connection, as far as it tells which message's final dot was written."""

    def __init__(self) -> None:
        self.past_the_dot: list[str] = []
        self._unread = b""
        self._recipient = ""
        self._is_content = False

    def hear(self, data: bytes) -> None:
        *lines, self._unread = (self._unread + data).split(b"\r\n")
        for line in lines:
            if self._is_content and line == b".":
                self.past_the_dot.append(f"m{int(self._recipient.removeprefix('user')):05}")
                self._is_content = False
            elif not self._is_content and line.startswith(b"RCPT TO:<"):
                self._recipient = line[9:].split(b"@")[0].decode()
            elif not self._is_content and line == b"DATA":
                self._is_content = True


class Keeper(SingleTransport):
    """A channel that keeps what it is given."""

    name, in_flight = "keeper", 32

    def __init__(self) -> None:
        self.kept: list[str] = []

    def transmit(self, mails: Iterable[Built]) -> Iterator[tuple[Built, Receipt]]:
        for mail in mails:
            self.kept.append(mail.message_id)
            yield mail, Receipt("sent", "250 ok")

    def via(self, message_id: str) -> Via:
        return Via("keeper", None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass


def nothing_more(_moments: int) -> int:
    """What was not synced is gone."""
    return 0


def everything(moments: int) -> int:
    return moments - 1


def by_chance(seed: int) -> Pick:
    """Some of it: in one state hardly any, in another nearly all."""
    chance = random.Random(seed)
    share = chance.choice((0.1, 0.5, 0.9))
    return lambda moments: chance.randrange(moments) if chance.random() < share else 0


def go_on(ledger_file: Path, cut: Cut) -> Counter[str]:
    """The next process on this machine, an hour later: opens what is left, and delivers what may be delivered. How many messages
    ended in which state."""
    if not ledger_file.exists():
        assert (cut.past_the_dot, cut.committed) == (frozenset(), 0), "the ledger is gone"
        return Counter()
    now = utc_now() + timedelta(hours=1)
    keeper = Keeper()
    with open_ledger(f"sqlite:///{ledger_file}", lambda: now) as ledger:
        marked = {one.message_id for one in ledger.messages(("sending", "sent"))}
        assert cut.past_the_dot <= marked, "a mark is gone, and its mail may have left"
        with ledger._database.read() as connection:
            assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
            events = connection.exec_driver_sql("SELECT seq FROM chain_head").scalar_one()
        assert events >= cut.committed, "a commit was taken back"
        delivering.deliver(ledger, keeper, LETTERHEAD, worker="next", clock=lambda: now)
        accepted = Counter([*cut.past_the_dot, *keeper.kept])
        assert max(accepted.values(), default=1) == 1, "twice"
        report = ledger.verify(accepted)
        assert [one for one in report["invariants"] if not one["ok"]] == []
        assert report["chain"]["ok"]
        states = Counter(one.state for one in ledger.messages())
    assert not accepted or not set(states) - {"sent", "unknown"}, "lost"
    return states


def survive(life: Life, tried: Sequence[tuple[int, int, Pick]], folder: Path) -> Counter[str]:
    """Go on in each of these states: after which event, with sectors of which size, what is left. What the messages came to."""
    ends: Counter[str] = Counter()
    by_event: dict[int, list[tuple[int, Pick]]] = {}
    for number, sector, pick in tried:
        by_event.setdefault(number, []).append((sector, pick))
    for disk, cut in life.moments():
        for sector, pick in by_event.get(cut.number, []):
            left = folder / "left"
            disk.cut(left, sector, pick)
            try:
                ends += go_on(left / "home" / "ledger.sqlite", cut)
            except Exception as error:
                error.add_note(f"the power went after event {cut.number}, {life.events[cut.number]!s:.200}: {left}")
                raise
            shutil.rmtree(left)
    return ends


def test_of_what_was_not_synced_any_sector_may_be_left(tmp_path: Path) -> None:
    """The disk itself: two sectors written anew without a sync leave four files, and a name that is not safe leaves none."""
    file, old, new = ("ledger",), b"o" * 1024, b"n" * 1024
    made, written = [Event("make", 1, file), Event("write", 1, file, old)], [Event("write", 1, file, new)]
    synced = [Event(what, 1, path) for path in (file, ()) for what in ("syncing", "sync")]
    late = [Event("syncing", 1, file), *written, Event("sync", 1, file)]  # it finds what was there when it was called

    assert left_by([*made, *synced, *written], tmp_path / "torn") == {
        first + second for first in (old[:512], new[:512]) for second in (old[512:], new[512:])
    }
    assert left_by([*made, *synced[:2]], tmp_path / "unnamed") == {None, old}
    assert left_by([*made, *synced, *late, *synced], tmp_path / "safe") == {new}
    assert len(left_by([*made, *synced, *late], tmp_path / "late")) == 4


def left_by(events: Sequence[Event], folder: Path) -> set[bytes | None]:
    """What may be left of a file: found by chance, often enough."""
    disk = Disk()
    for event in events:
        disk.apply(event)
    found = set()
    for seed in range(200):
        disk.cut(folder, 512, by_chance(seed))
        file = folder / "ledger"
        found.add(file.read_bytes() if file.exists() else None)
        shutil.rmtree(folder)
    return found


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[Pragmas], None]:
    """Has the ledgers of this process use these pragmas too."""
    return lambda pragmas: monkeypatch.setattr(
        f"{durability_pragmas.__module__}.durability_pragmas", lambda _version: pragmas
    )


@pytest.mark.slow
@needs_strace
@pytest.mark.parametrize("mode", CAREFUL)
def test_a_power_cut_at_any_moment_takes_no_mark_back_and_repeats_nothing(
    tmp_path: Path, use: Callable[[Pragmas], None], mode: str, is_long: bool, figures: Figures
) -> None:
    """Around each sync, each mail and each commit, of what was not synced nothing, everything, and random sectors are left; and after
    each single write, everything so far. The short form takes a sample."""
    workers, pragmas = CAREFUL[mode]
    use(pragmas)
    life = Life(tmp_path / "life", workers, pragmas)
    tried = [(number, 512, pick) for number in life.turns() for pick in (nothing_more, everything)]
    tried += [(number, 512, everything) for number in life.writes()]
    for sector in SECTORS * (5 if is_long else 1):
        tried += [(number, sector, by_chance(random.getrandbits(32))) for number in life.turns()]
    if not is_long:
        tried = random.sample(tried, 30)
    ends = survive(life, tried, tmp_path)
    assert ends["sent"] > 0
    figures(f"power cut: {mode}", runs=len(tried), ends=ends)


@pytest.mark.slow
@needs_strace
@pytest.mark.parametrize("mode", CARELESS)
def test_what_is_less_careful_loses_marks(tmp_path: Path, use: Callable[[Pragmas], None], mode: str) -> None:
    """Or the test above would prove nothing."""
    use(CARELESS[mode])
    life = Life(tmp_path / "life", 1, CARELESS[mode])
    first = next(number for number in life.turns() if life.events[number].data.endswith(b".\r\n"))
    with pytest.raises(AssertionError, match="a mark is gone"):
        survive(life, [(first, 512, nothing_more)], tmp_path)
