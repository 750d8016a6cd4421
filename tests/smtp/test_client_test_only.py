"""Test SMTP: everything but DATA."""

import pytest

from letterbook.smtp.events import ContentWanted, Finished, Stage
from letterbook.smtp.transaction import Transaction

from .dialogue import GO, OKS, group, letter, ready_client, written

TEST_GROUP = b"MAIL FROM:<s@a.example>\r\nRCPT TO:<r@b.example>\r\n"


def errand() -> Transaction:
    return Transaction(sender="s@a.example", recipient="r@b.example", content=b"", test_only=True)


def test_a_test_ends_with_the_recipient_and_never_says_data():
    client = ready_client()
    test = errand()
    client.begin(test)
    assert written(client) == TEST_GROUP
    (ending,) = client.receive(OKS)
    assert (ending.transaction, ending.stage) == (test, Stage.RCPT)
    assert ending.reply.positive
    assert client.can_begin
    assert client.waiting_for is None


@pytest.mark.parametrize(
    ("replies", "stage"),
    [
        (b"550 5.7.1 no\r\n503 5.5.1 no sender\r\n", Stage.MAIL),
        (b"550 5.7.1 no\r\n250 2.1.5 Ok\r\n", Stage.MAIL),
        (b"250 2.1.0 Ok\r\n550 5.1.1 who\r\n", Stage.RCPT),
    ],
)
def test_a_refused_test_ends_once(replies, stage):
    client = ready_client()
    client.begin(errand())
    client.take_output()
    (ending,) = client.receive(replies)
    assert isinstance(ending, Finished)
    assert (ending.stage, ending.reply.code) == (stage, 550)
    assert client.can_begin


@pytest.mark.parametrize("pipelining", [True, False])
def test_what_a_test_left_behind_is_reset_before_the_next_letter(pipelining):
    client = ready_client(pipelining=pipelining)
    client.begin(errand())
    said = written(client)
    for reply in OKS.splitlines(keepends=True):
        client.receive(reply)
        said += written(client)
    assert said == TEST_GROUP
    following = letter(2)
    client.begin(following)
    said = written(client)
    events = []
    for reply in (b"250 2.0.0 Ok\r\n" + GO).splitlines(keepends=True):
        events += client.receive(reply)
        said += written(client)
    assert said == b"RSET\r\n" + group(following)
    assert events == [ContentWanted(following)]
