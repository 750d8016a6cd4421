"""A route's limits hold over all workers together, and may change while they work."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import psycopg
import pytest

from letterbook.control.platform.actions import limit_route
from letterbook.engine import tokens
from letterbook.engine.database import statement
from tests.engine.faults import Side
from tests.engine.post import Post
from tests.engine.test_window import in_flight, sampled
from tests.house import ACTOR, in_django


def limit(name: str, **changes: float | None) -> None:
    in_django(limit_route)(ACTOR, name, changes)


async def limit_live(post: Post, name: str, **changes: float | None) -> None:
    await post.house.do(limit_route, ACTOR, name, changes)


def busiest(times: Sequence[float], seconds: float = 1.0) -> int:
    """The most arrivals in any stretch of so many seconds."""
    times, first, most = sorted(times), 0, 0
    for last, at in enumerate(times):
        while times[first] <= at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


@asynccontextmanager
async def two_workers(post: Post) -> AsyncIterator[None]:
    async with post.working(), post.working():
        yield


@pytest.mark.parametrize("route", ["recipients", "archive"])
async def test_two_workers_together_keep_to_a_rate(post: Post, route: str):
    limit(route, rate=100)
    side: Side = getattr(post, route)
    delivery = post.house.started(250)
    async with two_workers(post):
        await post.until_state(delivery, "finished")
    post.expect(delivery, sent=250, accepted=250)
    # A quarter of a second's worth may be saved up: in the database, and by each worker.
    assert busiest(side.met["MAIL"]) <= 100 * (1 + 3 * tokens.BURST) + 2
    assert max(side.met["MAIL"]) - min(side.met["MAIL"]) > 1.5


async def test_a_part_that_a_rate_keeps_under_way_ends_with_the_validity(post: Post):
    limit("recipients", rate=1)
    delivery = post.house.started(50, validity={"delivery": "1h"})
    async with post.working():
        await post.until(lambda: post.recipients.received)
        await post.let_pass("1 hour")
        await post.until_state(delivery, "finished")
    counts = post.counts(delivery)
    assert counts["sent"] + counts["failed"] == 50
    reasons = post.house.sql(
        "SELECT DISTINCT failure::text FROM outbox_message "
        "WHERE delivery_id = %s AND status = 'failed'",
        delivery,
    )
    assert reasons == [("expired",)]


async def test_a_rate_below_one_a_second_lets_one_at_a_time_begin(post: Post):
    limit("recipients", rate=0.8)
    delivery = post.house.started(3)
    async with post.working():
        await post.until_state(delivery, "finished")
    first, second, third = sorted(post.recipients.met["MAIL"])
    assert third - first > 2 / 0.8 - 0.2
    assert min(second - first, third - second) > 1 / 0.8 - 0.2


async def test_no_intent_is_committed_long_before_its_message_may_begin(post: Post):
    limit("recipients", rate=10)
    delivery = post.house.started(60)
    async with post.working():
        await post.until(lambda: len(post.archive.received) == 60)
        async with sampled(lambda: in_flight(post)) as samples:
            await post.until(lambda: len(post.recipients.received) > 20)
        assert max(samples) <= 5, "no more than have leave"
        await limit_live(post, "recipients", rate=None)
        await post.until_state(delivery, "finished")
    post.expect(delivery, sent=60, accepted=60)


async def test_a_worker_that_waits_for_leave_ends_at_once_when_told_to(post: Post):
    limit("recipients", rate=1)
    limit("archive", rate=200)
    delivery = post.house.started(100)
    async with post.working():
        await post.until(lambda: len(post.archive.received) == 100)
    counts = post.counts(delivery)
    assert set(counts) <= {"sent", "deposited"}, counts
    assert post.copies(delivery) == {"accepted": 100}, "each copy is noted"
    limit("recipients", rate=None)
    await post.house.work()
    post.expect(delivery, sent=100, accepted=100)
    assert len(post.archive.received) == 100


async def test_a_rate_changes_while_workers_run(post: Post):
    limit("recipients", rate=5)
    delivery = post.house.started(1000)
    async with two_workers(post):
        await post.until(lambda: len(post.recipients.received) >= 5)
        slow = len(post.recipients.received)
        assert slow < 50
        await limit_live(post, "recipients", rate=400)
        await post.until(lambda: len(post.recipients.received) > slow + 100)
        await limit_live(post, "recipients", rate=None)
        await post.until_state(delivery, "finished")
    assert busiest(post.recipients.met["MAIL"][:100]) <= 400 * 1.75 + 2
    post.expect(delivery, sent=1000, accepted=1000)


@pytest.mark.parametrize("route", ["recipients", "archive"])
async def test_two_workers_together_keep_to_the_connections(post: Post, route: str):
    limit(route, connections=3)
    side: Side = getattr(post, route)
    side.delay = 0.02
    delivery = post.house.started(1100)  # parts for both workers
    async with two_workers(post):
        async with sampled(lambda: len(side.connections)) as samples:
            await post.until(lambda: len(side.received) > 200)
            await limit_live(post, route, connections=2)
            await post.until(lambda: len(side.connections) <= 2)
            async with sampled(lambda: len(side.connections)) as fewer:
                sofar = len(side.received)
                await post.until(lambda: len(side.received) > sofar + 60)
        assert max(samples) == 3, "all that are allowed are used, and no more"
        assert max(fewer) <= 2
        side.delay = 0
        await limit_live(post, route, connections=None)
        await post.until_state(delivery, "finished")
    post.expect(delivery, sent=1100, accepted=1100)


async def test_a_worker_that_vanished_gives_its_share_back(post: Post):
    limit("recipients", connections=2)
    ((vanished,),) = post.house.sql(
        "INSERT INTO outbox_share (route, worker, connections, busy, bound, until) VALUES "
        "('recipients', gen_random_uuid(), 2, true, false, now() + interval '1 second') "
        "RETURNING until"
    )
    delivery = post.house.started(50)
    async with post.working():
        await post.until(lambda: post.recipients.connections)
        assert vanished < datetime.now(UTC), "until then it may still have both"
        await post.until_state(delivery, "finished")
    post.expect(delivery, sent=50, accepted=50)
    assert post.house.sql("SELECT * FROM outbox_share") == [], "who ends gives back at once"


async def test_a_worker_that_is_cut_off_while_it_asks_keeps_nobody_waiting(post: Post):
    """Its session stays in the server, in mid transaction."""
    limit("recipients", connections=2, rate=1000)
    async with await psycopg.AsyncConnection.connect(post.house.conninfo) as cut_off:
        await cut_off.execute(statement("lock_flow"), {"route": "recipients"})
        delivery = await post.deliver(20)
        post.expect(delivery, sent=20, accepted=20)
        with pytest.raises(psycopg.errors.IdleInTransactionSessionTimeout):
            await cut_off.execute("SELECT")


async def test_a_worker_without_letters_leaves_the_connections_to_the_other(post: Post):
    """One connection, and it wanders from worker to worker."""
    limit("recipients", connections=1)
    async with two_workers(post):
        for _ in range(4):
            delivery = await post.another(10)
            await post.until_state(delivery, "finished")
            assert len(post.recipients.connections) <= 1


@pytest.mark.parametrize("most", [1, 7])
async def test_a_connection_carries_so_many_messages(post: Post, most: int):
    post.house.with_settings(connections=2)
    limit("recipients", per_connection=most)
    limit("archive", per_connection=most)
    delivery = await post.deliver(60)
    post.expect(delivery, sent=60, accepted=60)
    for side in (post.recipients, post.archive):
        carried = Counter(each.connection for each in side.received)
        assert max(carried.values()) == most


async def test_a_new_limit_of_messages_counts_for_connections_that_are_open(post: Post):
    post.house.with_settings(connections=1)
    async with post.working():
        await post.until_state(await post.another(10), "finished")
        await limit_live(post, "recipients", per_connection=4)
        await post.until(lambda: not post.recipients.connections)
        await post.until_state(await post.another(10), "finished")
    carried = Counter(each.connection for each in post.recipients.received)
    assert list(carried.values()) == [10, 4, 4, 2]


async def test_an_archive_that_takes_its_time_is_nothing_to_those_without_copies(post: Post):
    limit("archive", rate=1)
    slow = post.house.started(2500)  # more parts than a worker carries at a time
    async with post.working():
        await post.until(lambda: len(post.archive.received) >= 2)
        other = await post.another(2000, email_bcc=False)
        await post.until_state(other, "finished", seconds=40)
        assert 2 <= len(post.archive.received) < 60
        assert post.state(slow) == "sending"
    post.expect(other, sent=2000, none=2000)
    copies = len(post.archive.received)
    assert post.copies(slow) == {"accepted": copies, "waiting": 2500 - copies}
