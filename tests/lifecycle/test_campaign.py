"""A policy is accepted whole or refused in one line that names the file, the key, what was found, what is allowed."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any, get_args

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dagster_project.lifecycle.campaign import (
    ALLOWED_BASES,
    CampaignPolicy,
    EventKind,
    check_sequences,
    json_schema,
    parse_policy,
    policies,
)
from dagster_project.lifecycle.errors import InputError

FILE = "dbt_project/models/intermediate/score/triggers/int_triggers__welcome.yml"
WELCOME: dict[str, Any] = {
    "title": "Welcome",
    "use_case": "onboarding",
    "owner": "lifecycle@ledgerline.example",
    "kpi": {"event_kind": "setup_step", "horizon_days": 7},
    "message_type": "product_tips",
    "legal_basis": "consent",
    "channels": ["email"],
    "mode": "template",
    "review": "none",
    "model_budget": {"calls": 50, "tokens": None, "dollars": 1.5},
    "priority": 70,
    "value": None,
    "required_facts": ["next_setup_step"],
    "caps": {
        "per_user": {"count": 2, "window_days": 7},
        "per_account": {"count": 5, "window_days": 7},
        "per_message_type": None,
        "per_channel": None,
    },
    "quota_per_run": 500,
    "reentry": "never",
    "send_window": {
        "from_hour": 9,
        "to_hour": 17,
        "weekdays": [1, 2, 3, 4, 5],
        "skip_holidays": True,
        "best_hour": False,
    },
    "expires_after_hours": 72,
    "sequence": {"name": "onboarding", "step": 2, "wait_days": 2, "exit_when": "activated_at is not null"},
    "holdout_share": 0.1,
    "variants": {"default": 1},
    "rollout_percent": 100,
    "risk": "low",
    "on_unknown": "hold",
    "locales": {"fallback": "en"},
}
KEYS = ", ".join(WELCOME)
WEEKDAYS = "a list of ISO weekdays from 1 (Monday) to 7 (Sunday), each once"
REVIEWS = "one of none, sample:<share below 1>, risk, all"
OWED = "null, since a transactional message is owed to everyone"
REQUIRED: Any = object()
SCHEMA = {"$ref": "#/$defs/CampaignPolicy", "$defs": json_schema()["$defs"]}


def changed(changes: Mapping[str, Any]) -> dict[str, Any]:
    """WELCOME with dotted keys set to other values, or taken out where the value is REQUIRED."""
    policy = copy.deepcopy(WELCOME)
    for path, value in changes.items():
        *folders, key = path.split(".")
        place = policy
        for folder in folders:
            place = place[folder]
        if value is REQUIRED:
            del place[key]
        else:
            place[key] = value
    return policy


def trigger_node(name: str, meta: Mapping[str, Any], patch_path: str | None) -> dict[str, Any]:
    """A model as dbt's manifest lists it, as far as policies are concerned."""
    return {
        "resource_type": "model",
        "name": name,
        "config": {"meta": meta},
        "patch_path": patch_path,
        "original_file_path": f"models/intermediate/score/triggers/{name}.sql",
    }


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"send_window.to_hour": 25}, "send_window.to_hour: found 25, allowed is an hour from 1 to 24"),
        ({"send_window.from_hour": -1}, "send_window.from_hour: found -1, allowed is an hour from 0 to 23"),
        (
            {"send_window.from_hour": 20},
            "send_window.from_hour: found 20, allowed is an hour before to_hour, which is 17",
        ),
        (
            {"send_window.weekdays": [1, 9]},
            f"send_window.weekdays[1]: found 9, allowed is {WEEKDAYS}",
        ),
        (
            {"send_window.weekdays": [1, 1]},
            f"send_window.weekdays: found [1, 1], allowed is {WEEKDAYS}",
        ),
        (
            {"send_window.until": 17},
            (
                "send_window: found unknown key 'until', allowed are from_hour, to_hour, weekdays, skip_holidays, "
                "best_hour"
            ),
        ),
        (
            {"send_window": "always"},
            (
                "send_window: found 'always', allowed is a mapping of from_hour, to_hour, weekdays, skip_holidays and "
                "best_hour, or null"
            ),
        ),
        ({"send_window.best_hour": "yes"}, "send_window.best_hour: found 'yes', allowed is true or false"),
        ({"send_window.skip_holidays": REQUIRED}, "send_window.skip_holidays: found nothing, allowed is true or false"),
        ({"holdout_share": 0.6}, "holdout_share: found 0.6, allowed is a share from 0 to 0.5"),
        ({"holdout_share": float("nan")}, "holdout_share: found NaN, allowed is a share from 0 to 0.5"),
        ({"holdout_share": REQUIRED}, "holdout_share: found nothing, allowed is a share from 0 to 0.5"),
        ({"priority": "70"}, "priority: found '70', allowed is a number from 1 to 100"),
        ({"priority": True}, "priority: found true, allowed is a number from 1 to 100"),
        ({"priority": None}, "priority: found null, allowed is a number from 1 to 100"),
        ({"kpi.horizon_days": 2.5}, "kpi.horizon_days: found 2.5, allowed is a number of days from 1 to 365"),
        ({"kpi": "value"}, "kpi: found 'value', allowed is a mapping of event_kind and horizon_days"),
        (
            {"kpi.event_kind": "opens"},
            f"kpi.event_kind: found 'opens', allowed is one of {', '.join(get_args(EventKind))}",
        ),
        (
            {"use_case": "sales"},
            "use_case: found 'sales', allowed is one of onboarding, activation, expansion, retention, compliance",
        ),
        ({"owner": "Lifecycle team"}, "owner: found 'Lifecycle team', allowed is an e-mail address"),
        ({"owner": "a@b.example\nBcc: c"}, "owner: found 'a@b.example\\nBcc: c', allowed is an e-mail address"),
        ({"title": ""}, "title: found '', allowed is a text of 3 to 80 characters"),
        ({"channels": ["fax"]}, "channels[0]: found 'fax', allowed is a list of email"),
        ({"channels": []}, "channels: found [], allowed is a list of email"),
        (
            {"required_facts": ["plan", "plan"]},
            'required_facts: found ["plan", "plan"], allowed is a list of snake_case fact names, each once',
        ),
        (
            {"caps.per_user.count": 0},
            "caps.per_user.count: found 0, allowed is a number of messages from 1 to 100",
        ),
        (
            {"caps": {}},
            "caps.per_user: found null, allowed is a mapping of count and window_days where no other cap is given",
        ),
        (
            {"caps.per_account": 3},
            "caps.per_account: found 3, allowed is a mapping of count and window_days, or null",
        ),
        (
            {"caps.per_person": None},
            (
                "caps: found unknown key 'per_person' (did you mean 'per_user'?), allowed are per_user, per_account, "
                "per_message_type, per_channel"
            ),
        ),
        ({"quota_per_run": 0}, "quota_per_run: found 0, allowed is a number of messages from 1 to 1000000, or null"),
        (
            {"reentry": "sometimes"},
            "reentry: found 'sometimes', allowed is never, each_occurrence, {after_days: 1 to 3650} or {after_hours: 0 to 72}",
        ),
        ({"reentry": {"after_days": 0}}, "reentry.after_days: found 0, allowed is a number of days from 1 to 3650"),
        (
            {"reentry": {"after_day": 3}},
            "reentry: found unknown key 'after_day' (did you mean 'after_days'?), allowed are after_days, after_hours",
        ),
        ({"reentry": {"after_hours": -1}}, "reentry.after_hours: found -1, allowed is a number of hours from 0 to 72"),
        (
            {"reentry": {"after_days": 3, "after_hours": 3}},
            "reentry.after_days: found 3, allowed is either after_days or after_hours, the other left out",
        ),
        (
            {"reentry": {}},
            "reentry.after_days: found null, allowed is either after_days or after_hours, the other left out",
        ),
        ({"variants": {}}, "variants: found {}, allowed is a mapping of snake_case names to weights above 0"),
        (
            {"variants": {"default": 1, "short": 0}},
            "variants.short: found 0, allowed is a mapping of snake_case names to weights above 0",
        ),
        (
            {"variants": {"a\u2028b": 0}},
            "variants.a\\u2028b: found 'a\\u2028b', allowed is a mapping of snake_case names to weights above 0",
        ),
        (
            {"kpi": ["a\u2028b"]},
            'kpi: found ["a\\u2028b"], allowed is a mapping of event_kind and horizon_days',
        ),
        ({"rollout_percent": 101}, "rollout_percent: found 101, allowed is a percentage from 0 to 100"),
        ({"locales.fallback": "English"}, "locales.fallback: found 'English', allowed is a language like en or pt-BR"),
        (
            {"sequence.step": 1},
            "sequence.wait_days: found 2, allowed is 0 in step 1, which has no step before it",
        ),
        ({"sequence.step": 0}, "sequence.step: found 0, allowed is a step from 1 to 20"),
        ({"risk": "high"}, "review: found 'none', allowed is all, since risk is high"),
        ({"risk": "high", "review": "risk"}, "review: found 'risk', allowed is all, since risk is high"),
        ({"review": "sample"}, f"review: found 'sample', allowed is {REVIEWS}"),
        ({"review": "sample:0.0"}, f"review: found 'sample:0.0', allowed is {REVIEWS}"),
        ({"review": "sample:1.0"}, f"review: found 'sample:1.0', allowed is {REVIEWS}"),
        (
            {"model_budget": {}},
            "model_budget.calls: found null, allowed is a number where neither tokens nor dollars is given",
        ),
        (
            {"model_budget.calls": -1},
            "model_budget.calls: found -1, allowed is a number of calls from 0 to 1000000, or null",
        ),
        (
            {"mode": "autonomous"},
            "review: found 'none', allowed is sample:<share>, risk or all, since mode is autonomous",
        ),
        (
            {"legal_basis": "legitimate_interest"},
            "legal_basis: found 'legitimate_interest', allowed is consent for product_tips",
        ),
        ({"message_type": "billing"}, "legal_basis: found 'consent', allowed is transactional for billing"),
        (
            {"message_type": "billing", "legal_basis": "transactional"},
            "holdout_share: found 0.1, allowed is 0, since a transactional message is owed to everyone",
        ),
        (
            {"message_type": "billing", "legal_basis": "transactional", "holdout_share": 0},
            f"caps: found {json.dumps(WELCOME['caps'])[:60]}…, allowed is {OWED}",
        ),
        (
            {"message_type": "billing", "legal_basis": "transactional", "holdout_share": 0, "caps": None},
            f"quota_per_run: found 500, allowed is {OWED}",
        ),
    ],
)
def test_a_bad_value_is_refused_in_one_line(changes: Mapping[str, Any], line: str) -> None:
    """The line leads to the key and needs no other page to be understood."""
    with pytest.raises(InputError) as refused:
        parse_policy("welcome", changed(changes), FILE)

    assert str(refused.value) == f"{FILE}: config.meta.campaign.{line}"


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        (
            changed({"holdout_share": REQUIRED, "holdout_shre": 0.1}),
            f"found unknown key 'holdout_shre' (did you mean 'holdout_share'?), allowed are {KEYS}",
        ),
        (changed({"colour": "red"}), f"found unknown key 'colour', allowed are {KEYS}"),
        (None, f"found null, allowed is a mapping of {KEYS}"),
        ("none", f"found 'none', allowed is a mapping of {KEYS}"),
        ([1, 2], f"found [1, 2], allowed is a mapping of {KEYS}"),
    ],
)
def test_what_is_no_policy_at_all_is_refused_in_one_line(raw: object, line: str) -> None:
    """An unknown key is reported before the missing one that it was meant to be."""
    with pytest.raises(InputError) as refused:
        parse_policy("welcome", raw, FILE)

    assert str(refused.value) == f"{FILE}: config.meta.campaign: {line}"


