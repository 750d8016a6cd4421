"""The journey of a delivery, from database to settled ledger."""

from letterbook.testing.sink import Sink
from tests.house import ARCHIVE_ADDRESS, House


async def test_every_message_is_archived_first_and_arrives_once(house: House):
    recipients = await Sink(forbidden=ARCHIVE_ADDRESS.encode()).start()
    archive = await Sink().start()
    house.set_up(recipients, archive)
    delivery = house.started(300)
    await house.work()
    assert house.state(delivery) == "finished"
    assert house.counts(delivery) == {"sent": 300}
    assert house.copies(delivery) == {"accepted": 300}
    copies = {each.message_id: each for each in archive.received}
    assert len(copies) == len(archive.received) == len(recipients.received) == 300
    for message in recipients.received:
        copy = copies[message.message_id]
        assert copy.content == message.content
        assert copy.answered_at < message.began_at
        assert copy.recipient == ARCHIVE_ADDRESS
        assert copy.original_recipient == message.recipient
    assert recipients.leaks == 0
    logged = {line.message_id: line for line in house.log(delivery)}
    for message in recipients.received:
        line = logged[message.message_id]
        assert (line.address, line.sha256) == (message.recipient, message.sha256)
        assert line.status == "sent"
        assert line.copy_status == "accepted"
        assert line.attempts == 1
    await recipients.stop()
    await archive.stop()
