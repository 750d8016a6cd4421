"""The database fails over to a standby that lags behind: commits are lost, and nobody gets two."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from django.utils import timezone

from letterbook.control.kernel.queries import durability
from letterbook.control.outbox import actions
from letterbook.engine.errors import RestoredError
from tests.engine.audit import nobody_got_two
from tests.engine.post import Post
from tests.engine.wire import Wire
from tests.house import House, _disconnect, _use, in_django, make_template_database
from tests.postgresql import Server, servers

_SOCKET = ".s.PGSQL.5432"


@pytest.fixture
def pair() -> Iterator[tuple[Server, Server]]:
    """A primary with an asynchronous standby; the primary is careless, too."""
    with servers("primary", "standby") as (primary, standby):
        primary.make()
        primary.start(fsync="off", full_page_writes="off")
        make_template_database(primary)
        standby.follow(primary)
        standby.start(fsync="off", full_page_writes="off")
        yield primary, standby


@pytest.fixture
async def post(pair: tuple[Server, Server], tmp_path: Path) -> AsyncIterator[Post]:
    post = Post(House(pair[0], tmp_path))
    # A sequence in a database made from a template writes no WAL before the next checkpoint.
    pair[0].sql("CHECKPOINT")
    await post.open()
    yield post
    await post.close()
    post.house.close()


@pytest.fixture
async def line(post: Post, tmp_path: Path) -> AsyncIterator[Wire]:
    """What workers reach the database over, whichever server that is."""
    folder = post.house.cluster.socket_folder.parent / "line"
    folder.mkdir()
    wire = await Wire(post.house.cluster.socket_folder / _SOCKET).start(folder / _SOCKET)
    parts = psycopg.conninfo.conninfo_to_dict(post.house.conninfo)
    wire.conninfo = psycopg.conninfo.make_conninfo(**parts | {"host": str(folder)})
    yield wire
    await wire.stop()


async def cut_replication(post: Post, standby: Server) -> None:
    """From here on the standby learns nothing more; all that was replicated it has."""
    position = "SELECT pg_last_wal_replay_lsn() >= '{}'"
    ((now,),) = post.house.sql("SELECT pg_current_wal_lsn()")
    await post.until(lambda: standby.sql(position.format(now)) == [(True,)])
    standby.sql("ALTER SYSTEM SET primary_conninfo = ''")
    standby.sql("SELECT pg_reload_conf()")
    await post.until(lambda: not standby.sql("SELECT 1 FROM pg_stat_wal_receiver"))


async def fail_over(post: Post, line: Wire, standby: Server) -> None:
    in_django(_disconnect)()
    post.house.cluster.crash()
    standby.sql("SELECT pg_promote()")
    post.house.cluster = standby
    post.house.conninfo = standby.conninfo(post.house.name)
    in_django(_use)(post.house.conninfo)
    line._target = standby.socket_folder / _SOCKET
    line.cut()


def known(post: Post) -> bool:
    return post.house.sql("SELECT is_known FROM engine_lineage") == [(True,)]


def leased(post: Post) -> bool:
    return bool(post.house.sql("SELECT 1 FROM outbox_part WHERE lease_until > now()"))


async def test_after_an_asynchronous_failover_nobody_gets_a_second_message(
    post: Post, line: Wire, pair: tuple[Server, Server]
):
    _, standby = pair
    assert known(post)
    troubles = "\n".join(in_django(durability)().troubles)
    assert "fsync is off" in troubles
    assert "full_page_writes is off" in troubles
    assert "no commit waits for a standby" in troubles
    post.house.with_settings(in_flight=16)
    post.recipients.delay = post.archive.delay = 0.01
    delivery = post.house.started(400)
    async with post.working(line.conninfo):
        await post.until(lambda: len(post.recipients.received) > 40)
        await cut_replication(post, standby)
        replicated = len(post.recipients.received)
        await post.until(lambda: len(post.recipients.received) > replicated + 60)

        await fail_over(post, line, standby)
        assert not known(post)
        await post.until(lambda: not leased(post))
        arrived = post.recipients.count("MAIL")
        assert arrived < 300, "the gate is shut"
        with pytest.raises(RestoredError):
            await post.house.work()
        sent = post.counts(delivery)["sent"]
        assert sent < len(post.recipients.received) - 40, "the standby knows nothing of these"

        post.house.run("restored", "--since", timezone.now().isoformat())
        assert known(post)
        assert post.state(delivery) == "paused"
        assert set(post.counts(delivery)) == {"sent", "in_doubt"}
        await post.act(actions.resume, delivery)
        await post.until_state(delivery, "finished")
        assert post.recipients.count("MAIL") == arrived, "nothing was sent again"
        await post.until_state(await post.another(20), "finished")
    nobody_got_two(post.recipients)
    doubtful = {line.address for line in post.lines(delivery).values() if line.status != "sent"}
    everybody = {each.recipient for each in post.recipients.received}
    assert len(everybody & doubtful) > 40, "who got one and is not known of is in doubt"


def test_durability_is_what_a_session_has(house: House):
    assert in_django(durability)().troubles == []
    house.sql(f"ALTER DATABASE {house.name} SET synchronous_commit = off")
    in_django(_disconnect)()
    (trouble,) = in_django(durability)().troubles
    assert trouble.startswith("synchronous_commit is off")
    assert f"! {trouble}: docs/operate/failover.md" in house.run("check", status=1).stdout
