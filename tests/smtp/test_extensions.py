import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterbook.smtp.errors import BadCommand, UnsafeCommand
from letterbook.smtp.extensions import Extensions, parse_extensions
from letterbook.smtp.reply import Reply
from letterbook.smtp.sasl import (
    Credentials,
    plain_response,
    read_login,
    read_plain,
    start_exchange,
)


def offered(*lines: str) -> Extensions:
    return parse_extensions(Reply(250, ("mx.example greets you", *lines)))


def test_what_a_large_server_offers():
    found = offered(
        "pipelining", "SIZE 35882577", "8BITMIME", "SMTPUTF8", "DSN", "STARTTLS", "CHUNKING",
        "ENHANCEDSTATUSCODES", "AUTH plain LOGIN", "AUTH=LOGIN XOAUTH2", "LIMITS RCPTMAX=9", "",
    )  # fmt: skip
    assert found.pipelining
    assert found.eight_bit_mime
    assert found.smtputf8
    assert found.dsn
    assert found.starttls
    assert found.chunking
    assert found.enhanced_status_codes
    assert found.size == 35882577
    assert found.auth == {"PLAIN", "LOGIN", "XOAUTH2"}
    assert found.keywords["LIMITS"] == "RCPTMAX=9"


def test_a_server_that_offers_nothing():
    assert offered() == Extensions()
    assert parse_extensions(Reply(250, ("PIPELINING",))) == Extensions()  # that is its name


@pytest.mark.parametrize("line", ["SIZE", "SIZE 0", "SIZE lots", "SIZE -1", "SIZE " + "9" * 30])
def test_a_size_that_states_no_limit(line):
    assert offered(line).size is None
    assert offered(line).size_offered


def test_plain_goes_before_login_and_others_are_not_known():
    who = Credentials("tim", "tanstaaftanstaaf")
    plain = start_exchange(who, frozenset({"LOGIN", "PLAIN"}))
    assert plain is not None
    assert plain.command == b"AUTH PLAIN AHRpbQB0YW5zdGFhZnRhbnN0YWFm"  # RFC 4616, 4
    login = start_exchange(who, frozenset({"LOGIN", "CRAM-MD5"}))
    assert login is not None
    assert (login.command, len(login.responses)) == (b"AUTH LOGIN", 2)
    assert start_exchange(who, frozenset({"CRAM-MD5"})) is None


def test_a_password_is_not_shown():
    who = Credentials("tim", "tanstaaf")
    shown = repr(who) + repr(start_exchange(who, frozenset({"PLAIN"})))
    assert "tanstaaf" not in shown
    assert plain_response(who).decode() not in shown


def test_nul_would_move_the_borders_of_plain():
    with pytest.raises(UnsafeCommand):
        Credentials("a\0b", "c")
    with pytest.raises(UnsafeCommand):
        Credentials("a", "c\0")
    with pytest.raises(UnsafeCommand):
        plain_response(Credentials("a", "\ud800"))


words = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


@given(words, words)
def test_plain_round_trip(username, password):
    assert read_plain(plain_response(Credentials(username, password))) == Credentials(
        username, password
    )


@pytest.mark.parametrize("response", [b"*", b"!", b"=", b"", b"YQ==", b"AGEAYgBj", b"/w==", b"YQ"])
def test_a_plain_response_that_is_none(response):
    with pytest.raises(BadCommand):
        read_plain(response)


def test_a_login_response():
    assert read_login(b"dGlt") == "tim"
    assert read_login(b"=") == ""
    with pytest.raises(BadCommand):
        read_login(b"AGEAYg==")
