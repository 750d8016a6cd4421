"""The worker's log: a line of JSON for everything, and nobody's data, even when things break."""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from letterbook.control.outbox import actions
from tests.engine.post import Post
from tests.house import ACTOR

MARKER = "Zzyzxmark"


@pytest.fixture
async def delivery(post: Post) -> int:
    """To people with a mark on them."""
    house = post.house
    house.import_rows(
        [{"email": f"{MARKER}{n}@example.org", "first_name": f"{MARKER} {n}"} for n in range(5)]
    )
    html = "<p>Dear {{ recipient.first_name }}, unsubscribe"
    made = house.delivery(house.template(html=html))
    house.analyze(made)
    await house.do(actions.start, ACTOR, made)
    return made


@contextmanager
def logging_worker(post: Post, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = post.house.environment | {"LETTERBOOK_LOG_FORMAT": "json"}
    command = [sys.executable, "-m", "letterbook", "worker", "--until-idle"]
    with log.open("wb") as said:
        worker = subprocess.Popen(command, env=environment, stderr=said, stdout=subprocess.PIPE)
    try:
        yield worker
    finally:
        worker.terminate()
        out, _ = worker.communicate()
    assert out == b"", "the log is on standard error"


def lines(log: Path) -> list[dict[str, Any]]:
    first, *rest = log.read_text().splitlines()
    assert first.startswith("data folder: ")
    found = [json.loads(line) for line in rest]
    for line in found:
        assert {"event", "level", "timestamp"} <= set(line)
    return found


async def test_a_run_that_goes_well(post: Post, delivery: int, tmp_path: Path):
    log = tmp_path / "log"
    with logging_worker(post, log) as worker:
        assert await asyncio.to_thread(worker.wait) == 0
    assert {"part claimed", "part released", "draining"} <= {each["event"] for each in lines(log)}
    assert MARKER not in log.read_text()
    post.expect(delivery, sent=5, accepted=5)


async def test_an_error_that_quotes_a_row_is_told_without_its_words(
    post: Post, delivery: int, tmp_path: Path
):
    post.books_only = True  # what was sent could not be settled
    await post.sql(
        "ALTER TABLE outbox_message ADD CONSTRAINT never CHECK (status <> 'sent') NOT VALID"
    )
    log = tmp_path / "log"
    with logging_worker(post, log) as worker:
        assert await asyncio.to_thread(worker.wait) == 1
    (crash,) = (each for each in lines(log) if each["event"] == "crashed")
    assert "CheckViolation" in crash["error"]
    assert "ledger.py" in crash["where"]
    assert MARKER not in log.read_text()


async def test_what_libraries_say_is_told_without_their_words(
    post: Post, delivery: int, tmp_path: Path
):
    await post.sql(
        "CREATE FUNCTION complain() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"RAISE EXCEPTION 'the row of {MARKER}'; END $$"
    )
    await post.sql(
        "CREATE TRIGGER complain BEFORE UPDATE OF owner ON outbox_part "
        "FOR EACH ROW EXECUTE FUNCTION complain()"
    )
    log = tmp_path / "log"
    with logging_worker(post, log) as worker:
        await post.until(lambda: b'"library"' in log.read_bytes())
        worker.kill()
    told = [each for each in lines(log) if each["event"] == "library"]
    assert {each["logger"].partition(".")[0] for each in told} == {"procrastinate"}
    assert "RaiseException" in told[0]["error"]
    assert MARKER not in log.read_text()
