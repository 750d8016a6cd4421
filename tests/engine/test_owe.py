"""The policy *owe*: messages may go before their copies, which are owed and brought later."""

from datetime import timedelta

import pytest

from letterbook.control.outbox import actions
from letterbook.engine import deposit
from tests.engine.faults import DROP, SILENCE
from tests.engine.post import Post


@pytest.fixture(autouse=True)
def _owe(post: Post) -> None:
    post.owe()


async def test_while_the_archive_is_down_messages_go_and_copies_are_owed(post: Post):
    await post.archive.stop()
    delivery = post.house.started(40)
    async with post.working():
        await post.until_state(delivery, "finished")
        post.expect(delivery, sent=40, owed=40)
        assert len(post.recipients.received) == 40
        await post.archive.restart()
        await post.until(lambda: post.copies(delivery) == {"accepted": 40})
    post.expect(delivery, sent=40, accepted=40)
    sent = {each.message_id: each.sha256 for each in post.recipients.received}
    assert {each.message_id: each.sha256 for each in post.archive.received} == sent
    assert len(post.archive.received) == 40


async def test_owed_copies_are_brought_by_another_worker_days_later(post: Post):
    await post.archive.stop()
    delivery = post.house.started(20)
    async with post.working():
        await post.until_state(delivery, "finished")
    post.expect(delivery, sent=20, owed=20)
    await post.let_pass("10 days")
    await post.archive.restart()
    async with post.working():
        await post.probe_now()
        await post.until(lambda: post.copies(delivery) == {"accepted": 20})
    post.expect(delivery, sent=20, accepted=20)
    assert all(line.copy_version == 1 for line in post.lines(delivery).values())


async def test_an_archive_that_goes_down_in_mid_delivery_stops_nobody(post: Post):
    post.house.with_settings(in_flight=16)
    post.archive.delay = 0.01
    delivery = post.house.started(300)
    async with post.working():
        await post.until(lambda: len(post.archive.received) > 50)
        await post.archive.stop()
        await post.until_state(delivery, "finished")
        assert post.counts(delivery) == {"sent": 300}
        assert post.copies(delivery)["owed"] > 100
        await post.archive.restart()
        await post.probe_now()
        await post.until(lambda: post.copies(delivery) == {"accepted": 300})


@pytest.mark.parametrize(
    ("point", "deed"),
    [
        ("RCPT", "550 5.1.1 Nobody"),
        ("dot", "452 4.2.2 Full"),
        ("dot", "421 4.3.2 Bye"),
        ("dot", DROP),
    ],
)
async def test_whatever_means_that_the_archive_is_down_lets_messages_go(post: Post, point, deed):
    post.archive.at(point, deed)
    delivery = post.house.started(20)
    async with post.working():
        await post.until_state(delivery, "finished")
        post.expect(delivery, sent=20, owed=20)
        post.archive.mend()
        await post.probe_now()
        await post.until(lambda: post.copies(delivery) == {"accepted": 20})


async def test_one_4xx_is_no_reason_to_go_ahead(post: Post):
    post.archive.at("dot", "451 4.7.1 Not now", times=1)
    delivery = await post.deliver(20)
    post.expect(delivery, sent=20, accepted=20)
    post.owing = False  # the audit finds nobody ahead of their copy


async def test_a_refused_copy_is_no_reason_to_go_ahead(post: Post):
    post.archive.at("dot", "554 5.6.0 Malformed", whom="user7@")
    delivery = await post.deliver(20)
    post.expect(delivery, "sending", pending=1, sent=19, refused=1, accepted=19)
    assert not post.recipients.got(7)


