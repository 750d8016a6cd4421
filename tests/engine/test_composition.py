"""What is written: personalisation, SMTPUTF8, and the same bytes at all times on all hosts."""

import asyncio
import hashlib
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from letterbook.control.outbox import actions
from letterbook.smtp.server_events import ServerOptions
from tests.engine.post import Post
from tests.house import ACTOR


async def deliver_to(post: Post, rows: list[dict[str, object]], html: str, **options) -> int:
    """Import ``rows``, make a delivery to them, start it."""
    house = post.house
    house.import_rows(rows, mapping={"points": "int"} if "points" in rows[0] else {})
    delivery = house.delivery(house.template(html=html, **options))
    house.analyze(delivery)
    await house.do(actions.start, ACTOR, delivery)
    return delivery


def people(count: int, **special: object) -> list[dict[str, object]]:
    rows = [
        {"email": f"user{n}@example.org", "first_name": f"Ana {n}", "points": 1}
        for n in range(count)
    ]
    rows[count // 2] |= special
    return rows


@pytest.mark.parametrize(
    ("html", "points"),
    [
        ("<p>{{ 12 // recipient.points }} unsubscribe</p>", 0),
        ("<p>{% for i in range(recipient.points) %}{{ i }}{% endfor %} unsubscribe</p>", 99_999),
        (
            (
                "<p>{% for i in range(recipient.points) %}{% for k in range(900) %}{% endfor %}"
                "{% endfor %} unsubscribe</p>"
            ),
            90_000,
        ),
    ],
    ids=["an error", "a long text", "an endless loop"],
)
async def test_who_cannot_be_rendered_fails_and_the_others_go(post: Post, html: str, points: int):
    delivery = await deliver_to(post, people(9, points=points), html)
    await post.house.work()
    if post.counts(delivery) == {"sent": 9}:
        assert points == 99_999, "a fast machine renders that in time"
        return
    post.expect(delivery, failed=1, sent=8, waiting=1, accepted=8)
    line = post.line(delivery, 4)
    assert (line.failure, line.attempts, line.copy_attempts) == ("personalisation", 0, 0)
    assert line.sha256 is None
    assert not post.archive.got(4), "it failed before its deposit"
    (entry,) = (entry for entry in post.house.log(delivery) if entry.address == line.address)
    assert entry.copy_reply is None, "the archive has said nothing"
    assert "body" in entry.reply, "the reason is shown"


async def test_an_address_beyond_ascii_goes_where_it_is_offered(post: Post):
    rows = [{"email": "jörg@exämple.org", "first_name": "Jörg"}, *people(2)]
    delivery = await deliver_to(post, [{**row, "points": 1} for row in rows], "<p>unsubscribe</p>")
    await post.house.work()
    post.expect(delivery, sent=3, accepted=3)
    (message,) = (each for each in post.recipients.received if "rg@" in each.recipient)
    assert message.recipient.startswith("jörg@")
    (copy,) = post.archive.by_id()[message.message_id]
    assert copy.content == message.content
    assert copy.original_recipient == message.recipient


async def test_an_address_beyond_ascii_fails_where_it_is_not_offered(post: Post):
    post.recipients.options = ServerOptions(smtputf8=False)
    rows = [{"email": "jörg@example.org", "first_name": "Jörg"}, *people(2)]
    delivery = await deliver_to(post, [{**row, "points": 1} for row in rows], "<p>unsubscribe</p>")
    await post.house.work()
    post.expect(delivery, failed=1, sent=2, accepted=3)
    assert post.lines(delivery)["jörg@example.org"].failure == "not_supported"


async def test_an_address_beyond_ascii_waits_where_the_archive_does_not_offer_it(post: Post):
    post.archive.options = ServerOptions(smtputf8=False)
    rows = [{"email": "jörg@example.org", "first_name": "Jörg"}, *people(2)]
    delivery = await deliver_to(post, [{**row, "points": 1} for row in rows], "<p>unsubscribe</p>")
    await post.house.work()
    post.expect(delivery, "sending", pending=1, sent=2, refused=1, accepted=2)
    assert "SMTPUTF8" in str(post.replies(delivery, of="archive"))


async def test_a_message_larger_than_the_servers_limit_fails_or_waits(post: Post):
    post.recipients.options = ServerOptions(size=3_000)
    rows = people(3, first_name="Ana " + "x" * 5_000)
    delivery = await deliver_to(post, rows, "<p>{{ recipient.first_name }} unsubscribe</p>")
    await post.house.work()
    post.expect(delivery, failed=1, sent=2, accepted=3)
    assert post.line(delivery, 1).failure == "not_supported"


# Determinism.


async def deferred_once(post: Post, count: int = 10) -> tuple[int, dict[str, str]]:
    """A delivery that was composed and deposited, and goes again after an hour."""
    post.recipients.at("dot", "451 4.7.1 Greylisted", times=count)
    delivery = await post.deliver(count)
    post.expect(delivery, "retrying", deferred=count, accepted=count)
    return delivery, {address: line.sha256 for address, line in post.lines(delivery).items()}


async def test_a_change_of_the_template_changes_no_message(post: Post):
    delivery, hashes = await deferred_once(post)
    await post.sql(
        "UPDATE mailtemplates_template SET html_source = 'other', options = options || "
        '\'{"subject": "other"}\''
    )
    await post.sql("UPDATE deliveries_delivery SET html_source = 'other'")
    await post.sql("UPDATE recipients_recipient SET first_name = 'Other'")
    await post.let_pass("1 hour")
    await post.house.work()
    await the_same_was_sent(post, delivery, hashes)


async def test_another_day_another_host_the_same_bytes(post: Post):
    """Recomposed by a process with another zone, locale, hash seed and name."""
    delivery, hashes = await deferred_once(post)
    await post.let_pass("4 days")
    environment = post.house.environment | {
        "TZ": "Pacific/Kiritimati",
        "PYTHONHASHSEED": "4711",
        "LC_ALL": "C",
        "LETTERBOOK_HELLO": "elsewhere.example",
        "LETTERBOOK_TIME_ZONE": "America/Bogota",
        "LETTERBOOK_LANGUAGE": "es",
        "LETTERBOOK_BASE_URL": "https://elsewhere.example",
        "LETTERBOOK_ERROR_ADDRESS": "elsewhere@example.com",
    }
    worker = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "letterbook", "worker", "--until-idle"],
        env=environment,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert worker.returncode == 0, worker.stderr
    await the_same_was_sent(post, delivery, hashes)


