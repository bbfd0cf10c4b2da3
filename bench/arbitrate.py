"""What arbitration by value is worth, beside static priority and first come: `python -m bench.arbitrate --docs docs/arbitration.md`.

    python -m bench.arbitrate --users 10000 --ticks 28 --budgets none,50,25 --json arbitrate.json --docs docs/arbitration.md

The demo company goes through the same ticks once for each order and budget, each carrying its own sends, so that caps and fatigue are its
own. The sends are then valued by what they truly do (`demo/effects.py`), which no policy reads.
"""

from __future__ import annotations

import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from bench import machine, results
from dagster_project.commands.replaying import replaying
from dagster_project.demo.company import generate
from dagster_project.home import Home
from dagster_project.settings import Settings

ORDERS: Mapping[str, str] = {"value": "by value", "priority": "by priority", "first_come": "first come"}
RIVALS = ("priority", "first_come")
DAYS = 120  # of usage that the company has: the models look back 56 days from the first of the ticks
LEVEL = (2.5, 97.5)  # percentiles: an interval of 95 %
HEAD = ("most messages per tick", "order", "messages", "people", "incremental dollars", "dollars per 1,000 messages")
DIFFERENCES = ("most messages per tick", "value against", "dollars per 1,000 messages", "dollars in all")
SETTING = """\
{users:,} people of the demo company (seed {company_seed}), {ticks} daily ticks up to {last}, all of the project's caps, and in each tick
the budget that the first column names. Of marketing only: what isn't competes with nothing and goes out alike. 95 % intervals by bootstrap
over people ({repetitions:,} times, seed {seed}), the same people drawn for all orders; they say what other people of the same kind would
have brought under these decisions, and not what another company would."""

# Fatigue as it truly is: each of the person's messages within the last 14 days leaves `fatigue_share` of a gain, and all of a harm.
VALUED = """
with marketing as (
    select sends.as_of, sends.user_id, sends.campaign_id, effects.effect, effects.worth, effects.fatigue_share
    from {sends} as sends
    inner join read_parquet('{effects}') as effects
        on sends.user_id = effects.user_id and sends.campaign_id = effects.campaign_id
),
tired as (
    select
        *,
        count(*) over (
            partition by user_id order by as_of
            range between interval 14 days preceding and interval 1 microsecond preceding
        ) as received
    from marketing
)
select
    user_id,
    campaign_id,
    worth * case when effect > 0 then effect * power(fatigue_share, received) else effect end as dollars
from tired
order by as_of, user_id, campaign_id
"""


@dataclasses.dataclass(frozen=True, slots=True)
class Order:
    """What is compared. `budgets`: most messages of a tick, None for no limit."""

    users: int = 10_000
    ticks: int = 28
    budgets: tuple[int | None, ...] = (None, 50, 25)
    repetitions: int = 2_000
    seed: int = 20_260_901
    company_seed: int = 7
    threads: int = 4
    # The day before the demo company's new terms are announced, which take every place of a budget for some days.
    last: datetime = datetime(2026, 8, 19, 9)


def main(
    users: Annotated[int, typer.Option(min=200)] = 10_000,
    ticks: Annotated[int, typer.Option(min=1, max=60, help="daily, the last on 19 August")] = 28,
    budgets: Annotated[
        str, typer.Option(help="most messages per tick, comma-separated; none for no limit")
    ] = "none,50,25",
    repetitions: Annotated[int, typer.Option(min=100, help="of the bootstrap")] = 2_000,
    seed: Annotated[int, typer.Option(min=0, help="of the bootstrap")] = 20_260_901,
    company_seed: Annotated[int, typer.Option(min=0, help="of the demo company")] = 7,
    threads: Annotated[int, typer.Option(min=1, max=64, help="of DuckDB")] = 4,
    json_file: Annotated[Path | None, typer.Option("--json", help="everything that was found")] = None,
    docs: Annotated[Path | None, typer.Option(help="Markdown file with the marks bench:arbitrate")] = None,
) -> None:
    """Compare the three orders, print a table."""
    order = Order(users, ticks, _budgets(budgets), repetitions, seed, company_seed, threads)
    with tempfile.TemporaryDirectory(prefix="postrider-bench-") as name:
        document = compare(Path(name), order)
    if json_file:
        json_file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    text = markdown(document)
    print(text)
    if docs:
        results.write_between(docs, "arbitrate", text)


def _budgets(text: str) -> tuple[int | None, ...]:
    try:
        found = tuple(None if word == "none" else int(word) for word in text.split(","))
    except ValueError:
        found = (0,)
    if any(budget is not None and budget < 1 for budget in found):
        raise SystemExit(f"--budgets: found {text!r}, allowed: none or whole numbers above 0, comma-separated")
    return found


def compare(folder: Path, order: Order) -> dict[str, Any]:
    """Every order under every budget through the same ticks, and what their messages truly brought."""
    started = time.monotonic()
    generate(folder / "demo", users=order.users, days=DAYS, seed=order.company_seed, threads=order.threads)
    home = Home(Settings(home=folder / "home", data=folder / "demo", threads=order.threads))
    home.path.mkdir()
    cases = [(budget, name) for budget in order.budgets for name in ORDERS]
    variables = [{"arbitration": name, "messages_per_run": budget} for budget, name in cases]
    valued = _replay(home, order, variables, folder / "demo" / "effects.parquet")
    budgets = []
    for budget in order.budgets:
        own = {name: valued[number] for number, (of, name) in enumerate(cases) if of == budget}
        budgets.append({"messages_per_run": budget, **figures(own, order.repetitions, order.seed)})
    settings = dataclasses.asdict(order) | {"budgets": list(order.budgets), "last": f"{order.last.isoformat()}Z"}
    settings["seconds"] = round(time.monotonic() - started, 1)
    return {"machine": machine.describe(folder), "settings": settings, "budgets": budgets}


