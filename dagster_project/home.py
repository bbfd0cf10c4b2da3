"""Opens what the settings name: the one place where ledger, warehouse, models, templates and channel are put together."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from dagster_project.adapters import home_folder
from dagster_project.adapters.channels import Channel, Connections, open_channel
from dagster_project.adapters.channels.in_app import Put
from dagster_project.adapters.channels.lock import read_allow_list
from dagster_project.adapters.clock import utc_now
from dagster_project.adapters.decisions import cap_prices, current_verdicts
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
from dagster_project.lifecycle.drafting import Batch, Model, draft_all, draft_in_groups
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.flow import Flow, Way, parse_flow
from dagster_project.lifecycle.guards.reading import Phrases
from dagster_project.lifecycle.links import unsubscribe_url
from dagster_project.lifecycle.message import PlannedMessage
from dagster_project.lifecycle.policy_versions import documents
from dagster_project.lifecycle.source import SourcePack
from dagster_project.mailing import Mailing
from dagster_project.settings import Settings
from dagster_project.writing import Writing


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

    # --- the folder

    @property
    def path(self) -> Path:
        return self.settings.home_path

    def prepare(self) -> None:
        """Make the home folder; InputError when it can't be written."""
        home_folder.prepare(self.path)

    @property
    def data(self) -> Path:
        """Where the source's files are; the demo company's are made there when missing."""
        return self.settings.data or self.path / "demo"

    @property
    def pack(self) -> SourcePack:
        return pack(self.settings.source, self.data)

    def default_as_of(self) -> datetime:
        """The time of a tick that names none: when the source was read, which for a live source is now."""
        return (self.pack.horizon or utc_now()).replace(microsecond=0)

    @cached_property
    def warehouse(self) -> Warehouse:
        return Warehouse(self.settings.warehouse_path, self.settings.threads)

    def ledger(self) -> Ledger:
        """A ledger to be used in a `with`."""
        self.prepare()
        return open_ledger(self.settings.ledger_location, utc_now)

    @property
    def outbox(self) -> Path:
        return self.path / "outbox"

    @property
    def notes(self) -> Path:
        """Where workers note how far they have come."""
        return self.path / "workers"

    # --- the project

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

    def policy_documents(self) -> dict[str, bytes]:
        """campaign_id -> the text that its `policy_hash` is over, as the project stands."""
        return documents(self.models.manifest, self.models.template_references)

    @cached_property
    def templates(self) -> Library:
        """Every template, compiled; InputError for the first that isn't valid."""
        return load_templates(self.settings.project / "templates")

    def template_files(self) -> dict[str, dict[str, dict[str, str]]]:
        """campaign_id -> variant -> file -> text, as the project stands."""
        return template_files(self.settings.project / "templates")

    @cached_property
    def phrases(self) -> Mapping[str, Phrases]:
        """What guards look for, by locale; InputError for the first file that isn't valid."""
        return load_phrases(self.settings.project / "templates")

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

    @cached_property
    def flow(self) -> Flow:
        """`delivery.yml` of the project; the defaults where there is none. InputError for what is wrong in it."""
        path = self.settings.project / "delivery.yml"
        try:
            raw = read_yaml(path.read_text(encoding="utf-8"), path.name) if path.exists() else None
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path.name}: {error}; allowed: a readable file in UTF-8") from None
        return parse_flow(raw, path.name)

    # --- what is decided

    def decisions(self, as_of: datetime) -> list[dict[str, Any]]:
        """One row per candidate of the tick at `as_of`, with the decision that stands."""
        return current_verdicts(self.warehouse, as_of)

    def cap_prices(self, as_of: datetime) -> list[dict[str, Any]]:
        """What one place more under each cap would have added at the tick at `as_of`."""
        return cap_prices(self.warehouse, self.pack.name, as_of)

    def carrying(self, as_of: datetime) -> Carrying:
        """How a tick makes the models that are kept: moved on, or anew and why. The source has landed."""
        return carrying(self.warehouse, self.models, self.pack, self.data, as_of)

    def carried(self) -> str | None:
        """How the last tick made them, in a sentence."""
        return told(self.warehouse, self.models)

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

    # --- what is written, and how it leaves

    @cached_property
    def writing(self) -> Writing:
        """What a language model is asked, and by whom."""
        return Writing(self.settings, self.path, lambda: self.templates, lambda: self.policies)

    @cached_property
    def mailing(self) -> Mailing:
        """What every mail has of the settings."""
        return Mailing(self.settings)

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
        return {
            "policies": self.policies,
            "template_of": self.templates.get,
            "sender_name": self.mailing.sender_name,
            "postal_address": self.settings.postal_address,
            "unsubscribe_url": lambda message: unsubscribe_url(
                self.settings.public_url, keys, message.user_id, message.message_type
            ),
            "phrases": self.phrases,
            "model": model,
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

    @property
    def way(self) -> Way | None:
        """The limits of the channel that the settings name; None for the outbox, which nobody receives."""
        if self.settings.channel == "outbox":
            return None
        return Way(self.flow, self.settings.channel, self.mailing.sending_domain)

    # --- before a tick

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
        self.mailing.preflight()
        _ = secret_keys(self.path, self.settings.secret_keys)
        read_allow_list(self.settings.allow_list)
        self.writing.preflight()
        _ = self.flow


_latest: Home | None = None
