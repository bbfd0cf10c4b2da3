"""Any system that takes a signed POST: it gets the message as it stands, and delivers it by whatever means it has."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from dagster_project.adapters.channels.reading import read_subject
from dagster_project.adapters.channels.signed_post import SignedPostChannel
from dagster_project.lifecycle.mime import Built


class WebhookChannel(SignedPostChannel):
    """JSON of message_id, to, from, subject, and raw: base64 of the RFC 5322 bytes. `to` and `from` are the envelope."""

    name = "webhook"
    setting = "POSTRIDER_WEBHOOK"

    def _content(self, built: Built) -> Mapping[str, str]:
        return {
            "message_id": built.message_id,
            "to": built.rcpt_to,
            "from": built.mail_from,
            "subject": read_subject(built),
            "raw": base64.b64encode(built.raw).decode("ascii"),
        }
