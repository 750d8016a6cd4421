"""Write: a claimed row becomes a letter: rendered, composed, hashed."""

import hashlib

from letterbook.engine.contents import Frozen
from letterbook.engine.retry import HOURLY
from letterbook.engine.work import Letter, Part, Row, Setback
from letterbook.mail.compose import Addressee
from letterbook.mail.errors import PersonalisationError
from letterbook.mail.secrecy import Secret
from letterbook.mail.status import CopyStatus, Failure, MessageStatus


def write(part: Part, row: Row, frozen: Frozen, archive: Secret | None) -> Letter | Setback:
    """Compose the message of ``row``, or say why it cannot be sent.

    A message composed before must come out the same; if it does not, it is another generation,
    which needs a copy of its own before it may go (design, section 5).
    """
    addressee = Addressee(row.ordinal, row.recipient_id, row.address, row.fields)
    try:
        content = frozen.composer.compose(addressee, part.dated)
    except PersonalisationError as error:
        return _give_up(part, row, Failure.PERSONALISATION, str(error))
    if archive is not None and archive.is_in(content):
        return _give_up(part, row, Failure.REVEALS_ARCHIVE, "it contains the archive address")
    sha256 = hashlib.sha256(content).digest()
    same = row.sha256 is None or row.sha256 == sha256
    return Letter(
        part=part,
        row=row,
        content=content,
        sha256=sha256,
        needs_smtputf8=frozen.composer.needs_smtputf8(row.address),
        generation=max(row.generation, 1) if same else row.generation + 1,
        copy=row.copy if same else _again(row),
        only_copy=row.status in _SERVED,
        test_only=frozen.test_only,
    )


_SERVED = frozenset(
    (
        MessageStatus.SENT,
        MessageStatus.FAILED,
        MessageStatus.IN_DOUBT,
        MessageStatus.CANCELLED,
    )
)


def _again(row: Row) -> CopyStatus:
    """A copy of other bytes does not count; nor may it be owed, unless they were sent already."""
    if row.copy is CopyStatus.NONE or row.status in _SERVED:
        return row.copy
    return CopyStatus.WAITING


def _give_up(part: Part, row: Row, failure: Failure, why: str) -> Setback:
    served = row.status in _SERVED
    letter = Letter(part, row, b"", b"", False, row.generation, row.copy, only_copy=served)
    if served:  # its copy stays owed; somebody may mend what is wrong
        return Setback(letter, row.status, row.copy, None, why, HOURLY.total_seconds())
    return Setback(letter, MessageStatus.FAILED, row.copy, failure, why, None)
