"""Which messages share a fact pattern, told by what differs between people alone. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from dagster_project.lifecycle import formats
from dagster_project.lifecycle.message import PlannedMessage
from dagster_project.lifecycle.template import FactSpec, SlotSpec, TemplateSpec


def pattern_of(
    message: PlannedMessage,
    spec: TemplateSpec,
    values: Mapping[str, str | float | None],
    locale: str,
    offered: Collection[str],
) -> tuple[object, ...]:
    """Two messages with the same one are asked for alike. `values` are the prepared facts, `locale` that of the mail, `offered` the
    tokens that a text may use.

    To make the request itself for each of 100,000 messages, and to hash it, would take longer than to fill in their mails. What is
    public stands as it is written, for 1 and 1.0 are equal and no model sees them alike.
    """
    seen: list[object] = [message.campaign_id, message.variant, message.locale]
    for name, fact in spec.facts.items():
        value, given = values[name], message.facts.get(name)
        if fact.to_model == "public":
            seen.append(repr(value))
        elif fact.to_model == "bucket":
            seen.append(fact.bucket(given) if isinstance(given, int | float) else None)
        if name in offered:
            seen += [value is not None, form_of(fact, given, locale)]
    return tuple(seen)


def offered_to(slots: Mapping[str, SlotSpec]) -> frozenset[str]:
    """The tokens that some slot may use. Whether the others have a value makes no other text: a greeting is the template's."""
    return frozenset(token for slot in slots.values() for token in (*slot.placeholders, *slot.must_include))


def form_of(fact: FactSpec, given: object, locale: str) -> str | None:
    """The plural category of a number that a model knows by its token; None of what is no number, and of the common form, other.

    Without it nobody could write "1 week" and "4 weeks" with one token, nor Arabic at all, which counts 3 to 10 otherwise than 11.
    """
    if fact.type != "number" or fact.to_model not in ("bucket", "placeholder") or not isinstance(given, int | float):
        return None
    form = formats.plural(given, locale)
    return None if form == "other" else form
