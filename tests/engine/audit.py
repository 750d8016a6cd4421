"""What must hold after every test, whatever it was about: the promises, checked from both sides."""

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from letterbook.mail.status import CopyStatus, MessageStatus
from tests.control.desk import COPY
from tests.engine.faults import Side
from tests.house import House


class Line(NamedTuple):
    """A message in the ledger."""

    ordinal: int
    address: str
    status: str
    copy: str
    failure: str | None
    attempts: int
    copy_attempts: int
    generation: int
    sha256: str | None
    copy_version: int | None
    next_attempt_at: datetime | None
    copy_at: datetime | None
    settled_at: datetime | None


def lines_of(house: House, delivery: int) -> dict[str, Line]:
    """Return the messages of ``delivery``, by address."""
    found = house.sql(
        "SELECT ordinal, address, status::text, copy::text, failure::text, attempts, "
        "copy_attempts, generation, encode(sha256, 'hex'), copy_version, next_attempt_at, "
        "copy_at, settled_at FROM outbox_message WHERE delivery_id = %s ORDER BY ordinal",
        delivery,
    )
    return {line.address: line for line in map(Line._make, found)}


def audit(
    house: House, recipients: Side, archive: Side, *, owing: bool, resending: bool = False
) -> None:
    """Check every promise that can be checked.

    ``owing``: messages may go before their copies. ``resending``: what is in doubt is sent again.
    """
    books_balance(house)
    known = {}
    for (delivery,) in house.sql("SELECT id FROM deliveries_delivery"):
        lines = lines_of(house, delivery)
        known |= {entry.message_id: lines[entry.address] for entry in house.log(delivery)}
    if not resending:
        nobody_got_two(recipients)
    what_arrived_is_known(recipients, known)
    what_is_sent_has_arrived(recipients, known)
    what_is_accepted_is_there(archive, known)
    copies_are_identical(recipients, archive, known)
    if not owing:
        archive_was_first(recipients, archive, known)
    assert recipients.leaks == 0, "P3: the recipients' side saw the archive address"


def books_balance(house: House) -> None:
    """The tallies of each part are a count over its rows."""
    statuses, copies = [str(each) for each in MessageStatus], [str(each) for each in CopyStatus]
    counted = ", ".join(
        [f"count(*) FILTER (WHERE status = '{each}')" for each in statuses]
        + [f"count(*) FILTER (WHERE {COPY} = '{each}')" for each in copies]
        + ["count(*) FILTER (WHERE copy = 'accepted' AND status IN ('cancelled', 'failed'))"]
    )
    kept = ", ".join(statuses + [f"copies_{each}" for each in copies] + ["archived_not_sent"])
    by_rows = house.sql(
        f"SELECT delivery_id, part, {counted} FROM outbox_message GROUP BY 1, 2 ORDER BY 1, 2"
    )
    by_tallies = house.sql(f"SELECT delivery_id, number, {kept} FROM outbox_part ORDER BY 1, 2")
    assert by_rows == by_tallies, "the tallies are not what a count gives"


def nobody_got_two(recipients: Side) -> None:
    doubled = {name: len(got) for name, got in recipients.by_id().items() if len(got) > 1}
    assert not doubled, f"P4: {doubled}"


def what_arrived_is_known(recipients: Side, known: Mapping[str, Line]) -> None:
    for message in recipients.received:
        line = known[message.message_id]
        assert line.address == message.recipient
        assert line.status in ("sent", "in_doubt"), f"P4: it has arrived: {line}"
        assert line.sha256 == message.sha256, f"P2: other bytes than {line}"


def what_is_sent_has_arrived(recipients: Side, known: Mapping[str, Line]) -> None:
    arrived = recipients.by_id()
    lost = [line for name, line in known.items() if line.status == "sent" and name not in arrived]
    assert not lost, f"P4: {len(lost)} have not arrived, such as {lost[0]}"


def what_is_accepted_is_there(archive: Side, known: Mapping[str, Line]) -> None:
    copies = archive.by_id()
    lost = [line for name, line in known.items() if line.copy == "accepted" and name not in copies]
    assert not lost, f"P5: {len(lost)} copies are not there, such as {lost[0]}"


def copies_are_identical(recipients: Side, archive: Side, known: Mapping[str, Line]) -> None:
    copies = archive.by_id()
    for message in recipients.received:
        line = known[message.message_id]
        if line.copy == "accepted":
            hashes = {each.sha256 for each in copies[message.message_id]}
            assert message.sha256 in hashes, f"P2: no copy is identical: {line}"


def archive_was_first(recipients: Side, archive: Side, known: Mapping[str, Line]) -> None:
    copies = archive.by_id()
    for message in recipients.received:
        line = known[message.message_id]
        if line.copy == "none":
            assert message.message_id not in copies, f"nobody wants a copy of {line}"
            continue
        answered = [
            each.answered_at
            for each in copies.get(message.message_id, ())
            if each.sha256 == message.sha256
        ]
        assert answered, f"P1: there is no copy of {line}"
        assert min(answered) < message.began_at, f"P1: it went ahead of its copy: {line}"
