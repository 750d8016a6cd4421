import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterbook.smtp.envelope import Envelope, Recipient, Sender
from letterbook.smtp.errors import OutOfTurn
from letterbook.smtp.reply import Reply
from letterbook.smtp.sasl import Credentials
from letterbook.smtp.server import Server
from letterbook.smtp.server_events import Command, Login, Message, ServerOptions, Spoiled

ENVELOPE = b"MAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nDATA\r\n"


def drain(server: Server) -> list:
    """Answer everything as proposed; return the events."""
    events = []
    while (event := server.next_event()) is not None:
        events.append(event)
        server.respond()
    return events


def greeted(**options) -> Server:
    encrypted = options.pop("encrypted", False)
    server = Server(ServerOptions(name="mx.example", **options), encrypted=encrypted)
    server.receive(b"EHLO c.example\r\n")
    drain(server)
    server.take_output()
    return server


def told(server: Server, data: bytes) -> list[str]:
    """The replies to ``data``, one a line."""
    server.receive(data)
    drain(server)
    return server.take_output().decode().splitlines()


def codes(server: Server, data: bytes) -> list[int]:
    return [int(line[:3]) for line in told(server, data)]


def test_a_whole_session():
    server = Server(ServerOptions(name="mx.example", size=1_000, auth=("PLAIN",)))
    server.receive(b"EHLO c\r\n")
    drain(server)
    assert server.take_output().decode().splitlines() == [
        "220 mx.example ESMTP", "250-mx.example", "250-PIPELINING", "250-SIZE 1000",
        "250-8BITMIME", "250-SMTPUTF8", "250-DSN", "250 ENHANCEDSTATUSCODES",
    ]  # fmt: skip
    server.receive(
        b"MAIL FROM:<a@b> SIZE=10 RET=HDRS ENVID=1.2+2B\r\n"
        b"RCPT TO:<c@d> NOTIFY=FAILURE,DELAY ORCPT=rfc822;e@f\r\nDATA\r\n"
        b"Subject: x\r\n\r\n..dot\r\n.\r\nNOOP\r\nVRFY x\r\nRSET\r\nQUIT\r\nMAIL"
    )
    message = next(event for event in drain(server) if isinstance(event, Message))
    assert message.envelope == Envelope(
        Sender(address="a@b", size=10, ret="HDRS", envid="1.2+"),
        (Recipient(address="c@d", notify=("FAILURE", "DELAY"), orcpt=("rfc822", "e@f")),),
    )
    assert message.content == b"Subject: x\r\n\r\n.dot\r\n"
    replies = server.take_output().decode().splitlines()
    assert [line[:3] for line in replies] == [
        "250",
        "250",
        "354",
        "250",
        "250",
        "252",
        "250",
        "221",
    ]
    assert server.ended


def test_nothing_is_offered_that_is_off():
    options = ServerOptions(
        name="mx", pipelining=False, size=None, eight_bit_mime=False, smtputf8=False, dsn=False,
        enhanced_status_codes=False,
    )  # fmt: skip
    server = Server(options)
    assert told(server, b"EHLO c\r\nNOOP\r\n") == ["220 mx ESMTP", "250 mx", "250 Ok"]
    for parameter in (b"SIZE=1", b"BODY=8BITMIME", b"SMTPUTF8", b"RET=FULL", b"ENVID=x"):
        assert codes(server, b"MAIL FROM:<a@b> %s\r\n" % parameter) == [555]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"MAIL FROM:a@b", 501), (b"MAIL TO:<a@b>", 501), (b"MAIL", 501), (b"MAIL FROM:<a b>", 501),
        (b"MAIL FROM:<a@b> SIZE=x", 501), (b"MAIL FROM:<a@b> SIZE=1 SIZE=1", 501),
        (b"MAIL FROM:<a@b> SIZE", 501), (b"MAIL FROM:<a@b> SMTPUTF8=1", 501),
        (b"MAIL FROM:<a@b> BODY=9BIT", 501), (b"MAIL FROM:<a@b> FOO=1", 555),
        (b"MAIL FROM:<a@b> ENVID=+zz", 501), (b"MAIL FROM:<\xc3\xa9@b>", 553),
        (b"MAIL FROM:<\xff@b>", 500), (b"MAIL FROM:<a@b> SIZE=99999999999", 552),
        (b"RCPT TO:<c@d>", 503), (b"DATA", 503), (b"DATA x", 501), (b"HELO", 501),
        (b"STARTTLS", 502), (b"AUTH PLAIN", 502), (b"BDAT 1", 500), (b"", 500), (b"x" * 999, 500),
        (b"mail from: <@x,@y:a@b>  SIZE=1 ", 250), (b"MAIL FROM:<>", 250),
        (b"MAIL FROM:<\xc3\xa9@b> SMTPUTF8", 250), (b"noop x", 250), (b"HELO x", 250),
    ],
)  # fmt: skip
def test_a_command_after_ehlo(line, code):
    assert codes(greeted(), line + b"\r\n") == [code]


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"MAIL FROM:<a@b>", 503), (b"RCPT TO:<>", 501), (b"RCPT TO:<\xc3\xa9@d>", 553),
        (b"RCPT TO:<c@d> NOTIFY=NEVER,DELAY", 501), (b"RCPT TO:<c@d> ORCPT=x", 501),
        (b"RCPT TO:<c@d>", 250), (b"DATA", 503), (b"AUTH PLAIN", 503),
    ],
)  # fmt: skip
def test_a_command_after_mail(line, code):
    server = greeted(auth=("PLAIN",), auth_in_clear=True)
    assert codes(server, b"MAIL FROM:<a@b>\r\n" + line + b"\r\n") == [250, code]


