import pytest

from letterbook.smtp.client import Client
from letterbook.smtp.errors import OutOfTurn, ProtocolViolation, UnsafeCommand
from letterbook.smtp.events import Closing, Cut, Phase, Ready, Stage, TlsWanted
from letterbook.smtp.opening import Tls
from letterbook.smtp.reply import Reply
from letterbook.smtp.sasl import Credentials

from .dialogue import ehlo_reply, letter, names, ready_client, written

WHO = Credentials("tim", "secret")
PLAIN = b"AHRpbQBzZWNyZXQ="


def greeted(**options) -> Client:
    client = Client("client.example", **options)
    client.receive(b"220 mx.example\r\n")
    assert written(client) == b"EHLO client.example\r\n"
    return client


def secured() -> Client:
    """A client whose TLS is on and whose second EHLO is written."""
    client = greeted(tls=Tls.STARTTLS, credentials=WHO)
    client.receive(ehlo_reply("STARTTLS", "AUTH LOGIN", "PIPELINING"))
    client.receive(b"220 go\r\n")
    client.take_output()
    client.tls_established()
    assert written(client) == b"EHLO client.example\r\n"
    return client


def test_nothing_is_written_before_the_greeting():
    client = Client("client.example")
    assert written(client) == b""
    assert (client.phase, client.waiting_for) == (Phase.GREETING, Stage.GREETING)


def test_ready_after_ehlo():
    client = ready_client("PIPELINING", "SIZE 10")
    assert client.phase is Phase.READY
    assert client.waiting_for is None
    assert client.can_begin
    assert client.extensions.size == 10


@pytest.mark.parametrize("stage", ["GREETING", "EHLO", "STARTTLS", "AUTH"])
@pytest.mark.parametrize("code", [450, 554])
def test_a_refusal_makes_the_connection_useless_but_quit_is_said(stage, code):
    replies = {
        "GREETING": b"220 mx\r\n",
        "EHLO": ehlo_reply("STARTTLS", "AUTH PLAIN"),
        "STARTTLS": b"220 go\r\n",
    }
    replies = {} if stage == "GREETING" else replies
    if stage == "AUTH":
        client = greeted(credentials=WHO, clear_text_auth=True)
        client.receive(replies["EHLO"])
    else:
        client = Client("client.example", tls=Tls.STARTTLS)
        for each in replies:
            if each == stage:
                break
            client.receive(replies[each])
    client.take_output()
    (event,) = client.receive(b"%d 4.0.0 no\r\n" % code)
    assert isinstance(event, Closing)
    assert (event.stage, event.reply) == (Stage[stage], Reply(code, ("4.0.0 no",)))
    assert event.reason == f"the server refused {Stage[stage]}: {code} 4.0.0 no"
    assert not client.can_begin
    assert client.quit()
    assert written(client) == b"QUIT\r\n"
    (event,) = client.receive(b"221 bye\r\n")
    assert isinstance(event, Closing)
    assert event.stage is Stage.QUIT
    assert not client.quit()


@pytest.mark.parametrize("stage", [Stage.GREETING, Stage.EHLO, Stage.STARTTLS])
def test_421_closes_at_once(stage):
    client = Client("client.example", tls=Tls.STARTTLS)
    if stage is not Stage.GREETING:
        client.receive(b"220 mx\r\n")
    if stage is Stage.STARTTLS:
        client.receive(ehlo_reply("STARTTLS"))
    (event,) = client.receive(b"421 4.3.2 later\r\n")
    assert isinstance(event, Closing)
    assert (event.stage, client.phase) == (stage, Phase.CLOSED)
    assert not client.quit()
    assert written(client) == b""


def test_starttls_is_required_once_asked_for():
    client = greeted(tls=Tls.STARTTLS)
    (event,) = client.receive(ehlo_reply("PIPELINING"))
    assert event == Closing(Stage.STARTTLS, None, "the server does not offer STARTTLS")
    assert written(client) == b""


def test_starttls_greets_again_and_forgets_what_was_said_in_clear():
    client = secured()
    assert client.receive(ehlo_reply("SIZE 7", "AUTH PLAIN")) == []
    assert written(client) == b"AUTH PLAIN " + PLAIN + b"\r\n"
    (event,) = client.receive(b"235 welcome\r\n")
    assert isinstance(event, Ready)
    assert not event.extensions.pipelining
    assert event.extensions.size == 7
    assert not event.extensions.starttls


