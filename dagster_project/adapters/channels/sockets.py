"""What every channel over a socket needs to know about its connection."""

from __future__ import annotations

import ipaddress
import select
import socket
import ssl

MAX_DETAIL_CHARS = 200


def is_loopback(host: str) -> bool:
    """Does this name mean this machine?"""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_idle(sock: socket.socket) -> bool:
    """Is this connection between two requests still of use? What has ended, or has a word nobody asked for, is not.

    Over TLS this also takes in housekeeping that came since. A byte that is read here is lost: drop what is not idle.
    """
    timeout = sock.gettimeout()
    sock.settimeout(0)
    try:
        sock.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        return True
    except OSError:
        return False
    finally:
        sock.settimeout(timeout)
    return False


def has_answered(sock: socket.socket) -> bool:
    """Has the server hung up, or spoken before its turn? Over TLS a byte may be housekeeping: only the end counts there.

    Takes nothing off the connection. Raises OSError when it was reset.
    """
    waiting = select.poll()
    waiting.register(sock, select.POLLIN)
    if not waiting.poll(0):
        return False
    seen = socket.socket.recv(sock, 1, socket.MSG_PEEK)  # beneath TLS, which cannot peek
    return not seen or not isinstance(sock, ssl.SSLSocket)


def one_line(error: Exception) -> str:
    """What went wrong, in lower case and at most 200 characters."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    text = error.strerror if isinstance(error, OSError) and isinstance(error.strerror, str) else str(error)
    return " ".join(text.split())[:MAX_DETAIL_CHARS].lower() or type(error).__name__
