"""`make cassette`: records the evals' cassette from a scripted server. No real model answers: what it says is written down here.

Its texts are one good sentence per locale. For some patterns its first try is a bad one, of each kind that guards and readers turn
down, so that the figures of a replay show every path of the pipeline.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import zlib
from pathlib import Path

from werkzeug import Request, Response

from dagster_project.commands.evals import BASELINE, CASSETTE, Asked, evaluate
from dagster_project.commands.settings import open_home
from tests.http_server import PromptServer
from tests.model_server import PATH, WELL, answered, objections, role_of, scores

NOTE = (
    "a scripted server (tests/record_evals.py), no real model: its scores, tokens and milliseconds say nothing of any"
)
BAD = {
    1: "Have a look at https://evil.example/win for it.",
    2: "You have 20% off from here on.",
}
ONE_IN = 13  # patterns with the first kind of bad try, and so with each other


def script(request: Request) -> Response:
    """By what was asked alone: the same question has the same answer in every recording."""
    content = answered(request, {"writer": _slots, "reviewer": _scores, "policy": _objections}[role_of(request)])
    words = json.dumps(content, ensure_ascii=False)
    sent = sum(len(one["content"]) for one in request.get_json()["messages"])
    body = {
        "id": "scripted", "object": "chat.completion", "created": 1, "model": "scripted",
        "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": words}}],
        "usage": {"prompt_tokens": sent // 4, "completion_tokens": len(words) // 4, "total_tokens": sent // 4 + len(words) // 4},
    }  # fmt: skip
    return Response(json.dumps(body), content_type="application/json")


def _kind(said: dict) -> int:
    """Of a pattern: which of its tries is bad, told by what all roles are shown of it."""
    shown = {name: said[name] for name in ("campaign", "locale", "facts", "ranges", "placeholders")}
    return zlib.crc32(json.dumps(shown, sort_keys=True).encode()) % ONE_IN


def _slots(said: dict) -> dict[str, str]:
    kind, is_repair = _kind(said), bool(said.get("objections"))
    words = {}
    for place, (name, slot) in enumerate(said["slots"].items()):
        text = " ".join([WELL[said["locale"]], *slot["must_use"]])
        if kind in BAD and place == 0 and (kind == 1 or not is_repair):  # the first kind is never mended
            text = " ".join([BAD[kind], *slot["must_use"]])
        words[name] = "" if slot.get("optional") else text
    if "subject" in words:
        words["subject"] = WELL[said["locale"]].split(",")[0].split("、")[0].rstrip(".")[:60]
    return words | ({"cta_id": next(iter(said["ctas"]))} if "ctas" in said else {})


def _scores(said: dict) -> dict:
    return scores(tone=3, clarity=4) if _kind(said) == 3 else scores(clarity=4) if _kind(said) % 2 else scores()


def _objections(said: dict) -> dict:
    first = next(words for slot, words in said["text"].items() if slot != "cta_id")
    return objections(("claim", first.split()[0], "No fact says so.")) if _kind(said) == 4 else objections()


def main(folder: Path) -> None:
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    with PromptServer(host="127.0.0.1", threaded=True) as server:
        server.expect_request(PATH, method="POST").respond_with_handler(script)
        os.environ |= {"OPENAI_BASE_URL": server.url_for("/v1"), "POSTRIDER_MODEL_CALLS_PER_RUN": "10000"}
        home = open_home()
        evaluate(home, Asked(record=folder / CASSETTE, note=NOTE))
    report = evaluate(home, Asked(cassette=folder / CASSETTE))
    kept = {name: value for name, value in report.items() if name not in ("difference", "failed")}
    cases = ",\n".join(json.dumps(row) for row in kept.pop("cases"))  # a line each, for whoever reads the difference
    (folder / BASELINE).write_text(f'{json.dumps(kept)[:-1]}, "cases": [\n{cases}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
