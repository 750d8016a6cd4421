"""Workers on several hosts, one database: one host dies, one is cut off and comes back."""

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest

from letterbook.control.outbox import analysis
from tests.engine.post import Post
from tests.engine.wire import Wire

LEASE = 1.0
WINDOW = 64
MESSAGES = 900


class Host:
    """A worker with its own data folder, its own name, and a TCP line to the database."""

    def __init__(self, post: Post, name: str, folder: Path) -> None:
        self.name = f"{name}.example"
        self.line = Wire(post.house.cluster.socket_folder / ".s.PGSQL.5432")
        self._post = post
        self._folder = folder / name
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        await self.line.start()
        self._folder.mkdir()
        database = psycopg.conninfo.conninfo_to_dict(self._post.house.conninfo)
        environment = self._post.house.environment | {
            "LETTERBOOK_DATABASE_URL": (
                f"postgresql://{database['user']}:{database['password']}"
                f"@127.0.0.1:{self.line.port}/{self._post.house.name}"
            ),
            "LETTERBOOK_DATA": str(self._folder),
            "LETTERBOOK_HELLO": self.name,
            "LETTERBOOK_LEASE": f"{LEASE:g}s",
            "LETTERBOOK_IN_FLIGHT": str(WINDOW),
            "LETTERBOOK_CONNECTIONS": "4",
        }
        log = (self._folder / "worker.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "letterbook", "worker"], env=environment, stdout=log, stderr=log
        )
        log.close()

    @property
    def begun(self) -> list[float]:
        """When this host began each of its messages, by the clock of the recipients' server."""
        return self._post.recipients.begun_by.get(self.name, [])

    def is_up(self) -> bool:
        assert self._process is not None
        return self._process.poll() is None

    async def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        await asyncio.to_thread(self._process.wait)

    async def stop(self) -> None:
        await self.kill()
        await self.line.stop()


@asynccontextmanager
async def hosts(post: Post, folder: Path, *names: str) -> AsyncIterator[list[Host]]:
    """A host for each of ``names``; none is left after the block."""
    found = [Host(post, name, folder) for name in names]
    try:
        for host in found:
            await host.start()
        yield found
    finally:
        for host in found:
            await host.stop()


async def test_a_host_dies_another_is_cut_off_and_comes_back_and_the_third_goes_on(
    post: Post, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(analysis, "_SMALL_PART", 50)
    post.recipients.delay = post.archive.delay = 0.04
    delivery = post.house.started(MESSAGES)
    async with hosts(post, tmp_path, "dying", "lonely", "lasting") as (dying, lonely, lasting):
        await post.until(lambda: all(len(each.begun) > 20 for each in (dying, lonely, lasting)))

        # A full window takes far longer than a lease: the cut finds letters that could begin.
        post.recipients.delay = 0.25
        await post.until(lambda: post.counts(delivery)["sending"] > 2.5 * WINDOW)
        await dying.kill()
        lonely.line.block()
        lease_ended = time.monotonic() + LEASE
        before = len(lonely.begun)
        await post.until(lambda: post.counts(delivery).get("in_doubt", 0) > WINDOW)
        await post.until(lambda: time.monotonic() > lease_ended + 2 * LEASE)
        cut_off = len(lonely.begun)
        assert lonely.begun[-1] < lease_ended, "it began a message after its lease"
        assert cut_off < before + WINDOW // 2, "it had more in hand than it began"
        assert lonely.is_up()

        post.recipients.delay = post.archive.delay = 0.0
        in_doubt = post.counts(delivery)["in_doubt"]
        lonely.line.unblock()
        await post.until(lambda: len(lonely.begun) > cut_off)
        await post.until(lambda: post.counts(delivery)["in_doubt"] < in_doubt)
        await post.until_state(delivery, "finished", seconds=40)
        counts = post.counts(delivery)
    assert counts["sent"] + counts["in_doubt"] == MESSAGES
    assert 0 < counts["in_doubt"] <= WINDOW, "the dead host's window; the other's is known again"
    assert len(lasting.begun) > len(dying.begun)
