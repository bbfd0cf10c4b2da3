"""Opens what the settings name: the one place where ledger, warehouse, models, templates and channel are put together."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import functools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dagster_project.adapters.channels import Channel, Connections, open_channel
from dagster_project.adapters.channels.in_app import Put
from dagster_project.adapters.channels.lock import read_allow_list
from dagster_project.adapters.clock import utc_now
from dagster_project.adapters.decisions import cap_prices, current_verdicts
from dagster_project.adapters.letterhead import Letterhead
from dagster_project.adapters.models import Models
from dagster_project.adapters.secret import secret_keys
from dagster_project.adapters.state import Carrying, carrying, told
from dagster_project.adapters.templates import Library, load_phrases, load_templates, template_files
from dagster_project.adapters.templates import check as check_templates
from dagster_project.adapters.warehouse import Warehouse
from dagster_project.adapters.yaml_file import read_yaml
from dagster_project.demo.company import generate
from dagster_project.demo.sources import DEMO, pack
from dagster_project.ledger import Ledger, open_ledger
from dagster_project.ledger.inbox import KEPT
from dagster_project.lifecycle.campaign import CampaignPolicy, policies, policy_files
from dagster_project.lifecycle.dkim import SigningKey, read_key, signed
from dagster_project.lifecycle.drafting import Batch, Model, draft_all, draft_in_groups
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.flow import Flow, Way, parse_flow
from dagster_project.lifecycle.guards.reading import Phrases
from dagster_project.lifecycle.links import unsubscribe_url
from dagster_project.lifecycle.lint.catalogue import Finding, lint
from dagster_project.lifecycle.message import Draft, PlannedMessage
from dagster_project.lifecycle.mime import build, read_sender
from dagster_project.lifecycle.mime_encoding import BuildError
from dagster_project.lifecycle.policy_versions import documents
from dagster_project.lifecycle.source import SourcePack
from dagster_project.settings import Settings
from dagster_project.writing import Writing

if TYPE_CHECKING:
    pass

LEAST_FREE_BYTES = 1024 * 1024  # less than the smallest tick writes


def home_of(settings: Settings) -> Home:
    """The home of these settings: the same object as long as they don't change, because dbt takes seconds to parse."""
    global _latest  # noqa: PLW0603
    if _latest is None or _latest.settings != settings:
        _latest = Home(settings)
    return _latest


