"""The fault table (design, section 6), row by row: what the recipients' route does to messages."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from letterbook.mail.status import MessageStatus
from letterbook.smtp.server_events import ServerOptions
from letterbook.testing.sink import Sink
from tests.engine.faults import DROP, POINTS, SILENCE
from tests.engine.post import Post
from tests.engine.wire import Wire
from tests.house import TemplateFile

HELD = "held (recipients)"


# A reply to RCPT or to the final dot concerns that recipient.


@pytest.mark.parametrize("point", ["RCPT", "dot"])
async def test_4xx_defers_that_message(post: Post, point: str):
    post.recipients.at(point, "451 4.7.1 Greylisted", times=1, whom="user7@")
    delivery = await post.deliver(20)
    post.expect(delivery, "retrying", deferred=1, sent=19, accepted=20)
    line = post.line(delivery, 7)
    assert line.attempts == 1
    left = line.next_attempt_at - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    assert post.replies(delivery, of="recipients")["451 4.7.1 Greylisted"] == 1

    await post.let_pass("1 hour")
    await post.house.work()
    post.expect(delivery, sent=20, accepted=20)
    assert post.line(delivery, 7).attempts == 2
    assert len(post.archive.got(7)) == 1, "its copy is there already"


@pytest.mark.parametrize("point", ["RCPT", "dot"])
async def test_5xx_fails_that_message(post: Post, point: str):
    post.recipients.at(point, "550 5.1.1 Nobody", whom="user7@")
    delivery = await post.deliver(20)
    post.expect(delivery, failed=1, sent=19, accepted=20)
    line = post.line(delivery, 7)
    assert (line.failure, line.attempts, line.next_attempt_at) == ("refused", 1, None)
    assert post.replies(delivery, of="recipients")["550 5.1.1 Nobody"] == 1
    assert post.health("recipients") == "up"


# What comes before a recipient is named, and 421, concern the route.

ROUTE_REFUSES = [
    ("greeting", "554 5.3.2 No service"),
    ("EHLO", "550 5.7.1 I do not know you"),
    ("MAIL", "550 5.7.1 You may not send"),
    ("MAIL", "451 4.7.1 Not now"),
    *((point, "421 4.3.2 Closing") for point in POINTS),
]


@pytest.mark.parametrize(("point", "answer"), ROUTE_REFUSES)
async def test_the_route_refuses(post: Post, point: str, answer: str):
    await hold_and_resume(post, lambda: post.recipients.at(point, answer), answer)


@pytest.mark.parametrize("point", ["greeting", "EHLO", "MAIL", "RCPT"])
async def test_the_route_drops_every_connection(post: Post, point: str):
    await hold_and_resume(post, lambda: post.recipients.at(point, DROP), "connection lost")


@pytest.mark.parametrize("point", ["greeting", "EHLO", "MAIL", "RCPT"])
async def test_the_route_is_silent(post: Post, point: str):
    post.house.with_settings(connect_timeout=0.3, reply_timeout=0.3)
    await hold_and_resume(post, lambda: post.recipients.at(point, SILENCE), "no reply")


async def hold_and_resume(post: Post, fail: Callable[[], None], words: str) -> None:
    """The delivery is held, nobody loses an attempt, no copy goes twice; it resumes by itself."""
    fail()
    delivery = post.house.started(20)
    async with post.working():
        await post.until_state(delivery, HELD)
        assert words in post.because(delivery)
        await post.until(lambda: set(post.counts(delivery)) <= {"pending", "deposited"})
        assert all(line.attempts == 0 for line in post.lines(delivery).values())
        post.recipients.mend()
        await post.probe_now()
        await post.until_state(delivery, "finished")
    post.expect(delivery, sent=20, accepted=20)
    assert all(line.attempts == 1 for line in post.lines(delivery).values())
    assert len(post.archive.received) == 20


async def test_the_route_does_not_listen(post: Post):
    await post.recipients.stop()
    delivery = post.house.started(20)
    async with post.working():
        await post.until_state(delivery, HELD)
        assert f"127.0.0.1:{post.recipients.port}" in post.because(delivery)
        await post.recipients.restart()
        await post.until_state(delivery, "finished")
    post.expect(delivery, sent=20, accepted=20)


@pytest.mark.parametrize("hangs_up", [False, True])
async def test_the_route_refuses_the_password(post: Post, hangs_up: bool):
    recipients = post.recipients
    recipients.options = ServerOptions(auth=("LOGIN",), auth_in_clear=True)
    post.house.set_route("recipients", 0, url=f"smtp://us:secret@127.0.0.1:{recipients.port}")
    recipients.at("AUTH", "535 5.7.8 Wrong password")
    if hangs_up:
        recipients.at("QUIT", DROP)
    delivery = post.house.started(20)
    async with post.working():
        await post.until_state(delivery, HELD)
        assert "Wrong password" in post.because(delivery)
        recipients.mend()
        await post.use_route("recipients", recipients.port)
        await post.probe_now()
        await post.until_state(delivery, "finished")
    post.expect(delivery, sent=20, accepted=20)


async def test_the_route_has_no_tls(post: Post):
    recipients = post.recipients
    post.house.set_route("recipients", 0, url=f"smtp+starttls://127.0.0.1:{recipients.port}")
    delivery = post.house.started(20)
    async with post.working():
        await post.until_state(delivery, HELD)
        assert "STARTTLS" in post.because(delivery)
        assert not recipients.received
        await post.use_route("recipients", recipients.port)
        await post.probe_now()
        await post.until_state(delivery, "finished")
    post.expect(delivery, sent=20, accepted=20)


async def test_a_relay_that_is_down_for_hours_costs_nobody_an_attempt(post: Post):
    post.recipients.at("RCPT", "550 5.1.1 Nobody", whom="user3@", times=0)
    await post.recipients.stop()
    delivery = post.house.started(20)
    async with post.working():
        for _ in range(4):
            await post.until_state(delivery, HELD)
            await post.let_pass("1 hour")
            probed = post.house.sql("SELECT probe_delay FROM outbox_health")
            await post.probe_now()
            await post.until(
                lambda: post.house.sql("SELECT probe_delay FROM outbox_health") != probed  # noqa: B023
            )
        await post.recipients.restart()
        await post.probe_now()
        await post.until_state(delivery, "finished")
    post.expect(delivery, sent=20, accepted=20)
    assert all(line.attempts == 1 for line in post.lines(delivery).values())


# A lost connection: in doubt is only what may have arrived.


@pytest.mark.parametrize("point", ["MAIL", "RCPT", "DATA"])
async def test_a_connection_lost_before_the_content_is_made_good_at_once(post: Post, point: str):
    post.recipients.at(point, DROP, times=2)
    delivery = await post.deliver(20)
    post.expect(delivery, sent=20, accepted=20)
    assert all(line.attempts == 1 for line in post.lines(delivery).values())
    assert len(post.archive.received) == 20


async def test_silence_after_data_is_made_good(post: Post):
    post.house.with_settings(reply_timeout=0.3)
    post.recipients.at("DATA", SILENCE, times=2)
    delivery = await post.deliver(20)
    post.expect(delivery, sent=20, accepted=20)
    assert all(line.attempts == 1 for line in post.lines(delivery).values())


async def test_a_connection_lost_within_the_content_is_made_good(post: Post):
    """The content is larger than what fits on the way, so its end was not written."""
    wire = await Wire(post.recipients.port).start()
    wire.marker, wire.torn_after = b"DATA\r\n", 100_000
    post.house.set_route("recipients", wire.port)
    large = TemplateFile("large.bin", "application/octet-stream", bytes(12_000_000))
    delivery = await post.deliver(2, files=[large])
    assert wire.torn_after is None, "it was torn"
    post.expect(delivery, sent=2, accepted=2)
    assert all(line.attempts == 1 for line in post.lines(delivery).values())
    await wire.stop()


async def test_a_connection_lost_before_the_final_reply_leaves_a_doubt(post: Post):
    post.recipients.at("dot", DROP, times=1)
    delivery = await post.deliver(20)
    post.expect(delivery, in_doubt=1, sent=19, accepted=20)
    assert len(post.recipients.received) == 19
    await shown_and_never_sent_again(post, delivery)


async def test_a_final_reply_that_is_lost_leaves_a_doubt(post: Post):
    wire = await Wire(post.recipients.port).start()
    wire.lose, wire.losses = b"250 2.0.0 Ok", 1
    post.house.set_route("recipients", wire.port)
    delivery = await post.deliver(20)
    post.expect(delivery, in_doubt=1, sent=19, accepted=20)
    assert len(post.recipients.received) == 20, "it had arrived"
    await shown_and_never_sent_again(post, delivery)
    await wire.stop()


async def test_silence_after_the_final_dot_leaves_a_doubt(post: Post):
    post.house.with_settings(final_reply_timeout=0.3)
    post.recipients.at("dot", SILENCE, times=1)
    delivery = await post.deliver(20)
    post.expect(delivery, in_doubt=1, sent=19, accepted=20)
    await shown_and_never_sent_again(post, delivery)


async def shown_and_never_sent_again(post: Post, delivery: int) -> None:
    (shown,) = (line for line in post.house.log(delivery) if line.status == MessageStatus.IN_DOUBT)
    assert shown.attempts == 1
    await post.let_pass("1 day")
    before = post.recipients.count("RCPT")
    await post.house.work()
    assert post.recipients.count("RCPT") == before
    assert post.counts(delivery)["in_doubt"] == 1


async def test_a_route_that_is_changed_is_used_at_once(post: Post):
    """Lanes to the old server leave after what is under way."""
    post.house.with_settings(in_flight=16, connections=2)
    post.recipients.delay = 0.02
    delivery = post.house.started(300)
    elsewhere = await Sink().start()
    async with post.working():
        await post.until(lambda: len(post.recipients.received) > 10)
        await post.use_route("recipients", elsewhere.port)
        await post.until(lambda: elsewhere.received)
        await post.until(lambda: not post.recipients.connections, seconds=2)
        before = len(post.recipients.received)
        await post.until_state(delivery, "finished")
    post.expect(delivery, sent=300, accepted=300)
    assert len(post.recipients.received) == before
    assert len(post.recipients.received) + len(elsewhere.received) == 300
    post.recipients.received += elsewhere.received
    await elsewhere.stop()
