"""Every knob of Postrider, its unit and its default. Read from the environment or `.env`."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT_ROOT = Path(__file__).resolve().parent.parent


class Settings(BaseSettings):
    """One object per process. Names in the environment are `POSTRIDER_<NAME>` unless a field says otherwise."""

    model_config = SettingsConfigDict(
        env_prefix="POSTRIDER_", env_file=".env", env_ignore_empty=True, extra="ignore", populate_by_name=True
    )

    home: Path = Field(default=Path("var"), description="folder of warehouse, ledger, outbox and run history")
    env: Literal["development", "production"] = Field(
        default="development", description="outside production only the allow-list can be mailed"
    )
    project: Path = Field(default=PROJECT_ROOT, description="folder with dbt_project/ and templates/")
    source: str = Field(default="demo", description="source pack: demo or yammer")
    data: Path | None = Field(default=None, description="folder of the source's files; the demo company makes its own")
    ledger_url: str | None = Field(default=None, description="SQLAlchemy URL; default is SQLite under the home")
    dbt_target: str = Field(default="local", description="target in dbt_project/profiles.yml")
    threads: int = Field(default=4, ge=1, le=64, description="threads of dbt and DuckDB")
    channel: Literal["outbox", "smtp", "esp", "webhook", "sms", "in_app"] = Field(
        default="outbox", description="outbox writes .eml files and sends nothing"
    )
    backup_channel: Literal["smtp", "esp", "webhook"] | None = Field(
        default=None, description="takes what the channel certainly did not send, while that is down"
    )
    workers: int = Field(default=1, ge=1, le=64, description="processes that send, each over its own connection")
    smtp_url: SecretStr | None = Field(default=None, description="smtp://[user:password@]host:port or smtps://…")
    esp: str | None = Field(default=None, description="provider: brevo, mailgun, postmark, resend, sendgrid, …")
    esp_settings: SecretStr | None = Field(default=None, description="what the provider needs: api_key=…, region=…")
    esp_url: str | None = Field(default=None, description="base URL in place of the provider's own")
    webhook_url: SecretStr | None = Field(default=None, description="https URL that gets each message as signed JSON")
    webhook_secret: SecretStr | None = Field(default=None, description="whsec_… of the Standard Webhooks scheme")
    webhook_is_idempotent: bool = Field(
        default=False, description="the receiver acts once per Idempotency-Key, for 24 hours at least"
    )
    sms_url: SecretStr | None = Field(default=None, description="https URL of a gateway that sends text messages")
    sms_secret: SecretStr | None = Field(default=None, description="whsec_… that signs the posts to it")
    inbox_token_minutes: float = Field(
        default=60, gt=0, le=1440, description="so long a token opens somebody's in-app inbox"
    )
    inbox_origins: str = Field(
        default="", description="origins whose pages may ask the in-app inbox, comma-separated: https://app.example.com"
    )
    allow_list: str = Field(
        default="", description="addresses or @domains, comma-separated, mailable outside production"
    )
    sender: str = Field(default="Ledgerline <hello@ledgerline.example>", description="From header")
    postal_address: str = Field(default="Ledgerline GmbH, Hauptstr. 1, 10827 Berlin", description="in every footer")
    public_url: str = Field(default="https://mail.ledgerline.example", description="https base of unsubscribe links")
    dkim_keys: str = Field(
        default="",
        description="selector=file.pem, comma-separated: RSA or Ed25519 keys that sign every mail for the sender's domain",
    )
    secret_keys: SecretStr | None = Field(
        default=None, description="comma-separated, newest first; signs links. Default: made once under the home"
    )
    openai_api_key: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("OPENAI_API_KEY", "openai_api_key"),
        description="without it no model is called",
    )
    openai_base_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("OPENAI_BASE_URL", "openai_base_url"),
        description="any server speaking the protocol",
    )
    model: str = Field(
        default="gpt-4o-mini", description="language model, or several: the next is asked where one fails"
    )
    model_calls_per_run: int | None = Field(default=500, ge=0, description="then the templates go out")
    model_tokens_per_run: int | None = Field(default=None, ge=0, description="asked and answered; then the templates")
    model_dollars_per_run: Decimal | None = Field(default=None, ge=0, description="at list prices; then the templates")
    embedding_model: str | None = Field(
        default=None, description="model of the same server, to find knowledge by; without it by words alone"
    )
    knowledge_chars: int = Field(default=2_000, ge=0, description="of templates/knowledge that a writer sees; 0: none")
    knowledge_excerpts: int = Field(default=4, ge=0, description="most of them that a writer sees; 0: none")
    model_texts_per_call: int = Field(
        default=3, ge=1, le=9, description="of one template, that a reader is given at once; 1: each alone"
    )
    model_batch_above: int | None = Field(
        default=None, ge=0, description="patterns beyond which a run asks by the server's batches; without it never"
    )
    model_batch_seconds: float = Field(
        default=3600.0, gt=0, description="that a run waits for a batch; then ordinary calls"
    )
    model_seconds_per_run: float = Field(default=600.0, gt=0, description="of asking; then the templates")
    model_timeout_seconds: float = Field(default=10.0, gt=0, description="per call; then the template goes out")

    @property
    def home_path(self) -> Path:
        """The home folder."""
        return self.in_project(self.home)

    def in_project(self, path: Path) -> Path:
        """A relative path is meant from the project, wherever the command was called."""
        return path if path.is_absolute() else PROJECT_ROOT / path

    @property
    def warehouse_path(self) -> Path:
        return self.home_path / "warehouse.duckdb"

    @property
    def ledger_location(self) -> str:
        return self.ledger_url or f"sqlite:///{self.home_path / 'ledger.sqlite'}"
