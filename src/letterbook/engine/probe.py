"""Probing a route: everything but DATA; and the code that confirms the archive's mailbox."""

from dataclasses import dataclass
from datetime import datetime
from email.utils import format_datetime, make_msgid

from letterbook.engine.errand import run_errand
from letterbook.engine.errors import ProbeError
from letterbook.engine.routes import Route
from letterbook.mail.address import domain_of
from letterbook.mail.headers import address_header, text_header
from letterbook.settings import Settings
from letterbook.smtp.events import Stage
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
    header = (
        f"Message-ID: {make_msgid(domain=domain_of(sender))}\r\nDate: {format_datetime(now)}\r\n"
    ).encode() + b"".join(
        (
            address_header("From", sender, "Letterbook"),
            address_header("To", address),
            text_header("Subject", f"{code} confirms this archive address"),
            text_header("Auto-Submitted", "auto-generated"),
        )
    )
    body = (
        "Letterbook is about to send a hidden copy of every message here.\r\n"
        "\r\n"
        f"    letterbook archive confirm {code}\r\n"
        "\r\n"
        "If you did not ask for this, do nothing.\r\n"
    )
    content = header + b"MIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\n" + body.encode()
    errand = Transaction(sender=sender, recipient=address, content=content, subject=None)
    answer = await run_errand(route, settings, errand)
    if answer.stage is not Stage.CONTENT or not answer.reply.positive:
        raise ProbeError(f"{route.shown} refused {answer.stage}: {answer.reply.text}")
    return answer.reply.text
