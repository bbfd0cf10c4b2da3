"""The in-app inbox from end to end: from a tick to what a page shows, over real HTTP, and on to the purge."""

from __future__ import annotations

import contextlib
import hmac
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest
import sqlalchemy as sa

from dagster_project.adapters.clock import utc_now
from dagster_project.adapters.inbox_app import MAX_AGE, read_inbox_token
from dagster_project.adapters.secret import secret_keys
from dagster_project.commands import explain_report
from dagster_project.commands.explain import explain
from dagster_project.commands.run import Report
from dagster_project.home import Home
from dagster_project.ledger.inbox import KEPT
from dagster_project.ledger.schema import inbox
from tests.released import release

Call = Callable[..., tuple[int, str, str]]
Tick = Callable[..., Report]
MORNING = datetime(2026, 9, 1, 9)
PAGE = Path(__file__).parent.parent / "docs" / "in-app.md"
KEY = "a key of sixteen characters and more"


def everybody(company: Path) -> str:
    """An allow-list on which the whole company stands."""
    found = pyarrow.parquet.read_table(company / "users.parquet", columns=["email"])["email"].to_pylist()
    return ",".join(sorted({f"@{email.rpartition('@')[2]}" for email in found if email and email.count("@") == 1}))


def answer(told: tuple[int, str, str]) -> Any:
    code, out, err = told
    assert code == 0, err
    return json.loads(out)


