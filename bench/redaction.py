"""What `to_model: redact` finds and what it misses, on public texts with marked personal data. Quality, not speed.

Needs the extra `pii`, and the public data sets beside the checkout. Nothing is known of anybody in them, so what is measured is the
weaker half: patterns, numbers and capitals. `python -m bench.redaction --docs docs/drafting.md` writes its table there.
"""

from __future__ import annotations

import gzip
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from bench import results
from dagster_project.adapters.redaction import open_patterns
from dagster_project.lifecycle.redaction import Find, Span, personal_spans

TEXTS = Path(__file__).resolve().parents[2] / "shared" / "data" / "pii_presidio" / "synth_dataset_v2.json.gz"
HEAD = ("marked as", "spans", "wholly taken out", "in part", "patterns alone, wholly")
TOKENS = ("token", "stretches", "touch what is marked")
SETTING = """\
{texts:,} texts; of the characters that nothing marks, {untouched:.0%} stay. "In part" leaves some of a span's letters or digits."""


def main(
    texts: Annotated[Path, typer.Option(help="gzipped JSON: full_text and spans of each text")] = TEXTS,
    docs: Annotated[Path | None, typer.Option(help="file between whose marks the table is put")] = None,
    to: Annotated[Path | None, typer.Option(help="file for the figures as JSON")] = None,
) -> None:
    """Measure, and print or write the table."""
    if not texts.is_file():
        raise SystemExit(f"--texts: found no file {texts}, allowed: the public set, or one of its form")
    document = measure(read(texts), open_patterns("bench.redaction"))
    if to:
        to.write_text(json.dumps(document, indent=2) + "\n")
    if docs:
        results.write_between(docs, "redaction", markdown(document))
    else:
        print(markdown(document))


def read(texts: Path) -> list[dict[str, Any]]:
    """The set's texts: full_text, and spans with entity_type, start_position and end_position."""
    return json.loads(gzip.decompress(texts.read_bytes()))


def measure(marked: Sequence[Mapping[str, Any]], patterns: Find) -> dict[str, Any]:
    """By type of mark: spans, those of which nothing is left, those of which something is. By token: stretches taken out, and those that
    touch a mark. A span is gone when none of its letters and digits is left."""
    ways: dict[str, Callable[[str], Iterable[Span]]] = {
        "all": lambda text: personal_spans(text, (), patterns),
        "patterns": patterns,
    }
    counts: dict[str, Counter[tuple[str, str]]] = {way: Counter() for way in ways}
    tokens: Counter[tuple[str, str]] = Counter()
    unmarked = untouched = 0
    for one in marked:
        text = one["full_text"]
        gold = {place for mark in one["spans"] for place in range(mark["start_position"], mark["end_position"])}
        for way, find in ways.items():
            spans = list(find(text))
            taken = {place for span in spans for place in range(span.start, span.end)}
            for mark in one["spans"]:
                places = [
                    place for place in range(mark["start_position"], mark["end_position"]) if text[place].isalnum()
                ]
                gone = sum(place in taken for place in places)
                how = "wholly" if gone == len(places) else "partly" if gone else "not"
                counts[way][mark["entity_type"], how] += 1
            if way == "all":
                tokens.update((span.token, "stretches") for span in spans)
                tokens.update((span.token, "marked") for span in spans if gold & set(range(span.start, span.end)))
                unmarked += sum(place not in gold for place in range(len(text)))
                untouched += sum(place not in gold and place not in taken for place in range(len(text)))
    kinds = sorted({kind for kind, _ in counts["all"]})
    return {
        "settings": {"texts": len(marked), "untouched": untouched / unmarked},
        "kinds": {
            kind: {
                "spans": sum(counts["all"][kind, how] for how in ("wholly", "partly", "not")),
                "wholly": counts["all"][kind, "wholly"],
                "partly": counts["all"][kind, "partly"],
                "patterns": counts["patterns"][kind, "wholly"],
            }
            for kind in kinds
        },
        "tokens": {
            token: {"stretches": tokens[token, "stretches"], "marked": tokens[token, "marked"]}
            for token in sorted({token for token, _ in tokens})
        },
    }


def markdown(document: Mapping[str, Any]) -> str:
    """Recall by type of mark, precision by token."""
    kinds = [
        (
            kind.lower().replace("_", " "),
            f"{found['spans']:,}",
            f"{found['wholly'] / found['spans']:.1%}",
            f"{found['partly'] / found['spans']:.1%}",
            f"{found['patterns'] / found['spans']:.1%}",
        )
        for kind, found in document["kinds"].items()
    ]
    tokens = [
        (f"`[{token}]`", f"{found['stretches']:,}", f"{found['marked'] / found['stretches']:.1%}")
        for token, found in document["tokens"].items()
    ]
    return "\n\n".join(
        [SETTING.format(**document["settings"]), results.table(HEAD, kinds), results.table(TOKENS, tokens)]
    )


if __name__ == "__main__":
    typer.run(main)
