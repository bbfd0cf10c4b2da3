"""A new prompt or model gets its share of the patterns, the same each day, and goes when it is too bad."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import pytest

from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.pipeline import Outcome
from dagster_project.lifecycle.prompt_canary import Arm, Canary, Fate, fate_of, parse_canary, version_of
from dagster_project.lifecycle.roles.call import Answer, Ask, Question
from dagster_project.lifecycle.roles.writer import WriterRequest, WriterResult
from dagster_project.lifecycle.template import SlotSpec

RAW = {
    "name": "brief_writer",
    "share": 0.3,
    "prompts": {"writer": "writer.brief.md"},
    "most": {"rejected": 0.5, "fell_back": 0.25},
    "least_patterns": 4,
    "difference": 0.1,
}
POLICY = parse_canary(RAW)


def request(number: int, campaign: str = "winback", version: str = "v1") -> WriterRequest:
    slots = {"opening": SlotSpec(description="Hi.", max_chars=80)}
    return WriterRequest(campaign, "default", "T", "en", "warm", version, slots, {"weeks": number}, ())


def requests(count: int = 200, **changes: str) -> dict[str, WriterRequest]:
    return {one.key: one for one in (request(number, **changes) for number in range(count))}


class Side:
    """Writes everything alike, and keeps what it was asked to write."""

    def __init__(self, failure: str | None = None, caution: str | None = None) -> None:
        self.failure, self.caution, self.written = failure, caution, list[str]()

    def ask(self, questions: Sequence[Question]) -> list[Answer]:
        raise AssertionError(questions)

    def write(self, some: Mapping[str, WriterRequest]) -> Outcome:
        self.written += some
        result = WriterResult(None if self.failure else {"opening": "Hi."}, self.failure, caution=self.caution)
        return Outcome(dict.fromkeys(some, result), (), ())


def run(
    canary: Side,
    asked: Mapping[str, WriterRequest],
    before: Mapping[str, Fate] | None = None,
    policy: dict | None = None,
) -> tuple[Side, dict[str, dict | None]]:
    """The standing side, and the trial of each key."""
    standing = Side()
    made = Canary(
        parse_canary(RAW | (policy or {})),
        Arm(canary.ask, {"writer": b"brief"}, ["new"]),
        Arm(standing.ask, {"writer": b"long"}, ["old"]),
        before or {},
    )

    def write(some: Mapping[str, WriterRequest], ask: Ask) -> Outcome:
        return (canary if ask == canary.ask else standing).write(some)

    results = made.written(asked, write, standing.ask).results
    assert set(results) == set(asked)
    return standing, {key: json.loads(one.trial) if one.trial else None for key, one in results.items()}


def test_a_share_of_the_patterns_is_drawn_and_the_draft_says_how() -> None:
    """Arm, propensity, prompts and models of both sides; the share is the one declared."""
    canary, asked = Side(), requests(1_000)
    standing, trials = run(canary, asked)

    assert len(canary.written) + len(standing.written) == 1_000
    assert 250 < len(canary.written) < 350
    for arm, side, propensity, models in (("canary", canary, 0.3, ["new"]), ("standing", standing, 0.7, ["old"])):
        for key in side.written:
            found = trials[key]
            assert found is not None
            assert (found["arm"], found["propensity"], found["models"], found["stopped"]) == (
                arm,
                propensity,
                models,
                None,
            )
    hashes = {json.dumps(one["prompts"]) for one in trials.values() if one}
    assert len(hashes) == 2


def test_a_pattern_stays_in_its_arm_whatever_the_template_says_that_day() -> None:
    """Another version of the template, or other knowledge, draws nobody anew; another name does."""
    before, after = requests(300), requests(300, version="v2")
    drawn = {one.pattern for one in before.values() if POLICY.draws(one)}

    assert drawn == {one.pattern for one in after.values() if POLICY.draws(one)}
    assert before.keys().isdisjoint(after.keys())
    other = parse_canary(RAW | {"name": "another"})
    assert drawn != {one.pattern for one in before.values() if other.draws(one)}


def test_campaigns_that_are_not_named_have_no_trial() -> None:
    canary, asked = Side(), requests(50) | requests(50, campaign="welcome")
    _, trials = run(canary, asked, policy={"campaigns": ["welcome"]})

    assert {asked[key].campaign_id for key in canary.written} == {"welcome"}
    assert {asked[key].campaign_id for key, trial in trials.items() if trial} == {"welcome"}


def test_a_canary_that_fails_too_often_stops_itself_and_the_rest_goes_back() -> None:
    """Within the run, as soon as enough patterns are known; those that were put back say why, and count for no arm."""
    canary, asked = Side(failure="guard:link", caution="objected"), requests()
    standing, trials = run(canary, asked)
    put_back = [one for one in trials.values() if one and one["stopped"]]

    assert len(canary.written) == 6, "two waves of three: four patterns are enough to know"
    assert {one["stopped"] for one in put_back} == {"canary_stopped:rejected 6 of 6"}
    assert {(one["arm"], one["propensity"]) for one in put_back} == {("standing", 1.0)}
    assert len(put_back) == sum(POLICY.draws(one) for one in asked.values()) - 6
    assert len(standing.written) == len(asked) - 6


def test_what_earlier_runs_know_of_it_stops_it_before_it_begins() -> None:
    canary = Side()
    _, trials = run(canary, requests(), before={str(number): Fate(False, number < 2) for number in range(5)})

    assert canary.written == []
    assert "canary_stopped:fell_back 2 of 5" in {one["stopped"] for one in trials.values() if one}


@pytest.mark.parametrize("failure", ["over_budget", "out_of_time", "not_asked"])
def test_what_a_budget_or_the_clock_prevents_is_not_held_against_it(failure: str) -> None:
    canary, asked = Side(failure=failure), requests()
    run(canary, asked)

    assert len(canary.written) == sum(POLICY.draws(one) for one in asked.values())


@pytest.mark.parametrize(
    ("failure", "caution", "fate"),
    [
        (None, None, Fate(False, False)),
        (None, "repaired", Fate(True, False)),
        (None, "doubt:reviewer:tone", Fate(True, False)),
        (None, "doubt:policy:timeout", Fate(False, False)),
        ("guard:link", "objected", Fate(True, True)),
        ("timeout", None, Fate(False, True)),
        ("over_budget", None, None),
    ],
)
def test_a_fate_says_whether_somebody_objected_and_whether_it_fell_back(
    failure: str | None, caution: str | None, fate: Fate | None
) -> None:
    assert fate_of(failure, caution) == fate


def test_another_prompt_or_model_under_the_same_name_is_another_version() -> None:
    """What an earlier one did wrong doesn't stop it."""
    side = Side()
    arms = [Arm(side.ask, {"writer": prompt}, [model]) for prompt in (b"a", b"b") for model in ("m", "n")]

    assert len({version_of(arm) for arm in arms}) == 4


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompts": {}}, "canary.prompts: found {}, allowed is a prompt where no model is named"),
        ({"prompts": {"author": "a.md"}}, "canary.prompts"),
        ({"prompts": {"writer": "../writer.md"}}, "canary.prompts.writer: found '../writer.md'"),
        ({"share": 0.9}, "canary.share: found 0.9, allowed is a share above 0, at most 0.5"),
        ({"shares": 0.1}, "canary: found unknown key 'shares' (did you mean 'share'?)"),
        ({"most": {"rejected": 0.5}}, "canary.most.fell_back: found nothing"),
    ],
)
def test_what_is_wrong_in_the_file_is_one_line(change: dict, said: str) -> None:
    with pytest.raises(InputError) as error:
        parse_canary(RAW | change)

    assert str(error.value).startswith(f"templates/prompts/canary.yml: {said}")
