"""The tables of the ledger. The migrations build them; a test proves that the two agree.

Three sorts of table:

- **state**: `messages`, `ticks`, `releases`, … ids, hashes and machine words only, one row per thing;
- **chain**: `events`, append-only and hash-chained, with `chain_head` naming its end;
- **erasable**: `recipients`, `drafts`, `attempt_evidence`, … whatever may hold personal data or a person's free text. Their
  rows carry a random `salt` and the `seq` of the event that holds `commitment(salt, row)`: the chain proves the row, yet once the
  row is erased nothing can be guessed from the chain (a plain hash of an address could).
"""

from __future__ import annotations

import sqlalchemy as sa

HEAD_REVISION = "0009"  # newest migration; opening a ledger at it does not need to load Alembic
VERSION_TABLE = "ledger_revision"  # not Alembic's default name: another program's version table is no ledger

metadata = sa.MetaData()


def _evidence() -> tuple[sa.Column[str], sa.Column[int]]:
    """The two columns that tie an erasable row to its event."""
    return sa.Column("salt", sa.Text, nullable=False), sa.Column("seq", sa.BigInteger, nullable=False)


chain_head = sa.Table(
    "chain_head",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Column("lease", sa.BigInteger, nullable=False),  # last lease given out
    sa.CheckConstraint("id = 1", name="chain_head_is_one_row"),
)

# Times are ISO text here: what is hashed is what is stored, whatever a driver makes of its timestamps.
events = sa.Table(
    "events",
    metadata,
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("message_id", sa.Text),
    sa.Column("campaign_id", sa.Text),
    sa.Column("run_id", sa.Text),
    sa.Column("as_of", sa.Text),
    sa.Column("from_state", sa.Text),
    sa.Column("to_state", sa.Text),
    sa.Column("reason", sa.Text),  # a machine word, never free text
    sa.Column("lease", sa.BigInteger),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("payload", sa.Text, nullable=False),  # canonical JSON: ids, hashes, counts
    sa.Column("recorded_at", sa.Text, nullable=False),
    sa.Column("prev_hash", sa.Text, nullable=False),
    sa.Column("hash", sa.Text, nullable=False),
    sa.Index("events_by_message", "message_id", "seq"),
)

ticks = sa.Table(
    "ticks",
    metadata,
    sa.Column("run_id", sa.Text, primary_key=True),
    sa.Column("source_pack", sa.Text, nullable=False),
    sa.Column("as_of", sa.DateTime, nullable=False),
    sa.Column("status", sa.Text, nullable=False),  # running | done | stopped | failed
    sa.Column("summary", sa.Text, nullable=False),  # JSON
    sa.Column("started_at", sa.DateTime, nullable=False),
    sa.Column("finished_at", sa.DateTime),
    sa.Index("ticks_by_pack", "source_pack", "as_of"),
)

tick_audience = sa.Table(
    "tick_audience",
    metadata,
    sa.Column("run_id", sa.Text, sa.ForeignKey("ticks.run_id"), primary_key=True),
    sa.Column("campaign_id", sa.Text, primary_key=True),
    sa.Column("candidates", sa.BigInteger, nullable=False),
    sa.Column("sends", sa.BigInteger, nullable=False),
)

