"""How an explanation looks on a terminal: what decided first, with its numbers; all the rest is a line."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any

from rich.markup import escape

from dagster_project.commands.report import SHORT, consulted, fact, flow, mark, moment_of, out, table
from dagster_project.lifecycle.reading import MOST_ROWS
from dagster_project.lifecycle.selects import STAGING

_ID_CHARACTERS = 32  # of a hash; shorter ids are shown whole
_OPERATORS = ("<", ">", "=", "is ", "in ", "not in ")
_FIELDS = 4  # of a row behind a value, besides its key and its time
_STYLES = {"send": "green", "not_qualified": "dim"}


def show_explanation(answer: Mapping[str, Any]) -> None:
    """One block per campaign, candidates first: the verdict, and what it rests on. One campaign alone is told in full."""
    campaigns = sorted(answer["campaigns"], key=lambda campaign: (not campaign["rules"], campaign["campaign_id"]))
    out.print(f"[bold]{escape(answer['user_id'])}[/] as of {moment_of(answer['as_of'])} UTC")
    _show_person(answer["person"])
    as_of = datetime.fromisoformat(answer["as_of"].removesuffix("Z"))
    if answer["as_of"] != answer["last_tick"]:
        out.print("[dim]decided anew as of that time, from what has landed since; no tick need have run then[/]")
    for campaign in campaigns:
        style = _STYLES.get(campaign["verdict"], "yellow")
        out.print(
            f"\n[bold]{campaign['campaign_id']}[/]: [{style}]{campaign['verdict']}[/] ({escape(campaign['reason'])})"
        )
        in_full = len(campaigns) == 1
        _show_conditions(campaign["conditions"], answer["user_id"], as_of, in_full=in_full)
        if campaign["facts"]:
            flow("facts     ", (fact(name, value) for name, value in campaign["facts"].items()), indent=2)
        _show_rules(campaign["rules"], answer["user_id"], as_of, in_full=in_full)
        _show_contest(campaign)
        if campaign["decision"]:
            _show_decision(campaign["decision"])
        if campaign["message"]:
            _show_story(campaign["message"])


def _show_person(person: Mapping[str, Any]) -> None:
    said = [f"account {escape(str(person['account_id']))}"] if person["account_id"] else ["no account"]
    if person["timezone"] is None:
        said.append("time zone unknown")
    else:
        of = " (the account owner's zone)" if person["timezone_source"] == "account" else ""
        said.append(f"{escape(person['timezone'])}, {person['local_time']:%a %H:%M} there{of}")
    flow("", [f"[dim]{part}[/]" for part in said])


def _show_conditions(conditions: Sequence[Mapping[str, Any]], user_id: str, as_of: datetime, *, in_full: bool) -> None:
    """Those that fail with their values; those that hold only where everything is told."""
    told = [one for one in conditions if in_full or one["value"] is False]
    untold = [f"{mark(one['value'])} {one['name']}" for one in conditions if one not in told]
    label = "conditions"
    if untold:
        flow(label, untold, indent=2)
        label = " " * len(label)
    for one in told:
        flow(label, [f"{mark(one['value'])} {one['name']}", *_because(one, as_of)], indent=2)
        label = " " * len(label)
        if in_full:
            _show_evidence(one["reads"], user_id)


def _because(one: Mapping[str, Any], as_of: datetime) -> list[str]:
    """The values that were read, what they need to be, and when time alone will change that."""
    failed = [check for check in one["checks"] if check["value"] is not True] or one["checks"]
    if one.get("value") is not False:
        failed = one["checks"]
    needs = " and ".join(check["sql"] for check in failed)
    reads = [read for read in one["reads"] if len(one["reads"]) == 1 or read["name"] in needs or not needs]
    values = [f"{escape(read['name'])} = {_value(read['value'])}" for read in reads]
    if needs and needs not in [read["name"] for read in reads]:
        values.append(f"[dim]needs {escape(_without_name(needs, reads))}[/]")
    return values + _turning(failed, as_of)


def _turning(checks: Sequence[Mapping[str, Any]], as_of: datetime) -> list[str]:
    """When time alone turned or will turn a comparison."""
    said = []
    for check in checks:
        if (at := check["turns_at"]) is not None:
            word = "since {}" if at <= as_of else "until {}" if check["value"] else "from {} on"
            said.append(f"[dim]{word.format(f'{at:%Y-%m-%d %H:%M}')}[/]")
    return said


def _without_name(needs: str, reads: Sequence[Mapping[str, Any]]) -> str:
    """`between 2 and 14` where the one value that it is about stands before it."""
    name, _, rest = needs.partition(" ")
    is_plain = rest.startswith(_OPERATORS) and " and " not in rest.removeprefix("between")
    return rest if len(reads) == 1 and name == reads[0]["name"] and (is_plain or rest.startswith("between")) else needs


def _value(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, float):
        return f"{value:.4g}"
    return escape(value.isoformat() if isinstance(value, date) else str(value))


def _show_evidence(reads: Sequence[Mapping[str, Any]], user_id: str, most: int = MOST_ROWS) -> None:
    """The rows behind each value, newest first, but for the person's own profile."""
    for read in reads:
        label = f"{' ' * 16}[dim]{escape(read['name'])}[/]"
        for model in read["from_everybody"]:
            out.print(f"{label}  [dim]made of everybody's rows by {model}[/]", soft_wrap=True)
        rows = [row for row in read["rows"] if next(iter(row["row"].values())) != user_id]
        for row in rows[:most]:
            out.print(f"{label}  [dim]{_row(row)}[/]", soft_wrap=True)
            label = " " * (16 + len(read["name"]))
        if rows and read["row_count"] > most:
            out.print(f"{label}  [dim]and {read['row_count'] - most:,} more[/]", soft_wrap=True)


