"""What a check of a domain finds, and how it asks."""

from collections.abc import Callable
from enum import StrEnum
from typing import TypeAlias

import msgspec

from letterbook.errors import LetterbookError

Ask: TypeAlias = Callable[[str, str], tuple[str, ...]]
"""Takes a name and a type (TXT, MX, A, AAAA), and returns the records: none if there are none.

A TXT record comes as one text, an MX record as ``10 mx.example.com``. Raises LookupFailedError.
"""


class LookupFailedError(LetterbookError):
    """The DNS gave no answer, which is another thing than that there is no record."""


class Level(StrEnum):
    """How a finding is meant."""

    GOOD = "good"
    NOTE = "note"
    """It may be as somebody wants it; only they can know."""
    WRONG = "wrong"


class Finding(msgspec.Struct, frozen=True):
    """One thing found out. ``mend``: how it is put right."""

    level: Level
    about: str
    says: str
    mend: str | None = None


def good(about: str, says: str) -> Finding:
    """Return a finding that is as it should be."""
    return Finding(Level.GOOD, about, says)


def note(about: str, says: str, mend: str | None = None) -> Finding:
    """Return a finding that somebody should know of."""
    return Finding(Level.NOTE, about, says, mend)


def wrong(about: str, says: str, mend: str) -> Finding:
    """Return a finding that keeps letters from being trusted."""
    return Finding(Level.WRONG, about, says, mend)
