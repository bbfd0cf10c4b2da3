"""The eleven invariants, each a check over what is stored. A check that finds nothing wrong says how much it looked at."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
import sqlalchemy.exc

from dagster_project.ledger import evidence
from dagster_project.ledger.book import Book, read_book
from dagster_project.ledger.caps import COUNTED
from dagster_project.ledger.chain import verify_chain
from dagster_project.ledger.releases import audience_hash, drafts_hash, release_payload
from dagster_project.ledger.schema import attempt_evidence
from dagster_project.ledger.transitions import LEGAL_MOVES
from dagster_project.lifecycle.caps import opens_at, read_caps

Finding = tuple[int, list[str]]  # how many things were checked, what is wrong with which
IN_FLIGHT = ("sending", "unknown")

SENTENCES = {
    "I1": "every message is in exactly one state, the one its events lead to",
    "I2": "no message went out twice",
    "I3": "sent implies accepted, rejected implies not",
    "I4": "every message in flight or unknown has one unfinished attempt",
    "I5": "nothing went out to a person whose suppression was there before",
    "I6": "no write under a stale lease",
    "I7": "nothing went out without a release on passing gates",
    "I8": "the stored bytes are the bytes that were sent, and say what was approved",
    "I9": "every message that went out has its whole lineage",
    "I10": "a restart can go on with every open message",
    "I11": "nobody was sent more messages than the caps of the last one allow",
}


def verify(connection: sa.Connection, accepted: Mapping[str, int] | None) -> dict[str, Any]:
    """`{"ok", "chain": {"events", "ok", "broken_at", "detail", "head"}, "invariants": [{"id", "ok", "checked", "detail"}]}`."""
    chain = verify_chain(connection)
    told = {
        "events": chain.events,
        "ok": chain.ok,
        "broken_at": chain.broken_at,
        "detail": chain.detail,
        "head": chain.head,
    }
    try:
        book = read_book(connection)
        findings = _check_all(connection, book, accepted)
    except (sqlalchemy.exc.DBAPIError, ValueError, TypeError) as error:
        # Altered rows can be unreadable in any way; the answer is still an answer.
        findings = {name: (0, [f"not checked, the ledger cannot be read: {_line(error)}"]) for name in SENTENCES}
    invariants = [
        {"id": name, "ok": not wrong, "checked": checked, "detail": _detail(name, wrong)}
        for name, (checked, wrong) in findings.items()
    ]
    return {"ok": chain.ok and all(one["ok"] for one in invariants), "chain": told, "invariants": invariants}


def _line(error: Exception) -> str:
    return (str(getattr(error, "orig", None) or error).splitlines() or [type(error).__name__])[0]


EXAMPLES = 5  # a detail is one line


def _detail(name: str, wrong: list[str]) -> str:
    if not wrong:
        return SENTENCES[name]
    more = len(wrong) - EXAMPLES
    return "; ".join(wrong[:EXAMPLES]) + (f"; and {more} more" if more > 0 else "")


def _check_all(connection: sa.Connection, book: Book, accepted: Mapping[str, int] | None) -> dict[str, Finding]:
    checks: dict[str, Callable[[], Finding]] = {
        "I1": lambda: _one_state(book),
        "I2": lambda: _never_twice(book, accepted),
        "I3": lambda: _sent_is_accepted(book, accepted),
        "I4": lambda: _in_flight(book),
        "I5": lambda: _suppressed(book),
        "I6": lambda: _leases(book),
        "I7": lambda: _released(book),
        "I8": lambda: evidence.bytes_hold(connection, book),
        "I9": lambda: evidence.lineage(connection, book),
        "I10": lambda: _resumable(connection, book),
        "I11": lambda: _capped(book),
    }
    return {name: check() for name, check in checks.items()}


def _one_state(book: Book) -> Finding:
    """Replays every message's events and compares the result with its row."""
    wrong = [f"events name message {one}, which is missing" for one in book.by_message.keys() - book.messages.keys()]
    for message_id, row in book.messages.items():
        state, draft, lease, attempts = None, None, 0, 0
        for event in book.by_message.get(message_id, []):
            if event["to_state"] is None:
                continue
            legal = {"planned"} if state is None else LEGAL_MOVES.get(state, frozenset())
            if event["from_state"] != state or event["to_state"] not in legal:
                wrong.append(f"event {event['seq']} moves {message_id} {event['from_state']} → {event['to_state']}")
            state = event["to_state"]
            lease = event["lease"] or 0
            if event["kind"] in ("drafted", "edited"):
                draft = event["payload"].get("draft_hash")
            attempts += event["kind"] == "sending"
        stored = (row["state"], row["draft_hash"], row["lease"], row["attempts"])
        if stored != (state, draft, lease, attempts):
            wrong.append(
                f"{message_id} is stored as {row['state']}, its events say {state} (or draft, lease, attempts differ)"
            )
    for release_id, members in book.members.items():
        wrong += [
            f"release {release_id} names {one}, which is missing" for one in members.keys() - book.messages.keys()
        ]
    return len(book.messages), wrong


