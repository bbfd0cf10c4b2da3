"""The keys that sign links. Made once per home, or given by the environment; never logged."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from pathlib import Path

from pydantic import SecretStr

from dagster_project.lifecycle.errors import InputError

FILE_NAME = "secret.key"
MIN_KEY_CHARS = 16  # shorter ones can be guessed; ours has 64


def secret_keys(home: Path, configured: SecretStr | None) -> list[str]:
    """The signing keys, newest first: the configured ones, else that of `home/secret.key`, made when missing.

    Raises InputError for a key too short, and for a key file that others can read or that cannot be read or made.
    """
    if configured is not None:
        keys = [key.strip() for key in configured.get_secret_value().split(",") if key.strip()]
        if not keys or min(map(len, keys)) < MIN_KEY_CHARS:
            found = f"one of {min(map(len, keys))} characters" if keys else "none"
            raise InputError(
                f"POSTRIDER_SECRET_KEYS: found {found}; allowed: keys of at least {MIN_KEY_CHARS} characters"
            )
        return keys
    path = home / FILE_NAME
    try:
        if not path.exists():
            _make(path)
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o077:
            raise InputError(f"{path}: found mode {mode:04o}, which others can read; allowed: 0600")
        key = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not ASCII"
        raise InputError(f"{path}: cannot read or make the key file ({reason})") from None
    if len(key) < MIN_KEY_CHARS:
        raise InputError(f"{path}: found {len(key)} characters; allowed: a key of at least {MIN_KEY_CHARS}")
    return [key]


def _make(path: Path) -> None:
    """Write a new key. Two processes may race: `link` lets the first one win and nobody reads half a key."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{FILE_NAME}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(unfinished, path)
        _keep_names(path)
    except FileExistsError:
        pass  # another process was first: its key counts
    finally:
        unfinished.unlink(missing_ok=True)


def _keep_names(path: Path) -> None:
    """Sync each folder above it, or a power cut could take the key away, and with it every link in the mails that had left."""
    for folder in path.resolve().parents:
        with contextlib.suppress(OSError):  # whoever may not read it did not make it
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
