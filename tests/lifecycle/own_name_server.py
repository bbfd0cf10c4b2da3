"""Run programs that look up DKIM keys where nothing but our own name server can be reached.

    unshare --user --map-root-user --net --mount python own_name_server.py RECORDS COMMAND [ARGUMENT …]

RECORDS is a JSON file, name → TXT record. In a network of its own port 53 is free and a bind mount of resolv.conf
is seen by nobody else. The exit code is the command's; 100 says that this machine did not let us prepare the place.
"""

from __future__ import annotations

import fcntl
import json
import socket
import struct
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import dns.message
import dns.rcode
import dns.rrset

NOT_PREPARED = 100
SIOCSIFFLAGS, IFF_UP = 0x8914, 0x1
MAX_STRING = 255  # a TXT record is made of strings of at most so many bytes


def answer(query: bytes, records: dict[str, str]) -> bytes:
    message = dns.message.from_wire(query)
    reply = dns.message.make_response(message)
    name = message.question[0].name
    record = records.get(name.to_text(omit_final_dot=True))
    if record is None:
        reply.set_rcode(dns.rcode.NXDOMAIN)
    else:
        strings = [f'"{record[at : at + MAX_STRING]}"' for at in range(0, len(record), MAX_STRING)]
        reply.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", " ".join(strings)))
    return reply.to_wire()


def serve(server: socket.socket, records: dict[str, str]) -> None:
    while True:
        query, who = server.recvfrom(4096)
        server.sendto(answer(query, records), who)


def prepare() -> socket.socket:
    """Loopback up, resolv.conf pointing at it, and a server on its port 53."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as resolver:
        resolver.write("nameserver 127.0.0.1\n")
        resolver.flush()
        subprocess.run(["mount", "--bind", resolver.name, "/etc/resolv.conf"], check=True)
    server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    server.bind(("127.0.0.1", 53))
    return server


def main() -> int:
    records = json.loads(Path(sys.argv[1]).read_text())
    try:
        server = prepare()
    except (OSError, subprocess.CalledProcessError) as error:
        sys.stderr.write(f"{error}\n")
        return NOT_PREPARED
    threading.Thread(target=serve, args=(server, records), daemon=True).start()
    return subprocess.run(sys.argv[2:], check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
