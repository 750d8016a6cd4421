"""What is said for each message, and which reply ends it."""

import pytest

from letterbook.smtp.errors import (
    EightBitNotOffered,
    OutOfTurn,
    SizeExceeded,
    Smtputf8NotOffered,
    UnsafeCommand,
    UnsafeContent,
)
from letterbook.smtp.events import (
    Closing,
    ContentWanted,
    Finished,
    Phase,
    Stage,
    Unanswered,
)
from letterbook.smtp.grammar import Dsn
from letterbook.smtp.reply import Reply

from .dialogue import GO, OKS, QUEUED, begun_client, group, letter, names, ready_client, written


def test_the_first_group_is_one_write():
    client = ready_client()
    first = letter()
    client.begin(first)
    assert client.take_output() == [group(first)]
    assert client.waiting_for is Stage.MAIL
    assert not client.can_begin


def test_the_content_goes_without_a_copy_and_the_next_group_rides_with_it():
    client, first = begun_client()
    second = letter(2)
    assert client.receive(GO) == [ContentWanted(first)]
    assert client.waiting_for is None
    client.send_content()
    assert client.can_begin
    client.begin(second)
    assert not client.can_begin
    output = client.take_output()
    assert output == [first.content, b".\r\n", group(second)]
    assert output[0] is first.content
    assert client.waiting_for is Stage.CONTENT
    events = client.receive(b"250 2.0.0 queued\r\n" + GO)
    assert events == [Finished(first, Stage.CONTENT, QUEUED), ContentWanted(second)]
    assert events[0].transaction.subject == 1


def test_dots_are_stuffed_once_for_both_routes():
    content = b".\r\na\r\n..b\r\n"
    client = ready_client()
    copy = letter(1, content)
    client.begin(copy)
    client.receive(GO)
    client.send_content()
    assert client.take_output()[1:] == [b"..\r\na\r\n...b\r\n", b".\r\n"]
    assert copy.stuffed == b"..\r\na\r\n...b\r\n"


def test_the_next_may_begin_late_while_the_final_reply_is_awaited():
    client, _first = begun_client()
    client.receive(GO)
    client.send_content()
    client.take_output()
    second = letter(2)
    client.begin(second)
    assert written(client) == group(second)
    events = client.receive(b"250 2.0.0 queued\r\n" + GO)
    assert names(events) == ["Finished", "ContentWanted"]


def test_without_pipelining_one_command_at_a_time():
    client = ready_client("SIZE 100000")
    first = letter()
    client.begin(first)
    said = []
    for reply in (b"250 ok\r\n", b"250 ok\r\n", b"354 go\r\n"):
        said.append(written(client))
        events = client.receive(reply)
    assert b"".join(said) == group(first)
    assert len(said) == 3
    assert events == [ContentWanted(first)]
    client.send_content()
    assert not client.can_begin
    assert written(client) == first.content + b".\r\n"
    assert names(client.receive(b"250 queued\r\n")) == ["Finished"]
    assert client.can_begin


def test_pipelining_can_be_declined():
    client = ready_client("PIPELINING", pipelining=False)
    client.begin(letter())
    assert written(client) == b"MAIL FROM:<s1@a.example>\r\n"


def test_mail_refused():
    client, first = begun_client()
    no = Reply(550, ("5.7.1 no",))
    events = client.receive(b"550 5.7.1 no\r\n503 5.5.1 MAIL first\r\n")
    assert events == [Finished(first, Stage.MAIL, no)]
    assert not client.can_begin
    assert client.receive(b"503 5.5.1 RCPT first\r\n") == []
    second = letter(2)
    client.begin(second)
    assert written(client) == group(second)


def test_recipient_refused_and_data_refused():
    client, first = begun_client()
    events = client.receive(b"250 ok\r\n550 5.1.1 nobody\r\n554 5.5.1 no recipients\r\n")
    assert events == [Finished(first, Stage.RCPT, Reply(550, ("5.1.1 nobody",)))]
    second = letter(2)
    client.begin(second)
    assert client.take_output() == [b"RSET\r\n", group(second)]
    assert client.receive(b"250 reset\r\n" + GO) == [ContentWanted(second)]


def test_recipient_refused_and_data_accepted_a_lone_dot_and_never_the_content():
    client, _first = begun_client()
    events = client.receive(b"250 ok\r\n550 5.1.1 nobody\r\n354 go\r\n")
    assert names(events) == ["Finished"]
    assert client.waiting_for is Stage.EMPTY
    second = letter(2)
    client.begin(second)
    assert client.take_output() == [b".\r\n", group(second)]
    assert client.receive(b"554 5.5.1 no valid recipients\r\n" + GO) == [ContentWanted(second)]


def test_mail_and_recipient_refused_and_data_accepted():
    client, first = begun_client()
    events = client.receive(b"450 no\r\n550 no\r\n354 go\r\n")
    assert events == [Finished(first, Stage.MAIL, Reply(450, ("no",)))]
    assert written(client) == b".\r\n"
    assert client.receive(b"250 whatever\r\n") == []


def test_mail_refused_and_the_rest_accepted_is_nonsense_that_only_a_cut_ends():
    client, _first = begun_client()
    events = client.receive(b"550 no\r\n250 ok\r\n354 go\r\n")
    assert names(events) == ["Finished", "Cut"]
    assert written(client) == b""
    assert client.connection_lost() == []