@pytest.mark.parametrize("campaign_id", ["", "ab", "Welcome", "1st", "welcome-back", "w" * 42, "welcome\n"])
def test_a_bad_campaign_id_is_refused(campaign_id: str) -> None:
    """An id is part of file names, keys and links."""
    with pytest.raises(InputError) as refused:
        parse_policy(campaign_id, WELCOME, FILE)

    allowed = "a lower-case letter, then 2 to 40 lower-case letters, digits or _"
    assert str(refused.value) == f"{FILE}: campaign id: found {campaign_id!r}, allowed is {allowed}"


def test_a_good_policy_is_read_as_it_stands() -> None:
    """Nothing is converted, defaulted or dropped."""
    assert parse_policy("welcome", WELCOME, FILE).model_dump(mode="json") == WELCOME


def test_null_switches_off_what_may_be_absent() -> None:
    """Caps, window and sequence may be null, but must be said."""
    policy = parse_policy("welcome", changed({"caps": None, "send_window": None, "sequence": None}), FILE)

    assert (policy.caps, policy.send_window, policy.sequence) == (None, None, None)


def test_every_consent_message_type_needs_consent() -> None:
    """Tips and news are never mailed on another basis; what is owed needs none."""
    assert {kind for kind, bases in ALLOWED_BASES.items() if "consent" in bases} == {"product_tips", "product_news"}
    assert all(bases == ("consent",) for bases in ALLOWED_BASES.values() if "consent" in bases)