def _never_twice(book: Book, accepted: Mapping[str, int] | None) -> Finding:
    """After an attempt that went out, or may have, there is no other; and the sink took each at most once."""
    wrong, resent = [], _resent(book)
    for message_id, attempts in book.attempts.items():
        for earlier, later in itertools.pairwise(attempts):
            if earlier["outcome"] not in ("not_sent", "deferred") and earlier["attempt"] not in resent[message_id]:
                wrong.append(
                    f"{message_id}: attempt {later['attempt']} follows one whose outcome is {earlier['outcome'] or 'open'}"
                )
        if [one["attempt"] for one in attempts] != list(range(1, len(attempts) + 1)):
            wrong.append(f"{message_id}: its attempts are not numbered 1 to {len(attempts)}")
    wrong += [
        f"{one} was accepted {times} times" for one, times in (accepted or {}).items() if times > 1 + len(resent[one])
    ]
    return len(book.attempts) + len(accepted or {}), wrong


def _resent(book: Book) -> Mapping[str, set[int]]:
    """message_id → attempts after which an operator, or the campaign's policy, chose to send again all the same."""
    found: dict[str, set[int]] = defaultdict(set)
    for event in book.events:
        if event["kind"] == "settled" and event["payload"].get("settled") == "resend":
            found[event["message_id"]].add(event["payload"]["attempt"])
    return found


def _sent_is_accepted(book: Book, accepted: Mapping[str, int] | None) -> Finding:
    """A message's state says what its last attempt says; with the sink's record, also what the sink says."""
    wrong, checked, resent = [], 0, _resent(book)
    state_of = {"sent": "sent", "rejected": "rejected", "unknown": "unknown", None: "sending"}
    for message_id, row in book.messages.items():
        attempts = book.attempts.get(message_id, [])
        last = attempts[-1]["outcome"] if attempts else "no attempt"
        if attempts and attempts[-1]["attempt"] in resent[message_id]:
            last = "not_sent"  # by the word of whoever chose so
        checked += 1
        says = state_of.get(last)
        if (says is not None and row["state"] != says) or (says is None and row["state"] in state_of.values()):
            wrong.append(f"{message_id} is {row['state']}, its last attempt says {last}")
        if (row["state"] == "sent") != (row["sent_as_of"] is not None):
            wrong.append(f"{message_id} is {row['state']} with sent_as_of {row['sent_as_of']}")
        taken = 0 if accepted is None else accepted.get(message_id, 0)
        if (
            accepted is not None
            and row["state"] not in IN_FLIGHT
            and not resent[message_id]
            and (taken > 0) != (row["state"] == "sent")
        ):
            wrong.append(f"{message_id} is {row['state']}, the sink accepted it {taken} times")
    wrong += [
        f"the sink accepted {one}, which the ledger doesn't know"
        for one in (accepted or {})
        if one not in book.messages
    ]
    return checked, wrong


def _in_flight(book: Book) -> Finding:
    """Unknowns cannot be more than sends that were cut off: each has its own attempt, the last, without a definite outcome."""
    wrong, checked = [], 0
    for message_id, row in book.messages.items():
        if row["state"] not in IN_FLIGHT:
            continue
        checked += 1
        attempts = book.attempts.get(message_id, [])
        unfinished = [one for one in attempts if one["outcome"] in (None, "unknown")]
        if len(unfinished) != 1 or unfinished[0] is not attempts[-1] or unfinished[0]["lease"] != row["lease"]:
            wrong.append(f"{message_id} is {row['state']} with {len(unfinished)} unfinished attempts")
    return checked, wrong


def _suppressed(book: Book) -> Finding:
    """The chain numbers events in commit order, so a suppression with a smaller seq than a `sending` was there before it."""
    by_user: dict[str, list[Mapping[str, Any]]] = {}
    by_address: dict[str, list[Mapping[str, Any]]] = {}
    for row in book.suppressions:
        if row["user_id"] is not None:
            by_user.setdefault(row["user_id"], []).append(row)
        if row["address_key"] is not None:
            by_address.setdefault(row["address_key"], []).append(row)
    wrong, checked = [], 0
    for event in _sendings(book):
        message = book.messages.get(event["message_id"])
        if message is None:
            continue
        checked += 1
        address = book.recipients.get(event["message_id"], {}).get("address_key")
        for row in by_user.get(message["user_id"], []) + by_address.get(address or "", []):
            covers = row["message_type"] in (None, message["message_type"]) and row["channel"] in (
                None,
                message["channel"],
            )
            if covers and row["seq"] < event["seq"]:
                wrong.append(
                    f"{event['message_id']} went out (event {event['seq']}) after suppression {row['suppression_id']}"
                )
    return checked, wrong


def _sendings(book: Book) -> Iterable[dict[str, Any]]:
    """Every event after which bytes left: a repeat may be the first delivery."""
    return (event for event in book.events if event["kind"] in ("sending", "repeating"))


