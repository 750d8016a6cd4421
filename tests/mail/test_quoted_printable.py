import quopri
import re

import pytest
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from letterbook.mail.quoted_printable import PieceEncoder, encode_piece

_AWKWARD = [*" \t.=\r\n~-_?\0\x7f\x85\xa0é漢😀\u2028\ud800\udfff", "\r\n", "=20", "=\r\n", "From "]
runs = st.builds(lambda piece, count: piece * count, st.sampled_from(_AWKWARD), st.integers(1, 160))
pieces = st.lists(
    st.one_of(
        st.text(max_size=30),
        st.lists(st.sampled_from(_AWKWARD) | st.text("ab", max_size=80), max_size=8).map("".join),
        runs,
    ),
    max_size=6,
)


def with_crlf(text):
    return re.sub(r"\r\n?|\n", "\r\n", text)


def encode(*texts, constants=()):
    return PieceEncoder(constants).encode(texts)


@given(pieces, st.data())
@examples(max_examples=400)
@example(["a ", "\n"], None)
@example(["a", ".", "\n", ".", "\n"], None)
@example(["x" * 75], None)
@example(["x" * 76, "x"], None)
@example(["." * 76, "x"], None)
@example(["é" + "x" * 70, "x"], None)
@example(["é" * 40], None)
@example(["", "", "="], None)
def test_what_is_decoded_is_what_was_written(texts, data):
    constants = data.draw(st.sets(st.sampled_from(texts))) if data and texts else texts
    encoded = encode(*texts, constants=constants)
    decoded = quopri.decodestring(encoded)
    assert decoded == "".join(map(with_crlf, texts)).encode("utf-8", "replace")

    lines = encoded.split(b"\r\n")
    assert all(len(line) <= 76 for line in lines)
    assert not any(line.endswith((b" ", b"\t")) for line in lines)
    assert not any(line.startswith(b".") for line in lines)
    assert b"\r" not in b"".join(lines)
    assert b"\n" not in b"".join(lines)
    assert all(octet in b"\t" or 32 <= octet < 127 for line in lines for octet in line)


@given(pieces)
def test_remembered_pieces_are_encoded_like_any_other(texts):
    assert encode(*texts, constants=texts) == encode(*texts)


@pytest.mark.parametrize("text", ["a", "Ana Pérez\n", "x" * 200, " ", "\n", "a\r", "."])
def test_a_piece_leaves_the_next_one_at_a_line_start(text):
    assert encode_piece(text).endswith(b"\r\n")


def test_a_short_plain_value_is_readable():
    assert encode("Hello ", "Ana", "!\n") == b"Hello=20=\r\nAna=\r\n!\r\n"


def test_a_lone_dot_never_stands_on_a_line():
    for texts in (
        ["."],
        ["." * 76],
        [".", "\n"],
        ["a\n", ".", "\nb"],
        ["a\n.\nb"],
        ["\n", ".", "", "\n"],
    ):
        assert b"." not in encode(*texts).split(b"\r\n")


def test_a_boundary_cannot_be_written():
    assert b"=_" not in encode("--=_", "=", "_abc", "=_" * 100)


def test_nothing_at_all_is_nothing():
    assert encode() == encode("", "") == b""
