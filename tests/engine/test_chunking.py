"""CHUNKING (RFC 3030): up to three messages of a connection go ahead of their answers."""

from dataclasses import replace

import pytest

from letterbook.smtp.server_events import Message
from tests.engine.faults import DROP
from tests.engine.post import Post


@pytest.fixture
def chunking(post: Post) -> Post:
    """Both sides offer it."""
    for side in (post.recipients, post.archive):
        side.options = replace(side.options, chunking=True)
    return post


async def test_messages_and_copies_go_by_bdat(chunking: Post):
    chunking.house.with_settings(connections=2)
    delivery = await chunking.deliver(200)
    chunking.expect(delivery, sent=200, accepted=200)
    for side in (chunking.recipients, chunking.archive):
        # The first of a connection by DATA: only then is it known that recipients are accepted.
        assert 1 <= side.count("DATA") <= 10
        assert side.count("dot") == 200


async def test_it_can_be_switched_off(chunking: Post):
    chunking.house.with_settings(chunking=False)
    delivery = await chunking.deliver(50)
    chunking.expect(delivery, sent=50, accepted=50)
    assert chunking.recipients.count("DATA") == chunking.archive.count("DATA") == 50


async def test_a_refused_recipient_is_that_recipients_alone(chunking: Post):
    chunking.house.with_settings(connections=1)
    chunking.recipients.at("RCPT", "550 5.1.1 Nobody", whom="user20@")
    chunking.recipients.at("RCPT", "451 4.7.1 Greylisted", whom="user21@")
    chunking.recipients.at("dot", "552 5.2.2 Full", whom="user40@")
    delivery = await chunking.deliver(60)
    chunking.expect(delivery, "retrying", sent=57, failed=2, deferred=1, accepted=60)
    assert chunking.replies(delivery, of="recipients")["550 5.1.1 Nobody"] == 1


async def test_a_cut_connection_puts_three_messages_in_doubt_at_most(chunking: Post):
    chunking.house.with_settings(connections=1)
    chunking.recipients.at("dot", DROP, whom="user30@", times=1)
    delivery = await chunking.deliver(60)
    counts = chunking.counts(delivery)
    assert 1 <= counts["in_doubt"] <= 3
    assert counts["sent"] == 60 - counts["in_doubt"]
    assert chunking.line(delivery, 30).status == "in_doubt"


async def test_a_copy_that_is_lost_on_the_way_is_brought_again(chunking: Post):
    chunking.house.with_settings(connections=1)
    chunking.archive.at("dot", DROP, whom="user30@", times=1)
    delivery = chunking.house.started(60)
    async with chunking.working():
        await chunking.until(lambda: chunking.state(delivery) == "held (archive)")
        await chunking.probe_now()
        await chunking.until_state(delivery, "finished")
    chunking.expect(delivery, sent=60, accepted=60)


async def test_a_route_that_refuses_everybody_gets_no_content(chunking: Post):
    chunking.recipients.at("RCPT", "450 4.2.1 Later")
    delivery = await chunking.deliver(40)
    chunking.expect(delivery, "retrying", deferred=40, accepted=40)
    assert not chunking.recipients.count("dot")


async def test_a_message_that_may_not_fit_on_the_way_is_told_to_be_torn(chunking: Post):
    """Only the last one of a connection can be; those before it are in doubt."""
    chunking.house.with_settings(connections=1)
    large = "<p>" + "x" * 200_000 + "</p><p>unsubscribe</p>"
    chunking.recipients.at(
        "dot", lambda event: DROP if isinstance(event, Message) else None, whom="user5@", times=1
    )
    delivery = await chunking.deliver(12, html=large)
    counts = chunking.counts(delivery)
    assert counts["in_doubt"] <= 3
    assert counts["sent"] + counts["in_doubt"] == 12
