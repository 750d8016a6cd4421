"""Proofs: the same journey with another target, and every promise of it."""

import email
import email.policy
from collections.abc import Sequence

from letterbook.control.deliveries.actions import edit_delivery
from letterbook.control.deliveries.proofs import create_proof
from letterbook.control.outbox import actions
from letterbook.testing.sink import Received
from tests.engine.post import Post
from tests.house import ACTOR, House, in_django

TO = ["eve@trial.example", "Max@Trial.Example"]
HTML = """<p>Hello {{ recipient.first_name }} of {{ recipient.city }}, we know you as
{{ recipient.email }} and {{ recipient.id }}; unsubscribe.</p>"""


@in_django
def proof(
    house: House, delivery: int, to: Sequence[str] = TO, written_as: str | None = None
) -> int:
    """A proof of ``delivery``, started."""
    made = create_proof(ACTOR, delivery, to=to, written_as=written_as)
    report = house.analyze(made)
    assert not report.errors, report.errors
    actions.start(ACTOR, made)
    return made


def edited(house: House, count: int = 3, **options: object) -> int:
    """A delivery to ``count`` people, not analysed yet."""
    house.people(count)
    return house.delivery(house.template(html=HTML, **options))


def read(message: Received) -> tuple[email.message.EmailMessage, str]:
    assert message.content is not None
    found = email.message_from_bytes(message.content, policy=email.policy.default)
    assert isinstance(found, email.message.EmailMessage)
    body = found.get_body(("html",))
    assert body is not None
    return found, " ".join(body.get_content().split())


async def test_a_proof_shows_one_recipients_data_to_other_people(post: Post):
    delivery = edited(post.house)
    made = proof(post.house, delivery)
    await post.house.work()
    post.expect(made, sent=2, accepted=2)
    assert [each.recipient for each in post.recipients.received] == [
        "eve@trial.example",
        "Max@trial.example",
    ]
    ((person,),) = post.house.sql(
        "SELECT id FROM recipients_recipient WHERE email = 'user0@example.org'"
    )
    for message in post.recipients.received:
        letter, body = read(message)
        assert letter["Subject"] == "Proof #1: Ana 0, your offer"
        assert letter["To"] == message.recipient
        assert f"Hello Ana 0 of Málaga, we know you as user0@example.org and {person};" in body


async def test_a_copy_says_that_it_is_a_proofs_and_yet_is_identical(post: Post):
    delivery = edited(post.house, headers={"X-Brand": "{{ recipient.city }}"})
    made = proof(post.house, delivery)
    await post.house.work()
    assert len(post.archive.received) == 2
    messages = {each.message_id: each for each in post.recipients.received}
    for copy in post.archive.received:
        message = messages[copy.message_id]
        assert (copy.content, copy.original_recipient) == (message.content, message.recipient)
        assert copy.answered_at <= message.began_at
        letter, _ = read(copy)
        assert letter["X-Letterbook-Proof"] == f"{delivery}.1"
        assert letter["X-Brand"] == "Málaga"
        assert (copy.envelope_id or "").partition(".")[0] == str(made)
    assert {(line.kind, line.status) for line in post.house.log(made)} == {("proof", "sent")}
    assert post.house.sql("SELECT kind::text FROM outbox_content WHERE delivery_id = %s", made) == [
        ("proof",)
    ]


async def test_a_proof_changes_nothing_of_its_delivery(post: Post):
    delivery = post.house.ready(3)
    before, rows = post.house.show(delivery), post.lines(delivery)
    made = proof(post.house, delivery)
    await post.house.work()
    after = post.house.show(delivery)
    assert after.proofs == [made]
    assert {**_fields(after), "proofs": []} == _fields(before)
    assert post.lines(delivery) == rows
    await post.house.do(actions.start, ACTOR, delivery)
    await post.house.work()
    post.expect(delivery, sent=3, accepted=3)
    ordinary = [each for each in post.archive.received if each.message_id not in _ids(post, made)]
    assert len(ordinary) == 3
    for copy in ordinary:
        assert b"Proof" not in (copy.content or b"")


def _fields(view: object) -> dict[str, object]:
    return {name: getattr(view, name) for name in view.__slots__}


def _ids(post: Post, delivery: int) -> set[str]:
    return {line.message_id for line in post.house.log(delivery)}


async def test_each_proof_is_of_the_delivery_as_it_is_then(post: Post):
    """With the box off there is no copy, of a proof neither; and each has its number."""
    delivery = edited(post.house)
    first = proof(post.house, delivery)
    await post.house.do(edit_delivery, ACTOR, delivery, label="Other", email_bcc=False)
    second = proof(post.house, delivery, ["eve@trial.example"])
    await post.house.work()
    post.expect(first, sent=2, accepted=2)
    post.expect(second, sent=1, none=1)
    labels = [post.house.show(each).label for each in (first, second)]
    assert labels == ["[Proof 1] offer", "[Proof 2] Other"]
    subjects = {read(each)[0]["Subject"] for each in post.recipients.received}
    assert subjects == {"Proof #1: Ana 0, your offer", "Proof #2: Ana 0, your offer"}
    assert post.state(delivery) == "editing"


async def test_a_proof_as_somebody_of_ones_choice(post: Post):
    delivery = edited(post.house)
    made = proof(post.house, delivery, ["user1@example.org"], "USER2@example.org")
    await post.house.work()
    post.expect(made, sent=1, accepted=1)
    (message,) = post.recipients.received
    letter, body = read(message)
    assert (message.recipient, letter["To"]) == ("user1@example.org", "user1@example.org")
    assert "Hello Ana 2 of Málaga, we know you as user2@example.org" in body


async def test_a_proof_waits_for_the_archive_like_any_delivery(post: Post):
    await post.archive.stop()
    made = proof(post.house, edited(post.house))
    async with post.working():
        await post.until_state(made, "held (archive)")
        assert post.recipients.received == []
        await post.archive.restart()
        await post.until_state(made, "finished")
    post.expect(made, sent=2, accepted=2)


async def test_a_proof_of_a_test_is_sent(post: Post):
    """Somebody wants to see it."""
    made = proof(post.house, edited(post.house, test_smtp=True))
    await post.house.work()
    post.expect(made, sent=2, accepted=2)