@contextlib.contextmanager
def served(*options: str) -> Iterator[int]:
    """The port of `postrider inbox serve` in a process of its own, which ends by Ctrl-C without a word of complaint."""
    command = [sys.executable, "-m", "dagster_project.cli", "inbox", "serve", "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    line = process.stdout.readline()
    found = re.search(r"127\.0\.0\.1:(\d+)/inbox", line)
    try:
        assert found, (line, process.communicate()[1] if process.poll() else "")
        yield int(found[1])
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
    assert (process.returncode, err) == (0, "")


def ask(port: int, method: str, path: str, token: str, **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(connection):
        connection.request(method, path, headers={"Authorization": f"Bearer {token}", **headers})
        reply = connection.getresponse()
        return reply.status, json.loads(reply.read())


def rows(home: Home) -> list[dict[str, Any]]:
    with home.ledger() as ledger, ledger._database.read() as connection:
        return [dict(row) for row in connection.execute(sa.select(inbox).order_by(inbox.c.message_id)).mappings()]


def doctor(home: Home, statement: str) -> None:
    """Change the ledger behind its back."""
    with home.ledger() as ledger, ledger._database.engine.begin() as connection:
        connection.execute(sa.text(statement))


def verified(home: Home) -> bool:
    with home.ledger() as ledger:
        told = ledger.verify()
    assert told["ok"], told
    return True


@pytest.mark.slow
def test_a_day_of_the_demo_company_in_its_inboxes(
    make_home: Callable[..., Home],
    tick: Tick,
    call: Call,
    small_company: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Decided, put, read over HTTP, explained; a month later expired and purged; the ledger holds all the way."""
    home = make_home(channel="in_app", allow_list=everybody(small_company))
    started = utc_now()

    first = tick(home)

    assert first.error is None
    assert len(rows(home)) == first.deliveries["sent"] > 10
    with home.ledger() as ledger:
        sent = {message.message_id: message for message in ledger.messages(states=["sent"])}
    assert {row["message_id"]: row["user_id"] for row in rows(home)} == {
        one.message_id: one.user_id for one in sent.values()
    }
    assert all(started + KEPT <= row["expires_at"] <= utc_now() + KEPT for row in rows(home)), (
        "not as of last September"
    )
    assert verified(home)

    chosen = rows(home)[0]
    message_id, user_id = chosen["message_id"], chosen["user_id"]
    with served() as port:
        token = call("inbox", "token", "--user", user_id)[1].strip()
        status, found = ask(port, "GET", "/inbox", token)
        assert (status, found["unread"]) == (200, len(found["messages"]))
        (shown,) = [one for one in found["messages"] if one["message_id"] == message_id]
        assert (shown["subject"], shown["html"], shown["read_at"]) == (chosen["subject"], chosen["html"], None)
        assert shown["cta_url"].startswith("https://app.ledgerline.example/")
        assert ask(port, "POST", f"/inbox/{message_id}/read", token) == (200, {"message_id": message_id})
        assert ask(port, "GET", "/inbox", token)[1]["unread"] == found["unread"] - 1
        stranger = answer(call("inbox", "token", "--user", "nobody by this name", "--json"))["token"]
        assert ask(port, "GET", "/inbox", stranger) == (200, {"messages": [], "unread": 0})
        assert ask(port, "POST", f"/inbox/{message_id}/read", stranger)[0] == 404
        assert ask(port, "GET", "/inbox", "no token")[0] == 401
    assert verified(home)
    explained = explain(home, user_id, sent[message_id].campaign_id, None)
    told = explained["campaigns"][0]["message"]
    assert told["inbox"]["is_kept"]
    assert told["inbox"]["read_at"] is not None
    assert None not in {state["state"] for state in told["states"]}
    explain_report.show_explanation(explained)
    shown_there = " ".join(capsys.readouterr().out.split())
    assert re.search(r"inbox put 20\d\d-\S+ \S+ read 20\d\d-\S+ \S+ there until 20\d\d-", shown_there)

    monkeypatch.setattr("dagster_project.home.utc_now", lambda: utc_now() + timedelta(days=31))
    later = tick(home, MORNING + timedelta(hours=1))

    assert later.error is None
    assert {row["message_id"] for row in rows(home)} & set(sent) == set()
    with home.ledger() as ledger:
        assert ledger.taken_by_inbox(sent) == set(sent)
        assert ledger.story(message_id)["inbox"]["is_kept"] is False
    assert verified(home)


@pytest.mark.slow
def test_what_a_killed_worker_was_putting_is_settled_by_the_inbox(make_home: Callable[..., Home], call: Call) -> None:
    """SIGKILL in the middle of a group: what was put is sent, the rest goes out by the next; nobody says a word."""
    home = make_home(channel="in_app", allow_list="@customer.example")
    home.prepare()
    release(home.settings.ledger_location, 1000)
    put: frozenset[str] = frozenset()
    sending: list[str] = []
    give_up = time.monotonic() + 120
    while not put:  # killed between two puts, and not while a group is told to the ledger: that is a matter of luck
        before = len(rows(home))
        assert before < 1000, "never killed between two puts; at each point between two: tests/faults/test_in_app.py"
        process = subprocess.Popen([sys.executable, "-m", "dagster_project.cli", "deliver"], stdout=subprocess.DEVNULL)
        while len(rows(home)) == before:
            assert time.monotonic() < give_up, "nothing put"
            time.sleep(0.005)
        process.kill()
        process.wait()
        with home.ledger() as ledger:
            sending = [one.message_id for one in ledger.messages(states=["sending"])]
            put = ledger.taken_by_inbox(sending)
    doctor(home, "UPDATE messages SET lease_expires_at = '2026-01-01 00:00:00.000000' WHERE lease_owner IS NOT NULL")

    told = answer(call("reconcile", "--json"))

    assert (told["given_up"], told["settled"], told["in_doubt"]) == (len(sending), {"by_inbox": len(sending)}, [])
    with home.ledger() as ledger:
        settled = {one.message_id: one.state for one in ledger.messages(message_ids=sending)}
    assert settled == {one: "sent" if one in put else "approved" for one in sending}
    assert verified(home)
    assert answer(call("deliver", "--json"))["in_doubt"] == 0
    with home.ledger() as ledger:
        assert Counter(message.state for message in ledger.messages()) == {"sent": 1000}
        assert ledger.verify({row["message_id"]: 1 for row in rows(home)})["ok"]
    assert len(rows(home)) == 1000


def test_a_message_is_there_until_it_expires_by_the_clock_of_its_source(
    make_home: Callable[..., Home], call: Call, tmp_path: Path
) -> None:
    """A live source's own expiry counts; that of data from the past has gone by, and nobody could ever try the inbox."""
    (tmp_path / "live").mkdir()
    expires_at = (utc_now() + timedelta(hours=5)).replace(microsecond=0)
    found = {}
    for name, data in (("live", {"data": tmp_path / "live"}), ("demo", {})):
        home = make_home(home=tmp_path / name / "home", channel="in_app", allow_list="@customer.example", **data)
        home.prepare()
        release(home.settings.ledger_location, 1)
        doctor(home, f"UPDATE messages SET send_before = '{expires_at}.000000'")
        assert answer(call("deliver", "--json"))["sent"] == 1
        found[name] = rows(home)[0]["expires_at"]

    assert found["live"] == expires_at
    assert abs(found["demo"] - (utc_now() + KEPT)) < timedelta(minutes=5)


def test_outside_production_nobody_else_finds_a_message(make_home: Callable[..., Home], call: Call) -> None:
    home = make_home(channel="in_app", allow_list="user1@customer.example")
    home.prepare()
    release(home.settings.ledger_location, 3)

    told = answer(call("deliver", "--json"))

    assert (told["sent"], told["rejected"]) == (1, 2)
    assert [row["user_id"] for row in rows(home)] == ["u1"]


@pytest.mark.parametrize(
    ("settings", "arguments", "words"),
    [
        ({"inbox_origins": "https://app.example.com, *"}, [], ["POSTRIDER_INBOX_ORIGINS", "'*'", "https://host"]),
        ({"inbox_origins": "https://app.example.com/"}, [], ["POSTRIDER_INBOX_ORIGINS", "app.example.com/'"]),
        ({"inbox_token_minutes": "0"}, [], ["POSTRIDER_INBOX_TOKEN_MINUTES", "'0'", "greater than 0"]),
        ({"inbox_token_minutes": "-5"}, [], ["POSTRIDER_INBOX_TOKEN_MINUTES", "'-5'"]),
        ({"inbox_token_minutes": "1441"}, [], ["POSTRIDER_INBOX_TOKEN_MINUTES", "1440"]),
        ({"inbox_token_minutes": "an hour"}, [], ["POSTRIDER_INBOX_TOKEN_MINUTES", "'an hour'"]),
        ({"inbox_origin": "https://a.example"}, [], ["POSTRIDER_INBOX_ORIGIN:", "mean POSTRIDER_INBOX_ORIGINS"]),
        ({"secret_keys": "short"}, [], ["POSTRIDER_SECRET_KEYS", "5 characters"]),
        ({}, ["--host", "203.0.113.1"], ["--host 203.0.113.1", "free port"]),
        ({}, ["--host", "no.such.name.invalid"], ["--host no.such.name.invalid"]),
        ({}, ["--port", "65536"], ["--port", "65535"]),
    ],
)
def test_what_cannot_be_served_is_refused_in_one_line(
    make_home: Callable[..., Home], call: Call, settings: dict[str, str], arguments: list[str], words: list[str]
) -> None:
    with contextlib.suppress(Exception):  # opening says it already; the command must say the same
        make_home(**settings)

    code, out, err = call("inbox", "serve", "--port", "0", *arguments)

    assert (code, out, len(err.splitlines())) == (2, "", 1), err
    assert all(word in err for word in words), err


@pytest.mark.slow
def test_a_port_in_use_is_named(make_home: Callable[..., Home], call: Call) -> None:
    make_home()
    with served() as port:
        code, out, err = call("inbox", "serve", "--port", port)

    assert (code, out) == (2, "")
    assert err == (
        f"postrider: --host 127.0.0.1 --port {port}: Address already in use;"
        " allowed: an address of this machine and a free port\n"
    )


@pytest.mark.slow
def test_a_terminated_server_ends_as_by_ctrl_c(make_home: Callable[..., Home]) -> None:
    make_home()
    command = [sys.executable, "-m", "dagster_project.cli", "inbox", "serve", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout
    assert "Ctrl-C ends it" in process.stdout.readline()
    process.terminate()
    _, err = process.communicate(timeout=30)

    assert (process.returncode, err) == (0, "")


@pytest.mark.slow
def test_the_settings_reach_the_server(make_home: Callable[..., Home], call: Call) -> None:
    """Its pages' origin by name, and tokens that live for as long as was set."""
    make_home(inbox_origins=" https://app.example.com ,", inbox_token_minutes="0.02")  # 1.2 s
    with served() as port:
        made = answer(call("inbox", "token", "--user", "u1", "--json"))
        assert datetime.fromisoformat(made["expires_at"]).replace(tzinfo=None) < utc_now() + timedelta(seconds=3)
        assert ask(port, "GET", "/inbox", made["token"])[0] == 200
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        with contextlib.closing(connection):
            wanted = {"Origin": "https://app.example.com", "Access-Control-Request-Method": "GET"}
            connection.request("OPTIONS", "/inbox", headers=wanted)
            allowed = connection.getresponse().getheader("Access-Control-Allow-Origin")
        assert allowed == "https://app.example.com"
        time.sleep(2.3)  # tokens are dated by whole seconds
        assert ask(port, "GET", "/inbox", made["token"])[0] == 401


def block(language: str, about: str) -> str:
    """The page's example in this language that has these words in it."""
    (found,) = [one for one in re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(), re.DOTALL) if about in one]
    return found


@pytest.mark.parametrize("language", ["js", "python"])
@pytest.mark.parametrize("user_id", ["u_0000184", 'Zoë "O\'Neil" 🦄', "x"])
def test_a_token_made_as_the_page_says_opens_the_inbox(
    make_home: Callable[..., Home], language: str, user_id: str, tmp_path: Path
) -> None:
    """The page's own lines, run by the product's own language with the derived key alone."""
    node = shutil.which("node")
    if language == "js" and node is None:
        pytest.skip("Node (Debian: nodejs) is not installed")
    home = make_home(secret_keys=f"{KEY},an older key which is long enough")
    derived = hmac.digest(KEY.encode(), b"postrider.inbox", "sha256").hex()
    said = json.dumps(user_id)
    if language == "js":
        command = [str(node), "-e", f"{block('js', 'createHmac')}\nprocess.stdout.write(inboxToken({said}))"]
    else:
        command = [sys.executable, "-c", f"{block('python', 'hmac')}\nprint(inbox_token({said}), end='')"]
    made = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"INBOX_KEY": derived})
    keys = secret_keys(home.path, home.settings.secret_keys)
    assert read_inbox_token(made.stdout, keys, max_age=MAX_AGE, now=utc_now()) == user_id


def test_the_key_that_the_page_derives_is_that_of_the_inbox(make_home: Callable[..., Home], tmp_path: Path) -> None:
    """From the file that Postrider made, where no key was set."""
    home = make_home(home=tmp_path / "var")
    (key,) = secret_keys(home.path, None)
    command = block("sh", "postrider.inbox").strip()
    found = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True, cwd=tmp_path).stdout

    assert found.strip() == hmac.digest(key.encode(), b"postrider.inbox", "sha256").hex()
