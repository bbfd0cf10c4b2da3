"""Two hosts on one PostgreSQL: they share the work, and neither a cut cable nor a host that dies loses or repeats a mail."""

from __future__ import annotations

import contextlib
import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dagster_project.adapters import delivering
from tests.hosts import Host, MissingError, Network, network
from tests.postgresql import running_or_skipped
from tests.released import AS_OF

from .conftest import Scene, answer_of, go

MakeScene = Callable[..., Scene]
Figures = Callable[..., None]
WORKERS = 2  # on each host
GROUP = 32  # marked at once
IN_FLIGHT = 2  # of one worker: a mail, and the one announced behind it
pytestmark = pytest.mark.slow


@pytest.fixture
def net() -> Iterator[Network]:
    with contextlib.ExitStack() as stack:
        try:
            found = stack.enter_context(network())
            found.host("probe").lose_power()
        except MissingError as missing:
            pytest.skip(str(missing))
        yield found


@pytest.fixture
def database() -> str:
    """SQLite is for one host."""
    return "postgresql"


@pytest.fixture
def postgresql_url(net: Network) -> Iterator[str]:
    """A server that all hosts reach, at the address by which we reach it too."""
    with running_or_skipped([net.address]) as server:
        yield server.url(net.address)


def test_two_hosts_that_deliver_share_the_work_and_send_each_message_once(
    make_scene: MakeScene, net: Network, tmp_path: Path, project: Path, figures: Figures
) -> None:
    """`postrider deliver` on each, with a home of its own: what they share is the ledger, and the limit, which is low here so that the
    first host isn't done before the second has started."""
    scene = make_scene(300, host=net.address)
    hosts = [net.host("one"), net.host("two")]
    (project / "delivery.yml").write_text("channels: {smtp: 15/second}\n")
    running = [deliver_on(host, scene, tmp_path / host.name, project) for host in hosts]
    told = [answer_of(process) for process in running]

    assert [one["ended_by"] for one in told] == ["nothing_due", "nothing_due"]
    states = scene.judge()
    assert states == {"sent": 300}
    sent = sent_by_host(scene)
    assert sent == {host.name: one["sent"] for host, one in zip(hosts, told, strict=True)}
    assert min(sent.values()) > 0, "both took part"
    figures("two hosts with two workers each on one PostgreSQL", runs=1, ends=states)


def test_a_host_cut_off_past_its_leases_comes_back_and_nothing_is_sent_twice(
    make_scene: MakeScene, net: Network, tmp_path: Path, is_long: bool, figures: Figures
) -> None:
    """The other host takes its claims and gives its sends up for lost. What it had marked it sends all the same when it is back, for
    nobody else ever will; and its late word counts."""
    hosts = [net.host("one"), net.host("two")]
    for number in range(10 if is_long else 1):
        scene = make_scene(300, host=net.address)
        notes = [tmp_path / f"{host.name}-{number}" for host in hosts]
        workers = go([*work_on(hosts[0], scene, notes[0]), *work_on(hosts[1], scene, notes[1])])
        await_sending(notes[0])
        hosts[0].cut_off()
        time.sleep(random.uniform(3, 12) if is_long else 3)  # for a lease of 1 s; after 6 both ends give the line up
        hosts[0].reconnect()
        for worker in workers:
            answer_of(worker)
        states = scene.judge(lost_for_now=["approved"])
        assert states["unknown"] <= IN_FLIGHT * WORKERS, "what was on the cable when it was cut"
        assert states["approved"] <= GROUP * WORKERS, "certainly not sent, and tried again in a minute"
        figures("a host cut off past its leases, then back", runs=1, ends=states)
        scene.close()


def test_a_host_that_loses_power_leaves_its_work_to_the_other(
    make_scene: MakeScene, net: Network, tmp_path: Path, is_long: bool, figures: Figures
) -> None:
    """What it had marked stays in doubt: its notes are not on the other host. Read where they are, they settle all but what was on
    its way, unless the machine itself went down."""
    alive = net.host("alive")
    for number in range(10 if is_long else 1):
        dead, notes = net.host("dead"), [tmp_path / f"{name}-{number}" for name in ("dead", "alive")]
        scene = make_scene(300, host=net.address)
        workers = go([*work_on(dead, scene, notes[0]), *work_on(alive, scene, notes[1])])
        await_sending(notes[0])
        dead.lose_power()
        for worker in workers[:WORKERS]:
            worker.communicate(timeout=60)
        for worker in workers[WORKERS:]:
            answer_of(worker)
        scene.resume()
        states = scene.judge()
        assert states["unknown"] <= GROUP * WORKERS, "the groups it had marked"
        figures("a host loses its power, the other goes on", runs=1, ends=states)
        with scene.open() as ledger:
            delivering.settle_by_notes(ledger, notes[0], AS_OF)
        scene.resume()
        states = scene.judge(lost_for_now=["approved"])
        assert states["unknown"] <= IN_FLIGHT * WORKERS, "what was on its way"
        figures("all processes of a host killed, its notes read there", runs=1, ends=states)
        scene.close()


def deliver_on(host: Host, scene: Scene, home: Path, project: Path) -> subprocess.Popen[str]:
    """The command itself, with a home of its own."""
    settings = {
        "HOME": home,
        "PROJECT": project,
        "LEDGER_URL": scene.url,
        "CHANNEL": "smtp",
        "SMTP_URL": f"smtp://{scene.recorder.host}:{scene.recorder.port}?starttls=never",
        "ALLOW_LIST": "@customer.example",
    }
    command = [sys.executable, "-m", "dagster_project.cli", "deliver", "--workers", str(WORKERS), "--json"]
    environment = os.environ | {f"POSTRIDER_{name}": str(value) for name, value in settings.items()}
    return subprocess.Popen(
        host.on(*command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def work_on(host: Host, scene: Scene, notes: Path) -> list[subprocess.Popen[str]]:
    return [scene.worker(*host.on(), notes=notes, is_waiting=True) for _ in range(WORKERS)]


def await_sending(notes: Path) -> None:
    """Until a worker of this host is in the middle of a group: its note has the boot, and five lines of three mails."""
    give_up = time.monotonic() + 60
    while max((file.read_bytes().count(b"\n") for file in notes.glob("*")), default=0) < 6:
        assert time.monotonic() < give_up, "nothing was sent there in a minute"
        time.sleep(0.001)


def sent_by_host(scene: Scene) -> Counter[str]:
    """hostname → messages, by the names of the workers in the ledger: way out:run:host:process."""
    with scene.open() as ledger, ledger._database.read() as connection:
        workers = connection.exec_driver_sql("SELECT worker FROM attempts WHERE outcome = 'sent'").scalars()
        return Counter(worker.split(":")[2] for worker in workers)
