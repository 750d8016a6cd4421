"""``kill -9`` of the worker at random moments; ``make chaos`` has the full-size form."""

import asyncio
import subprocess
import sys

from letterbook.testing.killing import kill_at, moments
from tests.engine.post import Post

MESSAGES, KILLS, WINDOW = 600, 5, 16


async def test_after_kills_at_random_moments_everybody_has_one_message_or_is_in_doubt(post: Post):
    """The audit after each test checks the rest: one copy, first and identical, nobody doubled."""
    post.recipients.delay = post.archive.delay = 0.005
    environment = post.house.environment | {
        "LETTERBOOK_IN_FLIGHT": str(WINDOW),
        "LETTERBOOK_LEASE": "0.5s",
    }
    delivery = post.house.started(MESSAGES)

    def spawn() -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "letterbook", "worker"]
        return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    def settled() -> int:
        counts = post.counts(delivery)
        return counts.get("sent", 0) + counts.get("in_doubt", 0)

    worker = await asyncio.to_thread(
        kill_at, moments(1, KILLS, MESSAGES), settled, spawn, seconds=30
    )
    try:
        await post.until_state(delivery, "finished")
    finally:
        worker.terminate()
        await asyncio.to_thread(worker.wait)
    counts = post.counts(delivery)
    assert set(counts) <= {"sent", "in_doubt"}, post.account()
    assert sum(counts.values()) == MESSAGES
    assert counts.get("in_doubt", 0) <= KILLS * WINDOW
    assert post.copies(delivery) == {"accepted": MESSAGES}