async def the_same_was_sent(post: Post, delivery: int, hashes: dict[str, str]) -> None:
    count = len(hashes)
    post.expect(delivery, sent=count, accepted=count)
    assert {each.recipient: each.sha256 for each in post.recipients.received} == hashes
    assert len(post.archive.received) == count, "nothing was deposited again"
    assert {line.generation for line in post.lines(delivery).values()} == {1}


async def test_other_bytes_are_deposited_before_they_are_sent(post: Post):
    """The frozen content differs: as with another composer or another key."""
    delivery, hashes = await deferred_once(post)
    await other_bytes(post)
    await post.let_pass("1 hour")
    await post.house.work()
    post.expect(delivery, sent=10, accepted=10)
    lines = post.lines(delivery)
    assert {line.generation for line in lines.values()} == {2}
    assert len(post.archive.received) == 20
    for message in post.recipients.received:
        assert message.sha256 == lines[message.recipient].sha256 != hashes[message.recipient]
    kept = dict(
        post.house.sql(
            "SELECT address, encode(g.sha256, 'hex') FROM outbox_generation AS g "
            "JOIN outbox_message USING (delivery_id, ordinal) WHERE g.generation = 1"
        )
    )
    assert kept == hashes, "both hashes are kept"


async def other_bytes(post: Post) -> None:
    await post.sql(
        "UPDATE outbox_content SET content = content || "
        "jsonb_build_object('subject', 'By another composer')"
    )