def test_mail_before_ehlo_and_too_many_recipients():
    server = Server(ServerOptions(max_recipients=1))
    assert codes(server, b"MAIL FROM:<a@b>\r\n") == [220, 503]
    many = b"EHLO x\r\nMAIL FROM:<a@b>\r\nRCPT TO:<c@d>\r\nRCPT TO:<e@f>\r\n"
    assert codes(server, many)[-2:] == [250, 452]


def test_events_come_one_at_a_time_and_pipelined_input_waits():
    server = greeted()
    server.receive(ENVELOPE)
    event = server.next_event()
    assert isinstance(event, Command)
    assert (event.verb, event.argument) == ("MAIL", "FROM:<a@b>")
    assert server.next_event() is None
    assert server.backlog == len(ENVELOPE) - len(b"MAIL FROM:<a@b>\r\n")
    server.respond(Reply(451, ("4.3.0 later",)))
    event = server.next_event()
    assert isinstance(event, Command)
    assert event.proposed.code == 503
    server.respond()
    with pytest.raises(OutOfTurn):
        server.respond()
    assert server.take_output() == b"451 4.3.0 later\r\n503 5.5.1 RCPT comes after MAIL\r\n"


def test_a_caller_may_insist_on_nonsense():
    server = greeted()
    server.receive(ENVELOPE + b".\r\n")
    for reply in (Reply(550), Reply(250), Reply(354)):
        assert server.next_event() is not None
        server.respond(reply)
    message = server.next_event()
    assert isinstance(message, Message)
    assert message.envelope == Envelope(None, (Recipient(address="c@d"),))
    assert message.content == b""


def test_a_caller_who_takes_a_second_mail_gets_its_envelope_only():
    server = greeted()
    server.receive(ENVELOPE[: ENVELOPE.index(b"DATA")] + b"MAIL FROM:<x@y>\r\n" + b"DATA\r\n.\r\n")
    for reply in (None, None, Reply(250), Reply(354)):
        server.next_event()
        server.respond(reply)
    message = server.next_event()
    assert isinstance(message, Message)
    assert message.envelope == Envelope(Sender(address="x@y"))


def test_a_lone_dot_without_recipients_is_an_empty_message_that_goes_nowhere():
    server = greeted()
    server.receive(b"DATA\r\n.\r\n")
    server.next_event()
    server.respond(Reply(354))
    message = server.next_event()
    assert isinstance(message, Message)
    assert (message.content, message.proposed.code) == (b"", 554)


def test_421_ends():
    server = greeted()
    server.receive(b"NOOP\r\nNOOP\r\n")
    server.next_event()
    server.respond(Reply(421))
    assert server.ended
    assert server.next_event() is None


def test_starttls_forgets_what_came_before_and_drops_what_came_in_clear():
    server = greeted(starttls=True, auth=("PLAIN",))
    assert codes(server, b"STARTTLS\r\nNOOP\r\n") == [501, 250]
    server.receive(b"STARTTLS\r\nEHLO injected\r\n")
    assert server.next_event() is not None
    server.respond(Reply(220))  # whatever was proposed
    assert server.wants_tls
    assert server.backlog == 0
    server.take_output()
    server.receive(b"EHLO injected\r\n")
    assert server.next_event() is None
    server.tls_established()
    assert codes(server, b"MAIL FROM:<a@b>\r\n") == [503]
    assert told(server, b"EHLO c\r\n")[-1] == "250 AUTH PLAIN"
    assert codes(server, b"STARTTLS\r\n") == [502]
    with pytest.raises(OutOfTurn):
        server.tls_established()


@pytest.mark.parametrize(
    "lines",
    [
        [b"AUTH PLAIN AHRpbQBzZWNyZXQ="],
        [b"auth plain", b"AHRpbQBzZWNyZXQ="],
        [b"AUTH LOGIN", b"dGlt", b"c2VjcmV0"],
        [b"AUTH LOGIN dGlt", b"c2VjcmV0"],
    ],
)
def test_auth(lines):
    server = greeted(auth=("PLAIN", "LOGIN"), encrypted=True)
    for line in lines[:-1]:
        assert codes(server, line + b"\r\n") == [334]
    server.receive(lines[-1] + b"\r\n")
    login = server.next_event()
    assert isinstance(login, Login)
    assert (login.credentials, login.proposed.code) == (Credentials("tim", "secret"), 535)
    server.respond(Reply(235))
    server.take_output()
    assert codes(server, b"AUTH PLAIN\r\n") == [503]


