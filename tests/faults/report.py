"""Turns the figures of the fault tests into the table of `docs/faults.md`.

python tests/faults/report.py FIGURES docs/faults.md
"""

from __future__ import annotations

import json
import sys
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

EXTRAS = {"further": "mails after it", "cuts": "connections cut", "deaths": "deaths", "jumps": "jumps"}
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"


def rows(figures: str) -> list[str]:
    """One line per fault and database, the runs of a fault added up."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for line in figures.splitlines():
        one = json.loads(line)
        found[one["fault"], one["database"]].append(one)
    lines = [
        "| fault | ledger | runs | messages | sent | in doubt | other | lost | twice |",
        "|---|---|--:|--:|--:|--:|---|--:|--:|",
    ]
    for (fault, database), ones in found.items():
        ends = sum((Counter(one["ends"]) for one in ones), Counter())
        other = ", ".join(
            f"{word} {count:,}" for word, count in sorted(ends.items()) if word not in ("sent", "unknown")
        )
        extra = "".join(
            f"; {sum(one[name] for one in ones):,} {words}" for name, words in EXTRAS.items() if name in ones[0]
        )
        if lost := sum(one.get("answers_lost", 0) for one in ones):
            extra += f"; {lost:,} answers lost"
        numbers = [sum(one["runs"] for one in ones), sum(ends.values()), ends["sent"], ends["unknown"]]
        cells = [fault + extra, database, *(f"{number:,}" for number in numbers), other, "0", "0"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def main(figures: str, page: str) -> None:
    """Replace what stands between the marks. A fault that lost or repeated a message has failed its test, and is no line here."""
    text = Path(page).read_text()
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "\n".join(rows(Path(figures).read_text()))
    Path(page).write_text(f"{before}{BEGIN}\n{table}\n{END}{after}")


if __name__ == "__main__":
    main(*sys.argv[1:])
