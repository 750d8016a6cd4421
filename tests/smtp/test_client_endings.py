"""How transactions end when the connection does: 421, lost connections, nonsense."""

import pytest

from letterbook.smtp.errors import (
    ContentWithheld,
    ProtocolViolation,
)
from letterbook.smtp.events import (
    Closing,
    Cut,
    Finished,
    Phase,
    Stage,
    Unanswered,
)
from letterbook.smtp.reply import Reply

from .dialogue import GO, OKS, begun_client, letter, names, ready_client, written

# 421 and lost connections


@pytest.mark.parametrize("stage", [Stage.MAIL, Stage.RCPT, Stage.DATA])
def test_421_in_the_group_is_the_reply_to_the_oldest_command(stage):
    client, first = begun_client()
    before = {Stage.MAIL: b"", Stage.RCPT: b"250 ok\r\n", Stage.DATA: OKS}[stage]
    finished, closing = client.receive(before + b"421 4.3.2 bye\r\n503 rest\r\n")
    reply = Reply(421, ("4.3.2 bye",))
    assert finished == Finished(first, stage, reply)
    assert closing == Closing(stage, reply, "the server closes: 421 4.3.2 bye")
    assert client.connection_lost() == []
    assert not client.quit()


def test_421_in_the_place_of_the_final_reply_means_not_accepted():
    client, first = begun_client()
    client.receive(GO)
    client.send_content()
    second = letter(2)
    client.begin(second)
    client.take_output()
    events = client.receive(b"421 bye\r\n")
    assert events[:2] == [
        Finished(first, Stage.CONTENT, Reply(421, ("bye",))),
        Unanswered(second, content_written=False),
    ]
    assert names(events[2:]) == ["Closing"]


def test_421_after_a_refused_recipient_adds_no_second_ending():
    client, _first = begun_client()
    events = client.receive(b"250 ok\r\n550 no\r\n421 bye\r\n")
    assert names(events) == ["Finished", "Closing"]
    assert events[1].stage is Stage.DATA


@pytest.mark.parametrize("refusal", [b"550 no\r\n354 go\r\n", b"550 no\r\n503 no\r\n"])
def test_421_to_the_lone_dot_or_to_rset(refusal):
    client, _first = begun_client()
    client.receive(b"250 ok\r\n" + refusal)
    second = letter(2)
    client.begin(second)
    client.take_output()
    events = client.receive(b"421 bye\r\n")
    assert events[0] == Unanswered(second, content_written=False)
    assert events[1].stage in (Stage.EMPTY, Stage.RSET)


def test_421_while_nothing_is_awaited():
    client = ready_client()
    (event,) = client.receive(b"421 4.4.2 idle for too long\r\n")
    assert isinstance(event, Closing)
    assert event.stage is None
    assert client.phase is Phase.CLOSED


def test_421_while_the_shell_decides():
    client, _first = begun_client()
    client.receive(GO)
    events = client.receive(b"421 too slow\r\n")
    assert names(events) == ["Unanswered", "Closing"]
    client.send_content()  # too late: nothing happens
    assert written(client) == b""
    assert client.withhold() == []


def test_a_connection_lost_puts_in_doubt_only_what_was_handed_over():
    client, first = begun_client()
    client.receive(GO)
    client.send_content()
    second = letter(2)
    client.begin(second)
    client.take_output()
    assert client.connection_lost() == [
        Unanswered(first, content_written=True),
        Unanswered(second, content_written=False),
    ]
    assert client.connection_lost() == []
    assert client.waiting_for is None


def test_content_that_the_shell_never_took_is_not_in_doubt():
    client, first = begun_client()
    client.receive(GO)
    client.send_content()
    assert client.connection_lost() == [Unanswered(first, content_written=False)]
    assert written(client) == b""


@pytest.mark.parametrize("taken", [False, True])
def test_a_final_reply_before_the_content_was_taken_is_a_violation(taken):
    client, _first = begun_client()
    client.receive(GO)
    client.send_content()
    if taken:
        client.take_output()
    events = client.receive(b"250 queued\r\n")
    assert names(events) == (["Finished"] if taken else ["Unanswered", "Cut"])


def test_withholding_cuts_since_smtp_has_no_cancel():
    client, first = begun_client()
    client.receive(GO)
    unanswered, cut = client.withhold()
    assert unanswered == Unanswered(first, content_written=False)
    assert isinstance(cut, Cut)
    assert isinstance(cut.error, ContentWithheld)
    assert written(client) == b""
    assert not client.quit()


# Violations


@pytest.mark.parametrize(
    ("replies", "names_before"),
    [
        (b"354 go\r\n", []),
        (b"250 ok\r\n354 go\r\n", []),
        (OKS + b"250 ok\r\n", []),
        (OKS + b"334 what\r\n", []),
        (OKS + b"rubbish\r\n", []),
        (GO + b"250 ok\r\n", ["ContentWanted"]),
        (b"550 no\r\nrubbish\r\n", ["Finished"]),
    ],
)
def test_a_reply_that_cannot_be_one_cuts(replies, names_before):
    client, _first = begun_client()
    events = client.receive(replies)
    ends = [] if "Finished" in names_before else ["Unanswered"]
    assert names(events) == [*names_before, *ends, "Cut"]
    assert isinstance(events[-1].error, ProtocolViolation)
    assert client.receive(b"250 ok\r\n") == []


def test_an_intermediate_reply_to_the_content_leaves_it_in_doubt():
    client, first = begun_client()
    client.receive(GO)
    client.send_content()
    client.take_output()
    events = client.receive(b"354 go on\r\n")
    assert events[0] == Unanswered(first, content_written=True)
    assert names(events) == ["Unanswered", "Cut"]


def test_a_reply_that_nobody_asked_for():
    assert names(ready_client().receive(b"250 hello\r\n")) == ["Cut"]
