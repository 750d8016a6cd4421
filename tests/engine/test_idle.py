"""When a worker that works until it is idle may go."""

from datetime import timedelta
from uuid import uuid4

from letterbook.engine.database import Database
from letterbook.engine.ledger import Ledger
from letterbook.engine.sweep import Sweeper
from tests.engine.post import Post


async def test_a_worker_is_not_idle_while_a_delivery_is_yet_to_be_concluded(post: Post):
    """The last part was given back after the last sweep."""
    delivery = await post.deliver(3)
    await post.sql("UPDATE deliveries_delivery SET state = 'sending', finished_at = NULL")
    worker, lease = uuid4(), timedelta(seconds=1)

    async def no_job(parts: list[tuple[int, int]]) -> None:
        raise AssertionError(parts)

    async with Database(post.house.conninfo) as database:
        sweeper = Sweeper(database, Ledger(database, worker, lease), worker, lease, no_job)
        assert not await sweeper.is_idle()
        await sweeper.sweep()
        assert await sweeper.is_idle()
    post.expect(delivery, sent=3, accepted=3)
