"""The brake: when everybody is refused alike, the fault is not the recipients'."""

import re

import pytest

from letterbook.control.outbox import actions
from letterbook.engine.brake import normalise
from letterbook.smtp.server_events import Command
from tests.engine.faults import reply
from tests.engine.post import Post

NAMES = ["ana", "bartolomé", "chidi", "dorotea", "emeka", "fumiko", "goran"]


def address_in(event: Command) -> str:
    found = re.search(r"<(.*?)>", event.argument)
    assert found
    return found[1]


async def test_the_same_refusal_for_everybody_pauses_the_delivery(post: Post):
    post.house.with_settings(in_flight=32)
    post.recipients.at(
        "RCPT",
        lambda event: reply(f"550 5.7.1 <{address_in(event)}>: you are blocked, id a81{id(event)}"),
    )
    delivery = post.house.started(400)
    async with post.working():
        await post.until_state(delivery, "paused")
        await post.until(lambda: "sending" not in post.counts(delivery))
        failed = post.counts(delivery)["failed"]
        assert 50 <= failed <= 50 + 32, "what was in flight settles, and nothing begins"
        because = post.because(delivery)
        assert "550 5.7.1" in because
        assert "you are blocked" in because
        assert "user" not in because
        assert "@" not in because
        post.recipients.mend()
        await post.act(actions.resume, delivery)
        await post.until_state(delivery, "finished")
    post.expect(delivery, failed=failed, sent=400 - failed, accepted=400)
    ((audited,),) = post.house.sql("SELECT count(*) FROM kernel_auditline WHERE action = 'brake'")
    assert audited == 1
    ((quarantined,),) = post.house.sql("SELECT count(*) FROM recipients_quarantinedaddress")
    assert quarantined == 0


async def test_forty_nine_alike_are_not_enough(post: Post):
    post.house.with_settings(connections=1)
    post.recipients.at("RCPT", "550 5.1.1 Nobody", times=49)
    delivery = await post.deliver(100)
    post.expect(delivery, failed=49, sent=51, accepted=100)


async def test_one_that_is_accepted_breaks_the_row(post: Post):
    post.house.with_settings(connections=1)
    post.recipients.at("RCPT", "550 5.1.1 Nobody", times=40)
    post.recipients.at("RCPT", lambda _: None, times=1)
    post.recipients.at("RCPT", "550 5.1.1 Nobody", times=40)
    delivery = await post.deliver(100)
    post.expect(delivery, failed=80, sent=20, accepted=100)


async def test_ninety_per_cent_of_the_first_300_pause_it_whatever_the_words(post: Post):
    seen = []

    def refuse_most(event: Command):
        seen.append(event)
        person = NAMES[len(seen) % len(NAMES)]
        return (
            None if len(seen) % 20 == 0 else reply(f"550 No mailbox here by the name of {person}")
        )

    post.recipients.at("RCPT", refuse_most)
    delivery = post.house.started(1000)
    async with post.working():
        await post.until_state(delivery, "paused")
        await post.until(lambda: "sending" not in post.counts(delivery))
    counts = post.counts(delivery)
    assert 270 <= counts["failed"] <= 300 + 256
    assert counts["pending"] + counts.get("deposited", 0) > 100
    because = post.because(delivery)
    assert "550" in because
    assert not any(name in because for name in NAMES), because


async def test_refusals_after_the_first_300_are_the_recipients_own(post: Post):
    """Fewer than nine in ten, and no fifty alike."""
    seen = []

    def refuse_many(event: Command):
        seen.append(event)
        return reply("550 5.1.1 Nobody") if len(seen) % 8 else None

    post.recipients.at("RCPT", refuse_many)
    delivery = await post.deliver(400)
    post.expect(delivery, failed=350, sent=50, accepted=400)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("550 5.1.1 <ana@example.org> is unknown", "550 5.1.1 <bo@example.org> is unknown"),
        ("550 5.1.1 ana@example.org is unknown", "550 5.1.1 bo@example.org is unknown"),
        ("554 5.7.1 Blocked, see 4XyZ12abc", "554 5.7.1 Blocked, see 9QwE34def"),
        ("554 5.7.1 Blocked at 12:31:07", "554 5.7.1 Blocked at 12:44:59"),
    ],
)
def test_replies_that_differ_in_names_and_numbers_are_the_same(one: str, other: str):
    assert normalise(one) == normalise(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("550 5.1.1 Unknown", "550 5.7.1 Unknown"),
        ("550 5.1.1 Unknown", "554 5.1.1 Unknown"),
        ("550 5.1.1 Unknown", "550 5.1.1 Blocked"),
    ],
)
def test_replies_that_differ_in_codes_or_words_are_not(one: str, other: str):
    assert normalise(one) != normalise(other)
