"""The window, and what an operator does in mid delivery: pause, resume, stop, schedule, drain."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from letterbook.control.outbox import actions
from tests.engine.faults import SILENCE
from tests.engine.post import Post
from tests.house import ACTOR


@asynccontextmanager
async def sampled(take: Callable[[], int]) -> AsyncIterator[list[int]]:
    """Take samples inside the block, as often as the event loop allows."""
    samples: list[int] = []

    async def sample() -> None:
        while True:
            samples.append(take())
            await asyncio.sleep(0.005)

    task = asyncio.create_task(sample())
    try:
        yield samples
    finally:
        task.cancel()


def in_flight(post: Post) -> int:
    ((rows,),) = post.house.sql("SELECT count(*) FROM outbox_message WHERE status = 'sending'")
    return int(rows)


@pytest.mark.parametrize("window", [4, 16, 64])
async def test_no_more_is_in_flight_than_the_window(post: Post, window: int):
    post.house.with_settings(in_flight=window)
    post.recipients.delay = 0.01
    async with sampled(lambda: in_flight(post)) as samples:
        delivery = await post.deliver(150)
    post.expect(delivery, sent=150, accepted=150)
    assert max(samples) <= window
    assert max(samples) >= window // 4, "the window was used"


@pytest.mark.parametrize("window", [4, 32])
async def test_deposits_run_ahead_by_one_window_at_most(post: Post, window: int):
    post.house.with_settings(in_flight=window)
    post.recipients.delay = 0.02

    def ahead() -> int:
        ((begun,),) = post.house.sql(
            "SELECT count(*) FROM outbox_message WHERE status IN ('sending', 'sent')"
        )
        return len(post.archive.received) - int(begun)

    async with sampled(ahead) as samples:
        delivery = await post.deliver(150)
    post.expect(delivery, sent=150, accepted=150)
    assert window // 4 <= max(samples) <= window


async def test_pause_lets_what_is_in_flight_settle_and_resume_sends_exactly_the_rest(post: Post):
    post.house.with_settings(in_flight=16)
    post.recipients.delay = post.archive.delay = 0.02
    delivery = post.house.started(300)
    async with post.working():
        await post.until(lambda: len(post.recipients.received) > 40)
        await post.act(actions.pause, delivery)
        ((intents,),) = await post.sql(
            "SELECT count(*) FROM outbox_message WHERE status IN ('sending', 'sent')"
        )
        await post.until(lambda: not in_flight(post))
        await post.until(lambda: not leased(post))
        sent = len(post.recipients.received)
        assert 40 < sent <= intents, "nothing began after the pause"
        assert post.counts(delivery)["sent"] == sent
        assert post.because(delivery) == "paused by tester"
        copies = len(post.archive.received)
        await post.act(actions.resume, delivery)
        await post.until_state(delivery, "finished")
    post.expect(delivery, sent=300, accepted=300)
    repeated = len(post.archive.received) - 300
    assert repeated <= 16, f"of {copies} copies only those in hand may have come again"
    assert post.health("archive") != "down"


async def test_after_a_pause_no_more_is_deposited_than_one_window(post: Post):
    """The gate says it of one part, and the delivery's others rest too."""
    post.house.with_settings(in_flight=16)
    post.recipients.delay = 0.02
    delivery = post.house.started(2000)  # four parts
    async with post.working():
        await post.until(lambda: len(post.recipients.received) > 40)
        await post.act(actions.pause, delivery)
        await post.until(lambda: not in_flight(post) and not leased(post))
    assert post.counts(delivery).get("deposited", 0) <= 16


def leased(post: Post) -> bool:
    return bool(post.house.sql("SELECT 1 FROM outbox_part WHERE lease_until IS NOT NULL"))


async def test_a_pause_of_one_delivery_is_nothing_to_the_others(post: Post):
    """The content of a copy that was withheld is no fault of the archive's."""
    post.house.with_settings(in_flight=16, lease=0.4)
    post.archive.delay = 0.1
    delivery = post.house.started(200)
    async with post.working():
        for _ in range(3):
            await post.until(lambda: post.counts(delivery).get("sending"))
            await post.act(actions.pause, delivery)
            await post.until(lambda: not leased(post))
            await post.act(actions.resume, delivery)
        await post.until(lambda: post.counts(delivery).get("sending"))
        await post.act(actions.pause, delivery)
        await post.until(lambda: not leased(post))
        assert post.archive.count("RCPT") <= post.archive.count("MAIL")
        probes = post.archive.count("RCPT") - post.archive.count("DATA")
        assert probes == 0, "the archive was never thought to be down"


async def test_stop_cancels_the_rest_and_what_was_deposited_keeps_its_copy(post: Post):
    post.house.with_settings(in_flight=16)
    post.recipients.delay = post.archive.delay = 0.02
    delivery = post.house.started(300)
    async with post.working():
        await post.until(lambda: len(post.recipients.received) > 40)
        await post.act(actions.stop, delivery)
        await post.until(lambda: not in_flight(post) and not leased(post))
    counts, copies = post.counts(delivery), post.copies(delivery)
    assert set(counts) == {"sent", "cancelled"}
    assert counts["sent"] == len(post.recipients.received)
    assert copies["accepted"] == len(post.archive.by_id()), "each copy in the archive is noted"
    assert copies["accepted"] > counts["sent"], "some were ahead"
    assert post.state(delivery) == "stopped"
    await post.house.work()
    assert post.counts(delivery) == counts


