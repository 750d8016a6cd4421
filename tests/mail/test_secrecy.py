"""Finding an address wherever a message may show it (promise P3)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letterbook.mail.headers import address_header, text_header
from letterbook.mail.quoted_printable import PieceEncoder
from letterbook.mail.secrecy import Secret

ADDRESS = "archive.of+all@vault.example"
SECRET = Secret(ADDRESS)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)


def message(header: bytes, *pieces: str) -> bytes:
    return b"".join((header, b"\r\n", PieceEncoder(()).encode(pieces), b"\r\n"))


@given(words, words, st.integers(0, len(ADDRESS)), st.booleans())
def test_a_body_that_shows_the_address_is_found(before, after, cut, shout):
    shown = ADDRESS.upper() if shout else ADDRESS
    pieces = [f"{before} {shown[:cut]}", f"{shown[cut:]} {after}"]
    assert SECRET.is_in(message(b"Subject: a\r\n", *pieces))


@given(words, words)
def test_a_header_that_shows_the_address_is_found(before, after):
    text = f"{before} {ADDRESS} {after}"
    assert SECRET.is_in(message(text_header("Subject", text), "nothing"))
    assert SECRET.is_in(message(address_header("From", "news@example.com", text), "nothing"))


@given(words, words)
def test_a_message_that_does_not_show_it_is_let_go(header, body):
    headers = text_header("Subject", f"{header} archive.of+all at vault.example")
    near = "archive.of+all@another.example vault.example"
    assert not SECRET.is_in(message(headers, body.replace("@", ""), near))


@pytest.mark.parametrize("shown", ["a@xn--exmple-cua.com", "a@exämple.com", "A@EXÄMPLE.com"])
def test_both_spellings_of_a_domain_are_found(shown):
    assert Secret("a@xn--exmple-cua.com").is_in(message(b"Subject: a\r\n", f"to {shown} now"))


def test_a_local_part_beyond_ascii_is_found():
    secret = Secret("señor@vault.example")
    assert secret.is_in(message(b"Subject: a\r\n", "x" * 70 + "señor@vault.example"))
    assert secret.is_in(message(text_header("Subject", "a señor@vault.example b"), "nothing"))
