"""Waves under way: each begins in its time, the others wait as pending."""

from letterbook.control.outbox import actions
from tests.engine.post import Post


async def test_each_wave_goes_in_its_time(post: Post):
    delivery = post.house.started(25, waves="10, 10 after 1h, rest after 2h")
    for sent, passes in ((10, "1 hour"), (20, "2 hours")):
        await post.house.work()
        post.expect(
            delivery, "sending", sent=sent, pending=25 - sent, accepted=sent, waiting=25 - sent
        )
        await post.let_pass(passes)
    await post.house.work()
    post.expect(delivery, sent=25, accepted=25)


async def test_a_pause_keeps_the_waves_and_a_stop_cancels_them(post: Post):
    delivery = post.house.started(20, waves="50% every 1h")
    async with post.working():
        await post.until(lambda: post.counts(delivery).get("sent") == 10)
        await post.act(actions.pause, delivery)
        await post.act(actions.resume, delivery)
        await post.let_pass("30 minutes")
    assert post.counts(delivery) == {"sent": 10, "pending": 10}
    await post.act(actions.stop, delivery)
    await post.let_pass("1 hour")
    await post.house.work()
    post.expect(delivery, "stopped", sent=10, cancelled=10, accepted=10, waiting=10)
    assert post.house.show(delivery).archived_not_sent == 0


async def test_a_wave_after_the_validity_expires_unsent(post: Post):
    delivery = post.house.started(20, waves="50% every 2h", validity={"delivery": "1h"})
    await post.house.work()
    await post.let_pass("2 hours")
    await post.house.work()
    post.expect(delivery, failed=10, sent=10, accepted=10, waiting=10)
    assert {line.failure for line in post.lines(delivery).values()} == {None, "expired"}


async def test_what_was_deposited_before_a_stop_is_shown_as_archived_not_sent(post: Post):
    post.house.with_settings(in_flight=16)
    post.recipients.delay = post.archive.delay = 0.02
    delivery = post.house.started(200)
    async with post.working():
        await post.until(lambda: len(post.recipients.received) > 20)
        await post.act(actions.stop, delivery)
        await post.until(
            lambda: not post.house.sql("SELECT 1 FROM outbox_part WHERE lease_until IS NOT NULL")
        )
    left = post.copies(delivery)["accepted"] - post.counts(delivery)["sent"]
    assert left > 0
    assert post.house.show(delivery).archived_not_sent == left
    told = [line for line in post.house.log(delivery) if line.archived_not_sent]
    assert len(told) == left
    assert {str(line.status) for line in told} == {"cancelled"}
