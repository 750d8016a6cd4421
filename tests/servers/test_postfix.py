"""Real Postfix on both routes."""

from itertools import islice
from pathlib import Path

from tests.house import ARCHIVE_ADDRESS, House
from tests.mail.signed import verify
from tests.servers.postfix import Postfix, running_postfix

COUNT = 2000


def without_prepended(message: bytes) -> bytes:
    """The message as it was handed over: Message-ID is its first header."""
    return message[message.index(b"Message-ID: ") :]


def by_message_id(server: Postfix) -> dict[bytes, bytes]:
    messages = {}
    for delivered in server.delivered():
        message = without_prepended(delivered)
        message_id = message[: message.index(b"\r\n")]
        assert message_id not in messages, "delivered twice"
        messages[message_id] = message
    return messages


async def test_every_byte_that_a_recipient_gets_lies_in_the_archive(
    house: House, open_folder: Path
):
    with (
        running_postfix(open_folder / "recipients") as recipients,
        running_postfix(open_folder / "archive") as archive,
    ):
        house.set_route("recipients", recipients.port)
        house.set_route("archive", archive.port)
        house.set_archive()
        key = house.dkim_key()
        delivery = house.started(COUNT)
        await house.work()
        await house.wait(lambda: recipients.queue_is_empty and archive.queue_is_empty)
        assert house.counts(delivery) == {"sent": COUNT}
        assert house.copies(delivery) == {"accepted": COUNT}
        sent, copies = by_message_id(recipients), by_message_id(archive)
        assert len(sent) == COUNT
        assert sent == copies
        assert {line.message_id for line in house.log(delivery)} == {
            message_id.decode().removeprefix("Message-ID: ") for message_id in sent
        }
        for side in (recipients, archive):
            for message in islice(side.delivered(), 0, None, 100):
                assert verify(message, {key.name: key.record}) == [True]
        # P3: neither in what arrived nor in what the server saw of the dialogue.
        assert ARCHIVE_ADDRESS not in recipients.log
        assert not any(ARCHIVE_ADDRESS.encode() in each for each in recipients.delivered())
        assert ARCHIVE_ADDRESS in archive.log
