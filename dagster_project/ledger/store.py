"""The ledger: one object, one transaction per call, one line per promise. The work is done in the files beside this one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

import pyarrow as pa

from dagster_project.ledger import (
    artifacts,
    calls,
    claims,
    controls,
    inbox,
    invariants,
    landing,
    policies,
    releases,
    repeats,
    reviews,
    story,
    ticks,
    trials,
    unknowns,
)
from dagster_project.ledger import messages as mail  # `messages` is what callers hand to `plan`
from dagster_project.ledger import sends as sent
from dagster_project.ledger.claims import Waiting
from dagster_project.ledger.database import Database, utc
from dagster_project.ledger.inbox import Inbox
from dagster_project.ledger.repeats import Standing
from dagster_project.ledger.reviews import Route
from dagster_project.ledger.rows import (
    Claim,
    Control,
    Drafted,
    GateRow,
    Message,
    Release,
    ReviewRow,
    ReviewVerdict,
    Suppression,
    TickRow,
    Tried,
    Turn,
)
from dagster_project.ledger.transitions import OPEN
from dagster_project.ledger.unknowns import Settlement, Unknown
from dagster_project.lifecycle.budget import Cost
from dagster_project.lifecycle.flow import Canary, Way
from dagster_project.lifecycle.message import Draft, PlannedMessage, Repeat, Result, Sending, State
from dagster_project.lifecycle.policy_versions import PolicyVersion
from dagster_project.lifecycle.prompt_canary import Fate
from dagster_project.lifecycle.roles.call import Answer, Question

if TYPE_CHECKING:
    from dagster_project.ledger.watch import Watch


def open_ledger(url: str, clock: Callable[[], datetime]) -> Ledger:
    """Open the ledger at this URL (`sqlite:///…` or `postgresql://…`), made or migrated to the newest schema as needed.

    `clock` gives the time at which things are recorded. InputError, in one line with the password masked, when the database cannot be
    reached or written, is not a ledger, or has a schema revision that this version doesn't know.
    """
    return Ledger(Database(url, clock))


class Ledger:
    """The record of effects. Every method is one transaction: done and recorded in the chain, or not done.

    `as_of` is the tick's time; when a thing was recorded is the clock's. InputError and Refusal leave everything as it was.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.url = database.url  # without its password

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._database.close()

    # --- ticks

    def begin_tick(self, run_id: str, as_of: datetime, source_pack: str) -> None:
        """InputError when a tick of this pack with a later `as_of` is recorded: history can't be sent again."""
        with self._database.write() as write:
            ticks.begin(write, run_id, utc(as_of), source_pack)

    def finish_tick(
        self,
        run_id: str,
        status: Literal["done", "stopped", "failed"],
        audience: Mapping[str, tuple[int, int]],
        summary: Mapping[str, Any],
    ) -> None:
        """Close the tick; `audience` is campaign → (candidates, sends)."""
        with self._database.write() as write:
            ticks.finish(write, run_id, status, audience, summary)

    def last_tick(self, source_pack: str | None = None) -> TickRow | None:
        """The tick with the latest `as_of`, of this pack or of any."""
        with self._database.read() as connection:
            return ticks.last(connection, source_pack)

    def tick(self, run_id: str) -> TickRow:
        """The tick that this run is; for a run that only delivers, the last tick. InputError when there is none."""
        with self._database.read() as connection:
            return ticks.of_run(connection, run_id)

    def last_audience(self, source_pack: str) -> dict[str, tuple[int, int]]:
        """campaign → (candidates, sends) of the last tick that was done."""
        with self._database.read() as connection:
            return ticks.last_audience(connection, source_pack)

    def left_all_as_it_was(self, run_id: str) -> bool:
        """Has neither this tick nor anybody since changed anything, and is no message on its way? Then its like finds the same."""
        with self._database.read() as connection:
            return ticks.left_all_as_it_was(connection, run_id)

    # --- messages

    def plan(self, messages: Sequence[PlannedMessage], run_id: str, as_of: datetime, source_pack: str) -> int:
        """Plan what isn't in the ledger yet; returns how many that were."""
        with self._database.write() as write:
            return mail.plan(write, messages, run_id, utc(as_of), source_pack)

    def cancel(self, reasons: Mapping[str, str], run_id: str | None, as_of: datetime, actor: str = "postrider") -> int:
        """message_id → reason. Cancels what is unsent and not in a worker's hands; returns how many that were."""
        with self._database.write() as write:
            return mail.cancel(write, reasons, run_id, utc(as_of), actor)

    def messages(
        self,
        states: Collection[State] | None = None,
        source_pack: str | None = None,
        message_ids: Collection[str] | None = None,
        user_id: str | None = None,
        since: datetime | None = None,
    ) -> list[Message]:
        """Messages by planned time and id; `since`: those that changed at or after this time of the clock."""
        with self._database.read() as connection:
            return mail.read_messages(
                connection,
                states=states,
                source_pack=source_pack,
                message_ids=message_ids,
                user_id=user_id,
                since=since,
            )

    # --- drafts

    def record_drafts(self, drafts: Sequence[Draft], run_id: str, as_of: datetime) -> int:
        """planned → drafted, or drafted anew; returns how many. A message that was routed keeps the draft it has."""
        with self._database.write() as write:
            return mail.record_drafts(write, drafts, run_id, utc(as_of))

    def drafts(
        self,
        message_ids: Collection[str] | None = None,
        source_pack: str | None = None,
        states: Collection[State] | None = OPEN,
    ) -> list[tuple[Message, Draft]]:
        """Messages with their current draft, by default those that may still go out."""
        with self._database.read() as connection:
            return mail.read_drafts(connection, message_ids=message_ids, source_pack=source_pack, states=states)

    def count_drafts(self, run_id: str) -> Counter[Drafted]:
        """How the current drafts that this run made were made, and how many of each."""
        with self._database.read() as connection:
            return mail.count_drafts(connection, run_id)

    def cautions(self, message_ids: Collection[str]) -> dict[str, str]:
        """message_id → why a person may have to see its draft, where there is something."""
        with self._database.read() as connection:
            return mail.cautions(connection, message_ids)

    def canary_fates(self, name: str, version: str) -> dict[str, Fate]:
        """pattern → what became of it, of those that this version of a canary of prompts or models has written."""
        with self._database.read() as connection:
            return trials.fates(connection, name, version)

    def tried(self) -> list[Tried]:
        """One per message whose draft was part of a canary, with what became of it."""
        with self._database.read() as connection:
            return trials.tried(connection)

    # --- reviews

    def route(
        self, routes: Mapping[str, Route], run_id: str, as_of: datetime, reasons: Mapping[str, str] | None = None
    ) -> dict[str, str]:
        """drafted → approved (by policy) or in_review, each for its reason. What another tick has routed stands; returned is message_id → what
        stands, where it is not what was asked."""
        with self._database.write() as write:
            return reviews.route(write, routes, run_id, utc(as_of), reasons or {})

    def review(
        self,
        message_id: str,
        verdict: Literal["approve", "reject"],
        reviewer: str,
        reason: str,
        draft_hash: str | None = None,
    ) -> None:
        """in_review → approved, or cancelled. Refusal when `draft_hash` is given and isn't the current draft's."""
        with self._database.write() as write:
            reviews.review(write, message_id, verdict, reviewer, reason, draft_hash)

    def edit(self, draft: Draft, editor: str, reason: str) -> None:
        """Replace the text of an in_review or approved message, which goes (back) into review; its release is void."""
        with self._database.write() as write:
            reviews.edit(write, draft, editor, reason)

    def reviews(
        self, message_ids: Collection[str] | None = None, state: ReviewVerdict | None = None
    ) -> list[ReviewRow]:
        """The review of each message's current draft; `state` is the review's: in_review, approved, rejected."""
        with self._database.read() as connection:
            return reviews.read(connection, message_ids, state)

    def approved_by_people(self) -> list[str]:
        """message_ids that a person has approved and that a delivery could send now."""
        with self._database.read() as connection:
            return reviews.approved_by_people(connection, self._database.now())

    # --- calls of a model

    def record_calls(self, run_id: str, calls_made: Sequence[tuple[str, Question, Answer]]) -> None:
        """What a model was asked, each with its key, and what came of it; whatever else fails, it has been paid for."""
        if calls_made:
            with self._database.write() as write:
                calls.record(write, run_id, calls_made)

    def answers(self, keys: Collection[str]) -> dict[str, Answer]:
        """key -> what a model has already answered to it."""
        with self._database.read() as connection:
            return calls.answers(connection, keys)

    def spent(self, run_id: str) -> dict[str, Cost]:
        """campaign_id -> what its calls of a model cost in one run."""
        with self._database.read() as connection:
            return calls.spent(connection, run_id)

    # --- gates and release

    def record_gate(
        self, run_id: str, as_of: datetime, stage: str, passed: bool, results: list[dict[str, Any]]
    ) -> None:
        with self._database.write() as write:
            releases.record_gate(write, run_id, utc(as_of), stage, passed, results)

    def gates(self, run_id: str) -> list[GateRow]:
        """All gate runs of one tick, in order."""
        with self._database.read() as connection:
            return releases.read_gates(connection, run_id)

    def release(
        self,
        run_id: str,
        as_of: datetime,
        source_pack: str,
        required_stages: Sequence[str],
        valid_for: timedelta,
        approver: str,
        held_back: Collection[str] = (),
        canary: Canary | None = None,
    ) -> Release:
        """Permit the pack's approved (and deferred) messages, but those held back, to go out until `valid_for` from now.

        Refusal, naming the stage, unless the latest run of each required gate passed within `valid_for`.
        """
        with self._database.write() as write:
            return releases.release(
                write, run_id, utc(as_of), source_pack, required_stages, valid_for, approver, held_back, canary
            )

    def withhold(self, message_ids: Collection[str]) -> None:
        """These may not leave under the release they have, not even from a worker's hands; a later one may name them again."""
        with self._database.write() as write:
            releases.withhold(write, message_ids)

    # --- deliver

    def turn(
        self,
        worker: str,
        results: Sequence[Result],
        sends: Sequence[Sending],
        as_of: datetime,
        limit: int,
        lease_seconds: float,
        source_pack: str | None = None,
        way: Way | None = None,
        is_again: bool = False,
    ) -> Turn:
        """A worker's turn: `record_outcomes` of its last group, `mark_sending` of the one it must send next, `claim` of the one
        after that. One commit instead of three, and a commit costs more than all else that a turn writes.

        `is_again`: the worker was not told how its first try ended. What it then claimed without knowing it gives back: by its name it
        would be extended for as long as the worker lives, and sent by nobody.
        """
        with self._database.write() as write:
            foreign, obstacles = sent.turn(write, results, sends, utc(as_of), way)
            if is_again:
                claims.release_claims(write, worker)
            leases = claims.claim(write, worker, limit, lease_seconds, source_pack, way)
        return Turn(foreign, obstacles, self._read_claims(leases))

    def claim(
        self, worker: str, limit: int, lease_seconds: float, source_pack: str | None = None, way: Way | None = None
    ) -> list[Claim]:
        """Up to `limit` released messages for this worker alone, until the lease expires; with a way out, within its limits."""
        with self._database.write() as write:
            leases = claims.claim(write, worker, limit, lease_seconds, source_pack, way)
        return self._read_claims(leases)

    def _read_claims(self, leases: Mapping[str, int]) -> list[Claim]:
        if not leases:
            return []
        with self._database.read() as connection:
            return claims.read_claims(connection, leases)

    def throttled_until(self, source_pack: str | None, way: Way) -> datetime | None:
        """When the limit that stands against the most urgent message opens; None when nothing waits for one."""
        with self._database.write() as write:
            return claims.throttled_until(write, source_pack, way)

    def mark_sending(self, sends: Sequence[Sending], as_of: datetime) -> dict[str, str]:
        """Commit to these sends; returns message_id → reason for those that must not go out. The caller must now make
        the others, once. Reasons: suppressed, expired (cancelled); killed, paused, not_released, release_expired,
        draft_changed, too_early, frequency_capped (approved again); refused (held by another worker, or somebody else's
        envelope)."""
        with self._database.write() as write:
            return sent.mark_sending(write, sends, utc(as_of))

    def record_outcomes(self, results: Sequence[Result], as_of: datetime, way: Way | None = None) -> list[str]:
        """sending → sent, rejected, deferred or unknown; `not_sent` → approved. Returns the ids of those that are no longer
        this worker's to tell: they are left as they are."""
        with self._database.write() as write:
            return sent.record_outcomes(write, results, utc(as_of), way)

    def extend_claims(self, worker: str, lease_seconds: float) -> int:
        """This worker is alive: what it holds is its own for so long. Gives up others' sends whose lease is over, as
        `unknown`; returns how many those were."""
        with self._database.write() as write:
            claims.extend_claims(write, worker, lease_seconds)
            return claims.doubt_lost(write)

    def waiting(self, source_pack: str | None = None) -> Waiting:
        """What is released but put off, and until when."""
        with self._database.read() as connection:
            return claims.waiting(connection, self._database.now(), source_pack)

    def watch(self) -> Watch:
        """Who asks it before each mail stops within that mail; to be used in a `with`."""
        from dagster_project.ledger.watch import Watch  # here: it brings psycopg, a twentieth of a short command

        return Watch(self._database)

    def release_claims(self, worker: str) -> int:
        """claimed → approved for what this worker holds and has not begun to send; returns how many."""
        with self._database.write() as write:
            return claims.release_claims(write, worker)

    # --- the in-app inbox

    def deliver_to_inbox(
        self, message_id: str, subject: str, text: str, html: str, expires_at: datetime | None = None
    ) -> bool:
        """Put a message that is being sent into its person's inbox; False when it was put before. Refusal when it can't ever be."""
        with self._database.write() as write:
            return inbox.deliver_to_inbox(write, message_id, subject, text, html, expires_at and utc(expires_at))

    def inbox(self, user_id: str, limit: int = 20) -> Inbox:
        """What this person can read now, the newest first."""
        with self._database.read() as connection:
            return inbox.read_inbox(connection, user_id, self._database.now(), limit)

    def mark_read(self, user_id: str, message_id: str) -> bool:
        """False when this person has no such message (any more)."""
        with self._database.write() as write:
            return inbox.mark_read(write, user_id, message_id)

    def taken_by_inbox(self, message_ids: Collection[str]) -> frozenset[str]:
        """Those of these messages that were ever put into an inbox, whatever became of them there."""
        with self._database.read() as connection:
            return inbox.put_among(connection, message_ids)

    def purge_inbox(self) -> int:
        """Delete what has expired; returns how many messages."""
        with self._database.write() as write:
            return inbox.purge_expired(write)

    # --- messages in doubt

    def unknown(self, source_pack: str | None = None) -> list[Unknown]:
        """Every message of which nobody knows whether it went out, with its evidence."""
        with self._database.read() as connection:
            return unknowns.list_unknown(connection, source_pack)

    def waiting_for(self) -> frozenset[str]:
        """Workers whose word on a message is still needed."""
        with self._database.read() as connection:
            return unknowns.waiting_for(connection)

    def settle(
        self,
        settlements: Mapping[str, Settlement],
        actor: str,
        evidence: str,
        as_of: datetime,
        leases: Mapping[str, int] | None = None,
    ) -> int:
        """message_id → what somebody knows of it; returns how many. Refusal when one of them is not in doubt; with the leases as they
        were when the evidence was read, what has moved on is left instead."""
        with self._database.write() as write:
            return unknowns.settle(write, settlements, actor, evidence, utc(as_of), leases)

    def standing(
        self, usable: Mapping[str, timedelta], source_pack: str | None, as_of: datetime
    ) -> dict[str, Standing]:
        """Every message in doubt: whether its request can be repeated by its key, and until when. `usable`: transport → for how
        long after the first attempt it is relied upon to know the key."""
        with self._database.write() as write:
            return {one.message_id: one for one in repeats.standing(write, usable, source_pack, utc(as_of))}

    def begin_repeats(
        self,
        worker: str,
        limit: int,
        lease_seconds: float,
        usable: Mapping[str, timedelta],
        source_pack: str | None,
        as_of: datetime,
        way: Way | None = None,
        message_ids: Collection[str] | None = None,
    ) -> list[Repeat]:
        """Commit to repeating the requests of up to `limit` messages in doubt that nothing stops, of these transports; the caller must
        now make them, each once and before its time is over."""
        with self._database.write() as write:
            return repeats.begin_repeats(
                write, worker, limit, lease_seconds, usable, source_pack, utc(as_of), way, message_ids
            )

    def record_repeats(self, results: Sequence[Result], as_of: datetime) -> list[str]:
        """unknown → sent or rejected, or still unknown. Returns the ids of those that were no longer this worker's to tell."""
        with self._database.write() as write:
            return repeats.record_repeats(write, results, utc(as_of))

    def next_repeat(self, usable: Mapping[str, timedelta], source_pack: str | None) -> datetime | None:
        """When the first message in doubt that can be repeated is due."""
        with self._database.read() as connection:
            return repeats.next_repeat(connection, self._database.now(), usable, source_pack)

    def clock_error(self) -> timedelta:
        """How far this process's clock is ahead of the database's, which is the same for all workers."""
        return self._database.clock_error()

    def settle_by_inbox(self, as_of: datetime) -> int:
        """unknown → sent or approved for what was on its way into the in-app inbox: it is there or not; returns how many."""
        with self._database.write() as write:
            return unknowns.settle_by_inbox(write, utc(as_of))

    # --- controls, suppressions

    def kill(self, actor: str, reason: str) -> bool:
        """Stop all sends. False when they were stopped already."""
        return self._control("kill", None, "on", actor, reason)

    def pause(self, campaign_id: str, actor: str, reason: str) -> bool:
        """Stop one campaign. False when it was paused already."""
        return self._control("pause", campaign_id, "on", actor, reason)

    def resume(self, campaign_id: str | None, actor: str, reason: str) -> bool:
        """Lift a campaign's pause, or with None the kill. False when there was nothing to lift."""
        return self._control("kill" if campaign_id is None else "pause", campaign_id, "off", actor, reason)

    def _control(self, name: str, campaign_id: str | None, value: str, actor: str, reason: str) -> bool:
        with self._database.write() as write:
            return controls.set_control(write, name, campaign_id, value, actor, reason)

    def controls(self) -> list[Control]:
        """The controls in force."""
        with self._database.read() as connection:
            return controls.in_force(connection)

    def suppress(
        self,
        *,
        reason: str,
        actor: str,
        user_id: str | None = None,
        address: str | None = None,
        message_type: str | None = None,
        channel: str | None = None,
    ) -> None:
        """Never mail this person (this message type, this channel; None: any) again. Holds for whatever isn't `sending` yet."""
        with self._database.write() as write:
            controls.suppress(
                write,
                reason=reason,
                actor=actor,
                user_id=user_id,
                address=address,
                message_type=message_type,
                channel=channel,
            )

    def suppressions(self) -> list[Suppression]:
        with self._database.read() as connection:
            return controls.read_suppressions(connection)

    # --- evidence

    def put_artifact(self, kind: str, name: str, content: bytes) -> str:
        """Store content under its SHA-256, which is returned."""
        with self._database.write() as write:
            return artifacts.put(write, kind, name, content)

    def put_artifacts(self, contents: Mapping[str, bytes]) -> None:
        """Store the parts of recipes; the keys are the hashes of the contents."""
        with self._database.write() as write:
            artifacts.store(write, contents)

    def artifact(self, hash: str) -> bytes:  # noqa: A002 - the word the caller uses
        """The content behind a hash; InputError when there is none."""
        with self._database.read() as connection:
            return artifacts.get(connection, hash)

    def record_policies(
        self,
        run_id: str,
        as_of: datetime,
        source_pack: str,
        documents: Mapping[str, bytes],
        templates: Mapping[str, bytes],
    ) -> None:
        """What this tick decides by: campaign → the text of its policy, and by hash what these texts refer to."""
        with self._database.write() as write:
            policies.record(write, run_id, utc(as_of), source_pack, documents, templates)

    def policy_history(self, source_pack: str) -> list[PolicyVersion]:
        """Every version of every campaign's policy that a tick of this pack decided by, by campaign and number."""
        with self._database.read() as connection:
            return policies.history(connection, source_pack)

    def story(self, message_id: str) -> dict[str, Any]:
        """All that is known of one message, JSON-able."""
        with self._database.snapshot() as connection:
            return story.tell(connection, message_id)

    def land(self, source_pack: str) -> dict[str, pa.Table]:
        """The ledger's own raw tables, for the warehouse."""
        with self._database.snapshot() as connection:
            return landing.land(connection, source_pack)

    def deliveries(self, source_pack: str) -> pa.Table:
        """One row per message ever planned of this pack."""
        with self._database.read() as connection:
            return landing.deliveries(connection, source_pack, self._database.now())

    def verify(self, accepted: Mapping[str, int] | None = None) -> dict[str, Any]:
        """Recompute the chain and check the invariants; `accepted` is a sink's own count of messages per message_id."""
        with self._database.snapshot() as connection:
            return invariants.verify(connection, accepted)