def _row(row: Mapping[str, Any]) -> str:
    """The relation with the row's key, a few of its values, and its time."""
    (_, key), *fields = row["row"].items()
    known = [(name, value) for name, value in fields if value is not None and not _is_unsaid(name)]
    times = [value for name, value in known if name.endswith(("_at", "_as_of"))]
    plain = [value for name, value in known if isinstance(value, str) and not name.endswith(("_at", "_as_of"))]
    said = ", ".join(_shortened(value) for value in [*plain[:_FIELDS], *times[:1]])
    return escape(f"{row['relation'].removeprefix(STAGING)} {_shortened(key)}: {said}")


def _is_unsaid(name: str) -> bool:
    """Ids say nothing to a reader, but a campaign's, which is its name."""
    return name == "source_pack" or (name.endswith("_id") and name != "campaign_id")


def _shortened(value: Any) -> str:
    text = str(value)
    return text[:SHORT] if len(text) == _ID_CHARACTERS else text


def _show_rules(rules: Sequence[Mapping[str, Any]], user_id: str, as_of: datetime, *, in_full: bool) -> None:
    """Those that block with their numbers; the others only where everything is told."""
    if not rules:
        return
    label = "rules     "
    if not in_full:
        flow(label, (f"{mark(not rule['is_blocked'])} {rule['rule']}" for rule in rules), indent=2)
        label = " " * len(label)
    for rule in rules:
        if rule["is_blocked"]:
            flow(
                label,
                [f"{mark(False)} {rule['rule']}", f"[red]{rule['reason']}[/]: {escape(rule['sentence'])}"],
                indent=2,
            )
            label = " " * len(label)
            _show_numbers(rule, as_of, indent=16)
            _show_evidence(rule["reads"], user_id)
        elif in_full:
            flow(label, [f"{mark(True)} {rule['rule']}", *_numbers(rule)], indent=2)
            label = " " * len(label)
            _show_evidence(rule["reads"], user_id, most=1)


def _numbers(rule: Mapping[str, Any]) -> list[str]:
    return [
        f"{escape(read['name'])} = {_value(read['value'])}"
        for read in rule["reads"]
        if read["value"] is not None and not read["name"].endswith("_id")
    ]


def _show_numbers(rule: Mapping[str, Any], as_of: datetime, indent: int) -> None:
    because = [escape(check["sql"]) for check in rule["checks"] if check["value"]]
    if because:
        out.print(f"{' ' * indent}[dim]because {' and '.join(because)}[/]", soft_wrap=True)
    flow("", [*_numbers(rule), *_turning([check for check in rule["checks"] if check["value"]], as_of)], indent=indent)


def _show_contest(campaign: Mapping[str, Any]) -> None:
    """Who won, by what, and where this message came in."""
    if len(campaign["contest"]) < 2:  # noqa: PLR2004 - one alone competes with nobody
        return
    label = "contest   "
    for place, rival in enumerate(campaign["contest"], 1):
        name = rival["campaign_id"] or rival["message_id"][:SHORT]
        shown = f"[bold]{name}[/]" if rival["campaign_id"] == campaign["campaign_id"] else name
        said = [escape(f"{what} {_value(value)}") for what, value in rival["by"].items() if what != "message_id"]
        flow(label, [f"{place}. {shown}", _worth(rival["worth"]), *said], indent=2)
        label = " " * len(label)


def _worth(worth: Mapping[str, Any]) -> str:
    """What the message is expected to bring, and what that is made of."""
    if worth["value"] is None:
        return "value unknown: counts as 0"
    tired = (
        f" x {worth['fatigue_share']:.2g} (fatigue: {worth['recent_messages']} lately)"
        if worth["recent_messages"]
        else ""
    )
    sum_ = f"{worth['value']:.2f}{tired} - {worth['attention_cost']:.2f}"
    return f"worth {worth['expected_value']:.2f} [dim]= {sum_}[/]"


