"""The picture of a tick: who was decided how, by campaign and by reason."""

import base64
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

COLOURS = {"send": "#2f855a", "hold": "#d69e2e", "suppress": "#a0aec0", "holdout": "#3182ce", "lose": "#805ad5"}


def story_of_decisions(decisions: Sequence[Mapping[str, Any]]) -> dict[str, dg.MetadataValue]:
    """Metadata of the decisions of one tick: counts by verdict and reason, and a bar per campaign."""
    reasons = Counter(f"{row['verdict']}: {row['reason']}" for row in decisions)
    lines = [
        "| verdict and reason | candidates |",
        "|---|---|",
        *(f"| {name} | {n:,} |" for name, n in reasons.most_common()),
    ]
    return {
        "verdicts": dg.MetadataValue.json(dict(Counter(row["verdict"] for row in decisions))),
        "reasons": dg.MetadataValue.md("\n".join(lines)),
        "plot": dg.MetadataValue.md(f"![verdicts by campaign](data:image/png;base64,{_bars(decisions)})"),
    }


def _bars(decisions: Sequence[Mapping[str, Any]]) -> str:
    """A PNG in base64: one horizontal bar per campaign, stacked by verdict."""
    from matplotlib.figure import Figure

    counts = Counter((row["campaign_id"], row["verdict"]) for row in decisions)
    campaigns = sorted({campaign for campaign, _ in counts}, reverse=True)
    figure = Figure(figsize=(7, 0.3 * len(campaigns) + 1), layout="constrained")
    axes = figure.subplots()
    left = [0] * len(campaigns)
    for verdict, colour in COLOURS.items():
        width = [counts[campaign, verdict] for campaign in campaigns]
        axes.barh(campaigns, width, left=left, color=colour, label=verdict)
        left = [start + more for start, more in zip(left, width, strict=True)]
    axes.set_xlabel("candidates")
    axes.legend(ncols=len(COLOURS), fontsize="small", frameon=False, loc="lower right")
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=80)
    return base64.b64encode(picture.getvalue()).decode()
