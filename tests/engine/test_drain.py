"""A worker that is told to end does so within the time it is given, whoever keeps silent."""

import asyncio
import signal
import subprocess
import sys
import time

import pytest

from letterbook.engine import run
from letterbook.engine.errors import DrainError
from tests.engine.faults import SILENCE
from tests.engine.post import Post
from tests.engine.wire import Wire


async def sigterm(post: Post, *, drain: str, times: int = 1, silent_at: str = "dot") -> float:
    """Let a worker process send until the recipients' side is silent; return how long it ended."""
    environment = post.house.environment | {
        "LETTERBOOK_IN_FLIGHT": "8",
        "LETTERBOOK_CONNECTIONS": "4",
        "LETTERBOOK_DRAIN": drain,
    }
    worker = subprocess.Popen(
        [sys.executable, "-m", "letterbook", "worker"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        await post.until(lambda: post.recipients.count(silent_at) >= 4)
        told = time.monotonic()
        for _ in range(times):
            worker.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.2)  # two signals at once are one
        output, _ = await asyncio.to_thread(worker.communicate, timeout=20)
    finally:
        worker.kill()
        await asyncio.to_thread(worker.communicate)
    assert worker.returncode == 0, output
    return time.monotonic() - told


def all_given_back(post: Post) -> bool:
    return not post.house.sql("SELECT 1 FROM outbox_part WHERE lease_until IS NOT NULL")


async def test_what_a_silent_server_leaves_unknown_is_in_doubt_after_the_stated_time(post: Post):
    post.recipients.at("dot", SILENCE)
    delivery = post.house.started(60)
    assert await sigterm(post, drain="1s") >= 1
    assert all_given_back(post)
    counts = post.counts(delivery)
    assert 4 <= counts.pop("in_doubt") <= 8, "only what was written"
    assert set(counts) <= {"deposited", "pending"}
    post.recipients.mend()
    await post.house.work()
    assert set(post.counts(delivery)) == {"sent", "in_doubt"}


async def test_what_had_not_been_written_is_in_no_doubt(post: Post):
    post.recipients.at("RCPT", SILENCE)
    delivery = post.house.started(60)
    await sigterm(post, drain="0.5s", silent_at="RCPT")
    assert set(post.counts(delivery)) <= {"deposited", "pending"}
    assert {line.attempts for line in post.lines(delivery).values()} == {0}
    post.recipients.mend()
    await post.house.work()
    post.expect(delivery, sent=60, accepted=60)


async def test_told_twice_a_worker_cuts_at_once(post: Post):
    post.recipients.at("dot", SILENCE)
    delivery = post.house.started(60)
    assert await sigterm(post, drain="10m", times=2) < 20
    assert all_given_back(post)
    assert 4 <= post.counts(delivery)["in_doubt"] <= 8


async def test_an_archive_that_keeps_silent_holds_nobody_up(post: Post):
    post.archive.at("dot", SILENCE)
    post.house.with_settings(drain=0.3, in_flight=8)
    delivery = post.house.started(60)
    async with post.working():
        await post.until(lambda: post.archive.count("dot") >= 4)
    post.expect(delivery, "sending", pending=60, waiting=60)
    assert all_given_back(post)
    assert not post.recipients.received
    post.archive.mend()
    await post.house.work()
    post.expect(delivery, sent=60, accepted=60)


async def test_a_worker_that_cannot_settle_ends_all_the_same_and_says_so(
    post: Post, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(run, "_SETTLING", 0.3)
    post.house.with_settings(in_flight=8, drain=0.3, lease=0.5)
    post.recipients.at("dot", SILENCE)
    wire = await Wire(post.house.cluster.socket_folder / ".s.PGSQL.5432").start()
    delivery = post.house.started(60)

    async def work_and_lose_the_database() -> None:
        async with post.working(f"{post.house.conninfo} host=127.0.0.1 port={wire.port}"):
            await post.until(lambda: post.recipients.count("dot") >= 4)
            wire.refuses = True
            wire.cut()

    with pytest.raises(DrainError, match="in doubt"):
        await work_and_lose_the_database()
    await wire.stop()
    post.recipients.mend()
    await post.house.work()
    assert set(post.counts(delivery)) == {"sent", "in_doubt"}


async def test_a_service_that_swallows_its_cancellation_is_cancelled_again():
    """As one does that psycopg waits for, when the answer comes at the same moment."""
    cancelled = []

    async def service() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.append(True)
        await asyncio.Event().wait()

    async with asyncio.timeout(10), run._running((service,)):
        await asyncio.sleep(0)
    assert cancelled == [True]
