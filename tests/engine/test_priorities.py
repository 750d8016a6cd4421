"""Who goes first: by priority, and among equals in turn, however large a delivery is."""

import asyncio

import pytest

from letterbook.control.outbox import actions, analysis
from letterbook.engine.admission import Admission
from letterbook.engine.database import Database
from letterbook.engine.sweep import _AHEAD
from letterbook.engine.work import DuePart
from tests.engine.post import Post


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many parts without many messages."""
    monkeypatch.setattr(analysis, "_SMALL_PART", 50)


async def due(post: Post) -> list[DuePart]:
    async with Database(post.house.conninfo) as database:
        found = await database.fetch("due_parts", {"limit": 100, "ahead": _AHEAD})
    return [DuePart(*each) for each in found]


async def test_the_highest_priority_comes_first_and_equals_take_turns(post: Post):
    large = post.house.started(1000)
    equal = await post.another(100)
    urgent = await post.another(60, priority="very high")
    low = await post.another(10, priority="low")
    found = await due(post)
    assert found == [
        DuePart(urgent, 1, 2, 1, True),
        DuePart(urgent, 2, 2, 2, True),
        DuePart(large, 1, 0, 1, True),
        DuePart(equal, 1, 0, 1, True),
        DuePart(large, 2, 0, 2, True),
        DuePart(equal, 2, 0, 2, True),
        *(DuePart(large, number, 0, number, True) for number in range(3, _AHEAD + 1)),
        DuePart(low, 1, -1, 1, True),
    ], "and no more than a few parts of the large one at a time"


async def test_parts_that_wait_as_jobs_count(post: Post):
    large = post.house.started(1000)
    await post.sql(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, status, queueing_lock, args) "
        "SELECT 'parts', 'part', 'todo', 'part ' || delivery_id || ' ' || number, '{}' "
        "FROM outbox_part WHERE number <= 10"
    )
    assert [part.rank for part in await due(post)] == list(range(11, _AHEAD + 1))
    await post.sql("DELETE FROM procrastinate_jobs")
    assert await due(post) == [
        DuePart(large, number, 0, number, True) for number in range(1, _AHEAD + 1)
    ]


async def test_a_small_urgent_delivery_is_not_stuck_behind_a_large_one(
    post: Post, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(analysis, "_SMALL_PART", 500)
    post.house.with_settings(in_flight=64, connections=1)
    post.recipients.delay = 0.2
    large = post.house.started(4000)
    async with post.working():
        await post.until(lambda: post.counts(large).get("sending") == 64)
        urgent = await post.another(1, priority="high")
        await post.until_state(urgent, "finished")
        assert post.counts(large)["sent"] < 64, "nor for what was in the pipeline before it"
        held = post.house.sql(
            "SELECT count(*) FROM outbox_part WHERE delivery_id = %s AND lease_until IS NOT NULL "
            "AND epoch = 1",
            large,
        )
        assert held == [(4,)], "the parts in hand have not ended yet"
        await post.act(actions.stop, large)
        await post.until(lambda: "sending" not in post.counts(large))
    post.expect(urgent, sent=1, accepted=1)
    duration = post.house.show(urgent).duration
    assert duration is not None
    assert duration.total_seconds() > 0


async def test_equals_are_interleaved(post: Post):
    post.house.with_settings(in_flight=16, connections=4)
    post.recipients.delay = 0.005
    large = post.house.started(800)
    async with post.working():
        await post.until(lambda: post.counts(large).get("sent", 0) > 20)
        small = await post.another(20)
        await post.until_state(small, "finished")
        untouched = post.house.sql(
            "SELECT count(*) FROM outbox_part WHERE delivery_id = %s AND epoch = 0", large
        )
        assert untouched[0][0] > 0, "parts of the large one still wait"
        await post.act(actions.stop, large)
    post.expect(small, sent=20, accepted=20)


async def test_the_highest_enter_the_pipeline_first():
    admission = Admission(10)
    admission.enter(10)
    order = []

    async def come(priority: int) -> None:
        await admission.wait(5, priority)
        admission.enter(5)
        order.append(priority)

    async with asyncio.TaskGroup() as group:
        for priority in (0, -2, 2, 0):
            group.create_task(come(priority))
        await asyncio.sleep(0)
        for expected in ([2], [2, 0], [2, 0, 0], [2, 0, 0, -2]):
            admission.passed(5)
            await asyncio.sleep(0.01)
            assert order == expected
