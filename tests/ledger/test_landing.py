"""The ledger as raw tables: typed, also when empty."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

if TYPE_CHECKING:
    from .conftest import World

TIME, TEXT, COUNT = pa.timestamp("us"), pa.string(), pa.int64()
EXPECTED = {
    "raw_ledger_messages": {
        **dict.fromkeys(
            [
                "message_id",
                "source_pack",
                "campaign_id",
                "user_id",
                "account_id",
                "occurrence_key",
                "message_type",
                "channel",
                "variant",
                "state",
                "state_reason",
                "decision_id",
            ],
            TEXT,
        ),
        **dict.fromkeys(["planned_as_of", "sent_as_of", "state_as_of", "updated_at"], TIME),
    },
    "raw_ledger_suppressions": {
        **dict.fromkeys(["suppression_id", "user_id", "address", "message_type", "channel", "reason"], TEXT),
        "created_at": TIME,
    },
    "raw_ledger_controls": {
        **dict.fromkeys(["name", "campaign_id", "value", "actor", "reason"], TEXT),
        "set_at": TIME,
    },
    "raw_ledger_policies": {
        "source_pack": TEXT,
        "campaign_id": TEXT,
        "version": COUNT,
        "policy_hash": TEXT,
        "policy": TEXT,
        "valid_from": TIME,
        "valid_to": TIME,
    },
    "raw_ledger_ticks": {
        "run_id": TEXT,
        "source_pack": TEXT,
        "as_of": TIME,
        "status": TEXT,
        "campaign_id": TEXT,
        "candidates": COUNT,
        "sends": COUNT,
    },
}
DELIVERIES = (
    "message_id source_pack campaign_id user_id account_id message_type channel state state_reason is_held attempts"
    " planned_as_of sent_as_of draft_hash recipe_id run_id"
)


def test_the_landed_tables_have_their_types_when_empty_and_when_full(world: World) -> None:
    def types() -> dict[str, dict[str, pa.DataType]]:
        return {
            name: dict(zip(table.schema.names, table.schema.types, strict=True))
            for name, table in world.ledger.land("demo").items()
        }

    assert types() == EXPECTED
    world.released()
    world.ledger.suppress(reason="unsubscribed", actor="web", user_id="u9")
    world.ledger.kill("operator", "stop")
    world.ledger.finish_tick("run-1", "done", {"welcome": (1, 1)}, {})
    world.ledger.record_policies("run-1", world.as_of, "demo", {"welcome": b'{"policy": {}}'}, {})
    assert types() == EXPECTED
    assert all(list(columns) == list(EXPECTED[name]) for name, columns in types().items())
    assert [table.num_rows for table in world.ledger.land("demo").values()] == [1, 1, 1, 1, 1]


def test_what_landed_is_what_happened(world: World) -> None:
    world.outcome(world.sending(), "sent")
    world.ledger.finish_tick("run-1", "done", {"welcome": (10, 1), "winback": (0, 0)}, {})

    landed = {name: table.to_pylist() for name, table in world.ledger.land("demo").items()}

    (message,) = landed["raw_ledger_messages"]
    assert (message["state"], message["sent_as_of"], message["decision_id"]) == ("sent", world.as_of, "d1")
    assert [(one["campaign_id"], one["candidates"], one["sends"]) for one in landed["raw_ledger_ticks"]] == [
        ("welcome", 10, 1),
        ("winback", 0, 0),
    ]
    assert landed["raw_ledger_suppressions"] == landed["raw_ledger_controls"] == []


def test_other_packs_and_running_ticks_do_not_land(world: World) -> None:
    world.released()

    assert world.ledger.land("yammer")["raw_ledger_messages"].num_rows == 0
    assert world.ledger.land("demo")["raw_ledger_ticks"].num_rows == 0


def test_deliveries_hold_every_message_ever_planned(world: World) -> None:
    world.released(3)
    world.mark(world.claim()[0])
    world.ledger.cancel({"m0003": "expired"}, world.run_id, world.as_of)

    table = world.ledger.deliveries("demo")

    assert table.schema.names == DELIVERIES.split()
    assert (table.schema.field("attempts").type, table.schema.field("is_held").type) == (COUNT, pa.bool_())
    states = [(row["state"], row["attempts"], row["run_id"]) for row in table.to_pylist()]
    assert states == [("sending", 1, "run-1"), ("approved", 0, "run-1"), ("cancelled", 0, "run-1")]
    assert world.ledger.deliveries("yammer").schema == table.schema


def test_a_delivery_is_held_while_its_worker_is_heard_of(world: World) -> None:
    """One that is being sent is nobody's failure; one whose worker is silent for longer than its lease is."""
    world.sending()

    def held() -> list[tuple[str, bool]]:
        return [(row["state"], row["is_held"]) for row in world.ledger.deliveries("demo").to_pylist()]

    world.clock.advance(seconds=59)
    assert held() == [("sending", True)]
    world.clock.advance(seconds=1)
    assert held() == [("sending", False)]


def test_landing_a_ledger_in_sqlite_brings_no_psycopg(tmp_path: Path) -> None:
    """It is slow to import, and `explain` lands the ledger each time."""
    code = (
        "import datetime, sys; from dagster_project.ledger import open_ledger\n"
        "with open_ledger(sys.argv[1], datetime.datetime.now) as ledger: ledger.land('demo')\n"
        "sys.exit('psycopg' in sys.modules)"
    )
    command = [sys.executable, "-c", code, f"sqlite:///{tmp_path / 'ledger.sqlite'}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
