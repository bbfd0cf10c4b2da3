"""What a language model is asked, in which words, by whom and at what price, as the settings and `templates/` say."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dagster_project.adapters.knowledge import Retriever, load_knowledge
from dagster_project.adapters.model_batch import BatchLimits
from dagster_project.adapters.model_chain import Limits, ModelChain, model_names, open_models
from dagster_project.adapters.prompts import load_canary, load_canary_prompts, load_classes, load_prompts
from dagster_project.adapters.redaction import open_patterns
from dagster_project.adapters.templates import Library
from dagster_project.adapters.yaml_file import read_yaml
from dagster_project.ledger import Ledger
from dagster_project.lifecycle.budget import Budget, Cost
from dagster_project.lifecycle.campaign import CampaignPolicy
from dagster_project.lifecycle.drafting import Inform, Model
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.evals.contexts import FILE as CONTEXTS
from dagster_project.lifecycle.evals.contexts import Contexts, parse_contexts
from dagster_project.lifecycle.prompt_canary import FILE as CANARY
from dagster_project.lifecycle.prompt_canary import Arm, Canary, PromptCanary, version_of
from dagster_project.lifecycle.redaction import Find
from dagster_project.lifecycle.roles.call import Answer, Ask, Question
from dagster_project.lifecycle.roles.classes import Classes
from dagster_project.settings import Settings

if TYPE_CHECKING:
    from dagster_project.adapters.embeddings import Asking


class Writing:
    """The writers of one home. Nothing is read or opened before it is asked for, and nothing calls out where no model is named."""

    def __init__(
        self,
        settings: Settings,
        home: Path,
        templates: Callable[[], Library],
        policies: Callable[[], Mapping[str, CampaignPolicy]],
    ) -> None:
        self.settings = settings
        self.home = home
        self._root = settings.project / "templates"
        self._templates = templates
        self._policies = policies

    @cached_property
    def patterns(self) -> Find | None:
        """How personal data looks, where a template has words redacted; InputError where nothing can find it."""
        needed_by = [
            f"{template.name}/template.yml: facts.{name}.to_model"
            for _, template in sorted(self._templates().templates.items())
            for name in template.spec.redacted
        ]
        return open_patterns(needed_by[0]) if needed_by else None

    @cached_property
    def prompts(self) -> Mapping[str, bytes]:
        """The instructions of the roles that a language model takes; InputError for a missing one."""
        return load_prompts(self._root / "prompts")

    @cached_property
    def classes(self) -> Classes:
        """What texts of a model are held against, by class of campaign; InputError for what is wrong in the file."""
        return load_classes(self._root / "prompts")

    @cached_property
    def eval_contexts(self) -> Contexts:
        """What texts are measured on; InputError for what is wrong in the file."""
        path = self.evals / "contexts.yml"
        try:
            return parse_contexts(read_yaml(path.read_text(encoding="utf-8"), CONTEXTS))
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{CONTEXTS}: found {error}, allowed: a readable UTF-8 file") from None

    @property
    def evals(self) -> Path:
        """The folder of what evals need: contexts, a recording, the report of the last version."""
        return self._root / "evals"

    @property
    def model_names(self) -> tuple[str, ...]:
        """The language models in the order in which they are asked."""
        return model_names(self.settings.model)

    @property
    def has_model(self) -> bool:
        """Whether anything would be asked: a key or a base URL is set."""
        return bool(self.settings.openai_api_key or self.settings.openai_base_url)

    def chain(self, spent: Mapping[str, Cost]) -> ModelChain | None:
        """The language models for one run that has spent so much already; None where no key or base URL is set, and then nothing
        calls out."""
        settings, prompts = self.settings, self.prompts
        if not self.has_model:  # then nobody's budget matters, and asking for the policies makes dbt parse its project
            return None
        limits = Limits(
            Budget(settings.model_calls_per_run, settings.model_tokens_per_run, settings.model_dollars_per_run),
            {name: policy.model_budget.budget for name, policy in self._policies().items() if policy.model_budget},
            settings.model_timeout_seconds,
            settings.model_seconds_per_run,
            settings.model_texts_per_call,
        )
        return open_models(
            key=settings.openai_api_key,
            base_url=settings.openai_base_url,
            names=self.model_names,
            prompts=prompts,
            limits=limits,
            spent=spent,
            batches=None
            if settings.model_batch_above is None
            else BatchLimits(settings.model_batch_above, settings.model_batch_seconds),
        )

    def model(self, ledger: Ledger, run_id: str, as_of: datetime) -> Model | None:
        """The language model as a run asks it: what one has answered is in the ledger, and what it is asked goes there. None without."""
        chain = self.chain(ledger.spent(run_id))
        if chain is None:
            return None
        record = functools.partial(ledger.record_calls, run_id)
        ask = chain.remembering(ledger.answers, record)
        informing = self.informing(as_of, self._asking(chain, ledger, run_id))
        canary = self.canary_asked(
            ask, lambda names, prompts: chain.beside(names, prompts).remembering(ledger.answers, record), ledger
        )
        return Model(ask, self.classes, informing, self.patterns, canary, self.settings.model_batch_above)

    @cached_property
    def canary(self) -> PromptCanary | None:
        """A new prompt or model on trial; InputError for what is wrong in its file, or a campaign that nobody has."""
        found = load_canary(self._root / "prompts")
        if found and (unknown := sorted(set(found.campaigns) - set(self._policies()))):
            raise InputError(
                f"{CANARY}: campaigns: found {unknown[0]}, allowed are {', '.join(sorted(self._policies()))}"
            )
        return found

    @property
    def canary_arm(self) -> tuple[Sequence[str], Mapping[str, bytes]] | None:
        """The models and instructions on trial; None where nothing is."""
        if self.canary is None:
            return None
        prompts = load_canary_prompts(self._root / "prompts", self.canary)
        return (self.canary.model,) if self.canary.model else self.model_names, prompts

    def canary_asked(
        self, standing: Ask, asking: Callable[[Sequence[str], Mapping[str, bytes]], Ask], ledger: Ledger
    ) -> Canary | None:
        """The canary as a run writes with it; `asking` asks these models under these instructions. None without."""
        if self.canary is None or (of_canary := self.canary_arm) is None:
            return None
        names, prompts = of_canary
        arm = Arm(asking(names, prompts), prompts, names)
        fates = ledger.canary_fates(self.canary.name, version_of(arm))
        return Canary(self.canary, arm, Arm(standing, self.prompts, self.model_names), fates)

    @cached_property
    def retriever(self) -> Retriever:
        """What a writer may look up; InputError for the first article that isn't valid."""
        return Retriever(
            load_knowledge(self._root),
            self.settings.knowledge_chars,
            self.settings.knowledge_excerpts,
            lambda campaign_id, variant: self._templates().get(campaign_id, variant).spec.product_areas,
        )

    def informing(self, as_of: datetime, asking: Asking | None = None) -> Inform:
        """How a tick at `as_of` finds what its writers may look up. Without `asking` no server is asked."""
        model = self.settings.embedding_model
        nearest = None
        if model and self.has_model and self.retriever.is_on:
            from dagster_project.adapters.embeddings import Embedder  # NumPy, for whom it serves

            nearest = Embedder(model, self.settings.openai_base_url or "", self.home, asking).nearest
        return functools.partial(self.retriever.inform, as_of=as_of, nearest=nearest)

    def _asking(self, chain: ModelChain, ledger: Ledger, run_id: str) -> Asking | None:
        """How embeddings are asked for: out of the same budget, into the same record."""
        if not self.settings.embedding_model:
            return None
        from dagster_project.adapters.embeddings import Asking, connect

        def paid(key: str, question: Question, answer: Answer) -> None:
            chain.spend(answer.cost)
            ledger.record_calls(run_id, [(key, question, answer)])

        seconds = self.settings.model_timeout_seconds
        client = connect(self.settings.openai_api_key, self.settings.openai_base_url, seconds)
        return Asking(client, seconds, chain.affords, paid)

    def preflight(self) -> None:
        """What every run needs that may ask a model; InputError naming the file or setting that is wrong."""
        chain = self.chain({})
        if (of_canary := self.canary_arm) and chain:
            _ = chain.beside(*of_canary)
        _ = self.classes
        _ = self.retriever
