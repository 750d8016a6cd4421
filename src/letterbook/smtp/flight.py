"""Messages by BDAT (RFC 3030): their content rides with their envelope, and none waits for a 354.

::

    C: MAIL(k) RCPT(k) BDAT(k) content(k)  RSET MAIL(k+1) RCPT(k+1) BDAT(k+1) content(k+1)
    S: 250     250     250                 250  250       250       250

RSET leads each but the first, because a refusal leaves a sender behind at the server.
"""

from dataclasses import dataclass
from typing import Final

from letterbook.smtp.errors import ProtocolViolation
from letterbook.smtp.events import Finished, Stage, Unanswered
from letterbook.smtp.reply import Reply
from letterbook.smtp.transaction import Transaction

MOST_UNANSWERED: Final = 3
"""Messages on one connection whose content was written and not yet answered: what a cut
connection leaves in doubt."""


def bdat_command(size: int) -> bytes:
    """``BDAT size LAST``: one chunk is a whole message."""
    return b"BDAT %d LAST\r\n" % size


@dataclass(slots=True, eq=False)
class Flight:
    """A transaction whose content was written with its commands."""

    transaction: Transaction
    refusal: tuple[Stage, Reply] | None = None
    """The first refusal. Those that follow from it say nothing new."""
    handed_over: bool = False

    def answered(self, stage: Stage, reply: Reply) -> Finished | None:
        """Take the reply to one of its commands; the last one decides.

        Raises ProtocolViolation when the server's replies contradict one another.
        """
        if reply.intermediate:
            raise ProtocolViolation(f"{reply.text!r} cannot answer {stage}")
        if not reply.positive and self.refusal is None:
            self.refusal = stage, reply
        if stage is not Stage.CONTENT:
            return None
        if self.refusal is None:
            return Finished(self.transaction, stage, reply)
        if reply.positive:
            raise ProtocolViolation("the server took the content of a message that it had refused")
        return Finished(self.transaction, *self.refusal)

    def ended_by(self, stage: Stage, reply: Reply) -> Finished:
        """What to say of it when 421 answers its command ``stage``."""
        return Finished(self.transaction, *(self.refusal or (stage, reply)))

    def unanswered(self) -> Unanswered:
        """What to say of it when the connection ends first."""
        return Unanswered(self.transaction, self.handed_over)
