"""The fault table (design, section 6), row by row: what the archive does to its copies."""

from datetime import UTC, datetime, timedelta

import pytest

from letterbook.control.outbox import actions
from letterbook.engine.database import statement
from letterbook.smtp.server_events import ServerOptions
from tests.engine.faults import DROP, POINTS, SILENCE
from tests.engine.post import Post
from tests.engine.wire import Wire

HELD = "held (archive)"


# One 4xx for a copy concerns that copy.


async def test_one_4xx_concerns_that_copy_which_goes_again_after_a_second(post: Post):
    post.archive.at("dot", "451 4.7.1 Not now", times=1, whom="user7@")
    delivery = await post.deliver(20)
    post.expect(delivery, sent=20, accepted=20)
    assert post.line(delivery, 7).copy_attempts == 2
    assert post.replies(delivery, of="archive") == {"451 4.7.1 Not now": 1, "250 2.0.0 Ok": 20}
    ((wait,),) = post.house.sql(
        "SELECT max(at) - min(at) FROM outbox_reply WHERE to_archive AND ordinal = %s",
        post.line(delivery, 7).ordinal,
    )
    assert timedelta(seconds=1) <= wait < timedelta(seconds=3)


async def test_a_4xx_at_rcpt_concerns_that_copy_too(post: Post):
    post.archive.at("RCPT", "451 4.7.1 Not now", times=1, whom="user7@")
    delivery = await post.deliver(20)
    post.expect(delivery, sent=20, accepted=20)
    assert post.line(delivery, 7).copy_attempts == 2


async def test_a_copy_that_gets_4xx_again_and_again_waits_longer_each_time(post: Post):
    post.archive.at("dot", "451 4.7.1 Not now", whom="user0@")
    delivery = post.house.started(1)
    async with post.working():
        for attempt, wait in enumerate((1, 2, 4, 8), start=1):
            await post.until(lambda: post.line(delivery, 0).copy_attempts == attempt)  # noqa: B023
            left = post.line(delivery, 0).next_attempt_at - datetime.now(UTC)
            assert timedelta(seconds=wait - 1) < left <= timedelta(seconds=wait)
            # Somebody else's copy is accepted: these are not three in a row.
            await post.until_state(await post.another(1), "finished")
            await post.let_pass("10 seconds")
    assert post.health("archive") != "down"
    post.expect(delivery, "sending", pending=1, waiting=1)


async def test_three_4xx_in_a_row_mean_that_the_archive_is_down(post: Post):
    post.archive.at("dot", "451 4.7.1 Come back")
    delivery = post.house.started(20)
    async with post.working():
        await post.until_state(delivery, HELD)
        assert post.because(delivery) == "451 4.7.1 Come back"
        assert not post.recipients.received
        post.archive.mend()
        await post.until_state(delivery, "finished")
    post.expect(delivery, sent=20, accepted=20)


# The archive as a whole.

ARCHIVE_REFUSES = [
    ("greeting", "554 5.3.2 No service"),
    ("EHLO", "550 5.7.1 I do not know you"),
    ("MAIL", "550 5.7.1 You may not write here"),
    ("RCPT", "550 5.1.1 No such mailbox"),
    ("RCPT", "550 5.7.1 Relaying denied"),
    ("RCPT", "452 4.2.2 Mailbox full"),
    ("dot", "452 4.2.2 Mailbox full"),
    ("dot", "552 5.2.2 Mailbox full"),
    ("dot", "452 4.3.1 Disk full"),
    ("dot", "552 5.3.1 Disk full"),
    *((point, "421 4.3.2 Closing") for point in POINTS),
]


@pytest.mark.parametrize(("point", "answer"), ARCHIVE_REFUSES)
async def test_the_archive_refuses(post: Post, point: str, answer: str):
    await hold_and_resume(post, lambda: post.archive.at(point, answer), answer)


@pytest.mark.parametrize("point", POINTS)
async def test_the_archive_drops_the_connection(post: Post, point: str):
    await hold_and_resume(post, lambda: post.archive.at(point, DROP), "connection")


@pytest.mark.parametrize("point", POINTS)
async def test_the_archive_is_silent(post: Post, point: str):
    post.house.with_settings(connect_timeout=0.3, reply_timeout=0.3, final_reply_timeout=0.3)
    await hold_and_resume(post, lambda: post.archive.at(point, SILENCE), "no reply")


