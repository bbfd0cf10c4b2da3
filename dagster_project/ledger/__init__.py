"""The record of effects: what happened to every message, provably."""

from dagster_project.ledger.rows import (
    Claim,
    Control,
    GateRow,
    Message,
    Release,
    ReviewRow,
    Suppression,
    TickRow,
)
from dagster_project.ledger.store import Ledger, open_ledger
from dagster_project.ledger.unknowns import Unknown

__all__ = [
    "Claim",
    "Control",
    "GateRow",
    "Ledger",
    "Message",
    "Release",
    "ReviewRow",
    "Suppression",
    "TickRow",
    "Unknown",
    "open_ledger",
]