def _leases(book: Book) -> Finding:
    """Leases grow over the whole ledger, and whatever follows a claim or a repeat carries its lease."""
    wrong, checked, highest = [], 0, 0
    current: dict[str, int] = {}
    for event in book.events:
        if event["kind"] in ("claimed", "repeating"):
            checked += 1
            if (event["lease"] or 0) <= highest:
                wrong.append(
                    f"event {event['seq']} begins under lease {event['lease']}, {highest} was given out before"
                )
            highest = max(highest, event["lease"] or 0)
            current[event["message_id"]] = event["lease"]
        elif event["from_state"] in ("claimed", "sending") or event["kind"] == "repeated":
            checked += 1
            if event["lease"] != current.get(event["message_id"]):
                wrong.append(
                    f"event {event['seq']} writes under lease {event['lease']}, {current.get(event['message_id'])} holds"
                )
    return checked, wrong


def _released(book: Book) -> Finding:
    """Recomputes each release's hashes, looks at its gates again, and holds each `sending` against its release."""
    wrong = []
    made = {event["payload"].get("release_id"): event for event in book.events if event["kind"] == "released"}
    for release_id, row in book.releases.items():
        event, members = made.get(release_id), book.members.get(release_id, {})
        passed = evidence.json_of(row["gates"])
        if event is None or evidence.plain(release_payload(row, passed)) != event["payload"]:
            wrong.append(f"release {release_id} is not as it was recorded")
            continue
        if (row["audience_hash"], row["drafts_hash"]) != (audience_hash(members), drafts_hash(members)):
            wrong.append(f"release {release_id} holds other messages or drafts than were released")
        for stage, seq in passed.items():
            gate = book.gates.get(seq)
            if gate is None or gate["stage"] != stage or not gate["passed"] or seq > event["seq"]:
                wrong.append(f"release {release_id} rests on gate {stage}, which did not pass")
    checked = len(book.releases)
    for event in _sendings(book):
        checked += 1
        told = event["payload"]
        release = made.get(told.get("release_id"))
        member = book.members.get(told.get("release_id") or "", {}).get(event["message_id"])
        if release is None or release["seq"] > event["seq"] or member is None or member != told.get("draft_hash"):
            wrong.append(f"{event['message_id']} went out (event {event['seq']}) without a release of that draft")
        elif event["recorded_at"] >= release["payload"]["expires_at"]:
            wrong.append(f"{event['message_id']} went out (event {event['seq']}) after its release expired")
    return checked, wrong


def _resumable(connection: sa.Connection, book: Book) -> Finding:
    """What the next worker needs is there: a lease end for a claim, a draft for what is past `planned`, bytes for what is in flight."""
    raw = {
        (row.message_id, row.attempt)
        for row in connection.execute(sa.select(attempt_evidence.c.message_id, attempt_evidence.c.attempt))
    }
    wrong, checked = [], 0
    for message_id, row in book.messages.items():
        state = row["state"]
        if state in ("sent", "rejected", "cancelled"):
            continue
        checked += 1
        if state == "claimed" and (row["lease_expires_at"] is None or row["lease_owner"] is None):
            wrong.append(f"{message_id} is claimed without an owner or an end")
        if state != "planned" and row["draft_hash"] is None:
            wrong.append(f"{message_id} is {state} without a draft")
        if state in ("in_review", "approved") and (message_id, row["draft_revision"]) not in book.reviews:
            wrong.append(f"{message_id} is {state} without a review")
        if state in IN_FLIGHT and (message_id, row["attempts"]) not in raw and message_id not in book.erased:
            wrong.append(f"{message_id} is {state} and its bytes are missing")
        if message_id not in book.recipients and message_id not in book.erased:
            wrong.append(f"{message_id} has no recipient")
    return checked, wrong


def _capped(book: Book) -> Finding:
    """Goes through the events in the order of their commits: whoever is sent a message then has had less than its caps allow.
    Caps and people are those of the plan, as the chain has them."""
    planned: dict[str, Mapping[str, Any]] = {}
    sent: dict[tuple[str, str], dict[str, datetime]] = defaultdict(dict)  # (pack, person) → message → when it left
    wrong, checked = [], 0
    for event in book.events:
        message_id, told = event["message_id"], event["payload"]
        if event["kind"] == "planned":
            planned[message_id] = told
        about = planned.get(message_id, {})
        if about.get("caps") is None:
            continue
        earlier = sent[about["source_pack"], about["user_id"]]
        if event["kind"] == "sending":
            checked += 1
            as_of = datetime.fromisoformat(event["as_of"])
            if opens_at(read_caps(about["caps"]), earlier.values(), as_of):
                wrong.append(f"{message_id} went out (event {event['seq']}) over a cap of {about['caps']}")
            earlier[message_id] = as_of
        elif event["to_state"] is not None and event["to_state"] not in COUNTED:
            earlier.pop(message_id, None)
    return checked, wrong