messages = sa.Table(
    "messages",
    metadata,
    sa.Column("message_id", sa.Text, primary_key=True),
    sa.Column("source_pack", sa.Text, nullable=False),
    sa.Column("campaign_id", sa.Text, nullable=False),
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column("account_id", sa.Text),
    sa.Column("occurrence_key", sa.Text, nullable=False),
    sa.Column("decision_id", sa.Text, nullable=False),
    sa.Column("policy_hash", sa.Text, nullable=False),
    sa.Column("message_type", sa.Text, nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("variant", sa.Text, nullable=False),
    sa.Column("locale", sa.Text),
    sa.Column("send_after", sa.DateTime),
    sa.Column("send_before", sa.DateTime),
    sa.Column("caps", sa.Text),  # JSON list of [messages, hours]; null: neither capped nor counted
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("state_reason", sa.Text),
    sa.Column("lease", sa.BigInteger, nullable=False),  # of the last claim; 0 before the first
    sa.Column("lease_owner", sa.Text),
    sa.Column("lease_expires_at", sa.DateTime),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("retry_at", sa.DateTime),  # within one release; a new release may try at once
    sa.Column("draft_revision", sa.Integer, nullable=False),  # of the current draft; 0 before the first
    sa.Column("draft_hash", sa.Text),
    sa.Column("recipe_id", sa.Text),
    sa.Column("release_id", sa.Text, sa.ForeignKey("releases.release_id")),  # null: not released, or release void
    sa.Column("run_id", sa.Text, nullable=False),  # the tick that planned it
    sa.Column("planned_as_of", sa.DateTime, nullable=False),
    sa.Column("sent_as_of", sa.DateTime),
    sa.Column("state_as_of", sa.DateTime, nullable=False),  # the tick of the last change of state
    sa.Column("updated_at", sa.DateTime, nullable=False),
    sa.Index("messages_due", "state", "send_before", "planned_as_of", "message_id"),
    sa.Index("messages_by_pack", "source_pack", "message_id"),
    sa.Index("messages_leased", "state", "lease_expires_at"),  # or each claim looks at every row that is claimed
    sa.Index("messages_by_user", "user_id"),
)

recipients = sa.Table(
    "recipients",
    metadata,
    sa.Column("message_id", sa.Text, sa.ForeignKey("messages.message_id"), primary_key=True),
    sa.Column("email", sa.Text, nullable=False),
    sa.Column("address_key", sa.Text, nullable=False),  # what suppressions are compared with
    sa.Column("domain", sa.Text, nullable=False, server_default=""),  # of the key: limits count per domain
    sa.Column("facts", sa.Text, nullable=False),  # JSON
    *_evidence(),
)

drafts = sa.Table(
    "drafts",
    metadata,
    sa.Column("message_id", sa.Text, sa.ForeignKey("messages.message_id"), primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("draft_hash", sa.Text, nullable=False),
    sa.Column("recipe_id", sa.Text, nullable=False),
    sa.Column("mode", sa.Text, nullable=False),
    sa.Column("mode_asked", sa.Text, nullable=False),
    sa.Column("fallback_reason", sa.Text),
    sa.Column("locale", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("preheader", sa.Text, nullable=False),
    sa.Column("html", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("unsubscribe_url", sa.Text),
    sa.Column("author", sa.Text, nullable=False),
    sa.Column("edit_reason", sa.Text),
    sa.Column("run_id", sa.Text),
    sa.Column("as_of", sa.DateTime),
    sa.Column("recorded_at", sa.DateTime, nullable=False),
    *_evidence(),
    sa.Column("caution", sa.Text),  # why a person may have to see it: doubt:… | repaired | objected
    sa.Column("trial", sa.Text),  # JSON: the canary of prompts or models that its pattern took part in; null: none
    # With all that a run reads of earlier ones, for a row of drafts has 15 kB.
    sa.Index(
        "drafts_by_trial",
        "trial",
        "fallback_reason",
        "caution",
        sqlite_where=sa.text("trial is not null"),
        postgresql_where=sa.text("trial is not null"),
    ),
)

reviews = sa.Table(
    "reviews",
    metadata,
    sa.Column("message_id", sa.Text, sa.ForeignKey("messages.message_id"), primary_key=True),
    sa.Column("revision", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("draft_hash", sa.Text, nullable=False),
    sa.Column("verdict", sa.Text, nullable=False),  # in_review | approved | rejected
    sa.Column("reviewer", sa.Text),
    sa.Column("reason", sa.Text),
    sa.Column("reviewed_at", sa.DateTime),
    sa.Column("run_id", sa.Text),
    sa.Column("as_of", sa.DateTime),
    sa.Column("requested_at", sa.DateTime, nullable=False),
    *_evidence(),
    sa.Column("route_reason", sa.Text),  # why it went to a person or not; null: routed before this was kept, or edited
    sa.Index("reviews_by_verdict", "verdict"),
)

gates = sa.Table(
    "gates",
    metadata,
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("source_pack", sa.Text),  # of the tick; null when the gate ran outside one
    sa.Column("as_of", sa.DateTime, nullable=False),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("passed", sa.Boolean, nullable=False),
    sa.Column("results", sa.Text, nullable=False),  # JSON; may hold example keys
    sa.Column("recorded_at", sa.DateTime, nullable=False),
    sa.Column("salt", sa.Text, nullable=False),
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    sa.Index("gates_by_stage", "stage", "seq"),
)

releases = sa.Table(
    "releases",
    metadata,
    sa.Column("release_id", sa.Text, primary_key=True),
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("source_pack", sa.Text, nullable=False),
    sa.Column("as_of", sa.DateTime, nullable=False),
    sa.Column("count", sa.BigInteger, nullable=False),
    sa.Column("audience_hash", sa.Text, nullable=False),
    sa.Column("drafts_hash", sa.Text, nullable=False),
    sa.Column("gates", sa.Text, nullable=False),  # JSON: stage -> seq of the gate run that counted
    sa.Column("approver", sa.Text, nullable=False),
    sa.Column("recorded_at", sa.DateTime, nullable=False),
    sa.Column("expires_at", sa.DateTime, nullable=False),
    sa.Column("seq", sa.BigInteger, nullable=False),
)

release_members = sa.Table(
    "release_members",
    metadata,
    sa.Column("release_id", sa.Text, sa.ForeignKey("releases.release_id"), primary_key=True),
    sa.Column("message_id", sa.Text, sa.ForeignKey("messages.message_id"), primary_key=True),
    sa.Column("draft_hash", sa.Text, nullable=False),
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("message_id", sa.Text, sa.ForeignKey("messages.message_id"), primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),  # 1, 2, …
    sa.Column("lease", sa.BigInteger, nullable=False),  # under which its outcome is told; a repeat takes a new one
    sa.Column("worker", sa.Text, nullable=False),
    sa.Column("release_id", sa.Text, nullable=False),
    sa.Column("draft_hash", sa.Text, nullable=False),
    sa.Column("raw_hash", sa.Text, nullable=False),
    sa.Column("as_of", sa.DateTime, nullable=False),
    sa.Column("started_at", sa.DateTime, nullable=False),
    sa.Column("outcome", sa.Text),  # null while the send is in flight
    sa.Column("finished_at", sa.DateTime),
    sa.Column("transport", sa.Text),  # null: with a backup channel, until its outcome says which of the two it was
    sa.Column("idempotency_key", sa.Text),  # null: none that the other side could be relied upon to know
)

attempt_evidence = sa.Table(
    "attempt_evidence",
    metadata,
    sa.Column("message_id", sa.Text, primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("mail_from", sa.Text, nullable=False),
    sa.Column("rcpt_to", sa.Text, nullable=False),
    sa.Column("raw", sa.LargeBinary, nullable=False),
    *_evidence(),
    sa.ForeignKeyConstraint(["message_id", "attempt"], ["attempts.message_id", "attempts.attempt"]),
)

# Beside the bytes and not in their row: whatever changes in such a row, SQLite writes all 15 kB of it again. The newest of an
# attempt counts; earlier ones (in doubt, then settled) stay.
attempt_outcomes = sa.Table(
    "attempt_outcomes",
    metadata,
    sa.Column("message_id", sa.Text, primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("outcome", sa.Text, nullable=False),
    sa.Column("detail", sa.Text),  # the server's words, which often repeat the address
    sa.Column("provider_id", sa.Text),
    sa.Column("salt", sa.Text, nullable=False),
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.ForeignKeyConstraint(["message_id", "attempt"], ["attempts.message_id", "attempts.attempt"]),
)

# What the in-app inbox shows. `read_at` is the reader's own and outside the commitment; expired rows are purged.
inbox = sa.Table(
    "inbox",
    metadata,
    sa.Column("message_id", sa.Text, sa.ForeignKey("messages.message_id"), primary_key=True),
    sa.Column("user_id", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("html", sa.Text, nullable=False),
    sa.Column("cta_url", sa.Text),  # the link to follow, where one was found
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("expires_at", sa.DateTime, nullable=False),
    sa.Column("read_at", sa.DateTime),
    *_evidence(),
    sa.Index("inbox_by_user", "user_id", "created_at"),
    sa.Index("inbox_by_expiry", "expires_at"),
)

# A log, not a switchboard: in force is the newest row per name and campaign, unless its value is 'off'.
controls = sa.Table(
    "controls",
    metadata,
    sa.Column("name", sa.Text, nullable=False),  # kill | pause | rollout
    sa.Column("campaign_id", sa.Text),  # null: all campaigns
    sa.Column("value", sa.Text, nullable=False),  # on | off | a number
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("set_at", sa.DateTime, nullable=False),
    sa.Column("salt", sa.Text, nullable=False),
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
)

# What workers share of the flow: counts and pauses of minutes and hours. No evidence, so not in the chain.
quotas = sa.Table(
    "quotas",
    metadata,
    sa.Column("scope", sa.Text, primary_key=True),  # channel:smtp | domain:gmail.com | warm_up:<ours>:<theirs>
    sa.Column("period", sa.Text, primary_key=True),  # second | minute | hour | day
    sa.Column("started_at", sa.DateTime, nullable=False),
    sa.Column("used", sa.BigInteger, nullable=False),
)

holds = sa.Table(
    "holds",
    metadata,
    sa.Column("scope", sa.Text, primary_key=True),
    sa.Column("until", sa.DateTime, nullable=False),
    sa.Column("reason", sa.Text, nullable=False),
)

canaries = sa.Table(
    "canaries",
    metadata,
    sa.Column("release_id", sa.Text, sa.ForeignKey("releases.release_id"), primary_key=True),
    sa.Column("campaign_id", sa.Text, primary_key=True),
    sa.Column("size", sa.BigInteger, nullable=False),
    sa.Column("let_out", sa.BigInteger, nullable=False),
    sa.Column("begun_at", sa.DateTime, nullable=False),  # once all are out: when the last of them was
    sa.Column("verdict", sa.Text),  # null: still watched | passed | failed
)

tallies = sa.Table(
    "tallies",
    metadata,
    sa.Column("scope", sa.Text, primary_key=True),  # campaign:<id> | domain:<name>
    sa.Column("day", sa.Date, primary_key=True),
    sa.Column("sent", sa.BigInteger, nullable=False),
    sa.Column("rejected", sa.BigInteger, nullable=False),
    sa.Column("deferred", sa.BigInteger, nullable=False),
    sa.Column("unknown", sa.BigInteger, nullable=False),
    sa.Column("complained", sa.BigInteger, nullable=False),
    sa.Column("failures_in_a_row", sa.BigInteger, nullable=False),
)

suppressions = sa.Table(
    "suppressions",
    metadata,
    sa.Column("suppression_id", sa.Text, primary_key=True),
    sa.Column("user_id", sa.Text),
    sa.Column("address", sa.Text),  # lower case, trimmed
    sa.Column("address_key", sa.Text),
    sa.Column("message_type", sa.Text),  # null: all
    sa.Column("channel", sa.Text),  # null: all
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("actor", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime, nullable=False),
    *_evidence(),
    sa.CheckConstraint("user_id is not null or address is not null", name="suppressions_name_someone"),
    sa.Index("suppressions_by_user", "user_id"),
    sa.Index("suppressions_by_address", "address_key"),
)

artifacts = sa.Table(
    "artifacts",
    metadata,
    sa.Column("hash", sa.Text, primary_key=True),
    sa.Column("content", sa.LargeBinary, nullable=False),
    sa.Column("recorded_at", sa.DateTime, nullable=False),
)

artifact_names = sa.Table(
    "artifact_names",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("hash", sa.Text, sa.ForeignKey("artifacts.hash"), primary_key=True),
    sa.Column("seq", sa.BigInteger, nullable=False),
)

# One row per call of a language model. No person's value was in what it was asked, so none is in what it answered.
model_calls = sa.Table(
    "model_calls",
    metadata,
    sa.Column(
        "key", sa.Text, nullable=False
    ),  # hash of all that was asked: facts, words, prompt, model and its settings
    sa.Column("run_id", sa.Text, nullable=False),
    sa.Column("campaign_id", sa.Text, nullable=False),
    sa.Column("prompt_hash", sa.Text, nullable=False),
    sa.Column("settings", sa.Text, nullable=False),  # JSON
    sa.Column("answer", sa.Text),  # JSON, placeholders in it; null: failed
    sa.Column("failure", sa.Text),
    sa.Column("model", sa.Text, nullable=False),  # as the server named it
    sa.Column("tokens_in", sa.BigInteger),  # null: the server didn't say
    sa.Column("tokens_out", sa.BigInteger),
    sa.Column(
        "dollars", sa.Text
    ),  # of the tokens charged, at the price of that day; null: nobody knows the model's price
    sa.Column("milliseconds", sa.BigInteger, nullable=False),
    sa.Column("recorded_at", sa.DateTime, nullable=False),
    sa.Column("seq", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=False),
    sa.Column("role", sa.Text),  # writer | reviewer | policy; null: made by the writer, before there were roles
    sa.Column("input_hash", sa.Text),  # of what the model was shown
    sa.Column("tokens_charged", sa.BigInteger),  # those that were told, or the most that they can have been
    sa.Column("asked_with", sa.Text),  # key of the question whose row has what their call cost; null: a call of its own
    sa.Index("model_calls_by_key", "key", "seq"),
)
