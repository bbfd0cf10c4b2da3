"""What a call of a language model costs: the price list of genai-prices, which comes with the package; nothing is looked up."""

from __future__ import annotations

from decimal import Decimal
from functools import cache


def dollars(model: str, tokens_in: int, tokens_out: int) -> Decimal | None:
    """At the list's price of the model, as it is named by who sells it; None for one that the list doesn't have."""
    if not _is_known(model):
        return None
    from genai_prices import Usage, calc_price  # its list takes 40 ms to load

    return calc_price(Usage(input_tokens=tokens_in, output_tokens=tokens_out), model_ref=model).total_price


@cache
def _is_known(model: str) -> bool:
    from genai_prices import Usage, calc_price

    try:
        calc_price(Usage(input_tokens=1, output_tokens=1), model_ref=model)
    except LookupError:
        return False
    return True
