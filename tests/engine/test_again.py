"""What goes again: failed messages, messages in doubt, and the policy *resend*."""

import asyncio
import subprocess
import sys

import pytest

from letterbook.control.outbox import actions
from tests.engine.faults import DROP, SILENCE
from tests.engine.post import Post
from tests.house import ACTOR


async def test_a_retry_is_the_same_message_and_no_second_copy(post: Post):
    post.recipients.at("RCPT", "550 5.7.1 Blocked", times=4)
    delivery = await post.deliver(10)
    post.expect(delivery, failed=4, sent=6, accepted=10)
    assert post.house.show(delivery).archived_not_sent == 4
    names = {line.message_id for line in post.house.log(delivery)}
    await post.act(actions.retry, delivery)
    await post.house.work()
    post.expect(delivery, sent=10, accepted=10)
    assert len(post.archive.received) == 10
    assert set(post.recipients.by_id()) == names
    lines = post.lines(delivery).values()
    assert sorted(line.attempts for line in lines) == [1] * 6 + [2] * 4
    assert {line.generation for line in lines} == {1}


async def test_a_retry_of_what_expired_deposits_what_was_never_deposited(post: Post):
    await post.archive.stop()
    delivery = post.house.started(10)
    async with post.working():
        await post.until_state(delivery, "held (archive)")
        await post.let_pass("6 days")
        await post.archive.restart()
        await post.probe_now()
        await post.until_state(delivery, "finished")
        assert post.counts(delivery) == {"failed": 10}
        await post.act(actions.retry, delivery)
        await post.until_state(delivery, "finished")
    post.expect(delivery, sent=10, accepted=10)


@pytest.fixture
async def doubtful(post: Post) -> int:
    """A delivery that is over but for three messages in doubt."""
    post.house.with_settings(connections=3)
    post.recipients.at("dot", DROP, times=3)
    delivery = await post.deliver(10)
    await post.probe_now()
    await post.house.work()
    post.expect(delivery, in_doubt=3, sent=7, accepted=10)
    return delivery


async def test_what_is_in_doubt_goes_again_when_an_operator_says_so(post: Post, doubtful: int):
    await post.house.work()
    assert post.counts(doubtful)["in_doubt"] == 3, "and not by itself"
    await post.act(actions.resend, doubtful, None)
    await post.house.work()
    post.expect(doubtful, sent=10, accepted=10)
    assert len(post.archive.received) == 10


async def test_what_was_lost_as_an_operator_knows_is_retried(post: Post, doubtful: int):
    await post.house.do(lambda: actions.settle_doubts(ACTOR, doubtful, None, arrived=False))
    post.expect(doubtful, failed=3, sent=7, accepted=10)
    await post.act(actions.retry, doubtful)
    await post.house.work()
    post.expect(doubtful, sent=10, accepted=10)


async def test_the_policy_resend_after_a_kill(post: Post):
    """Nothing is lost and nothing in doubt; at most the window arrives twice, as was asked for."""
    post.resending = True
    post.recipients.delay = 0.05
    delivery = post.house.started(200, in_doubt="resend")
    environment = post.house.environment | {
        "LETTERBOOK_IN_FLIGHT": "16", "LETTERBOOK_LEASE": "1s",
    }  # fmt: skip
    worker = subprocess.Popen([sys.executable, "-m", "letterbook", "worker"], env=environment)
    try:
        await post.until(lambda: len(post.recipients.received) > 40)
    finally:
        worker.kill()
        await asyncio.to_thread(worker.wait)
    post.recipients.delay = 0
    async with post.working():
        await post.until_state(delivery, "finished")
    post.expect(delivery, sent=200, accepted=200)
    arrived = post.recipients.by_id().values()
    assert len(arrived) == 200
    assert sum(len(each) - 1 for each in arrived) <= 16


async def test_the_policy_resend_is_a_retry_and_ends_with_them(post: Post):
    """A server that never answers the final dot gets a message no more often than it is retried."""
    post.resending = True
    post.recipients.at("dot", DROP, whom="user3@")
    delivery = post.house.started(5, in_doubt="resend", retries={"period": "1h", "max": 1})
    async with post.working():
        for attempt in (1, 2):
            await post.until(lambda: post.line(delivery, 3).attempts == attempt)  # noqa: B023
            await post.until(lambda: post.line(delivery, 3).status != "sending")
            if attempt == 1:
                assert post.line(delivery, 3).status == "deferred"
                await post.let_pass("1 hour")
        await post.until_state(delivery, "finished")
    post.expect(delivery, in_doubt=1, sent=4, accepted=5)


async def test_a_stop_leaves_in_doubt_what_the_policy_would_resend(post: Post):
    post.house.with_settings(in_flight=8, connections=8, final_reply_timeout=0.5)
    post.recipients.at("dot", SILENCE)
    delivery = post.house.started(8, in_doubt="resend")
    async with post.working():
        await post.until(lambda: post.recipients.count("dot") == 8)
        await post.act(actions.stop, delivery)
        await post.until(lambda: "sending" not in post.counts(delivery))
    assert post.counts(delivery) == {"in_doubt": 8}
    assert all(line.next_attempt_at is None for line in post.lines(delivery).values())


@pytest.mark.parametrize("end", ["stop", "validity"])
async def test_what_is_not_sent_again_after_all_is_in_doubt_still(post: Post, end: str):
    """Nobody knows whether the first attempt arrived, so it is neither cancelled nor expired."""
    post.recipients.at("dot", DROP, whom="user3@")
    post.recipients.at("RCPT", "451 4.7.1 Greylisted", whom="user4@")
    delivery = post.house.started(5, in_doubt="resend", validity={"delivery": "1d"})
    async with post.working():
        await post.until(lambda: post.counts(delivery) == {"sent": 3, "deferred": 2})
        if end == "stop":
            await post.act(actions.stop, delivery)
        else:
            await post.let_pass("1 day")
            await post.until_state(delivery, "finished")
    other = {"stop": "cancelled", "validity": "failed"}[end]
    state = {"stop": "stopped", "validity": "finished"}[end]
    post.expect(delivery, state, **{"sent": 3, "in_doubt": 1, other: 1}, accepted=5)
    assert post.line(delivery, 3).status == "in_doubt"


async def test_a_stop_leaves_in_doubt_what_an_operator_wanted_sent_again(post: Post, doubtful: int):
    before = post.counts(doubtful)
    await post.act(actions.resend, doubtful, None)
    await post.act(actions.stop, doubtful)
    assert post.counts(doubtful) == before
