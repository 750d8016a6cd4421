"""An archive that struggles gets less at a time; what binds a delivery is measured and shown."""

import asyncio
from dataclasses import replace

import pytest

from letterbook.engine import gauge, pace
from letterbook.engine.gauge import Demand, Gauge, Reading
from letterbook.engine.pace import Pace
from tests.engine.post import Post
from tests.engine.test_limits import limit, limit_live
from tests.engine.test_window import sampled


def second(pace: Pace, at: float, *replies: float, put_off: bool = False) -> int:
    """Let a second pass with these reply times; return how many of ten lanes are used after it."""
    for reply in replies:
        pace.replied(reply)
    if put_off:
        pace.put_off()
    pace.look(at, pace.lanes(10), 10)
    return pace.lanes(10)


def test_lanes_are_halved_when_messages_are_put_off_and_come_back_one_by_one():
    pace = Pace(0)
    lanes = [second(pace, at, 0.01, put_off=at in (2, 3)) for at in range(1, 12)]
    assert lanes == [10, 5, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert pace.is_full


def test_lanes_are_halved_when_replies_take_far_longer_than_at_their_best():
    pace = Pace(0)
    assert second(pace, 1, 0.02, 0.04) == 10
    assert second(pace, 2, 0.06, 0.08) == 10, "twice as long is nothing"
    assert second(pace, 3, 0.5, 0.7) == 5
    assert second(pace, 4, 0.5) == 2
    assert second(pace, 5, 0.5) == 1
    assert second(pace, 6, 0.5) == 1, "there is always one"
    assert second(pace, 7, 0.02) == 2


def test_a_fast_server_is_never_slow_for_milliseconds():
    pace = Pace(0)
    assert second(pace, 1, 0.001) == 10
    assert second(pace, 2, 0.05) == 10


def test_a_server_that_stays_slow_is_taken_as_it_is_in_the_end():
    pace = Pace(0)
    second(pace, 1, 0.1)
    lanes = [second(pace, at, 1.0) for at in range(2, 80)]
    assert min(lanes) == 1
    assert lanes[-1] == 10


def test_it_looks_once_a_second():
    pace = Pace(0)
    pace.put_off()
    assert pace.look(0.9, 10, 10) is None
    assert pace.lanes(10) == 10


def test_what_is_slow_is_said():
    pace = Pace(0)
    second(pace, 1, 0.02)
    pace.replied(0.5)
    assert pace.look(2, 10, 10) == "a reply takes 0.50 s, at its best 0.02 s"


def test_the_gauge_measures_only_while_there_is_enough_to_do():
    gauge = Gauge()
    busy, bound, idle = Demand(True, False), Demand(True, True), Demand(False, False)
    assert gauge.read(0.0, 0, busy) == Reading(None, False)
    assert gauge.read(0.5, 20, busy) == Reading(None, False), "too short a time"
    assert gauge.read(1.0, 50, bound) == Reading(50, False)
    assert gauge.read(2.0, 150, bound) == Reading(75, False)
    assert gauge.read(4.0, 350, bound) == Reading(100, True), "only the last seconds count"
    assert gauge.read(5.0, 400, idle) == Reading(None, False)
    assert gauge.read(6.0, 400, busy) == Reading(None, False), "it begins anew"


@pytest.fixture
def _quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seconds pass in tenths."""
    monkeypatch.setattr(pace, "_PERIOD", 0.1)
    monkeypatch.setattr(gauge, "_SPAN", 0.6)
    monkeypatch.setattr(gauge, "_AT_LEAST", 0.3)


@pytest.mark.usefixtures("_quickly")
@pytest.mark.parametrize("chunking", [False, True])
async def test_an_archive_that_becomes_slow_gets_fewer_connections_and_then_more_again(
    post: Post, chunking: bool
):
    post.archive.options = replace(post.archive.options, chunking=chunking)
    delivery = post.house.started(1500)
    connections = lambda: len(post.archive.connections)  # noqa: E731
    async with post.working():
        await post.until(lambda: len(post.archive.received) > 100)
        assert connections() == 10
        post.archive.delay = 0.3
        await post.until(lambda: connections() <= 3)
        assert post.health("archive") == "slow"
        post.archive.delay = 0
        async with sampled(connections) as samples:
            await post.until_state(delivery, "finished", seconds=40)
        assert max(samples) >= 6
        async with asyncio.timeout(20):  # the next copies tell that it is well again
            while post.health("archive") != "up":
                await post.until_state(await post.another(20), "finished")
    post.expect(delivery, sent=1500, accepted=1500)


@pytest.mark.usefixtures("_quickly")
async def test_a_delivery_that_waits_for_the_archive_is_shown_as_archive_bound(post: Post):
    limit("archive", rate=40)
    delivery = post.house.started(300)
    async with post.working():
        shown = await post.house.do(post.house.show, delivery)
        async with asyncio.timeout(20):
            while shown.bound is None or not 30 < shown.bound.per_second < 45:
                shown = await post.house.do(post.house.show, delivery)
        assert shown.bound.route == "archive"
        plain = await post.another(2000, email_bcc=False)
        assert (await post.house.do(post.house.show, plain)).bound is None
        await post.until_state(plain, "finished")
        await limit_live(post, "archive", rate=None)
        await post.until_state(delivery, "finished")
    assert post.house.show(delivery).bound is None
    ((measured,),) = post.house.sql("SELECT per_second FROM outbox_flow WHERE route = 'archive'")
    assert measured > 20


@pytest.mark.usefixtures("_quickly")
async def test_a_delivery_may_be_bound_by_the_recipients_route(post: Post):
    limit("recipients", rate=40)
    delivery = post.house.started(100)
    async with post.working():
        async with asyncio.timeout(20):
            bound = None
            while bound is None or not 30 < bound.per_second < 45:
                bound = (await post.house.do(post.house.show, delivery)).bound
        assert bound.route == "recipients"
        await limit_live(post, "recipients", rate=None)
        await post.until_state(delivery, "finished")
