"""What a client machine tells its shell."""

from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from letterbook.smtp.errors import SmtpError
from letterbook.smtp.extensions import Extensions
from letterbook.smtp.reply import Reply
from letterbook.smtp.transaction import Transaction


class Phase(Enum):
    """Where a connection stands."""

    GREETING = auto()
    HELLO = auto()
    STARTTLS = auto()
    HANDSHAKE = auto()  # TLS is the shell's to establish
    AUTH = auto()
    READY = auto()
    CLOSING = auto()  # of no more use; QUIT may still be said
    CLOSED = auto()  # nothing is read or written any more


class Stage(StrEnum):
    """What a reply answers."""

    GREETING = "greeting"  # the connection itself
    EHLO = "EHLO"
    STARTTLS = "STARTTLS"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    CONTENT = "content"  # the final dot
    EMPTY = "empty content"  # a lone dot, where no recipient stands
    RSET = "RSET"
    QUIT = "QUIT"


@dataclass(frozen=True, slots=True)
class Ready:
    """Transactions may begin."""

    extensions: Extensions


@dataclass(frozen=True, slots=True)
class TlsWanted:
    """The server awaits a TLS handshake; then call ``tls_established``."""


@dataclass(frozen=True, slots=True)
class ContentWanted:
    """354: the recipient stands. Call ``send_content`` or ``withhold``."""

    transaction: Transaction


@dataclass(frozen=True, slots=True)
class Finished:
    """The reply that decides a transaction.

    It is positive at the stage CONTENT only, or at RCPT for a transaction that is ``test_only``.
    """

    transaction: Transaction
    stage: Stage
    reply: Reply


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The connection ended before a transaction was decided.

    ``content_written``: its last byte was handed to the shell, so the server may have it all.
    """

    transaction: Transaction
    content_written: bool


@dataclass(frozen=True, slots=True)
class Closing:
    """The connection is of no more use: ``quit`` and wait, or close it if that returns False.

    ``stage`` is what ``reply`` answers, None when no command was waiting; ``reply`` is None when
    the server lacks something, which ``reason`` says.
    """

    stage: Stage | None
    reply: Reply | None
    reason: str


@dataclass(frozen=True, slots=True)
class Cut:
    """Close the connection now and write nothing more, not even QUIT."""

    error: SmtpError


Event = Ready | TlsWanted | ContentWanted | Finished | Unanswered | Closing | Cut
