import re
import string
from enum import IntEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterbook.mail.identity import Identity, MessageRef, Purpose

OURS = Identity(bytes(range(32)))
OTHER = Identity(bytes(32))
messages = st.builds(
    MessageRef, delivery=st.integers(0, 2**63 - 1), ordinal=st.integers(0, 2**32 - 1)
)
MESSAGE = MessageRef(12, 34)


@given(messages, st.sampled_from(Purpose))
def test_a_token_opens_for_its_purpose_and_key_only(message, purpose):
    token = OURS.token(message, purpose)
    assert re.fullmatch("[0-9a-f]{32}", token)
    assert OURS.open_token(token, purpose) == message
    assert OTHER.open_token(token, purpose) is None
    assert OURS.open_token(OTHER.token(message, purpose), purpose) is None


def test_a_token_for_one_purpose_opens_for_no_other():
    mirror = IntEnum("Another", {"MIRROR": 2}).MIRROR
    token, other = OURS.token(MESSAGE, Purpose.MESSAGE_ID), OURS.token(MESSAGE, mirror)
    assert token != other
    assert OURS.open_token(token, mirror) is None
    assert OURS.open_token(other, Purpose.MESSAGE_ID) is None
    assert OURS.open_token(other, mirror) == MESSAGE


@given(messages, messages)
def test_two_messages_have_two_tokens_that_look_unlike(one, other):
    tokens = [OURS.token(each, Purpose.MESSAGE_ID) for each in (one, other)]
    assert (tokens[0] == tokens[1]) == (one == other)
    if one != other:
        different = int(tokens[0], 16) ^ int(tokens[1], 16)
        assert 20 < different.bit_count() < 108


def test_names_are_the_same_on_every_host():
    again = Identity(bytes(range(32)))
    assert again == OURS
    assert again.message_id(MESSAGE, "example.com") == OURS.message_id(MESSAGE, "example.com")
    assert OURS.message_id(MESSAGE, "example.com") == (
        "<430c6a478591ae7cab22c313a1a2b09f.12@example.com>"
    )
    assert again.boundary(12) == OURS.boundary(12)
    assert again.copies_return_path(MESSAGE, "a@b.example") == OURS.copies_return_path(
        MESSAGE, "a@b.example"
    )


@given(messages)
def test_a_message_id_is_message_delivery_and_domain(message):
    token, delivery = re.fullmatch(
        r"<([0-9a-f]{32})\.(\d+)@xn--and-6ma2c\.example>",
        OURS.message_id(message, "xn--and-6ma2c.example"),
    ).groups()
    assert OURS.open_token(token, Purpose.MESSAGE_ID) == message
    assert int(delivery) == message.delivery


@given(messages, messages)
def test_a_copys_return_path_cannot_be_guessed(message, other):
    path = OURS.copies_return_path(message, "bounces@example.com")
    matched = re.fullmatch(r"copies\+(\d+)\.(\d+)\.([0-9a-f]{20})@example\.com", path)
    assert (int(matched[1]), int(matched[2])) == (message.delivery, message.ordinal)
    assert len(path.partition("@")[0]) <= 64
    assert path != OTHER.copies_return_path(message, "bounces@example.com")
    assert (path == OURS.copies_return_path(other, "bounces@example.com")) == (message == other)


def test_a_quoted_error_address_gives_its_domain_to_copies():
    assert OURS.copies_return_path(MESSAGE, '"a@b"@example.com').endswith("@example.com")


def test_a_boundary_is_of_one_delivery_and_key_and_of_allowed_characters():
    boundary = OURS.boundary(1)
    assert boundary not in {OURS.boundary(2), OURS.boundary(11), OTHER.boundary(1)}
    assert boundary.startswith("=_")
    assert set(boundary) <= set(string.ascii_letters + string.digits + "'()+_,-./:=?")
    assert len(boundary) <= 60


@pytest.mark.parametrize(
    "token",
    [
        "",
        " ",
        "0" * 31,
        "0" * 33,
        "g" * 32,
        "0" * 32,
        "é" * 32,
        "٠" * 32,
        "\0" * 32,
        "0" * 32 + "\n",
    ],
)
def test_garbage_opens_nothing(token):
    assert OURS.open_token(token, Purpose.MESSAGE_ID) is None


@given(st.text() | st.from_regex("[0-9a-fA-F]{32}", fullmatch=True))
def test_nothing_that_was_not_ours_opens(token):
    assert OURS.open_token(token, Purpose.MESSAGE_ID) is None


def test_the_key_is_not_shown():
    assert "key" not in repr(OURS)
    assert repr(bytes(range(32)))[3:20] not in repr(OURS)
