"""What one mail costs, step by step, in one process, in microseconds: the median of some rounds with the least and the most."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from bench import mails
from dagster_project.adapters.clock import utc_now
from dagster_project.lifecycle.dkim import SigningKey, read_key, signed

ROUNDS = 5
SAMPLE = 220  # mails: each of the eleven templates twenty times
DIGEST_INPUT = b"x" * 900  # about what a signature of ours covers: headers and the tags of its own

Microseconds = dict[str, float]  # median, min, max
T = TypeVar("T")


def measure(folder: Path) -> dict[str, Any]:
    """`steps` µs per message: render, draft (render, link, hashes), build, sign_rsa, bare_rsa, sign_ed25519, bare_ed25519.
    `ratios` of them are taken in the same round, as machines change their pace."""
    planned = [mails.planned(number) for number in range(SAMPLE)]
    drafts = mails.drafted(planned).drafts
    built = [mails.built(*pair) for pair in zip(planned, drafts, strict=True)]
    keys = {kind: _key(kind, folder) for kind in ("rsa", "ed25519")}
    contexts = [(mails.template(one), one.facts, mails.context(one)) for one in planned]
    rounds: dict[str, list[float]] = {}

    def timed(name: str, act: Callable[[T], object], sample: Sequence[T]) -> None:
        started = time.perf_counter()
        for one in sample:
            act(one)
        rounds.setdefault(name, []).append((time.perf_counter() - started) / len(sample) * 1e6)

    now = utc_now()
    for _ in range(ROUNDS):
        timed("render", lambda one: one[0].render(one[1], None, one[2]), contexts)
        started = time.perf_counter()
        mails.drafted(planned)
        rounds.setdefault("draft", []).append((time.perf_counter() - started) / SAMPLE * 1e6)
        timed("build", lambda one: mails.built(*one), list(zip(planned, drafts, strict=True)))
        for kind, key in keys.items():
            timed(f"sign_{kind}", lambda mail, key=key: signed(mail.raw, [key], now), built)
            timed(f"bare_{kind}", lambda _, key=key: _bare(key), built)
    ratios = {
        "sign_rsa_over_bare": _over(rounds["sign_rsa"], rounds["bare_rsa"]),
        "sign_ed25519_over_bare": _over(rounds["sign_ed25519"], rounds["bare_ed25519"]),
    }
    sums = [render + build for render, build in zip(rounds["render"], rounds["build"], strict=True)]
    return {
        "messages": SAMPLE,
        "steps": {name: _spread(found) for name, found in rounds.items()} | {"render_and_build": _spread(sums)},
        "ratios": {name: _spread(found) for name, found in ratios.items()},
    }


def _key(kind: str, folder: Path) -> SigningKey:
    return read_key(mails.make_key(kind, folder).read_bytes(), mails.DOMAIN, mails.SELECTOR)


def _bare(key: SigningKey) -> bytes:
    """The operation that no signer can do without."""
    if isinstance(key.private, rsa.RSAPrivateKey):
        return key.private.sign(DIGEST_INPUT, padding.PKCS1v15(), hashes.SHA256())
    return key.private.sign(DIGEST_INPUT[:32])


def _over(upper: Sequence[float], lower: Sequence[float]) -> list[float]:
    return [one / other for one, other in zip(upper, lower, strict=True)]


def _spread(found: Sequence[float]) -> Microseconds:
    return {"median": statistics.median(found), "min": min(found), "max": max(found)}
