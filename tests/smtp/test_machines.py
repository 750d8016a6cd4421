"""Client machine against server machine: what holds whatever either side does."""

import re

from hypothesis import example, given, settings
from hypothesis import strategies as st

from letterbook.smtp.events import Closing, Cut, Finished, Stage, Unanswered
from letterbook.smtp.server_events import Command, Message
from letterbook.smtp.transaction import Transaction

from .dialogue import begun_client, letter
from .wire import Action, Plan, Wire

CODES = [250, 354, 421, 450, 503, 550]
actions = st.sampled_from([None] * 12 + CODES + ["cut", "silence"])
bodies = st.lists(
    st.sampled_from([b".", b"..", b".x", b"", b"x", b"MAIL FROM:<x@y>", b"QUIT", b"x" * 900]),
    max_size=4,
).map(lambda lines: b"".join(line + b"\r\n" for line in lines))


def marked(number: int, body: bytes) -> Transaction:
    return letter(number, b".Mark: <%d>\r\n\r\n" % number + body)


letters = st.lists(bodies, max_size=6)
plans = st.builds(
    Plan,
    script=st.lists(actions, max_size=30),
    withheld=st.sets(st.integers(0, 12), max_size=2),
    late=st.sets(st.integers(0, 5), max_size=3),
    chunking=st.booleans(),
    client_pipelines=st.sampled_from([True, True, True, False]),
    server_pipelines=st.sampled_from([True, True, True, False]),
    cut_after=st.none() | st.none() | st.integers(20, 2_500),
    chunks=st.lists(st.integers(1, 60), min_size=1, max_size=5) | st.just([1 << 20]),
)


def connect(bodies: list[bytes], plan: Plan) -> Wire:
    return Wire([marked(number, body) for number, body in enumerate(bodies)], plan).run()


def mark(transaction: Transaction) -> bytes:
    return b"Mark: <%d>" % transaction.subject


@given(letters, plans)
@settings(max_examples=2_000)
@example([b"", b""], Plan(script=[None, None, 450, 354, None, 450]))  # RSET refused
@example([b"", b""], Plan(script=[450, 250, 450, 450]))  # RCPT accepted without a MAIL
def test_whatever_happens(bodies, plan):
    wire = connect(bodies, plan)
    endings = [event for event in wire.events if isinstance(event, Finished | Unanswered)]
    # Each transaction that was begun has exactly one ending.
    assert sorted(event.transaction.subject for event in endings) == [
        transaction.subject for transaction in wire.begun
    ]
    for ending in endings:
        check_ending(wire, ending)
    check_messages(wire)
    check_order(wire, plan)
    assert sum(isinstance(event, Cut) for event in wire.events) <= 1


def check_ending(wire: Wire, ending: Finished | Unanswered) -> None:
    transaction = ending.transaction
    content_arrived = mark(transaction) in wire.arrived
    received = any(mark(transaction) in message.content for message, _ in wire.messages())
    accepted = any(
        mark(transaction) in message.content and reply.positive
        for message, reply in wire.messages()
    )
    if isinstance(ending, Unanswered):
        # "Not written" is a promise: the server cannot have taken the message.
        assert ending.content_written or not (received if wire.plan.chunking else content_arrived)
        if not wire.plan.chunking:  # what flies cannot be withheld
            assert transaction.subject not in wire.plan.withheld or not content_arrived
        return
    if wire.plan.chunking:
        assert accepted == ending.reply.positive
        assert received or ending.stage is not Stage.CONTENT
    else:
        assert received == (ending.stage is Stage.CONTENT)
        assert content_arrived == (ending.stage is Stage.CONTENT)
    place = [each.reply for each in wire.log].index(ending.reply)
    answered = wire.log[place].event
    # The reply is the one that the server gave to this very command of this very message.
    if ending.stage is Stage.CONTENT:
        assert isinstance(answered, Message)
        assert answered.content == transaction.content
        return
    assert isinstance(answered, Command)
    assert answered.verb == ending.stage
    commands = [each.event for each in wire.log[: place + 1] if isinstance(each.event, Command)]
    mail = next(event for event in reversed(commands) if event.verb == "MAIL")
    assert mail.argument.startswith(f"FROM:<{transaction.sender}>")
    assert ending.reply.code >= 400


