"""Retries: ``max`` times ``period`` apart, then daily, until the validity ends."""

from datetime import UTC, datetime, timedelta

import pytest

from letterbook.engine.retry import copy_backoff, retry_after
from tests.engine.post import Post

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


def test_the_rule():
    assert [retry_after(n, HOUR, 3) for n in (1, 2, 3, 4, 5)] == [HOUR, HOUR, HOUR, DAY, DAY]
    assert retry_after(1, HOUR, 0) == DAY
    assert retry_after(9, 2 * DAY, 3) == 2 * DAY, "never sooner than the period"


def test_the_back_off_of_copies():
    assert [copy_backoff(n) for n in range(1, 9)] == [1, 2, 4, 8, 16, 32, 60, 60]


async def test_a_message_is_retried_by_the_rule_until_its_validity_ends(post: Post):
    post.recipients.at("dot", "451 4.7.1 Greylisted", whom="user7@")
    delivery = post.house.started(
        10, retries={"period": "2h", "max": 2}, validity={"delivery": "50h"}
    )

    def is_deferred(attempt: int) -> bool:
        line = post.line(delivery, 7)
        return (line.attempts, line.status) == (attempt, "deferred")

    waits = []
    async with post.working():
        for attempt in range(1, 5):
            await post.until(lambda: is_deferred(attempt))  # noqa: B023
            await post.until_state(delivery, "retrying")
            waits.append(post.line(delivery, 7).next_attempt_at - datetime.now(UTC))
            await post.let_pass(f"{waits[-1].total_seconds()} seconds")
        await post.until_state(delivery, "finished")
    expected = [2 * HOUR, 2 * HOUR, DAY, 22 * HOUR]  # the last one ends with the validity
    for wait, about in zip(waits, expected, strict=True):
        assert abs(wait - about) < timedelta(seconds=30)
    post.expect(delivery, failed=1, sent=9, accepted=10)
    line = post.line(delivery, 7)
    assert (line.failure, line.attempts) == ("expired", 4)
    assert len(post.archive.got(7)) == 1
    assert post.replies(delivery, of="recipients")["451 4.7.1 Greylisted"] == 4
    (entry,) = (entry for entry in post.house.log(delivery) if entry.status == "failed")
    assert entry.reply == "expired: 451 4.7.1 Greylisted"


async def test_nothing_is_sent_after_the_validity(post: Post):
    """A delivery that was held for too long fails its messages, and says so."""
    await post.recipients.stop()
    delivery = post.house.started(10)
    async with post.working():
        await post.until_state(delivery, "held (recipients)")
        await post.let_pass("6 days")
        await post.recipients.restart()
        await post.probe_now()
        await post.until_state(delivery, "finished")
    assert post.counts(delivery) == {"failed": 10}
    assert {line.failure for line in post.lines(delivery).values()} == {"expired"}
    assert not post.recipients.received


@pytest.mark.parametrize("point", ["RCPT", "dot"])
async def test_a_retry_is_the_same_bytes_and_no_second_copy(post: Post, point: str):
    post.recipients.at(point, "451 4.7.1 Greylisted", times=10)
    delivery = await post.deliver(10)
    post.expect(delivery, "retrying", deferred=10, accepted=10)
    hashes = {line.sha256 for line in post.lines(delivery).values()}
    await post.let_pass("1 hour")
    await post.house.work()
    post.expect(delivery, sent=10, accepted=10)
    assert {each.sha256 for each in post.recipients.received} == hashes
    assert len(post.archive.received) == 10
    assert {line.generation for line in post.lines(delivery).values()} == {1}