async def test_stop_cancels_what_comes_back_from_the_route(post: Post):
    """What is deferred or given back after the stop will not be tried again."""
    post.house.with_settings(in_flight=20, connections=20, reply_timeout=0.5)
    post.recipients.at("RCPT", SILENCE)
    delivery = post.house.started(60)
    async with post.working():
        await post.until(lambda: in_flight(post) == 20)
        await post.act(actions.stop, delivery)
        await post.until(lambda: not in_flight(post) and not leased(post))
    assert post.counts(delivery) == {"cancelled": 60}
    assert post.state(delivery) == "stopped"


async def test_stop_cancels_what_is_deferred_afterwards(post: Post):
    post.house.with_settings(in_flight=20, connections=20)
    post.recipients.delay = 0.3
    post.recipients.at("RCPT", "451 4.7.1 Greylisted")
    delivery = post.house.started(60)
    async with post.working():
        await post.until(lambda: in_flight(post) == 20)
        await post.act(actions.stop, delivery)
        await post.until(lambda: not in_flight(post) and not leased(post))
    assert post.counts(delivery) == {"cancelled": 60}
    assert all(line.next_attempt_at is None for line in post.lines(delivery).values())


async def test_a_schedule_is_kept(post: Post):
    delivery = post.house.ready(20)
    at = datetime.now(UTC) + timedelta(seconds=1)
    await post.house.do(lambda: actions.start(ACTOR, delivery, at=at))
    assert post.state(delivery) == "scheduled"
    async with post.working():
        await post.until_state(delivery, "finished")
    post.expect(delivery, sent=20, accepted=20)
    ((started, first),) = post.house.sql(
        "SELECT started_at, min(copy_at) FROM deliveries_delivery AS d, outbox_message "
        "WHERE d.id = delivery_id GROUP BY 1"
    )
    assert at <= started < at + timedelta(seconds=2)
    assert first >= started


async def test_a_schedule_that_is_paused_is_not_kept_until_it_is_resumed(post: Post):
    delivery = post.house.ready(20)
    at = datetime.now(UTC) + timedelta(seconds=0.3)
    await post.house.do(lambda: actions.start(ACTOR, delivery, at=at))
    await post.act(actions.pause, delivery)
    async with post.working():
        await post.until(lambda: datetime.now(UTC) > at + timedelta(seconds=0.5))
        assert post.state(delivery) == "paused"
        assert not post.archive.received
        await post.act(actions.resume, delivery)
        await post.until_state(delivery, "finished")
    post.expect(delivery, sent=20, accepted=20)


async def test_a_worker_that_is_told_to_end_begins_nothing_and_settles_all(post: Post):
    post.house.with_settings(in_flight=16)
    post.recipients.delay = post.archive.delay = 0.02
    delivery = post.house.started(2000)  # four parts
    async with post.working():
        await post.until(lambda: len(post.recipients.received) > 40)
    sent = len(post.recipients.received)
    assert sent < 300, "it ended soon"
    counts = post.counts(delivery)
    assert counts["sent"] == sent
    assert not {"sending", "in_doubt"} & set(counts)
    assert not leased(post)
    post.recipients.delay = post.archive.delay = 0
    await post.house.work()
    post.expect(delivery, sent=2000, accepted=2000)


async def test_a_part_that_is_claimed_while_the_worker_is_told_to_end_is_given_back(post: Post):
    delivery = post.house.started(200)
    async with post.locked("SELECT FROM outbox_part FOR UPDATE"), post.working():
        await post.until(lambda: post.waits_for_lock("UPDATE outbox_part"))
        post.stop.set()
        asyncio.get_running_loop().call_later(0.2, post.unlock.set)
    assert not post.archive.received
    post.expect(delivery, "sending", pending=200, waiting=200)
    assert not leased(post)
    await post.house.work()
    post.expect(delivery, sent=200, accepted=200)


async def test_sigterm_drains(post: Post):
    post.recipients.delay = 0.05
    delivery = post.house.started(600)
    environment = post.house.environment | {"LETTERBOOK_IN_FLIGHT": "16"}
    worker = subprocess.Popen(
        [sys.executable, "-m", "letterbook", "worker"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        await post.until(lambda: len(post.recipients.received) > 40)
        worker.send_signal(signal.SIGTERM)
        output, _ = await asyncio.to_thread(worker.communicate, timeout=10)
    finally:
        worker.kill()
        await asyncio.to_thread(worker.communicate)
    assert worker.returncode == 0, output
    counts = post.counts(delivery)
    assert not {"sending", "in_doubt"} & set(counts)
    assert counts["sent"] == len(post.recipients.received) < 600
    assert not leased(post)