def check_messages(wire: Wire) -> None:
    sent = {transaction.content for transaction in wire.begun}
    for message, _ in wire.messages():
        if message.content:
            assert message.content in sent
            assert [recipient.address for recipient in message.envelope.recipients] == [
                f"r{number.decode()}@b.example"
                for number in re.findall(rb"\.Mark: <(\d+)>", message.content)
            ]
        else:
            assert not message.envelope.recipients  # nobody ever gets an empty message
    contents = [message.content for message, _ in wire.messages() if message.content]
    assert len(contents) == len(set(contents))


def check_order(wire: Wire, plan: Plan) -> None:
    seen = wire.commands()
    if plan.client_pipelines and plan.server_pipelines:
        # Whole groups, of which the last may be cut off.
        assert re.fullmatch(r"(R?MC(DB?|[BX]))*(R?(M(CD?)?)?|Q)", seen)
        return
    assert re.fullmatch(r"(R?M(C(DB?)?)?)*[RQ]?", seen)
    for data in wire.writes:
        commands = data.count(b"\r\n")
        assert commands == 1 or data.startswith(b"..Mark")


@given(letters, plans)
@settings(max_examples=500)
def test_how_the_bytes_are_cut_changes_nothing(bodies, plan):
    cut = connect(bodies, plan)
    plan.chunks = [1 << 20]
    whole = connect(bodies, plan)
    assert list(map(told, cut.events)) == list(map(told, whole.events))
    assert cut.writes == whole.writes
    assert cut.log == whole.log


def told(event: object) -> tuple[object, ...]:
    """An event without the identity of its transaction."""
    parts = [getattr(event, name) for name in event.__dataclass_fields__]
    return (
        type(event),
        *(part.subject if isinstance(part, Transaction) else str(part) for part in parts),
    )


@given(st.integers(1, 8), bodies)
def test_one_wait_for_each_message_in_steady_state(count, body):
    wire = connect([body] * count, Plan(script=[]))
    finished = [event for event in wire.events if isinstance(event, Finished)]
    assert [event.reply.code for event in finished] == [250] * count
    # EHLO; the first group; each content with the group after it; QUIT.
    assert len(wire.writes) == 1 + 1 + count + 1
    assert wire.commands() == "MCDB" * count + "Q"
    assert isinstance(wire.events[-1], Closing)


@given(st.integers(1, 8), bodies)
def test_by_chunking_three_messages_go_unanswered(count, body):
    wire = connect([body] * count, Plan(script=[], chunking=True))
    finished = [event for event in wire.events if isinstance(event, Finished)]
    assert [event.transaction.subject for event in finished] == list(range(count))
    assert {event.reply.code for event in finished} == {250}
    # The first by DATA; those with others in flight before them are led by RSET.
    assert re.fullmatch("MCDB(R?MCB)*Q", wire.commands())
    assert all(data.count(b"BDAT") <= 3 for data in wire.writes)


@given(st.lists(st.sampled_from(CODES), min_size=3, max_size=3), st.booleans())
@example([250, 550, 354], True)
@example([550, 250, 354], True)
def test_the_content_never_leaves_unless_all_three_commands_were_accepted(codes, pipelining):
    script: list[Action] = list(codes)
    wire = connect([b"x\r\n"], Plan(script=script, server_pipelines=pipelining))
    assert (b"Mark: <0>" in wire.arrived) == (codes == [250, 250, 354])


replies = st.lists(
    st.sampled_from(
        [b"250 ok\r\n", b"250-a\r\n250 b\r\n", b"354 go\r\n", b"421 bye\r\n", b"450 no\r\n",
         b"550-5.1.1 a\n550 b\n", b"rubbish\r\n", b"250", b"\r\n"]
    ),
    max_size=8,
).map(b"".join)  # fmt: skip


@given(replies, st.lists(st.integers(0, 12), max_size=12))
def test_replies_find_the_same_commands_however_they_are_cut(stream, sizes):
    whole, _ = begun_client()
    expected = list(map(told, whole.receive(stream) + whole.connection_lost()))
    client, _ = begun_client()
    events = []
    for size in [*sizes, len(stream)]:
        events += client.receive(stream[:size])
        stream = stream[size:]
    events += client.connection_lost()
    assert list(map(told, events)) == expected
    assert client.take_output() == whole.take_output()
