"""The figures of `deliver.py` as Markdown, with what a reader must know to judge them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bench import machine
from bench.results import table as table_of
from bench.results import told

HEAD = (
    "case",
    "messages",
    "msg/s",
    "msg/s, workers running",
    "of smtp-source",
    "CPU µs per mail",
    "sink's CPU",
    "peak MiB",
)
STEPS = {
    "render": "render",
    "draft": "draft: render, link, hashes",
    "build": "build and read back",
    "render_and_build": "render + build",
    "sign_rsa": "sign, RSA-2048",
    "bare_rsa": "the bare RSA-2048 operation",
    "sign_ed25519": "sign, Ed25519",
    "bare_ed25519": "the bare Ed25519 operation",
}
SETTING = """\
{repetitions} repetitions, all cases interleaved, median [least to most]; a ratio is taken within its repetition. {workers} workers with one
connection each. Mails of {octets:,} octets on average, from the project's own templates; smtp-source sends as many octets. Sink: {sink}, on
the loopback, one for all unless said otherwise."""
NOTES = """\
`msg/s` counts the whole call with the start of the worker processes, `workers running` from the first claim on. CPU is that of all workers,
their start included; the sink is one process: where its CPU fills the time, the sink is the limit. Peak memory is that of the largest
worker; of `prepare`, of its process. The naive script's rate comes from {naive} mails ({naive_dkimpy} with dkimpy) and is compared per
mail: its times for a whole audience are scaled, not run. The whole job begins with the plan; selecting the audience is in neither figure.
The slow way takes {rtt_ms:.0f} ms there and back and ends in STARTTLS; 451 is said to {refused}. aiosmtplib has as many connections as we
have workers, and neither builds, nor signs, nor keeps a ledger."""


def markdown(document: Mapping[str, Any], titles: Mapping[str, str]) -> str:
    """All tables; `titles` is case to its title."""
    settings = document["settings"]
    pieces = [
        f"{machine.sentence(document['machine'])}.",
        SETTING.format(**settings),
        table_of(HEAD, [_row(titles[name], found) for name, found in document["summary"].items() if name != "micro"]),
        table_of(
            ("goal", "asked", "found"),
            [(one["goal"], one["asked"], _with_unit(one["found"], one["unit"])) for one in document["goals"]],
        ),
    ]
    if steps := document["steps_us"]:
        rows = [(title, told(steps[name])) for name, title in STEPS.items() if name in steps]
        pieces.append(table_of(("step of one mail, one process", "µs"), rows))
    for name, title in (("alone", "one worker alone"), ("shares", f"{settings['workers']} workers")):
        if parts := document["parts_us"][name]:
            head = (f"part of the delivery loop, {title}", "µs per mail, waiting included")
            pieces.append(table_of(head, [(part, told(found)) for part, found in parts.items()]))
    return "\n\n".join([*pieces, NOTES.format(**settings)])


def _row(title: str, found: Mapping[str, Any]) -> tuple[str, ...]:
    if "skipped" in found:
        return (title, "-", f"skipped: {found['skipped']}", *["-"] * (len(HEAD) - 3))
    return (
        title,
        f"{found['messages']:,}",
        told(found.get("per_second")),
        told(found.get("per_second_in_loop")),
        told(found.get("of_smtp_source"), 2),
        told(found.get("cpu_us")),
        told(found.get("sink_cpu_us")),
        told(found.get("peak_rss_mib")),
    )


def _with_unit(found: Mapping[str, float] | None, unit: str) -> str:
    return f"{told(dict(found), 2 if unit == 'x' else 1)} {unit}" if found else "not run"
