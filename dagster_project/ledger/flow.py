"""What all workers share of the flow: how much went out of each scope, what rests, which canary is watched, what became of it.

None of it is evidence, so none of it is in the chain: what a breaker or a canary decides is, as a control.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from dagster_project.ledger.bulk import upsert_rows
from dagster_project.ledger.chain import Write
from dagster_project.ledger.controls import set_control
from dagster_project.ledger.database import among
from dagster_project.ledger.schema import attempts, canaries, holds, messages, quotas, tallies
from dagster_project.lifecycle.flow import PERIODS, Canary, Limit, Period, Tally, Way
from dagster_project.lifecycle.message import Outcome

CANARY_COUNTS_FOR = timedelta(hours=24)  # a campaign that passed needs no other one with the next hour's release
_FAILED: frozenset[Outcome] = frozenset({"rejected", "deferred"})


class Quotas:
    """The limits of one way out, as of one moment, under the ledger's lock: read once, counted in memory, written once."""

    def __init__(self, write: Write, way: Way) -> None:
        self._write, self._way = write, way
        self._used: dict[tuple[str, Period], int] = {}
        self._changed: set[tuple[str, Period]] = set()
        self.resting = resting(write.connection, write.now)

    def admits(self, domain: str) -> bool:
        """Count one more message to this domain, unless a limit stands against it."""
        limits = self._limits(domain)
        if any(self._count(limit) >= limit.most for limit in limits):
            return False
        for limit in limits:
            self._used[limit.scope, limit.period] += 1
            self._changed.add((limit.scope, limit.period))
        return True

    def opens_at(self, domain: str) -> datetime:
        """When the last of the limits that stand against this domain begins anew."""
        closed: list[Period] = [limit.period for limit in self._limits(domain) if self._count(limit) >= limit.most]
        return max((_start(self._write.now, period) + PERIODS[period] for period in closed), default=self._write.now)

    def save(self) -> None:
        for scope, period in self._changed:
            row = {"scope": scope, "period": period, "started_at": _start(self._write.now, period)}
            _upsert(self._write, quotas, ("scope", "period"), row | {"used": self._used[scope, period]})

    def _limits(self, domain: str) -> tuple[Limit, ...]:
        return self._way.limits(domain, self._write.now.date())

    def _count(self, limit: Limit) -> int:
        key = (limit.scope, limit.period)
        if key not in self._used:
            self._used[key] = (
                self._write.connection.execute(
                    sa.select(quotas.c.used).where(
                        quotas.c.scope == limit.scope,
                        quotas.c.period == limit.period,
                        quotas.c.started_at == _start(self._write.now, limit.period),
                    )
                ).scalar_one_or_none()
                or 0
            )
        return self._used[key]


def _start(now: datetime, period: Period) -> datetime:
    """When the period that `now` is in began. Periods are those of the clock, so that every worker has the same."""
    kept: dict[Period, tuple[str, ...]] = {"second": (), "minute": ("second",), "hour": ("second", "minute")}
    zeroed = kept.get(period, ("second", "minute", "hour"))
    return now.replace(microsecond=0, **dict.fromkeys(zeroed, 0))  # type: ignore[arg-type]


def resting(connection: sa.Connection, now: datetime) -> Mapping[str, datetime]:
    """Scope → until when it is left alone."""
    rows = connection.execute(sa.select(holds.c.scope, holds.c.until).where(holds.c.until > now))
    return {row.scope: row.until for row in rows}


def rest(write: Write, scope: str, until: datetime, reason: str) -> None:
    """Leave a scope alone until then."""
    _upsert(write, holds, ("scope",), {"scope": scope, "until": until, "reason": reason})


def begin_canaries(write: Write, release_id: str, campaigns: Mapping[str, int], canary: Canary) -> None:
    """For each campaign of a release that is larger than its canary; one that passed lately goes out whole, and one that is
    still watched goes on with what has gone out already."""
    for campaign_id, audience in sorted(campaigns.items()):
        size = canary.size(audience)
        last = write.connection.execute(
            sa.select(canaries)
            .where(canaries.c.campaign_id == campaign_id)
            .order_by(canaries.c.begun_at.desc())
            .limit(1)
        ).one_or_none()
        is_trusted = last is not None and last.verdict == "passed" and write.now - last.begun_at < CANARY_COUNTS_FOR
        if size is None or is_trusted:
            continue
        is_watched = last is not None and last.verdict is None and last.let_out > 0
        write.connection.execute(
            sa.insert(canaries),
            {
                "release_id": release_id,
                "campaign_id": campaign_id,
                "size": size,
                "let_out": last.let_out if is_watched and last is not None else 0,
                "begun_at": last.begun_at if is_watched and last is not None else write.now,
                "verdict": None,
            },
        )


