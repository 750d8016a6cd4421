"""What may be told of a server's words. They may name a person: its codes cannot."""

import re
from typing import Final

_CODES: Final = re.compile(r"(?:^|: |with )([245]\d\d(?: [245]\.\d{1,3}\.\d{1,3})?)(?![\w.])")
_FULL: Final = re.compile(r"\d{3} [45]\.(?:2\.2|3\.1)|552")
_OURS: Final = (
    "does not answer",
    "connection lost",
    "no reply",
    "does not offer STARTTLS",
    "TLS failed",
    "there is no recipients route",
    "there is no archive route",
)
"""Words of our own."""


def sign_of(because: str) -> str:
    """Return the reply's codes, else what kind of trouble it is, of a reason in full words."""
    found = _CODES.search(because)
    if found:
        return found[1]
    return next((words for words in _OURS if words in because), "no connection")


def says_full(sign: str) -> bool:
    """Whether a mailbox or its server is full (RFC 3463, 3.3 and 3.4; RFC 5321, 4.2.3: 552)."""
    return _FULL.fullmatch(sign) is not None