async def hold_and_resume(post: Post, fail, words: str) -> None:
    """The delivery is held with the archive's words; others go on; it resumes by itself."""
    fail()
    delivery = post.house.started(20)
    async with post.working():
        await post.until_state(delivery, HELD)
        assert words in post.because(delivery)
        other = await post.another(20, email_bcc=False)
        await post.until_state(other, "finished")
        assert post.state(delivery) == HELD
        assert len(post.recipients.received) == 20, "only those of the one without the box"
        post.archive.mend()
        await post.probe_now()
        await post.until_state(delivery, "finished")
    post.expect(delivery, sent=20, accepted=20)
    post.expect(other, sent=20, none=20)
    assert all(line.attempts == 1 for line in post.lines(delivery).values())


@pytest.mark.parametrize("hangs_up", [False, True])
async def test_the_archive_refuses_the_password(post: Post, hangs_up: bool):
    archive = post.archive
    archive.options = ServerOptions(auth=("PLAIN",), auth_in_clear=True)
    post.house.set_route("archive", 0, url=f"smtp://us:secret@127.0.0.1:{archive.port}")
    archive.at("AUTH", "535 5.7.8 Wrong password")
    if hangs_up:
        archive.at("QUIT", DROP)
    delivery = post.house.started(20)
    async with post.working():
        await post.until_state(delivery, HELD)
        assert "535 5.7.8 Wrong password" in post.because(delivery)
        archive.mend()
        archive.at("AUTH", "235 2.7.0 Welcome")
        await post.probe_now()
        await post.until_state(delivery, "finished")
    post.expect(delivery, sent=20, accepted=20)


@pytest.mark.parametrize(
    ("options", "deed", "words"),
    [
        (ServerOptions(), None, "does not offer STARTTLS"),
        (ServerOptions(starttls=True), "454 4.7.0 No TLS now", "454 4.7.0 No TLS now"),
        (ServerOptions(starttls=True), DROP, "connection lost"),
        (ServerOptions(starttls=True), "220 2.0.0 But nothing follows", "TLS"),
    ],
)
async def test_the_archive_has_no_tls(post: Post, options: ServerOptions, deed, words: str):
    house, archive = post.house, post.archive
    house.with_settings(connect_timeout=0.3, reply_timeout=0.3)
    archive.options = options
    house.set_route("archive", 0, url=f"smtp+starttls://127.0.0.1:{archive.port}")
    if deed is not None:
        archive.at("STARTTLS", deed)
    delivery = house.started(20)
    async with post.working():
        await post.until_state(delivery, HELD)
        assert words in post.because(delivery)
        await post.use_route("archive", archive.port)
        await post.probe_now()
        await post.until_state(delivery, "finished")
    post.expect(delivery, sent=20, accepted=20)


async def test_the_archive_does_not_listen(post: Post):
    await post.archive.stop()
    delivery = post.house.started(20)
    async with post.working():
        await post.until_state(delivery, HELD)
        assert f"127.0.0.1:{post.archive.port}" in post.because(delivery)
        await post.archive.restart()
        await post.until_state(delivery, "finished")
    post.expect(delivery, sent=20, accepted=20)


async def test_the_archive_goes_down_in_mid_delivery_and_comes_back(post: Post):
    post.house.with_settings(in_flight=16)
    post.archive.delay = 0.01
    delivery = post.house.started(600)
    async with post.working():
        await post.until(lambda: len(post.recipients.received) > 100)
        await post.archive.stop()
        await post.until_state(delivery, HELD)
        other = await post.another(20, email_bcc=False)
        await post.until_state(other, "finished")
        assert post.counts(delivery)["sent"] < 500
        await post.archive.restart()
        await post.until_state(delivery, "finished")
    post.expect(delivery, sent=600, accepted=600)


async def test_an_archive_that_stays_down_is_probed_less_and_less_often(post: Post):
    delays = []
    for _ in range(9):
        post.house.sql(
            statement("mark_down")
            .replace("%(because)s", "'no'")
            .replace("%(route)s", "'archive'")
            .replace("%(probed)s", "true")
        )
        ((delay,),) = post.house.sql(
            "SELECT probe_at - now() FROM outbox_health WHERE route = 'archive'"
        )
        delays.append(round(delay.total_seconds()))
    assert delays == [1, 2, 4, 8, 16, 32, 60, 60, 60]


