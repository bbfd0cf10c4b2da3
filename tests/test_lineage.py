"""The asset graph is the audit trail: recorded, forward only, in stages, without a loose end."""

from __future__ import annotations

import dagster as dg
import pytest
from syrupy.assertion import SnapshotAssertion

from dagster_project.lifecycle.stages import STAGES

pytestmark = pytest.mark.slow  # each reads the dbt project anew


@pytest.fixture(scope="module")
def graph() -> dg.AssetGraph:
    """The graph of the demo pack, as the UI shows it."""
    from dagster_project.definitions import defs

    return defs().resolve_asset_graph()


def group_of(graph: dg.AssetGraph, key: dg.AssetKey) -> str:
    return graph.get(key).group_name


def test_the_graph_is_as_recorded(graph: dg.AssetGraph, snapshot: SnapshotAssertion) -> None:
    """Every asset with its group and parents; a change of lineage is a change somebody reviews."""
    recorded = {
        key.to_user_string(): {
            "group": group_of(graph, key),
            "parents": sorted(parent.to_user_string() for parent in graph.get(key).parent_keys),
        }
        for key in sorted(graph.get_all_asset_keys())
    }

    assert recorded == snapshot


def test_groups_are_exactly_the_stages(graph: dg.AssetGraph) -> None:
    """An asset in group `default` would be a phantom: made by a mistyped key, without an error."""
    assert {group_of(graph, key) for key in graph.get_all_asset_keys()} == set(STAGES)


def test_every_edge_runs_forward(graph: dg.AssetGraph) -> None:
    """A stage reads earlier stages or its own; the one loop goes through time, not through the graph."""
    backward = [
        f"{parent.to_user_string()} -> {key.to_user_string()}"
        for key in graph.get_all_asset_keys()
        for parent in graph.get(key).parent_keys
        if STAGES.index(group_of(graph, parent)) > STAGES.index(group_of(graph, key))
    ]

    assert backward == []


def test_no_asset_is_external_or_alone(graph: dg.AssetGraph) -> None:
    """Everything shown is made by a tick, and everything is connected to something."""
    external = [key.to_user_string() for key in graph.get_all_asset_keys() if not graph.get(key).is_executable]
    alone = [
        key.to_user_string()
        for key in graph.get_all_asset_keys()
        if not graph.get(key).parent_keys and not graph.get(key).child_keys
    ]

    assert external == []
    # Landed for analysts, and read by no model: the one experiment of the Yammer set isn't in the demo pack.
    assert alone == []


def test_every_stage_ends_in_a_blocking_gate(graph: dg.AssetGraph) -> None:
    """Each border has exactly one gate, and it stops what comes after."""
    gates = {key.name: key.asset_key for key in graph.asset_check_keys if key.name.startswith("gate_")}

    assert sorted(gates) == sorted(f"gate_{stage}" for stage in STAGES)
    for name, asset in gates.items():
        assert group_of(graph, asset) == name.removeprefix("gate_")
        assert graph.get(dg.AssetCheckKey(asset, name)).blocking


def test_every_asset_is_described_and_owned(graph: dg.AssetGraph) -> None:
    """Stakeholders read these pages: each asset says what it is and who answers for it."""
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description, key
        assert node.owners, key
        assert node.kinds, key
        assert node.code_version, key
