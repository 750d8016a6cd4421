"""The gate, leases and settlements, statement by statement, with two workers' hands."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from letterbook.control.outbox import actions
from letterbook.engine.database import Database, statement
from letterbook.engine.ledger import Claim, Ledger
from letterbook.engine.work import Letter, Outcome, Part, Receipt, Setback
from letterbook.mail.status import CopyStatus, Failure, MessageStatus
from tests.engine.post import Post

NOW = datetime.now(UTC)
LEASE = timedelta(seconds=30)


class Hands:
    """A worker's hold on the ledger, without its pipeline."""

    def __init__(self, database: Database, post: Post) -> None:
        self.ledger = Ledger(database, uuid4(), LEASE)
        self.post = post

    async def claim(self, delivery: int) -> Claim | None:
        return await self.ledger.claim(delivery, 1, asyncio.get_running_loop().time())

    async def letters(self, delivery: int) -> list[Letter]:
        """Claim the delivery's part and deposit its letters."""
        claim = await self.claim(delivery)
        assert claim is not None
        return [deposited(claim, row.ordinal) for row in claim.rows]


def deposited(claim: Claim, ordinal: int) -> Letter:
    row = next(row for row in claim.rows if row.ordinal == ordinal)
    sha256 = hashlib.sha256(row.address.encode()).digest()
    letter = Letter(claim.part, row, b"", sha256, False, max(row.generation, 1), row.copy)
    if row.copy is CopyStatus.WAITING:
        letter.copy = CopyStatus.ACCEPTED
        letter.receipt = Receipt(NOW, 1, "250 2.0.0 Ok")
    return letter


def outcome(letter: Letter, status: str, **more: Any) -> Outcome:
    return Outcome(letter, MessageStatus(status), NOW, **more)


@pytest.fixture
async def hands(post: Post) -> AsyncIterator[Callable[[], Hands]]:
    async with Database(post.house.conninfo) as database:
        yield lambda: Hands(database, post)


