"""Answers of a server that speaks OpenAI's chat completions, one handler per role that it is asked in."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response
from werkzeug.test import EnvironBuilder

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
    return {"Slots": "writer", "Scores": "reviewer", "Objections": "policy"}[name.removesuffix("OfEach")]


def shown(request: Request) -> list[dict]:
    """What was asked about, of each text with what it has in common with the others of its call."""
    said = json.loads(request.get_json()["messages"][1]["content"])
    texts = said.pop("texts", None)
    return [said | one for one in texts.values()] if texts else [said]


def answered(request: Request, answer: Callable[[dict], object]) -> object:
    """`answer` of what was asked, or of each text by its name."""
    each = [answer(said) for said in shown(request)]
    is_shared = "texts" in json.loads(request.get_json()["messages"][1]["content"])
    return {f"text_{number}": one for number, one in enumerate(each, start=1)} if is_shared else each[0]


def scores(**changes: int) -> dict[str, dict[str, object]]:
    """Fives, but for the rubrics named."""
    found = dict.fromkeys(("clarity", "one_action", "tone", "brand", "risk"), 5) | changes
    return {name: {"score": score, "why": f"{name} is {score}."} for name, score in found.items()}


def objections(*found: tuple[str, str, str]) -> dict[str, list[dict[str, str]]]:
    """Each as rule, words, sentence."""
    return {"objections": [dict(zip(("rule", "words", "sentence"), one, strict=True)) for one in found]}


def read(answer: Callable[[dict], object]) -> Handler:
    """A reader who says this of each text that it is given."""
    return lambda request: saying(answered(request, answer))(request)


PLEASED = read(lambda _: scores())
SILENT = read(lambda _: objections())


def by_role(writer: Handler, reviewer: Handler = PLEASED, policy: Handler = SILENT) -> Handler:
    handlers = {"writer": writer, "reviewer": reviewer, "policy": policy}
    return lambda request: handlers[role_of(request)](request)


class Batches:
    """Files and batches of the same server: each line of a batch is answered by `handler` when it is made, and shown as done after
    `looks` looks at it. `taken` has the lines of each batch."""

    def __init__(self, server: HTTPServer, handler: Handler, looks: int = 1) -> None:
        self.handler, self.looks = handler, looks
        self.files: dict[str, bytes] = {}
        self.deleted: list[str] = []
        self.taken: list[list[dict]] = []
        self.cancelled: list[str] = []
        self.is_refusing = False
        for path, method, answer in (
            (r"^/v1/files$", "POST", self._upload),
            (r"^/v1/files/[^/]+/content$", "GET", self._content),
            (r"^/v1/files/[^/]+$", "DELETE", self._delete),
            (r"^/v1/batches$", "POST", self._create),
            (r"^/v1/batches/[^/]+$", "GET", self._look),
            (r"^/v1/batches/[^/]+/cancel$", "POST", self._cancel),
        ):
            server.expect_request(re.compile(path), method=method).respond_with_handler(answer)

    def _upload(self, request: Request) -> Response:
        name = f"file-{len(self.files)}"
        self.files[name] = request.files["file"].read()
        return _json(
            {
                "id": name,
                "object": "file",
                "bytes": 1,
                "created_at": 1,
                "filename": "f",
                "purpose": "batch",
                "status": "ok",
            }
        )

    def _content(self, request: Request) -> Response:
        return Response(self.files[request.path.split("/")[3]])

    def _delete(self, request: Request) -> Response:
        self.deleted.append(name := request.path.split("/")[3])
        return _json({"id": name, "object": "file", "deleted": True})

    def _create(self, request: Request) -> Response:
        if self.is_refusing:
            return _json({"error": {"message": "no batches here"}}, 404)
        rows = [json.loads(row) for row in self.files[request.get_json()["input_file_id"]].splitlines()]
        self.taken.append(rows)
        return self._look(request, f"batch-{len(self.taken) - 1}")

    def _look(self, request: Request, name: str = "") -> Response:
        name = name or request.path.split("/")[3]
        self.looks -= 1
        return _json(self._shown(name, "completed" if self.looks < 0 else "in_progress"))

    def _cancel(self, request: Request) -> Response:
        self.cancelled.append(name := request.path.split("/")[3])
        return _json(self._shown(name, "cancelled"))

    def _shown(self, name: str, status: str) -> dict[str, object]:
        output = f"out-{name}"
        if status == "completed" and output not in self.files:
            self.files[output] = b"\n".join(self._answered(row) for row in self.taken[int(name.split("-")[1])])
        return {
            "id": name, "object": "batch", "endpoint": PATH, "input_file_id": "file-0", "completion_window": "24h", "created_at": 1,
            "status": status, "output_file_id": output if status == "completed" else None,
        }  # fmt: skip

    def _answered(self, row: dict) -> bytes:
        said = self.handler(EnvironBuilder(path=row["url"], method=row["method"], json=row["body"]).get_request())
        response = {"status_code": said.status_code, "request_id": "r", "body": said.get_json(silent=True)}
        return json.dumps({"id": "b", "custom_id": row["custom_id"], "response": response, "error": None}).encode()


def _json(body: object, status: int = 200) -> Response:
    return Response(json.dumps(body), status=status, content_type="application/json")
