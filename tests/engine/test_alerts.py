"""Alerts: each cause is told once, over real channels, and so is its end."""

import email
import email.policy
from collections.abc import Iterator
from datetime import timedelta

import psycopg
import pytest

from letterbook.control.outbox import actions, queries
from letterbook.control.platform.actions import remove_alert_channel, set_alert_channel
from letterbook.engine import alerts
from tests.engine.faults import DROP
from tests.engine.hook import Hook, Script
from tests.engine.post import Post
from tests.house import ACTOR, in_django

FULL = "452 4.2.2 Mailbox of Zoe Zyx full"


@pytest.fixture(autouse=True)
def _calm_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cause is over as soon as it is away."""
    monkeypatch.setattr(alerts, "_CALM", timedelta(0))


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()
    yield hook
    hook.close()


def use(post: Post, kind: str, target: str) -> None:
    in_django(set_alert_channel)(ACTOR, post.house.sealer, kind, target)


async def several_rounds(post: Post) -> None:
    """Wait until the worker has certainly looked again: it closes a mark of ours, and another.

    The mark comes between two looks, because in the midst of one it would be taken for an alert.
    """
    for _ in range(2):
        await post.sql(
            "WITH turn AS MATERIALIZED "
            "(SELECT pg_advisory_xact_lock(hashtext('letterbook alerts'))) "
            "INSERT INTO outbox_alert (cause, object, facts, gone_at) "
            "SELECT 'failed', 'mark', '{}', now() - interval '1 hour' FROM turn"
        )
        await post.until(
            lambda: (
                not post.house.sql(
                    "SELECT 1 FROM outbox_alert WHERE object = 'mark' AND closed_at IS NULL"
                )
            )
        )


# Every cause.


async def test_an_outage_is_told_once_whatever_it_holds_and_so_is_its_end(post: Post, hook: Hook):
    use(post, "webhook", hook.url)
    post.archive.at("RCPT", "451 4.7.1 Come back, Zoe Zyx")
    delivery = post.house.started(20)
    async with post.working():
        await post.until(lambda: hook.told == [("opened", "held", "archive route")])
        other = await post.another(5)
        await post.until_state(other, "held (archive)")
        await several_rounds(post)
        post.archive.mend()
        await post.probe_now()
        await post.until_state(delivery, "finished")
        await post.until(lambda: len(hook.requests) > 1)
        await post.until_state(other, "finished")
        await several_rounds(post)
    assert hook.told == [
        ("opened", "held", "archive route"),
        ("recovered", "held", "archive route"),
    ]
    opened, recovered = hook.alerts
    assert (opened["deliveries"], opened["count"], opened["sign"]) == ([delivery], 1, "451 4.7.1")
    assert opened["alert"] == recovered["alert"]
    assert opened["closed_at"] is None
    assert recovered["closed_at"] > recovered["opened_at"] == opened["opened_at"]
    assert "Zyx" not in str(hook.requests)
    post.expect(delivery, sent=20, accepted=20)


async def test_an_archive_that_is_full_says_so(post: Post, hook: Hook):
    use(post, "webhook", hook.url)
    post.archive.at("RCPT", FULL)
    delivery = post.house.started(20)
    async with post.working():
        await post.until_state(delivery, "held (archive)")
        await post.until(lambda: hook.requests)
        # The probe is refused too, in other words around the same sign.
        await post.probe_now()
        await post.until(lambda: "refused RCPT" in post.because(delivery))
        await several_rounds(post)
    assert hook.told == [("opened", "archive_full", "archive route")]
    assert (hook.alerts[0]["sign"], hook.alerts[0]["deliveries"]) == ("452 4.2.2", [delivery])
    assert "Zyx" not in str(hook.requests)


async def test_copies_that_are_owed_because_the_archive_is_down(post: Post, hook: Hook):
    post.owe()
    use(post, "webhook", hook.url)
    await post.archive.stop()
    delivery = post.house.started(20)
    async with post.working():
        await post.until_state(delivery, "finished")
        await post.until(lambda: hook.told == [("opened", "copies_owed", "archive route")])
        assert 0 < hook.alerts[0]["count"] <= 20
        await post.archive.restart()
        await post.until(lambda: post.copies(delivery) == {"accepted": 20})
        await post.until(lambda: hook.told[1:] == [("recovered", "copies_owed", "archive route")])
    assert hook.alerts[0]["sign"] == "no connection"


async def test_messages_in_doubt(post: Post, hook: Hook):
    use(post, "webhook", hook.url)
    post.recipients.at("dot", DROP, times=2)
    post.house.with_settings(connections=1)
    delivery = post.house.started(20)
    async with post.working():
        await post.until_state(delivery, "finished")
        await post.until(lambda: hook.requests)
        await several_rounds(post)
    assert hook.told == [("opened", "in_doubt", f"delivery {delivery}")]
    assert post.counts(delivery)["in_doubt"] >= 1


async def test_copies_that_came_back(post: Post, hook: Hook):
    use(post, "webhook", hook.url)
    delivery = await post.deliver(20)
    name = f"delivery {delivery}"
    back = "UPDATE outbox_message SET copy = %s::copy_status WHERE copy = %s::copy_status"
    async with post.working():
        await post.sql(f"{back} AND ordinal <= 3", "returned", "accepted")
        await post.until(lambda: hook.told == [("opened", "copies_returned", name)])
        assert hook.alerts[0]["count"] == 3
        await post.sql(back, "accepted", "returned")
        await post.until(lambda: hook.told[1:] == [("recovered", "copies_returned", name)])


async def test_the_brake_but_not_a_person_who_pauses(post: Post, hook: Hook):
    use(post, "webhook", hook.url)
    paused = post.house.started(5)
    await post.act(actions.pause, paused)
    post.recipients.at("RCPT", "550 5.7.1 Blocked, ask Zoe Zyx")
    async with post.working():
        delivery = await post.another(80)
        await post.until_state(delivery, "paused")
        await post.until(lambda: hook.told == [("opened", "brake", f"delivery {delivery}")])
        await several_rounds(post)
        post.recipients.mend()
        await post.act(actions.resume, delivery)
        await post.until(lambda: hook.told[1:] == [("recovered", "brake", f"delivery {delivery}")])
        # A restore pauses too, and it is not the brake that does.
        await post.sql("UPDATE deliveries_delivery SET state = 'paused' WHERE id = %s", delivery)
        await several_rounds(post)
    assert len(hook.told) == 2
    assert hook.alerts[0]["sign"] == "550 5.7.1"
    assert "Zyx" not in str(hook.requests)


async def test_a_delivery_that_failed(post: Post, hook: Hook):
    use(post, "webhook", hook.url)
    delivery = post.house.ready(1)
    await post.sql("UPDATE deliveries_delivery SET state = 'failed' WHERE id = %s", delivery)
    async with post.working():
        await post.until(lambda: hook.told == [("opened", "failed", f"delivery {delivery}")])


async def test_a_proof_that_failed_is_nobodys_alert(post: Post, hook: Hook):
    use(post, "webhook", hook.url)
    delivery = post.house.ready(1)
    await post.sql("UPDATE outbox_content SET kind = 'proof' WHERE delivery_id = %s", delivery)
    await post.sql("UPDATE deliveries_delivery SET state = 'failed' WHERE id = %s", delivery)
    async with post.working():
        await several_rounds(post)
    assert hook.told == []


# Once.


async def test_two_workers_tell_one_alert_over_each_channel(post: Post, hook: Hook, tmp_path):
    script = Script(tmp_path)
    use(post, "webhook", hook.url)
    use(post, "command", str(script.path))
    post.archive.at("RCPT", "451 4.7.1 Come back")
    delivery = post.house.started(20)
    async with post.working(), post.working():
        await post.until_state(delivery, "held (archive)")
        await post.until(lambda: hook.requests and script.alerts)
        await several_rounds(post)
    assert hook.told == [("opened", "held", "archive route")]
    assert script.alerts == hook.alerts


async def test_what_comes_and_goes_is_told_once(
    post: Post, hook: Hook, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(alerts, "_CALM", timedelta(minutes=1))
    use(post, "webhook", hook.url)
    delivery = post.house.ready(1)
    fail = "UPDATE deliveries_delivery SET state = %s WHERE id = %s"
    gone = "SELECT gone_at IS NOT NULL FROM outbox_alert"
    async with post.working():
        for _ in range(3):
            await post.sql(fail, "failed", delivery)
            await post.until(lambda: post.house.sql(gone) == [(False,)])
            await post.sql(fail, "ready", delivery)
            await post.until(lambda: post.house.sql(gone) == [(True,)])
        assert hook.told == [("opened", "failed", f"delivery {delivery}")]
        await post.sql("UPDATE outbox_alert SET gone_at = now() - interval '61 seconds'")
        await post.until(lambda: len(hook.told) == 2)
    assert [event for event, _, _ in hook.told] == ["opened", "recovered"]


async def test_a_channel_that_fails_is_tried_again_and_shown(post: Post, hook: Hook):
    use(post, "webhook", hook.url)
    hook.status = 500
    delivery = post.house.ready(1)
    await post.sql("UPDATE deliveries_delivery SET state = 'failed' WHERE id = %s", delivery)
    waits = []
    async with post.working():
        for tries in (1, 2, 3):
            await post.until(lambda: troubled(post) == [tries])  # noqa: B023
            ((wait,),) = post.house.sql("SELECT due_at - now() FROM outbox_alert_news")
            waits.append(wait)
            (shown,) = in_django(queries.alerts)()
            assert shown.troubles == {"webhook": "it answered with status 500"}
            assert shown.told == ()
            await post.sql("UPDATE outbox_alert_news SET due_at = now(), trouble = NULL")
        hook.status = 200
        await post.sql("UPDATE outbox_alert_news SET due_at = now()")
        await post.until(lambda: in_django(queries.alerts)()[0].told == ("webhook",))
    for seconds, wait in zip((2, 4, 8), waits, strict=True):
        assert timedelta(seconds=seconds - 1.5) < wait <= timedelta(seconds=seconds)
    (shown,) = in_django(queries.alerts)()
    assert shown.troubles == {}
    assert {event for event, _, _ in hook.told} == {"opened"}


def troubled(post: Post) -> list[int]:
    """How often each failed news was tried."""
    return [
        tries
        for (tries,) in post.house.sql(
            "SELECT tries FROM outbox_alert_news WHERE trouble IS NOT NULL"
        )
    ]


async def test_news_whose_worker_died_are_told_by_another(post: Post, hook: Hook):
    use(post, "webhook", hook.url)
    delivery = post.house.ready(1)
    await post.sql("UPDATE deliveries_delivery SET state = 'failed' WHERE id = %s", delivery)
    await post.sql(
        "WITH alert AS (INSERT INTO outbox_alert (cause, object, facts) VALUES ('failed', %s, "
        '\'{"deliveries": [], "count": 1, "sign": null}\') RETURNING id) '
        "INSERT INTO outbox_alert_news (alert_id, channel, recovered, tries, due_at) "
        "SELECT id, 'webhook', false, 1, now() + interval '1 minute' FROM alert",
        f"delivery {delivery}",
    )
    async with post.working():
        await several_rounds(post)
        assert not hook.requests, "it may be under way yet"
        await post.sql("UPDATE outbox_alert_news SET due_at = now()")
        await post.until(lambda: hook.requests)
        await several_rounds(post)
    assert len(hook.requests) == 1


async def test_a_channel_set_later_hears_of_what_is_open_and_one_turned_off_of_nothing(
    post: Post, hook: Hook, tmp_path
):
    delivery = post.house.ready(1)
    fail = "UPDATE deliveries_delivery SET state = %s WHERE id = %s"
    await post.sql(fail, "failed", delivery)
    script = Script(tmp_path)
    use(post, "command", str(script.path))
    async with post.working():
        await post.until(lambda: script.alerts)
        await post.house.do(set_alert_channel, ACTOR, post.house.sealer, "webhook", hook.url)
        await post.until(lambda: hook.requests)
        await post.house.do(remove_alert_channel, ACTOR, "command")
        await post.sql(fail, "ready", delivery)
        await post.until(lambda: len(hook.requests) == 2)
    assert [event for event, _, _ in hook.told] == ["opened", "recovered"]
    assert [each["event"] for each in script.alerts] == ["opened"]


# Mail goes over the recipients' route, as the platform's own.


async def test_mail_about_the_recipients_route_arrives_when_that_is_up_again(post: Post):
    post.books_only = True  # an alert is no message of a delivery
    use(post, "mail", "ops@example.net")
    post.house.with_settings(error_address="bounces@example.com")
    post.recipients.at("MAIL", "550 5.7.1 Not you, Zoe Zyx")
    delivery = post.house.started(3)
    async with post.working():
        await post.until_state(delivery, "held (recipients)")
        await post.until(lambda: troubled(post) == [1])
        (shown,) = await post.house.do(queries.alerts)
        assert shown.troubles == {"mail": "the recipients' route: 550 5.7.1"}
        post.recipients.mend()
        await post.probe_now()
        await post.until_state(delivery, "finished")
        await post.sql("UPDATE outbox_alert_news SET due_at = now()")
        await post.until(lambda: len(mails(post)) == 2)
        await several_rounds(post)
    opened, recovered = mails(post)
    assert opened["Subject"] == "Letterbook: held, recipients route"
    assert recovered["Subject"] == "Letterbook: held, recipients route is over"
    assert opened["To"] == "ops@example.net"
    assert opened["Auto-Submitted"] == "auto-generated"
    assert "550 5.7.1" in opened.get_content()
    assert "Zyx" not in opened.as_string()
    assert len(post.archive.received) == 3, "the platform's own mail is not copied"


def mails(post: Post) -> list[email.message.EmailMessage]:
    return [
        email.message_from_bytes(each.content, policy=email.policy.default)
        for each in post.recipients.received
        if each.recipient == "ops@example.net" and each.sender == "bounces@example.com"
    ]


async def test_a_channel_that_is_removed_while_there_is_news_for_it(post: Post, hook: Hook):
    """The worker waits for the removal, and goes on."""
    use(post, "webhook", hook.url)
    delivery = post.house.ready(1)
    await post.sql("UPDATE deliveries_delivery SET state = 'failed' WHERE id = %s", delivery)
    async with (
        await psycopg.AsyncConnection.connect(post.house.conninfo) as removing,
        post.working(),
    ):
        await removing.execute("DELETE FROM platform_alertchannel")
        await post.until(lambda: post.waits_for_lock("FOR KEY SHARE OF c"))
        await removing.commit()
        await several_rounds(post)
        assert len(in_django(queries.alerts)()) == 1
    assert not hook.requests
