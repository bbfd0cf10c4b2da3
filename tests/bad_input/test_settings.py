"""Wrong settings: by their name in the environment, a secret never shown."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dagster_project.home import Home

Answer = tuple[int, str, str]
Call = Callable[..., Answer]
Refused = Callable[..., None]
Untouched = Callable[[Home], None]
ROOT = Path(__file__).parent.parent.parent


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("threads", "many", ["POSTRIDER_THREADS", "many"]),
        ("threads", "0", ["POSTRIDER_THREADS", "0"]),
        ("env", "staging", ["POSTRIDER_ENV", "staging", "production"]),
        ("channel", "pigeon", ["POSTRIDER_CHANNEL", "pigeon", "outbox"]),
        ("allow_list", "a b,c", ["POSTRIDER_ALLOW_LIST", "a b", "@domains"]),
        ("sender", "nobody", ["POSTRIDER_SENDER", "nobody", "Name <address>"]),
        ("sender", "A <a@x.example>, B <b@x.example>", ["POSTRIDER_SENDER", "Name <address>"]),
        ("sender", "A <a@x.example>\nBcc: b@x.example", ["POSTRIDER_SENDER", "Name <address>"]),
        ("public_url", "http://mail.x.example", ["POSTRIDER_PUBLIC_URL", "http://mail.x.example", "https://"]),
        ("public_url", "nonsense", ["POSTRIDER_PUBLIC_URL", "nonsense", "https://"]),
        ("postal_address", " ", ["POSTRIDER_POSTAL_ADDRESS", "one line"]),
        ("secret_keys", "secret", ["POSTRIDER_SECRET_KEYS", "6 characters", "at least 16"]),
        ("model_timeout_seconds", "-1", ["POSTRIDER_MODEL_TIMEOUT_SECONDS", "-1"]),
        ("openai_base_url", "nonsense", ["OPENAI_BASE_URL", "nonsense", "http://"]),
        ("project", "/nowhere", ["POSTRIDER_PROJECT", "/nowhere", "dbt_project.yml"]),
        ("dbt_target", "prod", ["prod", "local"]),
        ("chanel", "smtp", ["POSTRIDER_CHANEL", "did you mean POSTRIDER_CHANNEL"]),
        ("ledger_url", "nonsense", ["ledger URL", "sqlite:///"]),
        ("ledger_url", "postgresql+psycopg://nobody:secret@127.0.0.1:1/none", ["127.0.0.1"]),
    ],
)
def test_a_wrong_setting_is_named(
    call: Call, make_home: Callable[..., Home], name: str, value: str, words: list[str], refused: Refused
) -> None:
    """A setting is refused by its name in the environment, and a password is never shown."""
    os.environ  # noqa: B018  the fixture sets it there
    try:
        make_home(**{name: value})
    except Exception as error:  # noqa: BLE001  opening says it already; the command must say the same
        assert words[0] in str(error)

    answer = call("run")

    refused(answer, *words)
    assert "secret" not in answer[2]


def test_a_misspelt_line_of_the_env_file_is_named(
    call: Call, make_home: Callable[..., Home], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Refused
) -> None:
    """The file is where settings live in practice; binary there is no line at all."""
    make_home()
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text("# mine\nPOSTRIDER_ALLOWLIST=@x.example\nMY_OWN=1\n")
    refused(call("campaigns"), "POSTRIDER_ALLOWLIST", "did you mean POSTRIDER_ALLOW_LIST")

    (tmp_path / ".env").write_bytes(b"POSTRIDER_ENV=\xff\xfe\x00")
    refused(call("campaigns"), ".env", "UTF-8")