def test_auth_refused_cancelled_or_in_clear():
    server = greeted(auth=("PLAIN",), encrypted=True)
    assert codes(server, b"AUTH PLAIN AHRpbQBzZWNyZXQ=\r\n") == [535]
    assert codes(server, b"AUTH PLAIN\r\n*\r\nNOOP\r\n") == [334, 501, 250]
    assert codes(server, b"AUTH PLAIN\r\nbad\0\r\nNOOP\r\n") == [334, 500, 250]
    assert codes(server, b"AUTH PLAIN !!\r\nAUTH LOGIN\r\n") == [501, 504]
    assert codes(greeted(auth=("PLAIN",)), b"AUTH PLAIN\r\n") == [538]


# Limits


def test_a_content_up_to_size_and_not_an_octet_more():
    server = greeted(size=8)
    assert codes(server, ENVELOPE + b"123456\r\n.\r\n")[-1] == 250
    assert codes(server, ENVELOPE + b"....56\r\n.\r\n")[-1] == 250  # 7, un-stuffed
    assert codes(server, ENVELOPE + b"1234567\r\n.\r\nNOOP\r\n")[-2:] == [552, 250]


def test_what_is_too_long_is_not_kept_and_is_refused_at_its_end():
    server = greeted(size=1_000)
    for _ in range(50):
        server.receive(b"x" * 1_000)
        assert server.next_event() is None
        assert server.backlog <= 2_000
    assert told(server, b"\r\nNOOP\r\n") == ["500 5.5.2 This line is too long", "250 2.0.0 Ok"]
    server.receive(ENVELOPE)
    drain(server)
    for _ in range(50):
        server.receive(b"x" * 3_000 + b"\r\n")
        assert server.next_event() is None
        assert server.backlog <= 4
    server.receive(b".\r\nNOOP\r\n")
    spoiled, noop = drain(server)
    assert isinstance(spoiled, Spoiled)
    assert (spoiled.proposed.code, noop.proposed.code) == (552, 250)


# Smuggling (RFC 5321, 4.1.1.4): nothing but CRLF.CRLF ends a content


@pytest.mark.parametrize(
    "end",
    [b"\n.\n", b"\n.\r\n", b"\r.\r", b"\r.\r\n", b"\r\n.\n", b"\r\n.\r", b"\n.\r", b"\r\n.\r\r\n",
     b"\r\n\0.\r\n", b"\n\n.\r\n", b"\r\r\n.\n", b"\r\n.\0\r\n"],
)  # fmt: skip
@pytest.mark.parametrize("whole", [True, False])
def test_no_other_end_smuggles_a_second_message(end, whole):
    server = greeted()
    stream = ENVELOPE + b"Subject: x\r\n\r\nHi" + end + ENVELOPE + b"Evil\r\n.\r\n"
    events = []
    for chunk in [stream] if whole else [bytes((octet,)) for octet in stream]:
        server.receive(chunk)
        events += drain(server)
    assert [event.verb for event in events[:3]] == ["MAIL", "RCPT", "DATA"]
    (last,) = events[3:]
    if b"\0" in end:  # CRLF around it: an octet like any other
        assert isinstance(last, Message)
        assert last.content.endswith(ENVELOPE + b"Evil\r\n")
    else:
        assert isinstance(last, Spoiled)
        assert last.proposed.text.startswith("554 5.6.0")


@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\r", b"\0", b"\n\r"])
def test_no_other_end_smuggles_a_command(end):
    server = greeted()
    assert codes(server, b"NOOP" + end + b"RSET\r\nNOOP\r\n") == [500, 250]


octets = st.lists(
    st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"\0", b"EHLO x", b"MAIL FROM:<a@b>", b"DATA",
                     b"RCPT TO:<c@d>", b"AUTH LOGIN", b"STARTTLS", b"QUIT", b"x" * 600, ENVELOPE,
                     b"\r\n.\r\n", b"\r\n..x\r\n", b"dGlt"]) | st.binary(max_size=9),
    max_size=25,
).map(b"".join)  # fmt: skip


@given(octets, st.lists(st.integers(0, 30), max_size=30))
def test_any_bytes_in_any_cuts_give_the_same_events_and_no_exception(stream, sizes):
    options = ServerOptions(size=1_500, auth=("LOGIN",), auth_in_clear=True, max_line=500)
    whole, cut = Server(options), Server(options)
    whole.receive(b"EHLO x\r\n" + stream)
    events = drain(whole)
    cut.receive(b"EHLO x\r\n")
    found = drain(cut)
    for size in [*sizes, len(stream)]:
        cut.receive(stream[:size])
        found += drain(cut)
        stream = stream[size:]
    assert found == events
    assert cut.take_output() == whole.take_output()
