"""Signatures on their whole way: made once, the same in the copy, kept to a delivery's end."""

import asyncio
import base64
import subprocess
import sys
from email import message_from_bytes

import pytest

from letterbook.control.outbox.actions import start
from letterbook.control.platform.dkim import retire_dkim_key
from letterbook.control.platform.queries import DkimKeyView
from letterbook.engine.errors import NoSigningKeyError
from letterbook.mail.dkim import make_private_key, secret_name
from letterbook.testing.sink import Sink
from tests.engine.post import Post
from tests.house import ACTOR, in_django
from tests.mail.signed import signature_headers, tags, verify


def published(*keys: DkimKeyView) -> dict[str, str]:
    return {key.name: key.record for key in keys}


def selectors(side: Sink) -> set[tuple[str, ...]]:
    """The selectors that messages were signed with, in their order."""
    return {
        tuple(tags(each)["s"] for each in signature_headers(message.content))
        for message in side.received
    }


async def deferred_once(post: Post, count: int = 5) -> tuple[int, dict[str, str]]:
    """A delivery that was signed and deposited, and goes again after an hour."""
    post.recipients.at("dot", "451 4.7.1 Greylisted", times=count)
    delivery = await post.deliver(count)
    post.expect(delivery, "retrying", deferred=count, accepted=count)
    return delivery, {address: line.sha256 for address, line in post.lines(delivery).items()}


async def test_the_copy_carries_the_same_signatures_and_all_are_good(post: Post):
    keys = published(
        post.house.dkim_key(selector="r", algorithm="rsa"),
        post.house.dkim_key(selector="e", algorithm="ed25519"),
    )
    delivery = await post.deliver(
        8, list_unsubscribe="https://example.com/unsubscribe/{{ recipient.id }}"
    )
    post.expect(delivery, sent=8, accepted=8)
    copies = {each.message_id: each.content for each in post.archive.received}
    for message in post.recipients.received:
        assert verify(message.content, keys) == [True, True]
        assert copies[message.message_id] == message.content
        (first, *_) = message_from_bytes(message.content).keys()
        assert first == "Message-ID"
    assert selectors(post.recipients) == {("r", "e")}
    assert len(post.recipients.received) == len(copies) == 8


async def test_an_analysis_knows_how_long_signed_messages_are(post: Post):
    post.house.dkim_key(selector="r", algorithm="rsa")
    post.house.dkim_key(selector="e", algorithm="ed25519")
    delivery = post.house.ready(6)
    report = post.house.analyze(delivery)
    await post.house.do(start, ACTOR, delivery)
    await post.house.work()
    sizes = [len(each.content) for each in post.recipients.received]
    assert report.estimated_bytes == sum(sizes) // 6 * 6


async def test_the_closest_domain_with_a_key_signs(post: Post):
    post.house.dkim_key("example.com", "far")
    key = post.house.dkim_key("mail.example.com", "near")
    post.house.dkim_key("news.mail.example.com.example.net", "other")
    await post.deliver(2, **{"from": {"address": "a@news.mail.example.com"}})
    assert selectors(post.recipients) == {("near",)}
    assert all(verify(each.content, published(key)) == [True] for each in post.recipients.received)


async def test_a_domain_without_a_key_is_not_signed_for(post: Post):
    post.house.dkim_key("example.net")
    post.house.dkim_key("mail.example.com")
    await post.deliver(2)
    assert selectors(post.recipients) == {()}


async def test_a_retired_key_signs_what_was_frozen_with_it_and_nothing_else(post: Post):
    old = post.house.dkim_key(selector="old")
    first, hashes = await deferred_once(post)
    await post.house.do(retire_dkim_key, ACTOR, "example.com", "old")
    new = post.house.dkim_key(selector="new")
    second = await post.another(3)
    await post.house.work()
    assert selectors(post.recipients) == {("new",)}
    await post.let_pass("1 hour")
    await post.house.work()
    post.expect(first, sent=5, accepted=5)
    post.expect(second, sent=3, accepted=3)
    assert {line.generation for line in post.lines(first).values()} == {1}
    sent = {each.recipient: each for each in post.recipients.received}
    assert hashes == {address: sent[address].sha256 for address in hashes}
    for message in sent.values():
        assert verify(message.content, published(old, new)) == [True]
    assert selectors(post.recipients) == {("old",), ("new",)}


async def other_private_key(post: Post, key: DkimKeyView) -> None:
    sealed = post.house.sealer.seal(
        secret_name(key.domain, key.selector), make_private_key(key.algorithm)
    )
    await post.sql("UPDATE platform_dkimkey SET sealed = %s WHERE id = %s", sealed, key.id)


async def test_another_private_key_makes_generation_2_which_is_deposited_first(post: Post):
    key = post.house.dkim_key()
    delivery, hashes = await deferred_once(post)
    await other_private_key(post, key)
    await post.let_pass("1 hour")
    await post.house.work()
    post.expect(delivery, sent=5, accepted=5)
    lines = post.lines(delivery)
    assert {line.generation for line in lines.values()} == {2}
    assert len(post.archive.received) == 10, "the audit sees that each came before its message"
    for message in post.recipients.received:
        assert message.sha256 == lines[message.recipient].sha256 != hashes[message.recipient]


async def test_without_its_key_nothing_is_sent(post: Post):
    key = post.house.dkim_key()
    delivery, _ = await deferred_once(post, 2)
    await post.sql("DELETE FROM platform_dkimkey WHERE id = %s", key.id)
    await post.let_pass("1 hour")
    async with post.working() as worker:
        with pytest.raises(NoSigningKeyError, match=r"DKIM key s1 of example\.com.*restore"):
            await worker._pipeline._contents.load(delivery)
    post.expect(delivery, "retrying", deferred=2, accepted=2)
    assert not post.recipients.received


async def test_the_private_key_is_in_plain_nowhere(post: Post):
    """Not in the database, not in what a worker says, not in a file beside it."""
    keys = [post.house.dkim_key(selector=each, algorithm=each) for each in ("rsa", "ed25519")]
    delivery = post.house.started(3)
    worker = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "letterbook", "worker", "--until-idle"],
        env=post.house.environment | {"LETTERBOOK_LOG_FORMAT": "json"},
        capture_output=True,
        timeout=60,
        check=True,
    )
    post.expect(delivery, sent=3, accepted=3)
    assert selectors(post.recipients) == {("rsa", "ed25519")}
    files = [each.read_bytes() for each in post.house.folder.rglob("*") if each.is_file()]
    said = [worker.stdout, worker.stderr, *files, *rows_of_all_tables(post)]
    for key in keys:
        ((sealed,),) = post.house.sql("SELECT sealed FROM platform_dkimkey WHERE id = %s", key.id)
        private = post.house.sealer.open(secret_name(key.domain, key.selector), bytes(sealed))
        secret = private[-32:]  # of Ed25519 the seed, of RSA the coefficient
        for form in (secret, secret.hex().encode(), base64.b64encode(private)[-40:]):
            assert not any(form in each for each in said)
    public = keys[0].record.encode()
    assert any(public in each for each in said), "this test would see it"


@in_django
def rows_of_all_tables(post: Post) -> list[bytes]:
    tables = post.house.sql(
        "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' "
        "AND relnamespace = 'public'::regnamespace"
    )
    return [
        row.encode()
        for (table,) in tables
        for (row,) in post.house.sql(f"SELECT t::text FROM {table} AS t")
    ]
