"""The values that travel through the pipeline."""

import asyncio
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, NamedTuple

from letterbook.mail.status import CopyStatus, Failure, MessageStatus

ARCHIVE: Final = "archive"
RECIPIENTS: Final = "recipients"


@dataclass(slots=True, eq=False)
class Part:
    """A part of a delivery that this worker holds.

    ``deadline`` is on this worker's own monotonic clock: from then on it begins no message.
    ``open`` turns False for good once the ledger says that this part must not go on.
    """

    delivery: int
    number: int
    epoch: int
    first: int
    last: int
    dated: datetime
    deadline: float
    open: bool = True
    urgent: bool = False
    """Its letters go before others, wherever letters wait."""
    letters: int = 0
    """Letters of it that are in the pipeline."""
    _empty: asyncio.Event = field(default_factory=asyncio.Event)

    def enter(self, letters: int) -> None:
        self.letters += letters
        self._empty.clear()

    def leave(self) -> None:
        self.letters -= 1
        if not self.letters:
            self._empty.set()

    async def emptied(self) -> None:
        """Wait until no letter of it is in the pipeline."""
        if self.letters:
            await self._empty.wait()

    def may_begin(self, now: float) -> bool:
        """Whether a message of it may begin at ``now`` (monotonic seconds)."""
        return self.open and now < self.deadline


class DuePart(NamedTuple):
    """A part that nobody holds; its ``rank`` is its place among those of its delivery.

    ``copied``: the archive gets copies of its messages.
    """

    delivery: int
    number: int
    priority: int
    rank: int
    copied: bool


class Row(NamedTuple):
    """A message as it was claimed."""

    ordinal: int
    recipient_id: int
    address: str
    status: MessageStatus
    copy: CopyStatus
    attempts: int
    copy_attempts: int
    generation: int
    sha256: bytes | None
    fields: dict[str, object]


@dataclass(frozen=True, slots=True)
class Receipt:
    """The archive's 250 for a copy, and which version of the archive address it went to."""

    at: datetime
    version: int
    reply: str


@dataclass(slots=True, eq=False)
class Letter:
    """One message on its way through the pipeline."""

    part: Part
    row: Row
    content: bytes
    """No line of it begins with a dot (see mail.quoted_printable), so it goes as it is."""
    sha256: bytes
    needs_smtputf8: bool
    generation: int
    copy: CopyStatus
    """Where its copy stands, as far as this worker knows."""
    only_copy: bool = False
    """The recipient was served before; only the copy is still owed."""
    test_only: bool = False
    """Test SMTP: DATA is never said for it."""
    receipt: Receipt | None = None
    attempt: int = 0
    """The attempt that its intent was committed for."""
    queued_at: float = 0.0
    written_at: float = 0.0
    """When its content was last about to be written (monotonic seconds)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a letter whose intent was committed.

    ``counted``: an attempt that the recipient's side judged. ``retry`` asks for another time.
    """

    letter: Letter
    status: MessageStatus
    at: datetime
    reply: str | None = None
    failure: Failure | None = None
    counted: bool = True


@dataclass(frozen=True, slots=True)
class Setback:
    """Why a letter leaves the pipeline before its intent; ``retry_after`` in seconds."""

    letter: Letter
    status: MessageStatus
    copy: CopyStatus
    failure: Failure | None
    reply: str | None
    retry_after: float | None