@pytest.fixture(autouse=True)
def _nothing_is_sent(post: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    """There are no messages on the wires here: only the books are audited."""
    post.books_only = True


def end_lease(post: Post) -> None:
    post.house.sql("UPDATE outbox_part SET lease_until = clock_timestamp() - interval '1 second'")


# The gate.


async def test_the_gate_lets_through_what_is_accepted(post: Post, hands):
    delivery = post.house.started(3)
    a = hands()
    letters = await a.letters(delivery)
    assert await a.ledger.grant(letters) == letters
    assert [letter.attempt for letter in letters] == [1, 1, 1]
    post.expect(delivery, "sending", sending=3, accepted=3)
    assert await a.ledger.grant(letters) == [], "an intent is committed once"
    assert all(line.sha256 == hashlib.sha256(line.address.encode()).hexdigest()
               for line in post.lines(delivery).values())  # fmt: skip


@pytest.mark.parametrize(
    ("what", "statuses"),
    [
        ("UPDATE deliveries_delivery SET state = 'paused'", {"deposited": 3}),
        ("UPDATE deliveries_delivery SET state = 'held'", {"deposited": 3}),
        ("UPDATE deliveries_delivery SET state = 'stopped'", {"deposited": 3}),
        ("UPDATE deliveries_delivery SET state = 'finished'", {"deposited": 3}),
        ("UPDATE outbox_part SET epoch = epoch + 1", {"pending": 3}),
        ("UPDATE outbox_part SET lease_until = clock_timestamp()", {"pending": 3}),
        ("UPDATE outbox_part SET lease_until = NULL", {"pending": 3}),
        ("UPDATE outbox_message SET status = 'cancelled'", {"cancelled": 3}),
    ],
)
async def test_the_gate_is_shut(post: Post, hands, what: str, statuses: dict[str, int]):
    delivery = post.house.started(3)
    a = hands()
    letters = await a.letters(delivery)
    post.house.sql(what)
    assert await a.ledger.grant(letters) == []
    assert post.counts(delivery) == statuses
    assert all(line.attempts == 0 for line in post.lines(delivery).values())


@pytest.mark.parametrize("copy", ["waiting", "refused", "returned", "none", "owed"])
async def test_the_gate_lets_nothing_through_whose_copy_is_not_accepted(post: Post, hands, copy):
    delivery = post.house.started(3)
    a = hands()
    letters = await a.letters(delivery)
    for letter in letters:
        letter.copy, letter.receipt = CopyStatus(copy), None
    assert await a.ledger.grant(letters) == []
    post.expect(delivery, "sending", pending=3, waiting=3)


async def test_the_gate_wants_the_hash_that_the_archive_acknowledged(post: Post, hands):
    delivery = post.house.started(3)
    a = hands()
    letters = await a.letters(delivery)
    post.house.sql("UPDATE outbox_message SET copy = 'accepted', copy_at = now(), sha256 = '\\x00'")
    for letter in letters:
        letter.receipt = None
    assert await a.ledger.grant(letters) == []


async def test_the_gate_lets_an_owed_copy_pass_by_policy_only(post: Post, hands):
    delivery = post.house.started(3)
    a = hands()
    letters = await a.letters(delivery)
    for letter in letters:
        letter.copy, letter.receipt = CopyStatus.OWED, None
    assert await a.ledger.grant(letters) == []
    post.owe()
    assert await a.ledger.grant(letters) == letters
    post.expect(delivery, "sending", sending=3, owed=3)


async def test_the_end_of_the_validity_shuts_the_gate(post: Post, hands):
    delivery = post.house.started(3)
    a = hands()
    letters = await a.letters(delivery)
    post.house.sql("UPDATE deliveries_delivery SET valid_until = now()")
    assert await a.ledger.grant(letters) == []
    post.expect(delivery, "sending", deposited=3, accepted=3)


async def test_a_pause_that_is_under_way_shuts_the_gate(post: Post, hands):
    """The gate waits for whoever changes the delivery, and sees what they did."""
    delivery = post.house.started(3)
    a = hands()
    letters = await a.letters(delivery)
    async with await psycopg.AsyncConnection.connect(post.house.conninfo) as pausing:
        await pausing.execute("UPDATE deliveries_delivery SET state = 'paused'")
        grant = asyncio.create_task(a.ledger.grant(letters))
        await post.until(lambda: post.waits_for_lock("The gate"))
    assert await grant == []


async def test_a_takeover_that_is_under_way_shuts_the_gate(post: Post, hands):
    delivery = post.house.started(3)
    a, b = hands(), hands()
    letters = await a.letters(delivery)
    async with await psycopg.AsyncConnection.connect(post.house.conninfo) as other:
        await other.execute("UPDATE outbox_part SET epoch = epoch + 1")
        grant = asyncio.create_task(a.ledger.grant(letters))
        await post.until(lambda: post.waits_for_lock("The gate"))
    assert await grant == []
    end_lease(post)
    assert await b.ledger.reap() == 1
    post.expect(delivery, "sending", pending=3, waiting=3)


async def test_a_hold_does_not_undo_a_pause(post: Post):
    delivery = post.house.started(3)
    post.house.sql("UPDATE outbox_health SET state = 'down', because = 'x'")
    async with await psycopg.AsyncConnection.connect(post.house.conninfo) as pausing:
        await pausing.execute("UPDATE deliveries_delivery SET state = 'paused', because = 'y'")
        holding = asyncio.create_task(post.sql(statement("keep_holds")))
        await post.until(lambda: post.waits_for_lock("held while a route"))
    await holding
    assert (post.state(delivery), post.because(delivery)) == ("paused", "y")


# Leases.


async def test_a_part_is_held_by_one(post: Post, hands):
    delivery = post.house.started(3)
    a, b = hands(), hands()
    claims = await asyncio.gather(a.claim(delivery), b.claim(delivery))
    assert sum(claim is not None for claim in claims) == 1


async def test_a_live_lease_is_not_reaped(post: Post, hands):
    delivery = post.house.started(3)
    a, b = hands(), hands()
    await a.letters(delivery)
    assert await b.ledger.reap() == 0
    end_lease(post)
    assert sum(await asyncio.gather(a.ledger.reap(), b.ledger.reap())) == 1


async def test_what_was_in_flight_is_in_doubt_after_a_takeover_and_the_rest_is_due(
    post: Post, hands
):
    delivery = post.house.started(3)
    a, b = hands(), hands()
    letters = await a.letters(delivery)
    await a.ledger.grant(letters[:1])
    end_lease(post)
    await b.ledger.reap()
    post.expect(delivery, "sending", in_doubt=1, pending=2, accepted=1, waiting=2)
    claim = await b.claim(delivery)
    assert [row.ordinal for row in claim.rows] == [2, 3]


async def test_a_renewal_shuts_a_part_that_must_rest_or_is_lost(post: Post, hands):
    delivery = post.house.started(3)
    a = hands()
    part = (await a.claim(delivery)).part
    await a.ledger.renew([part], 100.0)
    assert part.open
    assert part.deadline == 130.0
    post.house.sql("UPDATE deliveries_delivery SET state = 'paused'")
    await a.ledger.renew([part], 200.0)
    assert not part.open
    part.open = True
    post.house.sql("UPDATE outbox_part SET epoch = epoch + 1")
    await a.ledger.renew([part], 300.0)
    assert not part.open
    assert part.deadline == 230.0


async def test_a_renewal_that_comes_after_the_release_holds_nothing(post: Post, hands):
    delivery = post.house.started(3)
    a = hands()
    part = (await a.claim(delivery)).part
    await a.ledger.release(part)
    await a.ledger.renew([part], 100.0)
    assert post.house.sql("SELECT owner, lease_until FROM outbox_part") == [(None, None)]
    assert await hands().claim(delivery) is not None


async def test_who_lost_a_part_cannot_release_it(post: Post, hands):
    delivery = post.house.started(3)
    a, b = hands(), hands()
    lost = (await a.claim(delivery)).part
    end_lease(post)
    await b.ledger.reap()
    await b.claim(delivery)
    await a.ledger.release(lost)
    ((lease,),) = post.house.sql("SELECT lease_until IS NOT NULL FROM outbox_part")
    assert lease


async def test_intents_that_their_worker_never_learned_of_are_taken_back(post: Post, hands):
    """They were never begun: the pipeline is empty when a part is released."""
    delivery = post.house.started(3)
    a = hands()
    letters = await a.letters(delivery)
    await a.ledger.grant(letters)
    await a.ledger.release(letters[0].part)
    post.expect(delivery, "sending", deposited=3, accepted=3)
    assert all(line.attempts == 0 for line in post.lines(delivery).values())
    claim = await a.claim(delivery)
    assert len(claim.rows) == 3


# Settlements.


async def test_settled_twice_is_settled_once(post: Post, hands):
    delivery = post.house.started(3)
    a = hands()
    letters = await a.ledger.grant(await a.letters(delivery))
    outcomes = [
        outcome(letters[0], "sent", reply="250 Ok"),
        outcome(letters[1], "deferred", reply="451 No"),
        outcome(letters[2], "deposited", counted=False),
    ]
    for _ in range(2):
        await a.ledger.settle(outcomes, [None, timedelta(hours=1), None])
        post.expect(delivery, "sending", sent=1, deferred=1, deposited=1, accepted=3)
    assert post.replies(delivery, of="recipients") == {"250 Ok": 1, "451 No": 1}
    assert [line.attempts for line in post.lines(delivery).values()] == [1, 1, 0]


@pytest.mark.parametrize("status", ["sent", "failed"])
async def test_a_late_settlement_resolves_a_doubt(post: Post, hands, status: str):
    delivery = post.house.started(3)
    a, b = hands(), hands()
    letters = await a.ledger.grant(await a.letters(delivery))
    end_lease(post)
    await b.ledger.reap()
    assert post.counts(delivery) == {"in_doubt": 3}
    await a.ledger.settle([outcome(letters[0], status)], [None])
    assert post.counts(delivery) == {"in_doubt": 2, status: 1}


async def test_a_settlement_of_another_attempt_changes_nothing(post: Post, hands):
    delivery = post.house.started(1)
    a, b = hands(), hands()
    (first,) = await a.ledger.grant(await a.letters(delivery))
    deferred = [outcome(first, "deferred")], [timedelta(0)]
    await a.ledger.settle(*deferred)
    await a.ledger.release(first.part)
    (second,) = await b.ledger.grant(await b.letters(delivery))
    assert (first.attempt, second.attempt) == (1, 2)
    for stale in ("sent", "failed", "in_doubt", "deferred"):
        await a.ledger.settle([outcome(first, stale)], [None])
        assert post.counts(delivery) == {"sending": 1}
    end_lease(post)
    await a.ledger.reap()
    await a.ledger.settle([outcome(first, "sent")], [None])
    assert post.counts(delivery) == {"in_doubt": 1}
    await b.ledger.settle([outcome(second, "sent")], [None])
    assert post.counts(delivery) == {"sent": 1}


async def test_a_repeated_settlement_does_not_touch_what_somebody_else_has_in_flight(
    post: Post, hands
):
    """An attempt that did not count gives its number to the next one, which is not the same."""
    delivery = post.house.started(1)
    a, b = hands(), hands()
    (first,) = await a.ledger.grant(await a.letters(delivery))
    given_back = [outcome(first, "deposited", counted=False)], [None]
    await a.ledger.settle(*given_back)
    await a.ledger.release(first.part)
    (second,) = await b.ledger.grant(await b.letters(delivery))
    assert second.attempt == first.attempt
    await a.ledger.settle(*given_back)  # its acknowledgement had been lost
    assert post.counts(delivery) == {"sending": 1}


async def test_what_was_never_begun_is_due_again_however_late_that_is_known(post: Post, hands):
    delivery = post.house.started(3)
    a, b = hands(), hands()
    letters = await a.ledger.grant(await a.letters(delivery))
    end_lease(post)
    await b.ledger.reap()
    await b.claim(delivery)
    await b.ledger.release(await b_part(post))
    await a.ledger.settle([outcome(letters[0], "deposited", counted=False)], [None])
    await a.ledger.settle([outcome(letters[1], "deferred")], [timedelta(hours=1)])
    ((due,),) = post.house.sql("SELECT due_at <= now() FROM outbox_part")
    assert due


async def b_part(post: Post) -> Any:
    ((delivery, number, epoch, first, last),) = post.house.sql(
        "SELECT delivery_id, number, epoch, first_ordinal, last_ordinal FROM outbox_part"
    )
    return Part(delivery, number, epoch, first, last, NOW, 0.0)


async def test_a_finished_delivery_is_opened_again_for_what_was_never_begun(post: Post, hands):
    delivery = post.house.started(3)
    a, b = hands(), hands()
    letters = await a.ledger.grant(await a.letters(delivery))
    end_lease(post)
    await b.ledger.reap()
    async with post.working():
        await post.until_state(delivery, "finished")
        post.expect(delivery, in_doubt=3, accepted=3)
        await a.ledger.settle([outcome(letters[0], "deposited", counted=False)], [None])
        await post.until(lambda: post.counts(delivery) == {"in_doubt": 2, "sent": 1})
        await post.until_state(delivery, "finished")
    assert len(post.recipients.received) == 1


async def test_copies_are_settled_once(post: Post, hands):
    post.owe()
    delivery = post.house.started(1)
    a = hands()
    (letter,) = await a.letters(delivery)
    letter.copy, receipt = CopyStatus.OWED, letter.receipt
    letter.receipt = None
    await a.ledger.grant([letter])
    await a.ledger.settle([outcome(letter, "sent")], [None])
    letter.receipt = receipt
    for _ in range(2):
        await a.ledger.settle_copies([letter])
        post.expect(delivery, "sending", sent=1, accepted=1)
    assert post.replies(delivery, of="archive") == {"250 2.0.0 Ok": 1}


async def test_a_setback_of_who_lost_the_part_changes_nothing(post: Post, hands):
    delivery = post.house.started(1)
    a, b = hands(), hands()
    (letter,) = await a.letters(delivery)
    end_lease(post)
    await b.ledger.reap()
    failure = Failure.PERSONALISATION
    await a.ledger.set_back(
        [Setback(letter, MessageStatus.FAILED, CopyStatus.WAITING, failure, "no", None)]
    )
    post.expect(delivery, "sending", pending=1, waiting=1)


async def test_a_release_while_the_copy_is_being_refused_once_more_is_not_lost(post: Post, hands):
    delivery = post.house.started(1)
    a = hands()
    (letter,) = await a.letters(delivery)
    refused = Setback(letter, MessageStatus.PENDING, CopyStatus.REFUSED, None, "554 No", 3600.0)
    await a.ledger.set_back([refused])
    post.expect(delivery, "sending", pending=1, refused=1)
    await post.act(actions.release, delivery, 1)
    await a.ledger.set_back([refused])
    post.expect(delivery, "sending", pending=1, owed=1)


async def test_a_copy_that_arrives_while_the_delivery_is_stopped_is_noted(post: Post, hands):
    delivery = post.house.started(2)
    a = hands()
    letters = await a.letters(delivery)
    await post.act(actions.stop, delivery)
    assert await a.ledger.grant(letters[:1]) == []
    post.expect(delivery, "stopped", cancelled=2, accepted=1, waiting=1)


async def test_what_comes_back_after_a_stop_is_cancelled(post: Post, hands):
    delivery = post.house.started(4)
    a = hands()
    letters = await a.ledger.grant(await a.letters(delivery))
    await post.act(actions.stop, delivery)
    await a.ledger.settle(
        [
            outcome(letters[0], "sent"),
            outcome(letters[1], "deferred"),
            outcome(letters[2], "deposited", counted=False),
            outcome(letters[3], "in_doubt"),
        ],
        [None, timedelta(hours=1), None, None],
    )
    post.expect(delivery, "stopped", sent=1, cancelled=2, in_doubt=1, accepted=4)


async def test_a_stop_that_is_under_way_cancels_what_comes_back(post: Post, hands):
    delivery = post.house.started(1)
    a = hands()
    letters = await a.ledger.grant(await a.letters(delivery))
    async with await psycopg.AsyncConnection.connect(post.house.conninfo) as stopping:
        await stopping.execute("UPDATE deliveries_delivery SET state = 'stopped'")
        settling = asyncio.create_task(
            a.ledger.settle([outcome(letters[0], "deferred")], [timedelta(hours=1)])
        )
        await post.until(lambda: post.waits_for_lock("What became of messages"))
    await settling
    post.expect(delivery, "stopped", cancelled=1, accepted=1)


async def test_a_stop_sees_what_a_takeover_under_way_gives_back(post: Post, hands):
    """The stop waits for the takeover, and must not look with eyes from before it."""
    delivery = post.house.started(3, in_doubt="resend")
    a = hands()
    assert len(await a.ledger.grant(await a.letters(delivery))) == 3
    end_lease(post)
    async with await psycopg.AsyncConnection.connect(post.house.conninfo) as other:
        await other.execute(statement("reap_leases"), {"limit": 1})
        extent = {"delivery": delivery, "first": 1, "last": 3}
        await other.execute(statement("doubt"), extent)
        stopping = asyncio.create_task(post.act(actions.stop, delivery))
        await post.until(lambda: post.waits_for_lock("outbox_part"))
    await stopping
    post.expect(delivery, "stopped", in_doubt=3, accepted=3)


async def test_a_release_and_a_worker_do_not_wait_for_each_other(post: Post, hands):
    """Both lock the part first; else one of them would be told of a deadlock."""
    delivery = post.house.started(1)
    a = hands()
    (letter,) = await a.letters(delivery)
    refused = Setback(letter, MessageStatus.PENDING, CopyStatus.REFUSED, None, "554 No", 3600.0)
    await a.ledger.set_back([refused])
    async with await psycopg.AsyncConnection.connect(post.house.conninfo) as other:
        await other.execute("SELECT FROM outbox_part FOR NO KEY UPDATE")
        releasing = asyncio.create_task(post.act(actions.release, delivery, 1))
        await post.until(lambda: post.waits_for_lock("outbox_"))
        await other.execute("UPDATE outbox_message SET copy_attempts = copy_attempts + 1::smallint")
    await releasing
    post.expect(delivery, "sending", pending=1, owed=1)


@pytest.mark.parametrize("way", ["settle", "release"])
async def test_a_doubt_outlives_a_second_attempt_that_a_stop_takes_back(
    post: Post, hands, way: str
):
    delivery = post.house.started(2, in_doubt="resend")
    a = hands()
    first, second = await a.ledger.grant(await a.letters(delivery))
    again = [timedelta(), timedelta()]
    await a.ledger.settle(
        [outcome(first, "in_doubt"), outcome(second, "deferred", reply="451 No")], again
    )
    await a.ledger.release(first.part)
    letters = await a.ledger.grant(await a.letters(delivery))
    assert [letter.attempt for letter in letters] == [2, 2]
    await post.act(actions.stop, delivery)
    if way == "settle":
        await a.ledger.settle(
            [outcome(each, "deferred", reply="451 No") for each in letters], again
        )
    else:
        await a.ledger.release(letters[0].part)
    post.expect(delivery, "stopped", in_doubt=1, cancelled=1, accepted=2)
