"""The platform's own mail: short texts to those who run it. It is never copied."""

from datetime import datetime
from email.utils import format_datetime, make_msgid

from letterbook.engine.errand import run_errand
from letterbook.engine.errors import ProbeError
from letterbook.engine.routes import Route
from letterbook.mail.address import domain_of
from letterbook.mail.headers import address_header, text_header
from letterbook.mail.quoted_printable import PieceEncoder
from letterbook.settings import Settings
from letterbook.smtp.events import Stage
from letterbook.smtp.transaction import Transaction


async def mail_notice(
    route: Route,
    settings: Settings,
    *,
    sender: str,
    address: str,
    subject: str,
    lines: list[str],
    now: datetime,
) -> str:
    """Mail ``lines`` to ``address``; return the server's reply. Raises ProbeError."""
    header = (
        f"Message-ID: {make_msgid(domain=domain_of(sender))}\r\nDate: {format_datetime(now)}\r\n"
    ).encode() + b"".join(
        (
            address_header("From", sender, "Letterbook"),
            address_header("To", address),
            text_header("Subject", subject),
            text_header("Auto-Submitted", "auto-generated"),
            b"MIME-Version: 1.0\r\n",
            b"Content-Type: text/plain; charset=utf-8\r\n",
            b"Content-Transfer-Encoding: quoted-printable\r\n",
        )
    )
    content = header + b"\r\n" + PieceEncoder(()).encode(f"{line}\n" for line in lines)
    errand = Transaction(sender=sender, recipient=address, content=content, subject=None)
    answer = await run_errand(route, settings, errand)
    if answer.stage is not Stage.CONTENT or not answer.reply.positive:
        raise ProbeError(f"{route.shown} refused {answer.stage}: {answer.reply.text}")
    return answer.reply.text
