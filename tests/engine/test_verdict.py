"""The table of verdicts: every row of design section 6 that a reply can decide."""

import pytest

from letterbook.engine.verdict import Verdict, judge_copy, judge_message, judge_test
from letterbook.smtp.events import Stage
from tests.engine.faults import reply

ACCEPTED, AGAIN, REFUSED, ROUTE = Verdict
OPENING = (Stage.GREETING, Stage.EHLO, Stage.STARTTLS, Stage.AUTH)
ALL = (*OPENING, Stage.MAIL, Stage.RCPT, Stage.DATA, Stage.CONTENT)


@pytest.mark.parametrize(
    ("stages", "text", "verdict"),
    [
        ([Stage.CONTENT], "250 2.0.0 Ok", ACCEPTED),
        ([Stage.CONTENT], "250 Ok", ACCEPTED),
        ([Stage.CONTENT], "251 2.1.5 Forwarded", ACCEPTED),
        # The recipient: a reply to RCPT or to the final dot.
        ([Stage.RCPT, Stage.CONTENT], "450 4.2.1 Greylisted", AGAIN),
        ([Stage.RCPT, Stage.CONTENT], "451 Not now", AGAIN),
        ([Stage.RCPT, Stage.CONTENT], "452 4.2.2 Mailbox full", AGAIN),
        ([Stage.RCPT, Stage.CONTENT], "452 4.3.1 Storage full", AGAIN),
        ([Stage.RCPT, Stage.CONTENT], "550 5.1.1 Nobody", REFUSED),
        ([Stage.RCPT, Stage.CONTENT], "550 Nobody", REFUSED),
        ([Stage.RCPT, Stage.CONTENT], "552 5.2.2 Mailbox full", REFUSED),
        ([Stage.RCPT, Stage.CONTENT], "554 5.7.1 Spam", REFUSED),
        ([Stage.DATA], "451 4.3.0 Not now", AGAIN),
        ([Stage.DATA], "554 5.5.1 No", REFUSED),
        # The route: 421 anywhere; what comes before a recipient is named.
        (ALL, "421 4.3.2 Closing", ROUTE),
        (ALL, "421 Closing", ROUTE),
        ((*OPENING, Stage.MAIL), "450 4.7.0 Not now", ROUTE),
        ((*OPENING, Stage.MAIL), "550 5.7.1 You may not", ROUTE),
        ((*OPENING, Stage.MAIL), "554 No", ROUTE),
        ([Stage.AUTH], "535 5.7.8 Wrong password", ROUTE),
        ([Stage.STARTTLS], "454 4.7.0 No TLS now", ROUTE),
        # What MAIL says of one message's size or kind concerns the message.
        ([Stage.MAIL], "552 5.3.4 Too large", REFUSED),
        ([Stage.MAIL], "553 5.6.7 No SMTPUTF8", REFUSED),
        # What nobody asked for.
        ([Stage.RCPT, Stage.CONTENT], "354 Go on", ROUTE),
    ],
)
def test_a_reply_on_the_recipients_route(stages, text, verdict):
    assert [judge_message(stage, reply(text)) for stage in stages] == [verdict] * len(stages)


@pytest.mark.parametrize(
    ("stages", "text", "verdict"),
    [
        ([Stage.CONTENT], "250 2.0.0 17", ACCEPTED),
        # One 4xx: that copy.
        ([Stage.CONTENT], "451 4.7.1 Not now", AGAIN),
        ([Stage.CONTENT], "452 Not now", AGAIN),
        ([Stage.CONTENT], "450 4.3.2 Not now", AGAIN),
        ([Stage.MAIL, Stage.RCPT, Stage.DATA], "451 4.7.1 Not now", AGAIN),
        # The archive: refusal at RCPT, AUTH, TLS and before.
        ([*OPENING, Stage.MAIL, Stage.RCPT], "550 5.1.1 Nobody", ROUTE),
        ([*OPENING, Stage.MAIL, Stage.RCPT], "554 No", ROUTE),
        ([*OPENING], "454 4.7.0 Not now", ROUTE),
        ([Stage.AUTH], "535 5.7.8 Wrong password", ROUTE),
        ([Stage.AUTH], "454 4.7.0 Cannot look it up", ROUTE),
        # The archive: full, whatever the class.
        ([Stage.RCPT, Stage.CONTENT], "452 4.2.2 Mailbox full", ROUTE),
        ([Stage.RCPT, Stage.CONTENT], "552 5.2.2 Mailbox full", ROUTE),
        ([Stage.RCPT, Stage.CONTENT], "452 4.3.1 Disk full", ROUTE),
        ([Stage.RCPT, Stage.CONTENT], "552 5.3.1 Disk full", ROUTE),
        ([Stage.CONTENT], "552 Storage exceeded", ROUTE),
        # The archive: 421 anywhere.
        (ALL, "421 4.3.2 Closing", ROUTE),
        (ALL, "421 Closing", ROUTE),
        # The message: other 5xx for a copy.
        ([Stage.MAIL, Stage.CONTENT], "552 5.3.4 Too large", REFUSED),
        ([Stage.MAIL, Stage.CONTENT], "552 5.2.3 Too large", REFUSED),
        ([Stage.MAIL, Stage.CONTENT], "554 5.6.0 Malformed", REFUSED),
        ([Stage.MAIL, Stage.CONTENT], "554 5.6.3 Conversion", REFUSED),
        ([Stage.CONTENT], "550 5.7.1 A virus", REFUSED),
        ([Stage.CONTENT], "554 No", REFUSED),
        ([Stage.DATA], "554 5.5.1 No", REFUSED),
        ([Stage.RCPT, Stage.CONTENT], "354 Go on", ROUTE),
    ],
)
def test_a_reply_to_a_copy(stages, text, verdict):
    assert [judge_copy(stage, reply(text)) for stage in stages] == [verdict] * len(stages)


@pytest.mark.parametrize(
    ("stage", "text", "verdict"),
    [
        (Stage.RCPT, "250 2.1.5 Ok", ACCEPTED),
        (Stage.RCPT, "251 2.1.5 Forwarded", ACCEPTED),
        (Stage.RCPT, "450 4.2.1 Greylisted", AGAIN),
        (Stage.RCPT, "550 5.1.1 Nobody", REFUSED),
        (Stage.MAIL, "552 5.3.4 Too large", REFUSED),
        (Stage.MAIL, "550 5.7.1 No", ROUTE),
        (Stage.RCPT, "421 4.3.2 Bye", ROUTE),
        # It never comes to this; should it, it is no success.
        (Stage.CONTENT, "250 2.0.0 Ok", ROUTE),
    ],
)
def test_a_test_ends_with_the_recipient(stage: Stage, text: str, verdict: Verdict):
    assert judge_test(stage, reply(text)) is verdict
    if verdict is ACCEPTED:
        assert judge_message(stage, reply(text)) is not ACCEPTED
