"""Answers of a server that speaks OpenAI's chat completions, one handler per role that it is asked in."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

from werkzeug import Request, Response

PATH = "/v1/chat/completions"
Handler = Callable[[Request], Response]
# A good sentence for any slot, by locale.
WELL = {
    "en": "Everything is where you left it, and a look takes a moment.",
    "de": "Alles ist noch da, wo Sie es gelassen haben, und ein Blick dauert nicht lange.",
    "fr": "Tout est resté à sa place depuis votre visite, et un coup d\u2019œil ne prend pas longtemps.",
    "es": "Todo sigue donde lo dejaste, y echar un vistazo lleva solo un momento.",
    "ja": "すべてそのまま残っていますので、少しご覧になってみてください。",
    "ar": "كل شيء ما زال حيث تركتموه، وإلقاء نظرة لا يستغرق وقتًا طويلًا.",
}


def completion(content: str | None, *, finish: str = "stop", **message: object) -> dict[str, object]:
    """The body of a chat completion, as the protocol has it."""
    return {
        "id": "c1",
        "object": "chat.completion",
        "created": 1,
        "model": "small-1",
        "choices": [
            {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": content, **message}}
        ],
        "usage": {"prompt_tokens": 120, "completion_tokens": 30, "total_tokens": 150},
    }


def as_json(body: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Handler:
    return lambda _: Response(json.dumps(body), status=status, content_type="application/json", headers=headers)


def saying(content: object) -> Handler:
    return as_json(completion(json.dumps(content)))


def role_of(request: Request) -> str:
    """By the form that the answer is to have."""
    name = request.get_json()["response_format"]["json_schema"]["name"]
    return {"Slots": "writer", "Scores": "reviewer", "Objections": "policy"}[name]


def scores(**changes: int) -> dict[str, dict[str, object]]:
    """Fives, but for the rubrics named."""
    found = dict.fromkeys(("clarity", "one_action", "tone", "brand", "risk"), 5) | changes
    return {name: {"score": score, "why": f"{name} is {score}."} for name, score in found.items()}


def objections(*found: tuple[str, str, str]) -> dict[str, list[dict[str, str]]]:
    """Each as rule, words, sentence."""
    return {"objections": [dict(zip(("rule", "words", "sentence"), one, strict=True)) for one in found]}


PLEASED = saying(scores())
SILENT = saying(objections())


def by_role(writer: Handler, reviewer: Handler = PLEASED, policy: Handler = SILENT) -> Handler:
    handlers = {"writer": writer, "reviewer": reviewer, "policy": policy}
    return lambda request: handlers[role_of(request)](request)
