"""One message for one recipient, and the commands it needs on a given connection."""

from dataclasses import dataclass

from letterbook.smtp.errors import EightBitNotOffered, SizeExceeded, Smtputf8NotOffered
from letterbook.smtp.extensions import Extensions
from letterbook.smtp.grammar import Dsn, mail_command, rcpt_command


@dataclass(slots=True, eq=False, kw_only=True)
class Transaction:
    """One message for one recipient.

    ``content`` has CRLF line ends only and ends in one; it is not dot-stuffed. ``stuffed`` is: the
    machine fills it in. A letter that goes twice, as copy and to its recipient, can hand it on.
    """

    sender: str  # without brackets; empty for the null reverse-path
    recipient: str
    content: bytes
    subject: object = None  # whatever the caller wants back
    needs_8bit: bool = False
    needs_smtputf8: bool = False  # for its headers; an address that is not ASCII needs it anyway
    dsn: Dsn | None = None  # left out where the server does not offer DSN
    stuffed: bytes | None = None
    test_only: bool = False  # everything but DATA (Campaign's Test SMTP)


def envelope_commands(transaction: Transaction, offered: Extensions) -> tuple[bytes, bytes]:
    """The MAIL and RCPT lines; raises NotSupported when the server cannot take the message."""
    size = len(transaction.content)
    if offered.size is not None and size > offered.size:
        raise SizeExceeded(
            f"the message has {size} octets and the server takes {offered.size} at most"
        )
    if transaction.needs_8bit and not offered.eight_bit_mime:
        raise EightBitNotOffered("the message needs 8BITMIME, which the server does not offer")
    smtputf8 = transaction.needs_smtputf8 or not (
        transaction.sender.isascii() and transaction.recipient.isascii()
    )
    if smtputf8 and not offered.smtputf8:
        raise Smtputf8NotOffered("the message needs SMTPUTF8, which the server does not offer")
    dsn = transaction.dsn if offered.dsn else None
    mail = mail_command(
        transaction.sender,
        size=size if size and offered.size_offered else None,  # RFC 1870, 4: without stuffing
        eight_bit=transaction.needs_8bit,
        smtputf8=smtputf8,
        dsn=dsn,
    )
    return mail, rcpt_command(transaction.recipient, smtputf8=smtputf8, dsn=dsn)
