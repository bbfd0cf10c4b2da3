"""Text messages by a signed POST to a gateway. A text is sent whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping

from dagster_project.adapters.channels.reading import UnsuitableError, read_parts
from dagster_project.adapters.channels.signed_post import SignedPostChannel
from dagster_project.lifecycle.mime import Built

MAX_SEGMENTS = 10
# 3GPP TS 23.038 §6.2.1: one unit each, and two for those behind an escape
GSM_7 = frozenset(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿"
    "abcdefghijklmnopqrstuvwxyzäöñüà"
)
GSM_7_ESCAPED = frozenset("\f^{}\\[~]|€")
GSM_7_UNITS = (160, 153)  # in a text of one segment, and in each of several: joining them costs room (§9.2.3.24.1)
UCS_2_UNITS = (70, 67)
LAST_BMP = "\uffff"  # what lies beyond takes two units


def count_segments(text: str) -> int:
    """How many segments a text takes. No segment ends within an escape or half a character, so some may not be full."""
    if (GSM_7 | GSM_7_ESCAPED).issuperset(text):
        costs, (alone, joined) = [2 if character in GSM_7_ESCAPED else 1 for character in text], GSM_7_UNITS
    else:
        costs, (alone, joined) = [2 if character > LAST_BMP else 1 for character in text], UCS_2_UNITS
    if sum(costs) <= alone:
        return 1
    segments, room = 1, joined
    for cost in costs:
        if cost > room:
            segments, room = segments + 1, joined
        room -= cost
    return segments


class SmsChannel(SignedPostChannel):
    """JSON of message_id, to, and text: the message's plain text. `to` is the envelope's recipient, as it stands."""

    name = "sms"
    setting = "POSTRIDER_SMS"

    def _content(self, built: Built) -> Mapping[str, str]:
        text = read_parts(built).text.strip()
        if not text:
            raise UnsuitableError("text: empty")
        segments = count_segments(text)
        if segments > MAX_SEGMENTS:
            raise UnsuitableError(f"text: {segments} segments; allowed: {MAX_SEGMENTS}")
        return {"message_id": built.message_id, "to": built.rcpt_to, "text": text}
