"""The alternative: what a script of one evening does. pandas reads the people, Jinja fills a template, css-inline puts the styles where
inboxes want them, EmailMessage builds the mail, smtplib sends it over one connection, SQLite remembers each with a commit of its own.

Nothing here is Postrider's but the template's words: `write_inputs` puts them where such a script would find them.
"""

from __future__ import annotations

import email.policy
import re
import smtplib
import sqlite3
import time
from email.message import EmailMessage
from email.utils import format_datetime, make_msgid
from pathlib import Path
from typing import Any

import css_inline
import jinja2
import mjml
import pandas as pd

from bench import mails
from dagster_project.adapters.clock import utc_now

TEMPLATE = "trial_ending"
_SLOT = re.compile(r"\{% (?:slot \w+|endslot) %\}")


def write_inputs(folder: Path, count: int) -> None:
    """people.csv, mail.html.j2 as an MJML editor would export it, mail.txt.j2; for so many invented people."""
    parts = mails.library().get(TEMPLATE, "default").parts
    # What a model may write has marks around it, which are no Jinja.
    sources = {name: _SLOT.sub("", part.content.decode()) for name, part in parts.items()}
    document = sources["layouts/default.mjml.j2"].replace("[[ body ]]", sources["body.mjml.j2"])
    (folder / "mail.html.j2").write_text(mjml.mjml2html(document, fonts={}), encoding="utf-8")
    text = sources["layouts/default.txt.j2"].replace("[[ body ]]", sources["body.txt.j2"])
    (folder / "mail.txt.j2").write_text(text, encoding="utf-8")
    campaigns = mails.library().campaigns
    numbers = range(campaigns.index(TEMPLATE), count * len(campaigns), len(campaigns))
    rows = [{"email": one.email, "link": mails.link(one), **one.facts} for one in map(mails.planned, numbers)]
    pd.DataFrame(rows).to_csv(folder / "people.csv", index=False)


def run(folder: Path, port: int, dkim_key: Path | None) -> dict[str, Any]:
    """Send everybody in people.csv their mail. `seconds` of the loop, without imports and reading; `octets` of the last mail."""
    people = pd.read_csv(folder / "people.csv")
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(folder), autoescape=True)
    environment.filters["plural_form"] = lambda number: int(number != 1)  # of English, which its templates are in
    html, text = (
        environment.get_template("mail.html.j2"),
        environment.overlay(autoescape=False).get_template("mail.txt.j2"),
    )
    key = dkim_key.read_bytes() if dkim_key else None
    sent = sqlite3.connect(folder / "sent.sqlite")
    sent.execute("PRAGMA journal_mode=WAL")
    sent.execute("PRAGMA synchronous=FULL")
    sent.execute("CREATE TABLE IF NOT EXISTS sent (email TEXT, message_id TEXT, sent_at TEXT)")
    count = octets = 0
    started = time.perf_counter()
    with smtplib.SMTP("127.0.0.1", port, local_hostname="naive.example") as server:
        for person in people.to_dict("records"):
            message = _message(html, text, person)
            raw = message.as_bytes()
            if key is not None:
                raw = _signed(raw, key)
            server.sendmail("hello@ledgerline.example", [person["email"]], raw)
            sent.execute("INSERT INTO sent VALUES (?, ?, ?)", (person["email"], message["Message-ID"], str(utc_now())))
            sent.commit()
            count, octets = count + 1, len(raw)
    seconds = time.perf_counter() - started
    sent.close()
    return {"messages": count, "seconds": seconds, "octets": octets}


def _message(html: jinja2.Template, text: jinja2.Template, person: dict[str, Any]) -> EmailMessage:
    words = {
        **person,
        "subject": "Your Ledgerline trial ends soon",
        "preheader": f"Choose a plan by {person['trial_ends_on']} to keep everything as it is.",
        "sender_name": "Ledgerline",
        "postal_address": mails.ADDRESS,
        "unsubscribe_url": person["link"],
        "why": "You are getting this because it concerns your Ledgerline account.",
        "cta": {"main": {"label": "Choose a plan", "url": "https://app.ledgerline.example/billing/plans"}},
    }
    message = EmailMessage(policy=email.policy.SMTP)
    message["From"], message["To"] = mails.SENDER, person["email"]
    message["Subject"] = words["subject"]
    message["Date"] = format_datetime(utc_now())
    message["Message-ID"] = make_msgid(domain=mails.DOMAIN)
    message["List-Unsubscribe"] = f"<{person['link']}>"
    message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message.set_content(text.render(words))
    message.add_alternative(css_inline.inline(html.render(words)), subtype="html")
    return message


def _signed(raw: bytes, key: bytes) -> bytes:
    import dkim

    return dkim.sign(raw, mails.SELECTOR.encode(), mails.DOMAIN.encode(), key) + raw
