"""Hosts of their own on this machine: each with its network, its name and its processes, joined to us by a bridge.

A host is three Linux namespaces (network, UTS, PID) that one process keeps open. Two hosts share neither hostname nor loopback, and give
out the same process ids; when that one process is killed the kernel kills every other in it, as when a host loses its power. All of
them have one kernel, so the clock and the boot id are shared.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import random
import shutil
import subprocess
from collections.abc import Iterator

SUBNETS = range(512)  # of 198.18.0.0/15, which RFC 2544 keeps for measurements between networks
TOOLS = ("ip", "unshare", "nsenter", "hostname")
_KEEPER = 'hostname "$0" && ip link set lo up && read -r pid _ < /proc/self/stat && echo "$pid" && exec sleep infinity'


class MissingError(RuntimeError):
    """No hosts can be made here. One line."""


@dataclasses.dataclass(frozen=True, slots=True)
class Host:
    """One host."""

    name: str
    port: str  # our end of its cable
    keeper: subprocess.Popen[str]  # its end is the host's
    pid: int  # of the host's first process, as we see it

    def on(self, *command: str) -> list[str]:
        """The command that runs this one on the host. A signal to it reaches nsenter; `lose_power` reaches everything."""
        return ["nsenter", "--target", str(self.pid), "--net", "--uts", "--pid", "--", *command]

    def cut_off(self) -> None:
        """Packets are dropped without a word, as when a switch dies: no connection is closed."""
        _ip("link", "set", self.port, "down")

    def reconnect(self) -> None:
        _ip("link", "set", self.port, "up")

    def lose_power(self) -> None:
        """Nobody is told: the other ends of its connections wait until they give it up by themselves."""
        with contextlib.suppress(MissingError):  # it may have been lost before
            self.cut_off()
        self.keeper.kill()  # and by --kill-child the first process, and with it all the others
        self.keeper.wait()


class Network:
    """A bridge of our own, and the hosts that were joined to it. `address` is ours, where servers for all hosts listen."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self._number = self._bridge()
        self.address = self._address(1)
        self._places = itertools.count()

    def host(self, name: str) -> Host:
        """A running host of this name, which may be that of one whose power was lost."""
        command = ["unshare", "--net", "--uts", "--pid", "--fork", "--kill-child", "sh", "-c", _KEEPER, name]
        keeper = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert keeper.stdout is not None
        assert keeper.stderr is not None
        line = keeper.stdout.readline().strip()
        if not line:
            raise MissingError(f"no hosts can be made: {keeper.stderr.read().strip() or 'unshare ended'}")
        place = next(self._places)
        host = Host(name, f"pr{self._number}-{place}", keeper, int(line))
        self._stack.callback(host.lose_power)
        _ip("link", "add", host.port, "type", "veth", "peer", "name", "eth0", "netns", line)
        self._stack.callback(_remove, host.port)
        _ip("link", "set", host.port, "master", f"pr{self._number}", "up")
        _run(*host.on("ip", "addr", "add", f"{self._address(place + 2)}/24", "dev", "eth0"))
        _run(*host.on("ip", "link", "set", "eth0", "up"))
        return host

    def _bridge(self) -> int:
        """Its number is one that nobody has, other tests running at the same time included."""
        for number in random.sample(SUBNETS, 20):
            try:
                _ip("link", "add", f"pr{number}", "type", "bridge")
            except MissingError as error:
                if "exists" in str(error):
                    continue
                raise
            self._number = number
            self._stack.callback(_ip, "link", "del", f"pr{number}")
            _ip("addr", "add", f"{self._address(1)}/24", "dev", f"pr{number}")
            _ip("link", "set", f"pr{number}", "up")
            return number
        raise MissingError("no hosts can be made: found twenty bridges of others")

    def _address(self, place: int) -> str:
        return f"198.{18 + self._number // 256}.{self._number % 256}.{place}"


@contextlib.contextmanager
def network() -> Iterator[Network]:
    """MissingError where this user may make none, or a tool is missing."""
    if missing := [tool for tool in TOOLS if shutil.which(tool) is None]:
        raise MissingError(f"no hosts can be made: found no {missing[0]} (Debian: iproute2, util-linux, hostname)")
    with contextlib.ExitStack() as stack:
        yield Network(stack)


def _remove(port: str) -> None:
    """A host's cable goes with the host, though not at once: whoever takes the number next must not find it."""
    with contextlib.suppress(MissingError):
        _ip("link", "del", port)


def _ip(*arguments: str) -> None:
    _run("ip", *arguments)


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingError(f"no hosts can be made: {' '.join(command)}: {done.stderr.strip()}")