async def test_silence_after_quit_is_nobodys_fault(post: Post, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("letterbook.engine.pool._IDLE", 0.1)
    post.house.with_settings(reply_timeout=0.3)
    post.archive.at("QUIT", SILENCE)
    async with post.working():
        await post.until_state(await post.another(20), "finished")
        await post.until(lambda: post.archive.count("QUIT"))
        await post.until(lambda: not post.archive.connections)
        await post.until_state(await post.another(20), "finished")
    assert post.archive.count("RCPT") == 40, "there was no probe"


# The copy was taken and the answer is lost, or the connection breaks within it.


async def test_a_copy_whose_receipt_was_lost_is_deposited_again_as_the_same_bytes(post: Post):
    wire = await Wire(post.archive.port).start()
    wire.lose, wire.losses = b"250 2.0.0 Ok", 1
    post.house.set_route("archive", wire.port)
    delivery = await post.deliver(20)
    post.expect(delivery, sent=20, accepted=20)
    assert len(post.archive.received) == 21
    (repeated,) = (got for got in post.archive.by_id().values() if len(got) == 2)
    assert repeated[0].sha256 == repeated[1].sha256
    await wire.stop()


# Other 5xx for a copy concern that message.

MESSAGE_REFUSED = [
    ("dot", "552 5.3.4 Too large"),
    ("dot", "554 5.6.0 Malformed"),
    ("dot", "550 5.6.1 This kind is not supported"),
    ("dot", "550 5.7.1 A virus"),
    ("MAIL", "552 5.3.4 Too large"),
]


@pytest.mark.parametrize(("point", "answer"), MESSAGE_REFUSED)
async def test_a_refused_copy_lets_its_message_wait(post: Post, point: str, answer: str):
    post.archive.at(point, answer, times=1)
    delivery = await post.deliver(20)
    post.expect(delivery, "sending", pending=1, sent=19, refused=1, accepted=19)
    assert post.health("archive") == "up"
    (waiting,) = (line for line in post.lines(delivery).values() if line.copy == "refused")
    left = waiting.next_attempt_at - datetime.now(UTC)
    assert timedelta(minutes=59) < left <= timedelta(hours=1)
    assert post.replies(delivery, of="archive")[answer] == 1
    await post.let_pass("1 hour")
    await post.house.work()
    post.expect(delivery, sent=20, accepted=20)


async def test_a_copy_refused_until_the_validity_ends_fails_its_message(post: Post):
    post.archive.at("dot", "554 5.6.0 Malformed", whom="user7@")
    delivery = await post.deliver(20)
    for _ in range(3):
        await post.let_pass("1 hour")
        await post.house.work()
        post.expect(delivery, "sending", pending=1, sent=19, refused=1, accepted=19)
    await post.let_pass("5 days")
    await post.house.work()
    post.expect(delivery, failed=1, sent=19, refused=1, accepted=19)
    line = post.line(delivery, 7)
    assert (line.failure, line.attempts, line.copy_attempts) == ("archive_refused", 0, 4)


async def test_an_administrator_releases_a_message_whose_copy_is_refused(post: Post):
    post.archive.at("dot", "554 5.6.0 Malformed", whom="user7@")
    delivery = await post.deliver(20)
    post.owing = True
    await post.act(actions.release, delivery, post.line(delivery, 7).ordinal)
    await post.house.work()
    post.expect(delivery, sent=20, owed=1, accepted=19)
    ((audited,),) = post.house.sql(
        "SELECT count(*) FROM kernel_auditline WHERE action LIKE 'release%%'"
    )
    assert audited == 1
    post.archive.mend()
    await post.let_pass("1 hour")
    await post.house.work()
    post.expect(delivery, sent=20, accepted=20)


async def test_ten_refused_copies_in_a_row_mean_that_the_archive_is_down(post: Post):
    post.archive.at("dot", "554 5.6.0 Malformed", times=9)
    delivery = await post.deliver(20)
    post.expect(delivery, "sending", pending=9, sent=11, refused=9, accepted=11)
    assert post.health("archive") == "up"

    post.archive.at("dot", "554 5.6.0 I take nothing", times=10)
    async with post.working():
        other = await post.another(30)
        await post.until_state(other, HELD)
        assert post.because(other) == "554 5.6.0 I take nothing"
        await post.probe_now()
        await post.until(lambda: post.counts(other) == {"pending": 10, "sent": 20})
