"""What can go wrong between two SMTP machines.

LetterbookError
└── SmtpError
    ├── ProtocolViolation       the peer said what nobody may say at this point
    ├── UnsafeCommand           a value would break out of its command line
    ├── UnsafeContent           content is not CRLF only, ending in CRLF
    ├── NotSupported            the server does not offer what this message needs
    │   ├── SizeExceeded
    │   ├── EightBitNotOffered
    │   └── Smtputf8NotOffered
    ├── OutOfTurn               the caller asked for something that cannot be done now
    ├── ContentWithheld         the caller kept the content back after 354
    └── BadCommand              a client's command that a server must refuse
"""

# ruff: noqa: N818 -- the names say what happened; "Error" would add nothing

from typing import TYPE_CHECKING

from letterbook.errors import LetterbookError

if TYPE_CHECKING:
    from letterbook.smtp.reply import Reply


class SmtpError(LetterbookError):
    """Something went wrong in an SMTP dialogue."""


class ProtocolViolation(SmtpError):
    """The peer said what nobody may say at this point; nothing it says can be trusted now.

    ``replies`` are the whole replies that came before it in the same bytes: they still count.
    """

    def __init__(self, message: str, replies: "tuple[Reply, ...]" = ()) -> None:
        super().__init__(message)
        self.replies = replies


class UnsafeCommand(SmtpError, ValueError):
    """A value would break out of its command line."""


class UnsafeContent(SmtpError, ValueError):
    """Content must have CRLF line ends only and end in one."""


class NotSupported(SmtpError):
    """The server does not offer what this message needs; no byte of it was written."""


class SizeExceeded(NotSupported):
    """The message is larger than the server's SIZE (RFC 1870)."""


class EightBitNotOffered(NotSupported):
    """The message needs 8BITMIME (RFC 6152), which the server does not offer."""


class Smtputf8NotOffered(NotSupported):
    """The message needs SMTPUTF8 (RFC 6531), which the server does not offer."""


class OutOfTurn(SmtpError, RuntimeError):
    """The caller asked for something that cannot be done at this point of the dialogue."""


class ContentWithheld(SmtpError):
    """The caller kept the content back after 354; only closing the connection cancels it."""


class BadCommand(SmtpError, ValueError):
    """A command that a server must refuse, with the reply that says why."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(f"{code} {text}")
        self.code = code
        self.text = text
