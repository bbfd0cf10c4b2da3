"""`postrider knowledge`: what writers may look up, and what one of them would be shown."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from dagster_project.home import Home
from dagster_project.lifecycle.errors import InputError
from dagster_project.lifecycle.knowledge import EVERY, Article, within
from dagster_project.lifecycle.retrieval import Question, ranked, with_voice


def listed(home: Home, as_of: datetime | None) -> dict[str, Any]:
    """One entry per article, and what a writer may see of them."""
    at = as_of or home.default_as_of()
    retriever = home.writing.retriever
    return {
        "as_of": f"{at.isoformat()}Z",
        "version": retriever.knowledge.version,
        "most_chars": retriever.max_chars,
        "most_excerpts": retriever.max_excerpts,
        "articles": [_entry(article, at) for article in retriever.knowledge.articles],
    }


def _entry(article: Article, at: datetime) -> dict[str, Any]:
    front = article.front
    return {
        "id": front.id,
        "file": article.file,
        "kind": front.kind,
        "product_area": front.product_area,
        "campaigns": front.campaigns,
        "locales": front.locales,
        "valid_from": front.valid_from.isoformat(),
        "valid_to": front.valid_to.isoformat() if front.valid_to else None,
        "is_valid": article.is_valid(at),
        "grounds": front.grounds,
        "excerpts": len(article.excerpts),
    }


def search(
    home: Home, words: str, campaign_id: str, locale: str, variant: str, as_of: datetime | None
) -> dict[str, Any]:
    """What a writer of this campaign would get for these words, with scores: one entry per excerpt found, the best first.

    By words alone, as nothing is asked of anybody. InputError for an unknown campaign or variant.
    """
    if campaign_id not in home.policies:
        raise InputError(f"--campaign {campaign_id}: unknown; allowed are {', '.join(sorted(home.policies))}")
    at = as_of or home.default_as_of()
    retriever = home.writing.retriever
    areas = home.templates.get(campaign_id, variant).spec.product_areas
    eligible = retriever.knowledge.eligible(campaign_id, locale, at, areas)
    scores = retriever.index.scores(Question("", words), eligible)
    order = with_voice(eligible, ranked(scores))
    shown = within(order, retriever.max_chars, retriever.max_excerpts)
    return {
        "as_of": f"{at.isoformat()}Z",
        "eligible": len(eligible),
        "found": [
            {
                "id": one.id,
                "kind": one.kind,
                "title": one.title,
                "hash": one.hash,
                "chars": len(one.shown),
                "score": round(scores[one], 4),
                "grounds": one.grounds,
                "is_shown": one in shown,
            }
            for one in order
        ],
    }


def problems(home: Home) -> tuple[int, list[str]]:
    """How many articles there are, and one line for each that names a campaign nobody has, for each area that no article is of, and for
    what the budget shuts out."""
    retriever = home.writing.retriever
    articles = retriever.knowledge.articles
    known = ", ".join(sorted(home.policies))
    found = [
        f"{article.file}: front matter.campaigns: found {campaign!r}, allowed are {known}"
        for article in articles
        if article.front.campaigns != EVERY
        for campaign in article.front.campaigns
        if campaign not in home.policies
    ]
    areas = {article.front.product_area for article in articles}
    found += [
        f"{template.name}/template.yml: product_areas: found {area!r}, of which no article is;"
        f" allowed are {', '.join(sorted(areas)) or 'none'}"
        for _, template in sorted(home.templates.templates.items())
        for area in template.spec.product_areas
        if area not in areas
    ]
    if retriever.is_on:
        found += [
            f"{article.file}: {excerpt.title}: found {len(excerpt.shown):,} characters,"
            f" more than POSTRIDER_KNOWLEDGE_CHARS ({retriever.max_chars:,}): no writer would see it"
            for article in articles
            for excerpt in article.excerpts
            if len(excerpt.shown) > retriever.max_chars
        ]
    return len(articles), found