def test_a_refusal_is_judged_by_its_own_group():
    client, _first = begun_client()
    client.receive(GO)
    client.send_content()
    second = letter(2)
    client.begin(second)
    client.take_output()
    events = client.receive(b"250 ok\r\n550 no\r\n550 no\r\n354 go\r\n")
    assert names(events) == ["Finished", "Finished"]
    assert written(client) == b".\r\n"  # the first letter's recipient is not this one's


def test_a_refused_rset_cuts_since_the_recipient_before_may_stand():
    client, _ = begun_client()
    client.receive(OKS + b"450 not now\r\n")
    second = letter(2)
    client.begin(second)
    client.take_output()
    events = client.receive(b"550 no\r\n503 no\r\n450 no\r\n354 go\r\n")
    assert events[0] == Unanswered(second, content_written=False)
    assert names(events) == ["Unanswered", "Cut"]
    assert written(client) == b""


def test_data_refused():
    client, first = begun_client()
    events = client.receive(OKS + b"451 4.3.0 busy\r\n")
    assert events == [Finished(first, Stage.DATA, Reply(451, ("4.3.0 busy",)))]
    second = letter(2)
    client.begin(second)
    assert client.take_output() == [b"RSET\r\n", group(second)]
    assert client.receive(b"250 ok\r\n" + GO) == [ContentWanted(second)]


@pytest.mark.parametrize(
    ("replies", "stage", "next_line"),
    [
        ([b"550 no\r\n"], Stage.MAIL, b"MAIL"),
        ([b"250 ok\r\n", b"550 no\r\n"], Stage.RCPT, b"RSET"),
        ([b"250 ok\r\n", b"250 ok\r\n", b"550 no\r\n"], Stage.DATA, b"RSET"),
    ],
)
def test_refusals_one_command_at_a_time(replies, stage, next_line):
    client, first = begun_client(pipelining=False)
    for reply in replies:
        events = client.receive(reply)
        client.take_output()
    assert events == [Finished(first, stage, Reply(550, ("no",)))]
    client.begin(letter(2))
    assert written(client).startswith(next_line)
    if next_line == b"RSET":
        client.receive(b"250 ok\r\n")
        assert written(client).startswith(b"MAIL")


def test_the_final_dot_refused_and_the_connection_goes_on():
    client, first = begun_client()
    client.receive(GO)
    client.send_content()
    second = letter(2)
    client.begin(second)
    client.take_output()
    events = client.receive(b"552 5.3.4 too big\r\n" + GO)
    assert events == [
        Finished(first, Stage.CONTENT, Reply(552, ("5.3.4 too big",))),
        ContentWanted(second),
    ]


# What cannot go here


def refused(client, transaction, error):
    with pytest.raises(error):
        client.begin(transaction)
    assert written(client) == b""
    assert client.can_begin
    assert client.connection_lost() == []


def test_local_refusals_come_before_any_byte():
    refused(ready_client("SIZE 10"), letter(), SizeExceeded)
    refused(ready_client("PIPELINING"), letter(needs_8bit=True), EightBitNotOffered)
    refused(ready_client("PIPELINING"), letter(needs_smtputf8=True), Smtputf8NotOffered)
    refused(ready_client("PIPELINING"), letter(sender="é@b.example"), Smtputf8NotOffered)
    refused(ready_client(), letter(sender="a\r\nQUIT"), UnsafeCommand)
    refused(ready_client(), letter(content=b"no line end"), UnsafeContent)
    refused(ready_client(), letter(dsn=Dsn(envid="é")), UnsafeCommand)


def test_a_message_of_just_the_size():
    client = ready_client("SIZE 28", "PIPELINING")
    client.begin(letter())
    assert b" SIZE=28\r\n" in written(client)


def test_extensions_are_used_when_offered_and_needed_only():
    wishes = {"dsn": Dsn(envid="1.2", notify=("FAILURE",), orcpt="r@b.example"), "sender": ""}
    client = ready_client()
    client.begin(letter(needs_8bit=True, needs_smtputf8=True, **wishes))
    assert written(client).split(b"\r\n")[:2] == [
        b"MAIL FROM:<> SIZE=28 BODY=8BITMIME SMTPUTF8 ENVID=1.2",
        b"RCPT TO:<r1@b.example> NOTIFY=FAILURE ORCPT=rfc822;r@b.example",
    ]
    client = ready_client("PIPELINING")
    client.begin(letter(**wishes))
    assert written(client) == b"MAIL FROM:<>\r\nRCPT TO:<r1@b.example>\r\nDATA\r\n"


def test_calls_out_of_turn():
    client, _ = begun_client()
    for call in (lambda: client.begin(letter(2)), client.send_content, client.withhold):
        with pytest.raises(OutOfTurn):
            call()
    assert not client.quit()
    client.receive(GO)
    assert not client.quit()
    client.send_content()
    with pytest.raises(OutOfTurn):
        client.send_content()


def test_quit_rides_with_the_last_content():
    client, first = begun_client()
    client.receive(GO)
    client.send_content()
    assert client.quit()
    assert not client.can_begin
    assert client.take_output() == [first.content, b".\r\n", b"QUIT\r\n"]
    events = client.receive(b"250 2.0.0 queued\r\n221 bye\r\n")
    assert events == [
        Finished(first, Stage.CONTENT, QUEUED),
        Closing(Stage.QUIT, Reply(221, ("bye",)), "we said QUIT"),
    ]
    assert client.phase is Phase.CLOSED
