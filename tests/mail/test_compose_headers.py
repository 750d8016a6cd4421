import email
import email.policy
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from letterbook.mail.errors import PersonalisationError
from letterbook.mail.identity import MessageRef

from .letters import DATE, IDENTITY, compose, header_lines, make_composer, make_content, read

ONE_CLICK = "List-Unsubscribe=One-Click"


def test_every_header_in_its_order():
    content = make_content(
        reply_to="care@example.com",
        list_unsubscribe="https://example.com/u/{{ recipient.id }}",
        headers={"X-Brand": "Example {{ recipient.name }}"},
    )
    message_id = IDENTITY.message_id(MessageRef(7, 1), "example.com")
    assert header_lines(compose(content, name="Ana"))[:-2] == [
        f"Message-ID: {message_id}".encode(),
        b"Date: Mon, 23 Nov 2026 09:30:15 +0000",
        b"From: Example <news@example.com>",
        b"Reply-To: care@example.com",
        b"To: ana@example.org",
        b"Subject: Hello Ana",
        b"List-Unsubscribe: <https://example.com/u/1001>",
        b"List-Unsubscribe-Post: List-Unsubscribe=One-Click",
        b"X-Brand: Example Ana",
        b"MIME-Version: 1.0",
    ]


def test_the_date_is_the_platforms_wherever_it_was_made():
    madrid = make_content(time_zone="Europe/Madrid")
    assert read(compose(madrid))["Date"] == "Mon, 23 Nov 2026 10:30:15 +0100"
    elsewhere = DATE.astimezone(timezone(timedelta(hours=-7, minutes=-30)))
    assert compose(madrid, date=elsewhere) == compose(madrid, date=DATE)
    summer = datetime(2026, 7, 1, 23, 30, tzinfo=UTC)
    assert read(compose(madrid, date=summer))["Date"] == "Thu, 02 Jul 2026 01:30:00 +0200"


@pytest.mark.parametrize(
    ("target", "url"),
    [
        ("https://example.com/u", "https://example.com/u"),
        ("  https://example.com/u\n", "https://example.com/u"),
        ("HTTPS://example.com/u", "HTTPS://example.com/u"),
        ('https://example.com/a b<c>"d"é', "https://example.com/a%20b%3Cc%3E%22d%22%C3%A9"),
        ("https://example.com/?a=b%20c&d=e,f#g", "https://example.com/?a=b%20c&d=e,f#g"),
        (
            "https://example.com/{{ recipient.name }}",
            "https://example.com/x%20Bcc:%20eve@a.example",
        ),
    ],
)
def test_a_secure_web_address_is_one_click(target, url):
    message = read(compose(make_content(list_unsubscribe=target), name="x\r\nBcc: eve@a.example"))
    assert message["List-Unsubscribe"] == f"<{url}>"
    assert message["List-Unsubscribe-Post"] == ONE_CLICK


@pytest.mark.parametrize(
    "target",
    ["mailto:off@example.com?subject=off", "MAILTO:off@example.com", "http://example.com/u"],
)
def test_any_other_address_is_not_one_click(target):
    message = read(compose(make_content(list_unsubscribe=target)))
    assert message["List-Unsubscribe"] == f"<{target}>"
    assert message["List-Unsubscribe-Post"] is None


@pytest.mark.parametrize(
    "target",
    [
        "{{ recipient.nothing }}",
        "nonsense",
        "off@example.com",
        "ftp://example.com/u",
        "javascript:alert(1)",
        "//example.com/u",
        "https:",
        "https://",
        "https:///u",
        "https://{{ recipient.nothing }}/u",
        "mailto:",
        "mailto:off",
        "mailto:@example.com",
        "https://example.com/" + "x" * 900,
        "https://example.com/" + "é" * 200,
    ],
)
def test_an_address_nobody_can_unsubscribe_at_fails_the_message(target):
    with pytest.raises(PersonalisationError, match=r"^list_unsubscribe must give an https:"):
        compose(make_content(list_unsubscribe=target))


@pytest.mark.parametrize("where", ["subject", "text", "html", "list_unsubscribe", "header"])
def test_half_a_character_from_a_template_does_no_harm(where):
    half = "{{ '\\ud83d' }}"
    changes = {
        "list_unsubscribe": {"list_unsubscribe": f"https://example.com/{half}"},
        "header": {"headers": {"X-Brand": half}},
    }.get(where, {where: half})
    read(compose(make_content(**changes)))


def test_a_sender_without_a_name_is_an_address():
    assert b"From: news@example.com" in header_lines(compose(make_content(sender_name="")))


def test_an_address_beyond_ascii_makes_the_header_utf8_and_nothing_else():
    composed = compose(make_content(), address="josé@xn--and-6ma2c.example", name="é")
    header, _, body = composed.partition(b"\r\n\r\n")
    assert "To: josé@xn--and-6ma2c.example".encode() in header_lines(composed)
    assert body.isascii()
    assert header.replace("é".encode(), b"").isascii()
    parsed = email.message_from_string(composed.decode(), policy=email.policy.default)
    assert parsed["To"].addresses[0].addr_spec == "josé@xn--and-6ma2c.example"


@pytest.mark.parametrize(
    ("changes", "address", "needed"),
    [
        ({}, "ana@example.org", False),
        ({}, "ana@xn--and-6ma2c.example", False),
        ({"sender_name": "José", "subject": "ñ"}, "ana@example.org", False),
        ({}, "josé@example.org", True),
        ({"sender": "josé@example.com"}, "ana@example.org", True),
        ({"reply_to": "josé@example.com"}, "ana@example.org", True),
        ({"error_address": "josé@example.com"}, "ana@example.org", True),
    ],
)
def test_smtputf8_is_needed_for_addresses_only(changes, address, needed):
    content = make_content(**changes)
    assert make_composer(content).needs_smtputf8(address) is needed
    if not needed:
        assert compose(content, address=address).isascii()


INJECTIONS = [
    "\r\nBcc: eve@example.net", "\nBcc: eve@example.net", "\rBcc: eve@example.net", "\r\n\r\nbody",
    "\x0bBcc: x", "\x85Bcc: x", "\u2028Bcc: x", "\0", "=?utf-8?q?=0D=0ABcc:_x?=", "é\r\nBcc: x",
]  # fmt: skip


@given(st.sampled_from(INJECTIONS) | st.text(), st.sampled_from(["", "é", "x" * 950]))
@examples(max_examples=150)
def test_no_field_brings_in_a_header(injection, before):
    value = before + injection
    content = make_content(
        sender_name=value,
        headers={"X-Brand": "{{ recipient.name }}"},
        list_unsubscribe="https://example.com/{{ recipient.name|replace(' ', '')|truncate(20) }}",
    )
    for address in ("ana@example.org", "ana@example.org" + injection):
        lines = header_lines(compose(content, name=value, address=address))
        names = [line.partition(b":")[0].decode() for line in lines if not line.startswith(b" ")]
        assert names == [
            "Message-ID", "Date", "From", "To", "Subject", "List-Unsubscribe",
            "List-Unsubscribe-Post", "X-Brand", "MIME-Version", "Content-Type",
        ]  # fmt: skip
        assert not any(re.search(rb"[\r\n\0]", line) for line in lines)