async def test_a_deposit_that_takes_too_long_lets_messages_go(post: Post):
    """Both what waits for a connection and what waits for the archive's answer."""
    post.house.with_settings(connections=2)
    post.archive.at("dot", SILENCE, times=2)
    delivery = post.house.started(40)
    async with post.working() as worker:
        worker._pipeline.deposit.owe_after = 0.4
        await post.until_state(delivery, "finished", seconds=2.5)  # no reply is awaited for 3 s
        assert post.copies(delivery)["owed"] >= 2
        assert post.counts(delivery) == {"sent": 40}
        await post.until(lambda: post.copies(delivery) == {"accepted": 40})
    assert deposit.OWE_AFTER == 30


async def test_an_owed_copy_that_is_postponed_changes_nothing_else(post: Post):
    post.recipients.at("RCPT", "550 5.1.1 Nobody", whom="user3@")
    await post.archive.stop()
    delivery = post.house.started(20)
    async with post.working():
        await post.until_state(delivery, "finished")
        before = post.lines(delivery)
        post.archive.at("dot", "451 4.7.1 Not now", times=1, whom="user3@")
        post.archive.at("dot", "554 5.6.0 Malformed", times=1, whom="user4@")
        await post.archive.restart()
        await post.probe_now()
        await post.until(lambda: post.copies(delivery) == {"accepted": 19, "owed": 1})
        await post.let_pass("1 hour")
        await post.until(lambda: post.copies(delivery) == {"accepted": 20})
    for address, line in post.lines(delivery).items():
        old = before[address]
        assert (line.status, line.failure, line.attempts, line.settled_at) == (
            old.status,
            old.failure,
            old.attempts,
            old.settled_at,
        )
    assert post.line(delivery, 3).failure == "refused"
    assert post.line(delivery, 4).copy_attempts == 2


async def test_a_deferred_message_goes_again_and_its_copy_follows(post: Post):
    post.recipients.at("dot", "451 4.7.1 Greylisted", times=1, whom="user7@")
    await post.archive.stop()
    delivery = post.house.started(20)
    async with post.working():
        await post.until_state(delivery, "retrying")
        post.expect(delivery, "retrying", sent=19, deferred=1, owed=20)
        await post.let_pass("1 hour")
        await post.until_state(delivery, "finished")
        await post.archive.restart()
        await post.probe_now()
        await post.until(lambda: post.copies(delivery) == {"accepted": 20})
    assert len(post.archive.got(7)) == 1
    assert post.line(delivery, 7).attempts == 2


async def test_a_worker_rests_when_only_a_message_that_waits_is_owed(post: Post):
    """Its copy is not due before the message has gone; nobody turns in circles meanwhile."""
    post.recipients.at("dot", "451 4.7.1 Greylisted", times=1, whom="user7@")
    await post.archive.stop()
    delivery = post.house.started(20)
    async with post.working():
        await post.until_state(delivery, "retrying")
        await post.archive.restart()
        await post.probe_now()
        await post.until(lambda: post.copies(delivery) == {"accepted": 19, "owed": 1})
        await post.act(actions.pause, delivery)
        await post.let_pass("1 hour")
    ((epoch,),) = post.house.sql("SELECT epoch FROM outbox_part")
    await post.house.work()
    assert post.house.sql("SELECT epoch FROM outbox_part") == [(epoch,)], "nobody claims it"


async def test_a_stopped_delivery_still_brings_the_copies_that_it_owes(post: Post):
    post.recipients.at("dot", "451 4.7.1 Greylisted", times=1, whom="user7@")
    await post.archive.stop()
    delivery = post.house.started(20)
    async with post.working():
        await post.until_state(delivery, "retrying")
        await post.act(actions.stop, delivery)
        await post.archive.restart()
        await post.probe_now()
        await post.until(lambda: post.copies(delivery) == {"accepted": 20})
    post.expect(delivery, "stopped", sent=19, cancelled=1, accepted=20)
    await post.house.work()


async def test_a_worker_until_idle_does_not_wait_for_an_archive_that_stays_away(
    post: Post, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("letterbook.engine.sweep._PATIENCE", timedelta(0))
    await post.archive.stop()
    delivery = await post.deliver(20)
    post.expect(delivery, sent=20, owed=20)