class Canaries:
    """The campaigns whose first messages are watched, of the releases in force."""

    def __init__(self, write: Write, canary: Canary | None, actor: str) -> None:
        self._write, self._canary = write, canary
        rows = write.connection.execute(sa.select(canaries).where(canaries.c.verdict.is_(None))) if canary else []
        self._left: dict[tuple[str, str], int] = {}
        self._let_out: Counter[tuple[str, str]] = Counter()
        for row in rows:
            if row.let_out >= row.size and canary is not None:
                self._judge(row, canary, actor)
            else:
                self._left[row.release_id, row.campaign_id] = row.size - row.let_out

    @property
    def shut(self) -> list[tuple[str, str]]:
        """(release, campaign) of which nothing more goes out now."""
        return [key for key, left in self._left.items() if left <= 0]

    def admits(self, release_id: str | None, campaign_id: str, attempts: int) -> bool:
        """Count one more message, unless its campaign has all its canaries out. What was tried before is one of them already."""
        key = (release_id or "", campaign_id)
        if key not in self._left or attempts:
            return True
        if self._left[key] <= 0:
            return False
        self._left[key] -= 1
        self._let_out[key] += 1
        return True

    def save(self) -> None:
        for (release_id, campaign_id), count in self._let_out.items():
            values: dict[str, Any] = {"let_out": canaries.c.let_out + count}
            if self._left[release_id, campaign_id] == 0:
                values["begun_at"] = self._write.now  # watched from the last of them on
            self._write.connection.execute(
                sa.update(canaries)
                .where(canaries.c.release_id == release_id, canaries.c.campaign_id == campaign_id)
                .values(**values)
            )

    def _judge(self, row: sa.Row[Any], canary: Canary, actor: str) -> None:
        """After its time: let the others follow, or pause the campaign."""
        key = (row.release_id, row.campaign_id)
        if self._write.now < row.begun_at + timedelta(minutes=canary.wait_minutes):
            self._left[key] = 0
            return
        outcomes = Counter(
            self._write.connection.execute(
                sa.select(attempts.c.outcome)
                .join_from(
                    attempts,
                    messages,
                    sa.and_(attempts.c.message_id == messages.c.message_id, attempts.c.attempt == messages.c.attempts),
                )
                .where(
                    messages.c.campaign_id == row.campaign_id,
                    attempts.c.started_at >= row.begun_at - timedelta(hours=6),
                )
            ).scalars()
        )
        complaints = self._complaints(row)
        judged = outcomes["sent"] + outcomes["rejected"]
        is_bad = complaints > 0 or (judged > 0 and outcomes["rejected"] / judged >= canary.most_rejected)
        if (
            not is_bad and judged * 2 < row.let_out
        ):  # servers that took none of them have not judged: it goes on waiting
            self._left[key] = 0
            return
        self._write.connection.execute(
            sa.update(canaries)
            .where(canaries.c.release_id == row.release_id, canaries.c.campaign_id == row.campaign_id)
            .values(verdict="failed" if is_bad else "passed")
        )
        if is_bad:
            said = f"{outcomes['rejected']} of {judged} rejected" if not complaints else f"{complaints} complained"
            set_control(self._write, "pause", row.campaign_id, "on", actor, f"canary: {said}")
            self._left[key] = 0

    def _complaints(self, row: sa.Row[Any]) -> int:
        counted = sa.select(sa.func.coalesce(sa.func.sum(tallies.c.complained), 0)).where(
            tallies.c.scope == f"campaign:{row.campaign_id}", tallies.c.day >= row.begun_at.date()
        )
        return int(self._write.connection.execute(counted).scalar_one())


def tally(write: Write, told: Iterable[tuple[str, str, Outcome]], way: Way) -> dict[str, str]:
    """Count (campaign, recipient domain, outcome) of one batch; pause or rest whatever a breaker trips: scope → why."""
    by_scope: dict[str, list[Outcome]] = defaultdict(list)
    for campaign_id, domain, outcome in told:
        by_scope[f"campaign:{campaign_id}"].append(outcome)
        by_scope[f"domain:{domain}"].append(outcome)
    tripped = {}
    today = write.now.date()
    for scope, lately in _counted(write, by_scope).items():
        why = way.flow.breakers.trip(lately)
        if why is None:
            continue
        kind, _, name = scope.partition(":")
        if kind == "campaign":
            if set_control(write, "pause", name, "on", "breaker", f"breaker: {why}"):
                tripped[scope] = why
        elif scope not in resting(write.connection, write.now):
            rest(write, scope, write.now + timedelta(minutes=way.flow.breakers.domain_rests_minutes), why)
            tripped[scope] = why
        if scope in tripped:  # judged anew from here on, or it would trip again with the first success
            write.connection.execute(sa.delete(tallies).where(tallies.c.scope == scope, tallies.c.day <= today))
    return tripped


_COUNTS = ("sent", "rejected", "deferred", "unknown", "complained")
_READ = sa.select(tallies)  # made once: putting a statement together costs more than running it


def _counted(write: Write, by_scope: Mapping[str, Sequence[Outcome]]) -> dict[str, Tally]:
    """Scope → today's and yesterday's tally together, with these outcomes added: one read and one write for all scopes."""
    today = write.now.date()
    found: dict[str, dict[date, Any]] = defaultdict(dict)
    recent = _READ.where(tallies.c.day >= today - timedelta(days=1), among(write.connection, tallies.c.scope, by_scope))
    for row in write.connection.execute(recent).mappings():
        found[row["scope"]][row["day"]] = dict(row)
    rows, lately = [], {}
    for scope, outcomes in sorted(by_scope.items()):
        before = found[scope].pop(today, {})
        in_a_row = before.get("failures_in_a_row", 0)
        for outcome in outcomes:
            in_a_row = in_a_row + 1 if outcome in _FAILED else 0 if outcome == "sent" else in_a_row
        new = {name: before.get(name, 0) + outcomes.count(name) for name in _COUNTS}
        rows.append({"scope": scope, "day": today, **new, "failures_in_a_row": in_a_row})
        earlier = found[scope].values()
        both = {name: new[name] + sum(row[name] for row in earlier) for name in _COUNTS}
        lately[scope] = Tally(**both, failures_in_a_row=in_a_row)
    upsert_rows(write.connection, tallies, ("scope", "day"), rows)
    return lately


def _upsert(write: Write, table: sa.Table, keys: Collection[str], row: Mapping[str, Any]) -> None:
    insert = postgresql.insert if write.connection.dialect.name == "postgresql" else sqlite.insert
    rest_of = {name: value for name, value in row.items() if name not in keys}
    write.connection.execute(insert(table).values(**row).on_conflict_do_update(index_elements=list(keys), set_=rest_of))
