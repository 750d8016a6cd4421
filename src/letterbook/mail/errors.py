"""What can be wrong with an address, a template or a message.

MailError
├── AddressError            not an address that mail can be sent to
├── TemplateError           a template cannot be used: file, line, column
├── PersonalisationError    a template cannot be rendered for one recipient
└── HeaderError             a header that a template may not set
"""

from letterbook.errors import LetterbookError


class MailError(LetterbookError):
    """Something is wrong with a message or one of its parts."""


class AddressError(MailError, ValueError):
    """The text is not an address that mail can be sent to."""


class HeaderError(MailError, ValueError):
    """The header may not be set by a template."""


class TemplateError(MailError):
    """A template cannot be used. ``line`` and ``column`` count from 1."""

    def __init__(self, message: str, *, file: str, line: int, column: int = 1) -> None:
        super().__init__(f"{file}:{line}:{column}: {message}")
        self.message = message
        self.file = file
        self.line = line
        self.column = column


class PersonalisationError(MailError):
    """A template cannot be rendered for one recipient."""
