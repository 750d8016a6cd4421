"""The database goes away in mid delivery: nothing begins without it, and nothing is forgotten."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from letterbook.embedded import Database as Cluster
from letterbook.engine import database
from tests.embedded.harness import postmaster_of
from tests.engine.faults import SILENCE
from tests.engine.post import Post
from tests.engine.wire import Wire
from tests.house import ONLOOKER, _disconnect


@pytest.fixture
async def wire(post: Post, tmp_path: Path) -> AsyncIterator[Wire]:
    """A wire between workers and the database; its path must be short."""
    socket = Path(f"/tmp/lb-{os.getpid()}-{post.house.name[-6:]}")
    socket.mkdir(mode=0o700)
    wire = await Wire(post.house.cluster.socket_folder / ".s.PGSQL.5432").start(
        socket / ".s.PGSQL.5432"
    )
    parts = psycopg.conninfo.conninfo_to_dict(post.house.conninfo)
    wire.conninfo = psycopg.conninfo.make_conninfo(**parts | {"host": str(socket)})
    yield wire
    await wire.stop()
    (socket / ".s.PGSQL.5432").unlink(missing_ok=True)
    socket.rmdir()


async def cut_all(post: Post) -> None:
    """End every connection to the database of this house, on the server's side, but the test's."""
    await post.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name <> %s",
        ONLOOKER,
    )
    await post.house.do(_disconnect)


@pytest.mark.parametrize("until_idle", [False, True])
async def test_connections_that_are_cut_again_and_again_cost_nothing(post: Post, until_idle: bool):
    post.house.with_settings(in_flight=16)
    post.recipients.delay = post.archive.delay = 0.01
    delivery = post.house.started(400)

    async def keep_cutting() -> None:
        for sent in range(40, 400, 100):
            await post.until(lambda: len(post.recipients.received) >= sent)  # noqa: B023
            await cut_all(post)

    cutting = asyncio.create_task(keep_cutting())
    if until_idle:
        await post.house.work()
    else:
        async with post.working():
            await post.until_state(delivery, "finished", seconds=40)
    await cutting
    post.expect(delivery, sent=400, accepted=400)
    assert all(line.attempts == 1 for line in post.lines(delivery).values())


async def test_a_worker_that_rests_survives_cut_connections(post: Post):
    async with post.working():
        for _ in range(3):
            await cut_all(post)
            await post.until_state(await post.another(20), "finished")


async def test_a_worker_of_which_a_part_fails_ends(post: Post):
    """It must not stay as a shell that holds on to nothing; its supervisor starts another one."""
    post.house.with_settings(in_flight=16)
    post.recipients.at("RCPT", SILENCE)
    delivery = post.house.started(100)
    worker = subprocess.Popen(
        [sys.executable, "-m", "letterbook", "worker"],
        env=post.house.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        await post.until(lambda: "sending" in post.counts(delivery))
        await post.sql(  # sealed by another key
            "UPDATE platform_route SET username = 'us', sealed_password = '\\x00'"
        )
        _, said = await asyncio.to_thread(worker.communicate, timeout=15)
    finally:
        worker.kill()
        await asyncio.to_thread(worker.communicate)
    assert worker.returncode == 1
    assert b"SealError" in said or b"seal" in said
    post.books_only = True  # what it had in flight is still called sending, as after a kill


async def test_the_server_is_killed(post: Post, cluster: Cluster):
    post.house.with_settings(in_flight=16)
    post.recipients.delay = post.archive.delay = 0.01
    delivery = post.house.started(400)
    async with post.working():
        await post.until(lambda: len(post.recipients.received) > 60)
        os.kill(postmaster_of(cluster.socket_folder.parent), signal.SIGKILL)
        await post.until(lambda: answers(post), seconds=40)
        await post.until_state(delivery, "finished", seconds=40)
    post.expect(delivery, sent=400, accepted=400)


def answers(post: Post) -> bool:
    try:
        return bool(post.house.sql("SELECT 1"))
    except psycopg.OperationalError:
        return False


async def test_a_worker_that_is_cut_off_begins_nothing_after_its_lease(post: Post, wire: Wire):
    """The line is dead, not closed: no error tells it. What it knows is settled afterwards."""
    post.house.with_settings(in_flight=16, lease=0.5)
    post.recipients.delay = post.archive.delay = 0.01
    delivery = post.house.started(400)
    async with post.working(wire.conninfo):
        await post.until(lambda: len(post.recipients.received) > 60)
        wire.block()
        blocked = asyncio.get_running_loop().time()
        await asyncio.sleep(1.0)  # twice the lease
        begun = post.recipients.count("MAIL")
        last = max(post.recipients.met["MAIL"])
        assert last - blocked <= 0.5
        await asyncio.sleep(0.5)
        assert post.recipients.count("MAIL") == begun
        assert begun - 60 < 200, "it stood still"
        wire.unblock()
        await post.until_state(delivery, "finished", seconds=40)
    post.expect(delivery, sent=400, accepted=400)


async def test_another_worker_takes_over_and_the_late_one_resolves_its_doubts(
    post: Post, wire: Wire
):
    post.house.with_settings(in_flight=16, lease=0.5, connections=2)
    post.recipients.delay = post.archive.delay = 0.02
    delivery = post.house.started(200)
    async with post.working(wire.conninfo):
        await post.until(lambda: len(post.recipients.received) > 40)
        wire.block()
        async with post.working():
            await post.until_state(delivery, "finished", seconds=40)
            counts = post.counts(delivery)
            assert 0 < counts["in_doubt"] <= 16
            assert counts["sent"] == 200 - counts["in_doubt"]
            wire.unblock()
            await post.until(lambda: post.counts(delivery) == {"sent": 200})
            await post.until_state(delivery, "finished")
    post.expect(delivery, sent=200, accepted=200)


async def test_an_intent_that_is_committed_after_its_worker_gave_up_is_not_lost(
    post: Post, wire: Wire
):
    """The gate's statement waits in the server while the worker's connection breaks."""
    post.house.with_settings(in_flight=16)
    delivery = post.house.started(100)
    async with (
        post.locked("SELECT FROM deliveries_delivery FOR UPDATE"),
        post.working(wire.conninfo),
    ):
        await post.until(lambda: post.waits_for_lock("The gate"))
        wire.cut_near()
        asyncio.get_running_loop().call_later(0.05, post.unlock.set)
        await post.until_state(delivery, "finished", seconds=40)
    post.expect(delivery, sent=100, accepted=100)
    assert all(line.attempts == 1 for line in post.lines(delivery).values())


async def test_a_part_is_not_locked_for_ever_by_a_worker_whose_host_has_gone(
    post: Post, wire: Wire, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """Its connection broke within a transaction, and the server has not learnt of it."""
    monkeypatch.setattr(database, "_ABANDONED", 0.5)
    delivery = post.house.started(50)
    async with post.locked("SELECT FROM outbox_part FOR UPDATE"), post.working(wire.conninfo):
        await post.until(lambda: post.waits_for_lock("Take a part"))
        wire.cut_near()
        asyncio.get_running_loop().call_later(0.05, post.unlock.set)
        await post.until_state(delivery, "finished", seconds=40)
    post.expect(delivery, sent=50, accepted=50)
    assert not [record for record in caplog.records if "ended with status" in record.message]


async def test_two_workers_share_one_delivery(post: Post):
    post.house.with_settings(in_flight=32)
    post.recipients.delay = 0.02
    delivery = post.house.started(2000)
    async with post.working(), post.working():
        await post.until_state(delivery, "finished", seconds=40)
    post.expect(delivery, sent=2000, accepted=2000)
    assert len(post.archive.received) == 2000, "and nobody's copy went twice"


async def test_an_outcome_that_waits_for_a_takeover_still_resolves_the_doubt(post: Post):
    """The statement that settles is older than the takeover's commit, which it waits for."""
    post.house.with_settings(in_flight=16)
    post.recipients.delay = 0.3
    delivery = post.house.started(16)
    async with post.working():
        await post.until(lambda: post.counts(delivery) == {"sending": 16})
        async with await psycopg.AsyncConnection.connect(post.house.conninfo) as db:
            await db.execute("UPDATE outbox_part SET epoch = epoch + 1")
            await db.execute(database.statement("doubt"), await extent_of(post, delivery))
            await post.until(lambda: post.waits_for_lock("What became of messages"))
        await post.until(lambda: post.counts(delivery) == {"sent": 16})
        await post.sql("UPDATE outbox_part SET lease_until = NULL, owner = NULL, due_at = NULL")
        await post.until_state(delivery, "finished")


async def extent_of(post: Post, delivery: int) -> dict[str, int]:
    ((first, last),) = await post.sql("SELECT first_ordinal, last_ordinal FROM outbox_part")
    return {"delivery": delivery, "first": first, "last": last}