def test_tls_that_nobody_awaits():
    with pytest.raises(OutOfTurn):
        ready_client().tls_established()


@pytest.mark.parametrize(
    "injected", [b"2", b"250 x\r\n", b"421 x\r\n", b"250-x\r\n", b"rubbish\r\n"]
)
@pytest.mark.parametrize("apart", [False, True])
def test_bytes_in_clear_after_the_reply_to_starttls_are_a_violation(injected, apart):
    client = greeted(tls=Tls.STARTTLS)
    client.receive(ehlo_reply("STARTTLS"))
    client.take_output()
    go = b"220 go\r\n"
    chunks = [go, injected] if apart else [go + injected]
    wanted, cut = [event for chunk in chunks for event in client.receive(chunk)]
    assert isinstance(wanted, TlsWanted)
    assert isinstance(cut, Cut)
    assert isinstance(cut.error, ProtocolViolation)
    client.tls_established()  # too late: nothing happens
    assert written(client) == b""
    assert client.phase is Phase.CLOSED


def test_no_password_in_clear_unless_the_caller_says_so():
    client = greeted(credentials=WHO)
    (event,) = client.receive(ehlo_reply("AUTH PLAIN"))
    assert event == Closing(
        Stage.AUTH, None, "the password would go in clear: the connection has no TLS"
    )
    assert written(client) == b""
    client = greeted(credentials=WHO, clear_text_auth=True)
    client.receive(ehlo_reply("AUTH PLAIN"))
    assert written(client).startswith(b"AUTH PLAIN")
    client = greeted(credentials=WHO, tls=Tls.IMPLICIT)
    client.receive(ehlo_reply("AUTH PLAIN"))
    assert written(client).startswith(b"AUTH PLAIN")


def test_no_mechanism_that_we_know():
    client = secured()
    (event,) = client.receive(ehlo_reply("AUTH CRAM-MD5 XOAUTH2"))
    assert isinstance(event, Closing)
    assert (event.stage, event.reply) == (Stage.AUTH, None)
    assert "CRAM-MD5, XOAUTH2" in event.reason


def test_auth_login():
    client = secured()
    client.receive(ehlo_reply("AUTH=LOGIN"))
    said = [written(client)]
    for challenge in (b"334 VXNlcm5hbWU6\r\n", b"334 UGFzc3dvcmQ6\r\n"):
        assert client.receive(challenge) == []
        said.append(written(client))
    assert said == [b"AUTH LOGIN\r\n", b"dGlt\r\n", b"c2VjcmV0\r\n"]
    assert client.waiting_for is Stage.AUTH
    assert names(client.receive(b"235 ok\r\n")) == ["Ready"]


def test_auth_plain_where_the_server_overlooks_the_initial_response():
    client = secured()
    client.receive(ehlo_reply("AUTH PLAIN"))
    client.take_output()
    assert client.receive(b"334 \r\n") == []
    assert written(client) == PLAIN + b"\r\n"
    assert names(client.receive(b"235 ok\r\n")) == ["Ready"]


def test_a_server_that_never_has_enough():
    client = secured()
    client.receive(ehlo_reply("AUTH PLAIN"))
    client.receive(b"334 \r\n")
    client.take_output()
    assert names(client.receive(b"334 more\r\n")) == ["Cut"]
    assert written(client) == b""


def test_a_second_reply_to_the_greeting_is_a_violation():
    client = Client("client.example")
    client.receive(b"220 mx.example\r\n")
    assert names(client.receive(ehlo_reply() + b"250 again\r\n")) == ["Ready", "Cut"]


def test_the_name_in_ehlo_is_a_word():
    for name in ("", "a b", "a\r\nQUIT", "é"):
        with pytest.raises(UnsafeCommand):
            Client(name)


def test_nothing_begins_before_ready():
    client = greeted()
    with pytest.raises(OutOfTurn):
        client.begin(letter())
    assert not client.quit()
    assert client.connection_lost() == []
    assert client.receive(b"250 too late\r\n") == []