async def test_other_bytes_wait_for_the_archive(post: Post):
    delivery, hashes = await deferred_once(post)
    await other_bytes(post)
    post.archive.at("dot", "451 4.7.1 Not now", whom="user3@")
    await post.let_pass("1 hour")
    async with post.working():
        await post.until(lambda: post.counts(delivery) == {"sent": 9, "deferred": 1})
        assert not post.recipients.got(3)
        assert post.line(delivery, 3).sha256 == hashes["user3@example.org"]
        post.archive.mend()
        await post.until_state(delivery, "finished")
    post.expect(delivery, sent=10, accepted=10)
    assert post.line(delivery, 3).generation == 2


async def test_other_bytes_than_those_that_were_owed_are_deposited_first(post: Post):
    """The first bytes may have been seen; their copy cannot be brought any more."""
    post.owe()
    post.recipients.at("dot", "451 4.7.1 Greylisted", times=1, whom="user3@")
    await post.archive.stop()
    delivery = post.house.started(5)
    async with post.working():
        await post.until_state(delivery, "retrying")
        assert post.line(delivery, 3).copy == "owed"
        await other_bytes(post)
    await post.archive.restart()
    await post.sql("UPDATE outbox_health SET state = 'up', because = NULL")
    await post.let_pass("1 hour")
    async with post.working():
        await post.until_state(delivery, "finished")
    (message,), (copy,) = post.recipients.got(3), post.archive.got(3)
    assert copy.sha256 == message.sha256
    assert copy.answered_at < message.began_at
    assert post.line(delivery, 3).generation == 2
    post.books_only = True  # the copies of the other four differ, and the ledger says so


async def test_an_owed_copy_of_other_bytes_keeps_both_hashes(post: Post):
    post.owe()
    await post.archive.stop()
    delivery = post.house.started(5)
    async with post.working():
        await post.until_state(delivery, "finished")
        hashes = {address: line.sha256 for address, line in post.lines(delivery).items()}
    await other_bytes(post)
    await post.archive.restart()
    async with post.working():
        await post.probe_now()
        await post.until(lambda: post.copies(delivery) == {"accepted": 5})
    lines = post.lines(delivery)
    assert {address: line.sha256 for address, line in lines.items()} == hashes, "what was sent"
    beside = {
        digest
        for (digest,) in post.house.sql("SELECT encode(sha256, 'hex') FROM outbox_generation")
    }
    assert beside == {hashlib.sha256(copy.content).hexdigest() for copy in post.archive.received}
    post.books_only = True  # the copies differ from what was sent, and the ledger says so


async def test_a_message_that_was_sent_stays_sent_whatever_its_copy_meets(post: Post):
    """Its copy cannot be composed any more: the copy stays owed, the message as it is."""
    post.owe()
    await post.archive.stop()
    delivery = post.house.started(5)
    async with post.working():
        await post.until_state(delivery, "finished")
    await post.sql(
        "UPDATE outbox_content SET content = content || "
        "jsonb_build_object('subject', '{{ 1 // 0 }}')"
    )
    await post.archive.restart()
    async with post.working():
        await post.probe_now()
        await post.until(lambda: post.line(delivery, 0).next_attempt_at is not None)
    post.expect(delivery, sent=5, owed=5)
    line = post.line(delivery, 0)
    assert line.failure is None
    assert line.settled_at < datetime.now(UTC) < line.next_attempt_at


async def test_another_key_makes_another_generation(post: Post):
    """The Message-ID comes from the platform's key, so this cannot happen by itself."""
    delivery, _ = await deferred_once(post, 5)
    key = bytes(reversed(range(32)))
    sealed = post.house.sealer.seal("identity", key)
    await post.sql("UPDATE platform_secret SET sealed = %s WHERE name = 'identity'", sealed)
    await post.let_pass("1 hour")
    await post.house.work()
    post.expect(delivery, sent=5, accepted=5)
    assert {line.generation for line in post.lines(delivery).values()} == {2}
    assert len(post.archive.received) == 10
    hashes = {line.sha256 for line in post.lines(delivery).values()}
    assert {each.sha256 for each in post.recipients.received} == hashes
    assert hashes <= {each.sha256 for each in post.archive.received}
    post.books_only = True  # the log computes Message-IDs with the key it has
