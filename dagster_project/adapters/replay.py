"""History decided again: the models' own SQL, tick by tick in a scratch warehouse, with what was sent carried forward."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from dagster_project.adapters.dependencies import downstream, reads, upstream
from dagster_project.adapters.warehouse import Connection, rows_of
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.growth import Growth, growth
from dagster_project.lifecycle.simulation import SCARCE

MARKER = datetime(2001, 2, 3, 4, 5, 6)  # what the SQL that a replay is given was compiled for
MESSAGES, TICKS, DECISIONS = "raw_ledger_messages", "raw_ledger_ticks", "fct_decisions"
VERDICTS = "int_verdicts"
# `lifecycle/planning.routes`, in SQL: the sample is `lifecycle/bucket.hash_bucket` of the message.
_SEEN = """
    (
        campaigns.review = 'all'
        or (
            campaigns.review like 'sample:%'
            and cast('0x' || left(md5('review:' || messages.campaign_id || ':' || messages.message_id), 8) as bigint) / 4294967296.0
            < cast(substr(campaigns.review, 8) as double)
        )
    )
"""
OPEN = "('planned', 'drafted', 'in_review', 'approved', 'deferred', 'claimed')"
_TIME, _BEFORE = "getvariable('as_of')", "getvariable('before')"


class Replay:
    """Ticks of one or more policies over the same landed rows. One policy is one set of the models' SQL.

    Per tick `advance` makes what all policies share, then for each policy `decide` its verdicts and `carry` what would be
    sent on them into the next tick. Nothing but the scratch warehouse of the connection is touched.
    """

    def __init__(
        self,
        connection: Connection,
        queries: Sequence[Mapping[str, str]],
        decisions: str,
        decision_columns: Mapping[str, str],
        views: Collection[str],
        history: Mapping[str, pa.Table],
        source_pack: str,
    ) -> None:
        """`queries`: model → SQL as of MARKER, per policy, in an order in which what a model reads stands before it.
        `decisions`: the SQL that adds to the record. `views`: the models that are views. `history`: the ledger as it was landed."""
        self.connection = connection
        wanted = {VERDICTS, *reads(decisions)}
        self._queries = [
            {name: with_variable_time(name, sql) for name, sql in upstream(one, wanted).items()} for one in queries
        ]
        self._decisions = with_variable_time(DECISIONS, decisions)
        self._views = views
        self._standing: dict[str, str] = {}  # view → its SQL: one that stands reads the tables of each tick
        self._pack = f"'{source_pack}'"
        self._own = self._of_one_policy()
        changing = {name for name, sql in self._queries[0].items() if _TIME in sql}
        self._moving = downstream(self._queries[0], changing | {MESSAGES, TICKS, DECISIONS})
        self.growing = self._of_arrivals()
        self._last: datetime | None = None
        self._policies = range(len(queries))
        self._land(history, decision_columns)

    def start(self) -> None:
        """Make what no time changes, once. A view that the ticks read is made a table; others they would only copy."""
        asked = {read for name in self._moving for query in self._queries for read in reads(query[name])}
        for name, sql in self._queries[0].items():
            if name not in self._moving and (name not in self._own or len(self._policies) == 1):
                self._make(name, sql, as_table=name in asked)

    @contextlib.contextmanager
    def tick(self, as_of: datetime) -> Iterator[None]:
        """One tick is one transaction: each of its hundred tables would else be synced to the disk."""
        self.connection.execute("begin")
        self.connection.execute("set variable as_of = cast(? as timestamp)", [as_of])
        self.connection.execute("set variable before = cast(? as timestamp)", [self._last])
        yield
        self.connection.execute("commit")
        self._last = as_of

    def advance(self) -> None:
        """Make what the time alone changes: who was there, what they had done, who is a candidate."""
        for name, sql in self._queries[0].items():
            if name in self.growing and self._last is not None:
                self._grow(name, sql, self.growing[name])
            elif name in self._moving and name not in self._own:
                self._make(name, sql)

    def decide(self, policy: int) -> None:
        """Make every verdict of one policy, and add what changed to its record."""
        for name in (MESSAGES, TICKS):
            self.connection.execute(f'create or replace view raw."{name}" as select * from simulated.{name}_{policy}')
        self.connection.execute(
            f"create or replace view main.{DECISIONS} as select * from simulated.{DECISIONS}_{policy}"
        )
        for name, sql in self._queries[policy].items():
            if name in self._own and (name in self._moving or len(self._policies) > 1):
                self._make(name, sql)
        self.connection.execute(f"insert into simulated.{DECISIONS}_{policy} by name {self._decisions}")

    def fresh_drafts(self, policy: int) -> list[dict[str, Any]]:
        """Verdicts of this tick whose message is yet to be planned, in campaigns where a language model helps."""
        return self.rows(f"""
            select verdicts.*, '' as decision_id
            from main.{VERDICTS} as verdicts
            inner join main.dim_campaigns as campaigns on verdicts.campaign_id = campaigns.campaign_id
            anti join simulated.{MESSAGES}_{policy} as known on verdicts.message_id = known.message_id
            where verdicts.verdict = 'send' and campaigns.mode in ('assisted', 'autonomous')
        """)

    def carry(self, policy: int, *, is_approved: bool, cautioned: Collection[str]) -> None:
        """What a tick does with its verdicts: withdraw, plan, send. It is history for the next tick.

        With `is_approved` a person has read every draft at once; else drafts that need one wait for ever: those of
        campaigns whose policy says so, sampled ones, and of the cautioned ones, whose audience looked unusual at this tick. What a
        model would have written is not known, so with `review: risk` nobody waits.
        """
        messages, time = f"simulated.{MESSAGES}_{policy}", _TIME
        waits = "false" if is_approved else f"({_SEEN} or campaigns.campaign_id in {_list(cautioned)})"
        leaving = (
            "('approved', 'deferred', 'claimed', 'in_review')" if is_approved else "('approved', 'deferred', 'claimed')"
        )
        for statement in (
            f"""
                update {messages} as messages
                set state = 'cancelled', state_reason = unwanted.reason, state_as_of = {time}
                from (
                    select waiting.message_id, coalesce(verdicts.reason, 'no_longer_qualified') as reason
                    from {messages} as waiting
                    left join main.{VERDICTS} as verdicts on waiting.message_id = verdicts.message_id
                    where waiting.state in {OPEN}
                        and coalesce(verdicts.verdict, 'suppress') not in ('send', 'hold')
                        and verdicts.reason is distinct from 'already_sent'
                ) as unwanted
                where messages.message_id = unwanted.message_id
            """,
            f"""
                insert into {messages} by name
                select
                    message_id, {self._pack} as source_pack, campaign_id, user_id, account_id, occurrence_key, message_type, channel,
                    variant, 'planned' as state, {time} as planned_as_of, {time} as state_as_of, {time} as updated_at
                from main.{VERDICTS} as verdicts
                anti join {messages} as known on verdicts.message_id = known.message_id
                where verdicts.verdict = 'send'
            """,
            f"""
                update {messages} as messages
                set state = case when {waits} then 'in_review' else 'approved' end, state_as_of = {time}
                from main.dim_campaigns as campaigns
                where messages.campaign_id = campaigns.campaign_id and messages.state in ('planned', 'drafted')
            """,
            f"""
                insert into simulated.sends_{policy} by name
                select
                    verdicts.as_of, verdicts.message_id, verdicts.campaign_id, verdicts.user_id, verdicts.account_id,
                    lower(split_part(verdicts.email, '@', -1)) as domain, verdicts.channel, verdicts.variant
                from main.{VERDICTS} as verdicts
                inner join {messages} as messages on verdicts.message_id = messages.message_id
                where verdicts.verdict = 'send' and messages.state in {leaving}
            """,
            f"""
                update {messages} as messages
                set state = 'sent', sent_as_of = {time}, state_as_of = {time}
                from main.{VERDICTS} as verdicts
                where messages.message_id = verdicts.message_id
                    and verdicts.verdict = 'send' and messages.state in {leaving}
            """,
        ):
            self.connection.execute(statement)

    def close_tick(self, policy: int, status: str) -> list[dict[str, Any]]:
        """Note the tick for those after it. Returns candidates by campaign, verdict and reason; `is_bound` where nothing
        but want of room holds them back."""
        is_bound = f"verdicts.verdict = 'hold' and list_has_all({list(SCARCE)}, cast(cast(verdicts.reasons_all as json) as varchar[]))"
        self.connection.execute(f"""
            insert into simulated.{TICKS}_{policy} by name
            select
                cast({_TIME} as varchar) as run_id, {self._pack} as source_pack,
                {_TIME} as as_of, '{status}' as status, campaign_id, count(*) as candidates,
                count(*) filter (verdict = 'send') as sends
            from main.{VERDICTS}
            group by campaign_id
        """)
        self.connection.execute(f"""
            insert into simulated.bound_{policy} by name
            select
                verdicts.as_of, verdicts.message_id, verdicts.campaign_id, verdicts.user_id, verdicts.reason,
                winners.campaign_id as winner_campaign_id
            from main.{VERDICTS} as verdicts
            left join main.{VERDICTS} as winners on verdicts.winner_message_id = winners.message_id
            where verdicts.verdict = 'lose' or ({is_bound})
        """)
        return self.rows(f"""
            select campaign_id, verdict, reason, ({is_bound}) as is_bound, count(*) as candidates
            from main.{VERDICTS} as verdicts
            group by all
            order by all
        """)

    def whole(self, model: str) -> str:
        """The SQL that makes a model anew, as of the tick at hand."""
        return self._queries[0][model]

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[dict[str, Any]]:
        """The rows of one query as dictionaries."""
        return rows_of(self.connection, sql, parameters)

    def count(self, sql: str) -> int:
        """How many rows a query has."""
        ((count,),) = self.connection.execute(f"select count(*) from ({sql})").fetchall()
        return int(count)

    def _of_one_policy(self) -> set[str]:
        """Models that differ between policies, because their SQL does or what was sent."""
        first, *others = self._queries
        differing = {name for name, sql in first.items() if any(other[name] != sql for other in others)}
        return downstream(first, differing | {MESSAGES, TICKS, DECISIONS})

    def _of_arrivals(self) -> dict[str, Growth]:
        """Models that what has arrived moves on: the whole of the events is read once, and not at each tick."""
        first = self._queries[0]
        shared = self._moving - self._own - set(self._views)
        found = {name: growth(first[name], first, _TIME, _BEFORE) for name in first if name in shared}
        return {name: one for name, one in found.items() if one and not reads(first[one.source]) & self._moving}

    def _grow(self, name: str, sql: str, by: Growth) -> None:
        """Put what has arrived since the last tick into a model that stands as of then."""
        arrived = f"{by.source}__arrived"
        self._view(arrived, by.arrivals)
        on = " and ".join(f'old."{key}" is not distinct from new."{key}"' for key in by.keys)
        values = ", ".join(f'"{column}" = {value}' for column, value in by.values.items())
        self.connection.execute(f"""
            merge into main."{name}" as old
            using ({sql.replace(f'"{by.source}"', f'"{arrived}"')}) as new
            on {on}
            when matched then update set {values}
            when not matched then insert by name
        """)

    def _land(self, history: Mapping[str, pa.Table], decision_columns: Mapping[str, str]) -> None:
        execute = self.connection.execute
        # A scratch file needs no log that is short: written into the file at each tick it took a fifth of the time.
        execute("set checkpoint_threshold = '1GB'")
        execute("create schema simulated")
        for name, table in history.items():
            self.connection.register("arriving", table)
            if name in (MESSAGES, TICKS):
                for policy in self._policies:
                    execute(f"create table simulated.{name}_{policy} as select * from arriving")
            else:
                execute(f'create table raw."{name}" as select * from arriving')
            self.connection.unregister("arriving")
        columns = ", ".join(f'"{name}" {kind}' for name, kind in decision_columns.items())
        for policy in self._policies:
            execute(f"create table simulated.{DECISIONS}_{policy} ({columns})")
            execute(f"""
                create table simulated.bound_{policy} (
                    as_of timestamp, message_id varchar, campaign_id varchar, user_id varchar, reason varchar,
                    winner_campaign_id varchar
                )
            """)
            execute(f"""
                create table simulated.sends_{policy} (
                    as_of timestamp, message_id varchar, campaign_id varchar, user_id varchar, account_id varchar,
                    domain varchar, channel varchar, variant varchar
                )
            """)

    def _make(self, name: str, sql: str, *, as_table: bool = False) -> None:
        if as_table or name not in self._views:
            self.connection.execute(f'create or replace table main."{name}" as {sql}')
        else:
            self._view(name, sql)

    def _view(self, name: str, sql: str) -> None:
        if self._standing.get(name) != sql:
            self.connection.execute(f'create or replace view main."{name}" as {sql}')
            self._standing[name] = sql


def with_variable_time(name: str, sql: str) -> str:
    """SQL that was compiled for MARKER, asking the connection for the time. InputError where it takes the time apart."""
    asking = sql.replace(f"cast('{MARKER.isoformat(sep=' ')}' as timestamp)", _TIME)
    if f"{MARKER:%Y-%m-%d}" in asking:
        raise InputError(f"{name}: found the tick's time not as as_of() writes it, allowed is the macro as_of() alone")
    return asking


def _list(names: Collection[str]) -> str:
    """A list for `in`, which may not be empty: nothing equals null."""
    return f"({', '.join([*(repr(name) for name in sorted(names)), 'null'])})"
