"""Chance that can be repeated: the same number for the same person and purpose, in SQL and in Python."""

from __future__ import annotations

import hashlib


def hash_bucket(salt: str, key: str) -> float:
    """A number in [0, 1) for `key`, the twin of the dbt macro `hash_bucket`.

    The first 32 bits of md5("<salt>:<key>"), divided by 2^32. The salt names the purpose ("holdout:welcome"), so that
    who is held out of one campaign says nothing about any other draw.
    """
    digest = hashlib.md5(f"{salt}:{key}".encode(), usedforsecurity=False).hexdigest()
    return int(digest[:8], 16) / 2**32