def test_policies_are_found_in_the_manifest() -> None:
    """Only triggers count, in the order of their ids."""
    nodes = {
        "b": trigger_node("int_triggers__winback", {"campaign": changed({"sequence": None})}, None),
        "a": trigger_node("int_triggers__hello", {"campaign": changed({"sequence": None})}, None),
        "c": trigger_node("int_user_scores", {}, None),
        "d": {**trigger_node("int_triggers__test", {}, None), "resource_type": "test"},
    }

    assert list(policies({"nodes": nodes})) == ["hello", "winback"]


@pytest.mark.parametrize(
    ("patch_path", "file"),
    [
        ("postrider://models/welcome.yml", "dbt_project/models/welcome.yml"),
        (None, "dbt_project/models/intermediate/score/triggers/int_triggers__welcome.sql"),
    ],
)
def test_a_trigger_without_a_policy_is_refused_by_its_file(patch_path: str | None, file: str) -> None:
    """The YAML is named where there is one, else the SQL that lacks it."""
    with pytest.raises(InputError) as refused:
        policies({"nodes": {"a": trigger_node("int_triggers__welcome", {}, patch_path)}})

    assert str(refused.value) == f"{file}: config.meta.campaign: found null, allowed is a mapping of {KEYS}"


def test_two_campaigns_on_one_step_are_refused() -> None:
    """A person can't be sent two second mails."""
    second = parse_policy("setup_stalled", WELCOME, FILE)

    with pytest.raises(InputError) as refused:
        check_sequences({"setup_stalled": second, "first_value": second})

    assert str(refused.value) == (
        "dbt_project: config.meta.campaign.sequence.step: found steps 2 (first_value), 2 (setup_stalled) in sequence "
        "'onboarding', allowed are 1 to 2, one campaign each"
    )


