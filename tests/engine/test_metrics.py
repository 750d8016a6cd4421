"""Metrics: scraped from the worker's real port while it works; in the end they equal the ledger."""

import asyncio
import contextlib
import http.client
from collections.abc import AsyncIterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from letterbook.engine import exporter
from letterbook.engine.errors import ExporterError
from letterbook.engine.metrics import LEDGER, WORKER
from letterbook.engine.run import Worker
from letterbook.mail.status import CopyStatus, MessageStatus
from letterbook.settings import Endpoint
from tests.engine.faults import DROP
from tests.engine.post import Post

ANYWHERE = Endpoint("127.0.0.1", 0)


@pytest.fixture(autouse=True)
def _exported(post: Post) -> None:
    post.house.with_settings(metrics=ANYWHERE)


@contextlib.asynccontextmanager
async def exporting(post: Post) -> AsyncIterator[Worker]:
    """A worker that shows its metrics."""
    async with post.working() as worker:
        await post.until(lambda: worker.exporter.at)
        yield worker


def ask(at: Endpoint, path: str, method: str = "GET") -> tuple[int, str]:
    connection = http.client.HTTPConnection(at.host, at.port, timeout=10)
    try:
        connection.request(method, path)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


async def scrape(worker: Worker) -> dict[str, float]:
    """Every sample, under its name and its label's word."""
    status, page = await asyncio.to_thread(ask, worker.exporter.at, "/metrics")
    assert status == 200
    return {
        " ".join((sample.name, *sample.labels.values())): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def compare_with_ledger(post: Post, found: dict[str, float]) -> None:
    """What the ledger is said to hold is what a count over its rows gives."""
    for metric, column, words in (
        ("letterbook_ledger_messages", "status", MessageStatus),
        ("letterbook_ledger_copies", "copy", CopyStatus),
    ):
        counted = dict(
            post.house.sql(f"SELECT {column}::text, count(*) FROM outbox_message GROUP BY 1")
        )
        assert {word.value: found[f"{metric} {word.value}"] for word in words} == {
            word.value: counted.get(word.value, 0) for word in words
        }


async def test_figures_while_a_delivery_runs_and_after_it(post: Post):
    post.house.with_settings(in_flight=32, connections=4)
    post.recipients.delay = post.archive.delay = 0.02
    post.recipients.at("RCPT", "550 5.1.1 No", whom="user3@")
    post.recipients.at("RCPT", "451 4.7.1 Later", whom="user4@")
    post.archive.at("dot", "451 4.7.1 Later", times=1, whom="user5@")
    delivery = post.house.started(160)
    seen: list[dict[str, float]] = []
    async with exporting(post) as worker:
        while post.state(delivery) != "retrying":
            seen.append(await scrape(worker))
        end = await scrape(worker)
    post.expect(delivery, "retrying", sent=158, failed=1, deferred=1, accepted=160)
    compare_with_ledger(post, end)
    assert {
        word: end[f"letterbook_messages_total {word}"]
        for word in ("sent", "failed", "deferred", "in_doubt")
    } == {"sent": 158, "failed": 1, "deferred": 1, "in_doubt": 0}
    assert end["letterbook_copies_total accepted"] == len(post.archive.received) == 160
    assert end["letterbook_copies_total postponed"] == 1
    assert end["letterbook_ledger_deliveries retrying"] == 1
    assert end["letterbook_ledger_workers"] == 1
    under_way(seen)
    at_rest(end)


def under_way(seen: list[dict[str, float]]) -> None:
    """Figures from the midst of a delivery."""
    assert 0 < max(each["letterbook_in_flight"] for each in seen) <= 32
    for route in ("recipients", "archive"):
        assert max(each[f"letterbook_connections {route}"] for each in seen) == 4
    assert 0.01 < max(each["letterbook_archive_lag_seconds"] for each in seen) < 10
    sent = [each["letterbook_messages_total sent"] for each in seen]
    assert sent == sorted(sent), "a counter never falls"
    assert any(0 < number < 158 for number in sent), "it was scraped while it ran"


def at_rest(end: dict[str, float]) -> None:
    """Nothing is under way; every stage has been timed."""
    for name in ("letterbook_in_flight", "letterbook_archive_lag_seconds"):
        assert end[name] == 0
    for stage in ("write", "deposit", "intent", "send", "settle"):
        assert end[f"letterbook_stage_seconds_count {stage}"] >= 1
    # One in sixteen, by its number: 1, 17 … 145; copies and messages took a round trip at least.
    assert 9 <= end["letterbook_stage_seconds_count send"] <= 11
    for stage in ("deposit", "send"):
        count, total = (
            end[f"letterbook_stage_seconds_{each} {stage}"] for each in ("count", "sum")
        )
        assert total / count >= 0.02


async def test_every_declared_series_is_there_from_the_start_and_no_other(post: Post):
    async with exporting(post) as worker:
        await post.until(lambda: post.health("archive") == "up")
        found = await scrape(worker)
    expected = {
        " ".join(filter(None, (metric.name, word)))
        for metric in (*WORKER, *LEDGER)
        if metric.kind != "histogram"
        for word in metric.words or ("",)
    }
    ours = {
        name for name in found
        if name.startswith("letterbook_")
        and not name.startswith("letterbook_stage_seconds")
        and "_created" not in name
    }  # fmt: skip
    assert ours == expected
    assert found["process_resident_memory_bytes"] > 0
    assert found["letterbook_route_up archive"] == found["letterbook_ledger_up"] == 1


async def test_owed_refused_and_doubtful(post: Post):
    post.owe()
    post.house.with_settings(connections=1)
    post.recipients.at("dot", DROP, times=1)
    post.archive.at("dot", "554 5.6.0 Malformed", times=1)
    delivery = post.house.started(20)
    async with exporting(post) as worker:
        await post.until(lambda: post.counts(delivery).get("pending") == 1)
        first = await scrape(worker)
        assert first["letterbook_copies_total refused"] == 1
        await post.archive.stop()
        other = await post.another(10)
        await post.until_state(other, "finished")
        await post.until(lambda: post.copies(other) == {"owed": 10})
        owing = await scrape(worker)
        assert owing["letterbook_copies_total owed"] == 10
        assert owing["letterbook_route_up archive"] == 0
        assert owing["letterbook_ledger_archive_lag_seconds"] > 0
        await post.archive.restart()
        await post.until(lambda: post.copies(other) == {"accepted": 10})
        await post.until(lambda: post.counts(delivery).get("in_doubt"))
        end = await scrape(worker)
    compare_with_ledger(post, end)
    doubtful = post.counts(delivery)["in_doubt"]
    assert end["letterbook_messages_total in_doubt"] == doubtful > 0
    accepted = 19 + 10
    assert end["letterbook_copies_total accepted"] == accepted
    assert end["letterbook_ledger_open_alerts in_doubt"] == 1


async def test_when_the_ledger_does_not_answer_the_workers_own_figures_are_shown(
    post: Post, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(exporter, "_PATIENCE", 1.0)
    delivery = await post.deliver(5)
    async with exporting(post) as worker:
        before = await scrape(worker)
        async with post.locked("LOCK TABLE outbox_part IN ACCESS EXCLUSIVE MODE"):
            without = await scrape(worker)
    assert (before["letterbook_ledger_up"], without["letterbook_ledger_up"]) == (1, 0)
    assert without["letterbook_ledger_messages sent"] == 5
    post.expect(delivery, sent=5, accepted=5)


async def test_the_port_answers_nothing_else(post: Post):
    async with exporting(post) as worker:
        at = worker.exporter.at
        for method, path, status in (
            ("GET", "/", 404),
            ("GET", "/metrics/", 404),
            ("POST", "/metrics", 405),
            ("GET", "/metrics?name[]=x", 200),
            ("HEAD", "/metrics", 200),
        ):
            answer = await asyncio.to_thread(ask, at, path, method)
            assert answer[0] == status, (method, path)
        reader, writer = await asyncio.open_connection(at.host, at.port)
        writer.write(b"x" * 200_000)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b"", "it hangs up on who talks too much"
        writer.close()
        assert (await scrape(worker))["letterbook_ledger_up"] == 1


async def test_a_port_that_is_taken_stops_the_start(post: Post):
    async with exporting(post) as worker:
        post.house.with_settings(metrics=worker.exporter.at)
        complaint = f"^LETTERBOOK_METRICS: cannot listen at {worker.exporter.at}: .*port 0"
        with pytest.raises(ExporterError, match=complaint):
            await post.house.work()