def _show_decision(decision: Mapping[str, Any]) -> None:
    said = [
        f"occurrence {escape(str(decision['occurrence_key']))}",
        f"triggered {decision['triggered_at']:%Y-%m-%d %H:%M}",
    ]
    said += [f"{word} {decision[word]}" for word in ("variant", "arm") if decision[word]]
    if decision["send_after"]:
        said.append(f"send after {decision['send_after']:%Y-%m-%d %H:%M}")
    if decision["send_before"]:
        said.append(f"before {decision['send_before']:%Y-%m-%d %H:%M}")
    if decision["winner_message_id"]:
        said.append(f"lost to {decision['winner_message_id']}")
    flow("decision  ", said, indent=2)


def _show_story(story: Mapping[str, Any]) -> None:
    """From the decision to the bytes; every hash is cut to what a person compares, `--json` has them whole."""
    reason = f" ({escape(story['state_reason'])})" if story["state_reason"] else ""
    flow("message   ", [f"{story['message_id']}: [bold]{story['state']}[/]{reason}"], indent=2)
    flow("planned ", [f"as of {moment_of(story['planned_as_of'])}", f"run {story['run_id']}"], indent=4)
    if story["recipe"]:
        flow("recipe  ", (f"{part} {value[:SHORT]}" for part, value in story["recipe"].items()), indent=4)
    if told := story["knowledge"]:
        flow("knowledge", consulted(told), indent=4)
    for draft in story["drafts"]:
        asked = f" instead of {draft['mode_asked']}: {draft['fallback_reason']}" if draft["fallback_reason"] else ""
        said = [f"“{escape(draft['subject'])}”", f"{draft['mode']}{escape(asked)}", f"{draft['draft_hash'][:SHORT]}"]
        if draft["trial"]:
            trial = json.loads(draft["trial"])
            said.append(
                f"canary {trial['name']}: {trial['arm']}{escape(' ' + trial['stopped']) if trial['stopped'] else ''}"
            )
        if draft["author"] != "postrider":
            said.append(f"edited by {escape(draft['author'])}: {escape(draft['edit_reason'] or '')}")
        flow("draft   ", said, indent=4)
    for review in story["reviews"]:
        by = review["reviewer"]
        said = [f"{review['verdict']} by {escape(by)}" if by else "waiting for a person"]
        said += [escape(review["reason"])] if review["reason"] else []
        said += [f"why {escape(review['route_reason'])}"] if review["route_reason"] else []
        flow("review  ", [*said, f"of {review['draft_hash'][:SHORT]}"], indent=4)
    if release := story["release"]:
        said = [f"{release['release_id'][:SHORT]} by {escape(release['approver'])}", f"{release['count']:,} messages"]
        flow("release ", [*said, f"gates {', '.join(release['gates'])}"], indent=4)
    for attempt in story["attempts"]:
        said = [
            f"{attempt['attempt']}: {attempt['outcome'] or 'unfinished'}",
            f"to {escape(attempt['rcpt_to'] or 'nobody')}",
        ]
        said += [f"{attempt['bytes']:,} bytes"] if attempt["bytes"] else []
        said += [escape(attempt[name]) for name in ("detail", "provider_id") if attempt[name]]
        flow("attempt ", said, indent=4)
    if inbox := story["inbox"]:
        flow("inbox   ", _inbox(inbox), indent=4)


def _inbox(inbox: Mapping[str, Any]) -> list[str]:
    """A message in the in-app inbox: there until when, and read or not; or gone with what was known of that."""
    put = f"put {moment_of(inbox['put_at'])}"
    if not inbox["is_kept"]:
        return [put, "expired and purged, or erased"]
    read = f"read {moment_of(inbox['read_at'])}" if inbox["read_at"] else "not read"
    return [put, read, f"there until {moment_of(inbox['expires_at'])}"]


def show_funnel(answer: Mapping[str, Any]) -> None:
    """Everybody, those who fall out at each condition and rule, and those who are left."""
    out.print(f"[bold]{answer['campaign_id']}[/] as of {moment_of(answer['as_of'])} UTC\n")
    rows = table("", "", "people#", "left#", "")
    rows.add_row("everybody", "", f"{answer['population']:,}", "")
    for step in answer["conditions"]:
        if step["condition"] is None:
            if step["failed"]:
                rows.add_row("not considered by the trigger", f"-{step['failed']:,}", f"{step['left']:,}", "")
            continue
        rows.add_row(f"not {step['condition']}", f"-{step['failed']:,}", f"{step['left']:,}", "")
    rows.add_row("[bold]qualified[/]", "", f"[bold]{answer['qualified']:,}[/]", "")
    left = answer["qualified"]
    for entry in answer["decided"]:
        if entry["verdict"] == "send":
            rows.add_row("[green]send[/]", "", f"[green]{entry['people']:,}[/]", entry["reason"])
            continue
        left -= entry["people"]
        name = entry["rule"] or entry["verdict"]
        rows.add_row(f"{name}: {entry['verdict']}", f"-{entry['people']:,}", f"{left:,}", entry["reason"])
    out.print(rows)