class Home:
    """One home folder with its settings. Nothing is opened before it is asked for."""

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings or Settings()

    @property
    def path(self) -> Path:
        return self.settings.home_path

    @property
    def data(self) -> Path:
        """Where the source's files are; the demo company's are made there when missing."""
        return self.settings.data or self.path / "demo"

    @property
    def pack(self) -> SourcePack:
        return pack(self.settings.source, self.data)

    @cached_property
    def warehouse(self) -> Warehouse:
        return Warehouse(self.settings.warehouse_path, self.settings.threads)

    @cached_property
    def models(self) -> Models:
        return Models(
            project=self.settings.project / "dbt_project",
            home=self.path,
            warehouse=self.settings.warehouse_path,
            source_pack=self.settings.source,
            target=self.settings.dbt_target,
            threads=self.settings.threads,
        )

    @cached_property
    def policies(self) -> Mapping[str, CampaignPolicy]:
        """Every campaign's policy; InputError for the first that isn't valid, also for a key that stands twice: dbt takes the
        second without a word."""
        manifest = self.models.manifest
        for file in policy_files(manifest):
            read_yaml((self.settings.project / file).read_text(encoding="utf-8"), file)
        return policies(manifest)

    @cached_property
    def templates(self) -> Library:
        """Every template, compiled; InputError for the first that isn't valid."""
        return load_templates(self.settings.project / "templates")

    @cached_property
    def phrases(self) -> Mapping[str, Phrases]:
        """What guards look for, by locale; InputError for the first file that isn't valid."""
        return load_phrases(self.settings.project / "templates")

    @cached_property
    def writing(self) -> Writing:
        """What a language model is asked, and by whom."""
        return Writing(self.settings, self.path, lambda: self.templates, lambda: self.policies)

    def policy_documents(self) -> dict[str, bytes]:
        """campaign_id -> the text that its `policy_hash` is over, as the project stands."""
        return documents(self.models.manifest, self.models.template_references)

    def template_files(self) -> dict[str, dict[str, dict[str, str]]]:
        """campaign_id -> variant -> file -> text, as the project stands."""
        return template_files(self.settings.project / "templates")

    def template_problems(self) -> list[str]:
        """One line for each way in which a template and its campaign's policy don't fit."""
        without = [
            f"{template.name}/template.yml: letter: found nothing, allowed: a letter, since the campaign's mode is autonomous"
            for (campaign, _), template in sorted(self.templates.templates.items())
            if campaign in self.policies and self.policies[campaign].mode == "autonomous" and not template.letters
        ]
        try:
            _ = self.writing.patterns
        except InputError as error:
            without.append(str(error))
        return without + check_templates(
            self.templates,
            {name: policy.required_facts for name, policy in self.policies.items()},
            [name for name, policy in self.policies.items() if policy.legal_basis == "transactional"],
            self.phrases,
        )

    def draft(
        self,
        messages: Sequence[PlannedMessage],
        model: Model | None = None,
        policies: Mapping[str, CampaignPolicy] | None = None,
    ) -> Batch:
        """Drafts of these messages, with what could not be drafted and why; without `model` in the templates' own words. `policies`
        stand in for the project's."""
        given = self._letters(model)
        return draft_all(messages, **{**given, "policies": policies or given["policies"]})

    def draft_in_groups(self, messages: Sequence[PlannedMessage], model: Model | None = None) -> Iterator[Batch]:
        """As `draft`, some thousand drafts at a time: no more than a batch need be in memory."""
        return draft_in_groups(messages, **self._letters(model))

    def _letters(self, model: Model | None) -> dict[str, Any]:
        """What drafting is given beside the messages."""
        keys = secret_keys(self.path, self.settings.secret_keys)
        sender = read_sender(self.settings.sender)
        return {
            "policies": self.policies,
            "template_of": self.templates.get,
            "sender_name": sender.name or sender.address,
            "postal_address": self.settings.postal_address,
            "unsubscribe_url": lambda message: unsubscribe_url(
                self.settings.public_url, keys, message.user_id, message.message_type
            ),
            "phrases": self.phrases,
            "model": model,
        }

    def gate_parameters(self, as_of: datetime) -> dict[str, object]:
        """What the gates of a tick are given; numbers not named here have their defaults in `expectations/`."""
        pack = self.pack
        return {
            "as_of": as_of,
            "read_at": pack.horizon or utc_now(),
            "env": self.settings.env,
            "source_pack": pack.name,
            "gate": pack.gate,
        }

    def channel(self, as_of: datetime, ledger: Ledger | None = None) -> Channel:
        """The channel that the settings name, behind the environment lock; to be used in a `with`. The in-app inbox is in `ledger`,
        which stays open for as long."""
        return open_channel(
            self.settings.channel,
            env=self.settings.env,
            outbox=self.outbox,
            as_of=as_of,
            connections=Connections(
                **{field.name: getattr(self.settings, field.name) for field in dataclasses.fields(Connections)}
            ),
            allow_list=self.settings.allow_list,
            backup=self.settings.backup_channel,
            put=self._put_into(ledger) if ledger else None,
        )

    def _put_into(self, ledger: Ledger) -> Put:
        """A pack of the past has messages that expired when its data did: who tries it shall see them all the same."""
        expires_at = utc_now() + KEPT if self.pack.horizon else None
        return functools.partial(ledger.deliver_to_inbox, expires_at=expires_at)

    @cached_property
    def signing_keys(self) -> tuple[SigningKey, ...]:
        """The keys that sign every mail, each for the sender's domain; InputError for one that can't."""
        keys = []
        for entry in filter(None, map(str.strip, self.settings.dkim_keys.split(","))):
            selector, is_given, file = entry.partition("=")
            path = self.settings.in_project(Path(file.strip()))
            if not is_given:
                raise InputError(f"POSTRIDER_DKIM_KEYS: found {entry!r}; allowed: selector=file.pem, comma-separated")
            try:
                pem = path.read_bytes()
            except OSError as error:
                raise InputError(
                    f"POSTRIDER_DKIM_KEYS {path}: {error.strerror}; allowed: a private key in PEM"
                ) from None
            keys.append(read_key(pem, self.sending_domain, selector.strip(), f"POSTRIDER_DKIM_KEYS {path.name}"))
        return tuple(keys)

    def letterhead(self, as_of: datetime) -> Letterhead:
        """What the mails of a tick at `as_of` have in common."""
        return Letterhead(self.settings.sender, self.sending_domain, as_of, self.signing_keys, self._look)

    def _look(self, raw: bytes, draft: Draft) -> Sequence[Finding]:
        """The rules of `lifecycle/lint` under these settings. Without keys of ours whoever relays the mail signs it."""
        return lint(
            raw,
            draft,
            env=self.settings.env,
            sender_domain=self.sending_domain,
            signing_domains={key.domain for key in self.signing_keys} if self.signing_keys else None,
            postal_address=self.settings.postal_address,
        )

    @property
    def link_for_nobody(self) -> str:
        """As long and as well-formed as any unsubscribe link; InputError for the public URL."""
        return unsubscribe_url(self.settings.public_url, ["of a link that nobody follows"], "nobody", "nothing")

    def _probe(self, unsubscribe: str) -> None:
        """Build and look at one mail that is as it should be: what it breaks all mails would, and a mail that breaks a rule is
        cancelled for good. InputError with the rule."""
        address = self.settings.postal_address
        html = f'<p>Hello</p><p><a href="{unsubscribe}">Unsubscribe</a></p><p>{escape(address)}</p>'
        text = f"Hello\n\nUnsubscribe: {unsubscribe}\n{address}\n"
        draft = Draft("probe", "template", "template", None, "en", "Hello", "", html, text, unsubscribe, {})
        if findings := self.findings(draft):
            raise InputError(f"with these settings no mail may leave: {findings[0].sentence}")

    def findings(self, draft: Draft) -> Sequence[Finding]:
        """Which rules this draft would break as it would leave. BuildError."""
        return self._look(self.as_it_would_leave(draft, read_sender(self.settings.sender).address), draft)

    def as_it_would_leave(self, draft: Draft, to_address: str) -> bytes:
        """The whole message under these settings, built and signed. BuildError."""
        built = build(
            draft.message_id,
            sender=self.settings.sender,
            to_address=to_address,
            subject=draft.subject,
            html=draft.html,
            text=draft.text,
            unsubscribe_url=draft.unsubscribe_url,
            date=utc_now(),
            sending_domain=self.sending_domain,
        )
        return signed(built.raw, self.signing_keys, utc_now()) if self.signing_keys else built.raw

    @cached_property
    def flow(self) -> Flow:
        """`delivery.yml` of the project; the defaults where there is none. InputError for what is wrong in it."""
        path = self.settings.project / "delivery.yml"
        try:
            raw = read_yaml(path.read_text(encoding="utf-8"), path.name) if path.exists() else None
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path.name}: {error}; allowed: a readable file in UTF-8") from None
        return parse_flow(raw, path.name)

    @property
    def way(self) -> Way | None:
        """The limits of the channel that the settings name; None for the outbox, which nobody receives."""
        if self.settings.channel == "outbox":
            return None
        return Way(self.flow, self.settings.channel, self.sending_domain)

    @property
    def notes(self) -> Path:
        """Where workers note how far they have come."""
        return self.path / "workers"

    @property
    def outbox(self) -> Path:
        return self.path / "outbox"

    def was_written(self, message_id: str, raw: bytes | None) -> bool:
        """Do these very bytes lie in the outbox? Then the message went out, as far as an outbox goes."""
        files = self.outbox.glob(f"*/{message_id}.eml") if raw is not None else ()
        return any(file.read_bytes() == raw for file in files)

    def decisions(self, as_of: datetime) -> list[dict[str, Any]]:
        """One row per candidate of the tick at `as_of`, with the decision that stands."""
        return current_verdicts(self.warehouse, as_of)

    def cap_prices(self, as_of: datetime) -> list[dict[str, Any]]:
        """What one place more under each cap would have added at the tick at `as_of`."""
        return cap_prices(self.warehouse, self.pack.name, as_of)

    @property
    def sending_domain(self) -> str:
        """The domain of the From address."""
        return read_sender(self.settings.sender).address.rpartition("@")[2]

    def carrying(self, as_of: datetime) -> Carrying:
        """How a tick makes the models that are kept: moved on, or anew and why. The source has landed."""
        return carrying(self.warehouse, self.models, self.pack, self.data, as_of)

    def carried(self) -> str | None:
        """How the last tick made them, in a sentence."""
        return told(self.warehouse, self.models)

    def default_as_of(self) -> datetime:
        """The time of a tick that names none: when the source was read, which for a live source is now."""
        return (self.pack.horizon or utc_now()).replace(microsecond=0)

    def preflight(self, listener: Callable[[str, str, float], None]) -> None:
        """Everything that can be wrong before a tick starts, looked at while nothing has been changed."""
        self.prepare()
        if self.pack.name == DEMO.name and self.settings.data is None and not self.data.exists():
            listener("demo", "started", 0.0)
            listener("demo", "done", generate(self.data, threads=self.settings.threads).seconds)
        for campaign_id, policy in self.policies.items():
            for variant in policy.variants:
                _ = self.templates.get(campaign_id, variant)
        _ = self.writing.patterns
        self.preflight_mail()
        with self.warehouse.connect():
            pass
        with self.ledger() as ledger, self.channel(self.default_as_of(), ledger):
            pass

    def preflight_mail(self) -> None:
        """What every mail needs from the settings; InputError naming the one that is wrong."""
        self.preflight_letterhead()
        _ = secret_keys(self.path, self.settings.secret_keys)
        read_allow_list(self.settings.allow_list)
        self.writing.preflight()
        _ = self.flow

    def preflight_letterhead(self) -> None:
        """What stands in every mail; InputError. Nothing is made or loaded for it."""
        try:
            read_sender(self.settings.sender)
        except BuildError:
            raise InputError(
                f"POSTRIDER_SENDER: found {self.settings.sender!r}; allowed: Name <address> or address"
            ) from None
        if not self.settings.postal_address.strip() or not self.settings.postal_address.isprintable():
            raise InputError(
                f"POSTRIDER_POSTAL_ADDRESS: found {self.settings.postal_address!r};"
                " allowed: one line, which the law asks for in every footer"
            )
        self._probe(self.link_for_nobody)

    def ledger(self) -> Ledger:
        """A ledger to be used in a `with`."""
        self.prepare()
        return open_ledger(self.settings.ledger_location, utc_now)

    def prepare(self) -> None:
        """Make the home folder; InputError when it can't be written."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.path):
                pass
        except OSError as error:
            raise InputError(
                f"POSTRIDER_HOME {self.path}: {error.strerror}; allowed is a folder that this user can write"
            ) from error

    @contextlib.contextmanager
    def minding_the_disk(self) -> Iterator[None]:
        """InputError in place of whatever fails while this disk is full: each library says it in words of its own, and
        Dagster's store of runs only "disk I/O error"."""
        try:
            yield
        except Exception as error:
            if shutil.disk_usage(self.path).free < LEAST_FREE_BYTES:
                raise InputError(f"POSTRIDER_HOME {self.path}: no space left on the disk") from error
            raise

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold this home for one tick: a second scheduler that fires at once is refused, it doesn't wait."""
        self.prepare()
        with (self.path / "tick.lock").open("a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                lock.seek(0)
                raise InputError(
                    f"{self.path}: a tick is running (process {lock.read().strip() or 'unknown'}); one at a time"
                ) from error
            lock.truncate(0)
            lock.write(str(os.getpid()))
            lock.flush()
            yield


_latest: Home | None = None
