"""Test SMTP: everything but DATA, seen from the wire."""

import asyncio
import sys
from dataclasses import replace

import pytest

from letterbook.control.outbox import actions
from tests.engine.faults import SILENCE
from tests.engine.post import Post


@pytest.mark.parametrize("pipelining", [True, False])
async def test_nobody_is_sent_anything_and_no_data_is_ever_said(post: Post, pipelining: bool):
    # Whatever a client writes, in whatever command or content: these octets would be a leak.
    post.recipients.forbidden = b"DATA"
    post.recipients.options = replace(post.recipients.options, pipelining=pipelining)
    post.house.with_settings(connections=3)
    delivery = await post.deliver(40, test_smtp=True)
    post.expect(delivery, cancelled=40, none=40)
    assert {line.failure for line in post.lines(delivery).values()} == {"tested"}
    assert post.recipients.count("RCPT") == 40
    assert (post.recipients.count("DATA"), post.recipients.leaks) == (0, 0)
    assert post.recipients.received == []
    assert post.archive.met == {}, "nobody even connected to the archive"


async def test_a_test_keeps_each_servers_answer(post: Post):
    post.recipients.at("RCPT", "550 5.1.1 Nobody", whom="user1@")
    post.recipients.at("RCPT", "451 4.7.1 Greylisted", whom="user2@")
    delivery = await post.deliver(5, test_smtp=True)
    post.expect(delivery, "retrying", cancelled=3, failed=1, deferred=1, none=5)
    lines = {line.address: line for line in post.house.log(delivery)}
    tested = lines["user0@example.org"]
    assert (tested.kind, tested.reason, tested.sent_at) == ("test", "tested", None)
    assert (tested.reply or "").startswith("250")
    assert lines["user1@example.org"].reason == "refused"
    assert lines["user1@example.org"].reply == "550 5.1.1 Nobody"
    assert lines["user2@example.org"].reply == "451 4.7.1 Greylisted"
    view = post.house.show(delivery)
    assert (view.kind, view.tested, view.messages["sent"]) == ("test", 3, 0)
    post.recipients.mend()
    await post.let_pass("2 hours")
    await post.house.work()
    post.expect(delivery, cancelled=4, failed=1, none=5)
    assert post.recipients.count("DATA") == 0


async def test_letters_go_on_the_connection_that_a_test_has_used(post: Post):
    post.house.with_settings(connections=1)
    delivery = post.house.started(30, test_smtp=True)
    async with post.working():
        other = await post.another(30)
        await post.until_state(other, "finished")
        await post.until_state(delivery, "finished")
    post.expect(delivery, cancelled=30, none=30)
    post.expect(other, sent=30, accepted=30)
    assert post.recipients.count("DATA") == 30
    assert {each.recipient[:5] for each in post.recipients.received} == {"other"}


async def test_a_test_whose_worker_is_killed_leaves_no_doubt(post: Post):
    post.recipients.at("RCPT", SILENCE)
    delivery = post.house.started(20, test_smtp=True)
    worker = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "letterbook", "worker"),
        env=post.house.environment | {"LETTERBOOK_LEASE": "1s"},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await post.until(lambda: post.recipients.count("RCPT"))
        assert "sending" in post.counts(delivery)
    finally:
        worker.kill()
        await worker.wait()
    post.recipients.mend()
    await post.house.work()
    post.expect(delivery, cancelled=20, none=20)
    assert {line.attempts for line in post.lines(delivery).values()} == {1}
    assert post.recipients.count("DATA") == 0


async def test_a_test_that_is_stopped_says_who_was_tested(post: Post):
    post.house.with_settings(in_flight=4, connections=1)
    delivery = post.house.started(200, test_smtp=True)
    post.recipients.delay = 0.01
    async with post.working():
        await post.until(lambda: "cancelled" in post.counts(delivery))
        await post.act(actions.stop, delivery)
    asked = post.recipients.count("RCPT")
    assert 0 < asked < 200
    post.expect(delivery, "stopped", cancelled=200, none=200)
    assert post.house.show(delivery).tested == asked


async def test_a_test_needs_no_archive_and_does_not_wait_for_it(post: Post):
    await post.archive.stop()
    await post.sql("UPDATE platform_archiveaddress SET state = 'replaced'")
    await post.sql("UPDATE outbox_health SET state = 'down', because = 'x' WHERE route = 'archive'")
    delivery = await post.deliver(5, test_smtp=True, email_bcc=True)
    post.expect(delivery, cancelled=5, none=5)