def _replay(
    home: Home, order: Order, variables: Sequence[Mapping[str, object]], effects: Path
) -> list[list[tuple[str, str, float]]]:
    """Per set of variables every marketing message that is sent: (user, campaign, dollars that it truly brings)."""
    times = [order.last - timedelta(days=back) for back in reversed(range(order.ticks))]
    with replaying(home, times[0], [], variables=variables) as (replay, _):
        for number, as_of in enumerate(times, 1):
            with replay.tick(as_of):
                replay.advance()
                for policy in range(len(variables)):
                    replay.decide(policy)
                    replay.carry(policy, is_approved=True, cautioned=())
                    replay.close_tick(policy, "done")
            print(f"{as_of:%Y-%m-%d}: tick {number} of {order.ticks}", file=sys.stderr, flush=True)
        asked = (VALUED.format(sends=f"simulated.sends_{policy}", effects=effects) for policy in range(len(variables)))
        return [replay.connection.execute(sql).fetchall() for sql in asked]


def figures(valued: Mapping[str, Sequence[tuple[str, str, float]]], repetitions: int, seed: int) -> dict[str, Any]:
    """Per order the messages and dollars, and of `value` the difference to each rival, with intervals."""
    people = sorted({user for rows in valued.values() for user, _, _ in rows})
    place = {user: number for number, user in enumerate(people)}
    dollars, messages = (np.zeros((len(valued), len(people))) for _ in range(2))
    for number, rows in enumerate(valued.values()):
        for user, _, brought in rows:
            dollars[number, place[user]] += brought
            messages[number, place[user]] += 1
    random = np.random.default_rng(seed)
    # One row of weights per repetition: how often each person was drawn. The same for all orders, so differences are paired.
    weights = random.multinomial(len(people), np.full(len(people), 1 / len(people)), size=repetitions)
    whole = np.ones((1, len(people)))
    totals, drawn = ({name: one @ dollars[number] for number, name in enumerate(valued)} for one in (whole, weights))
    rates, drawn_rates = (
        {name: 1000 * (one @ dollars[number]) / (one @ messages[number]) for number, name in enumerate(valued)}
        for one in (whole, weights)
    )
    orders = {
        name: {
            "messages": int(messages[number].sum()),
            "people": int((messages[number] > 0).sum()),
            "campaigns": _by_campaign(valued[name]),
            "dollars": _interval(totals[name], drawn[name]),
            "per_1000": _interval(rates[name], drawn_rates[name]),
        }
        for number, name in enumerate(valued)
    }
    ahead = {
        rival: {
            "dollars": _interval(totals["value"] - totals[rival], drawn["value"] - drawn[rival]),
            "per_1000": _interval(rates["value"] - rates[rival], drawn_rates["value"] - drawn_rates[rival]),
        }
        for rival in RIVALS
    }
    return {"orders": orders, "value_ahead_of": ahead}


def _by_campaign(rows: Sequence[tuple[str, str, float]]) -> dict[str, dict[str, float]]:
    """Messages and dollars of each campaign."""
    found: dict[str, dict[str, float]] = {}
    for _, campaign, brought in sorted(rows):
        one = found.setdefault(campaign, {"messages": 0, "dollars": 0.0})
        one["messages"] += 1
        one["dollars"] += brought
    return {campaign: {**one, "dollars": round(one["dollars"], 2)} for campaign, one in found.items()}


def _interval(found: Any, drawn: Any) -> dict[str, float]:
    low, high = np.percentile(drawn, LEVEL)
    return {"found": float(found[0]), "low": float(low), "high": float(high)}


def markdown(document: Mapping[str, Any]) -> str:
    """Both tables, and what each order sent."""
    rows, ahead, sent = [], [], []
    for one in document["budgets"]:
        budget = "no limit" if one["messages_per_run"] is None else f"{one['messages_per_run']:,}"
        for name, title in ORDERS.items():
            of = one["orders"][name]
            rows.append(
                (budget, title, f"{of['messages']:,}", f"{of['people']:,}", _told(of["dollars"]), _told(of["per_1000"]))
            )
            most = sorted(of["campaigns"].items(), key=lambda item: (-item[1]["messages"], item[0]))
            shown = ", ".join(f"{campaign} {figures['messages']:,}" for campaign, figures in most)
            sent.append((budget, title, shown))
        for rival in RIVALS:
            of = one["value_ahead_of"][rival]
            ahead.append((budget, ORDERS[rival], _told(of["per_1000"], signed=True), _told(of["dollars"], signed=True)))
    return "\n\n".join(
        [
            SETTING.format(**document["settings"]),
            results.table(HEAD, rows),
            results.table(DIFFERENCES, ahead),
            results.table(("most messages per tick", "order", "messages by campaign"), sent),
        ]
    )


def _told(found: Mapping[str, float], *, signed: bool = False) -> str:
    """The figure with its interval."""
    middle, low, high = (f"{found[name]:{'+' if signed else ''},.0f}" for name in ("found", "low", "high"))
    return f"{middle} [{low} to {high}]"


if __name__ == "__main__":
    typer.run(main)
