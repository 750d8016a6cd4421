"""Probing a route: everything but DATA; and the code that confirms the archive's mailbox."""

from dataclasses import dataclass
from datetime import datetime

from letterbook.engine.errand import run_errand
from letterbook.engine.errors import ProbeError
from letterbook.engine.notice import mail_notice
from letterbook.engine.routes import Route
from letterbook.settings import Settings
from letterbook.smtp.extensions import Extensions
from letterbook.smtp.transaction import Transaction


@dataclass(frozen=True, slots=True)
class Probe:
    """What a route's server offers, and what it said to the recipient, if one was named."""

    extensions: Extensions
    reply: str


async def probe(route: Route, settings: Settings, *, sender: str, recipient: str | None) -> Probe:
    """Connect, greet, encrypt, log in; with a ``recipient``, also MAIL and RCPT, and no DATA.

    Raises ProbeError, quoting the server.
    """
    errand = Transaction(
        sender=sender, recipient=recipient or sender, content=b"", test_only=True, subject=None
    )
    answer = await run_errand(route, settings, errand)
    if recipient is not None and not answer.reply.positive:
        raise ProbeError(f"{route.shown} refused {answer.stage}: {answer.reply.text}")
    return Probe(answer.extensions, answer.reply.text)


async def mail_code(
    route: Route, settings: Settings, *, sender: str, address: str, code: str, now: datetime
) -> str:
    """Mail the code that confirms ``address``; return the server's reply. Raises ProbeError."""
    lines = [
        "Letterbook is about to send a hidden copy of every message here.",
        "",
        f"    letterbook archive confirm {code}",
        "",
        "If you did not ask for this, do nothing.",
    ]
    return await mail_notice(
        route,
        settings,
        sender=sender,
        address=address,
        subject=f"{code} confirms this archive address",
        lines=lines,
        now=now,
    )