@given(st.lists(st.integers(1, 6), min_size=1, max_size=6))
def test_a_sequence_is_accepted_exactly_when_its_steps_count_up_from_one(steps: list[int]) -> None:
    """In whatever order the campaigns are named."""
    members = {
        f"campaign_{number}": parse_policy("welcome", changed({"sequence.step": step, "sequence.wait_days": 0}), FILE)
        for number, step in enumerate(steps)
    }

    try:
        check_sequences(members)
        accepted = True
    except InputError:
        accepted = False

    assert accepted == (sorted(steps) == list(range(1, len(steps) + 1)))


YAML_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.dates() | st.binary(max_size=4),
    lambda inside: (
        st.lists(inside, max_size=3)
        | st.dictionaries(st.text() | st.none() | st.integers() | st.dates(), inside, max_size=3)
    ),
    max_leaves=6,
)
KEY_PATHS = st.sampled_from(
    [
        *WELCOME,
        *(f"{key}.{inside}" for key, value in WELCOME.items() if isinstance(value, dict) for inside in value),
        "new_key",
    ]
)


@given(KEY_PATHS, YAML_VALUES)
def test_whatever_stands_at_a_key_is_accepted_or_refused_in_one_line(path: str, value: object) -> None:
    """No other exception, no second line; and what is accepted, the JSON schema accepts, and it reads back the same."""
    raw = changed({path: value})

    try:
        policy = parse_policy("welcome", raw, FILE)
    except InputError as refused:
        line = str(refused)

        assert line.startswith(f"{FILE}: config.meta.campaign")
        assert "allowed" in line
        assert len(line.splitlines()) == 1
    else:
        written = policy.model_dump(mode="json")

        jsonschema.validate(written, SCHEMA)
        assert CampaignPolicy.model_validate_json(json.dumps(written)) == policy


@given(YAML_VALUES)
def test_whatever_stands_for_a_policy_is_refused_in_one_line(raw: object) -> None:
    """Nothing small is a whole policy."""
    with pytest.raises(InputError) as refused:
        parse_policy("welcome", raw, FILE)

    assert len(str(refused.value).splitlines()) == 1
