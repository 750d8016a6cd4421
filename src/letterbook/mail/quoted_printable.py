"""Quoted-printable, piece by piece (RFC 2045, 6.7).

A message is mostly text that is the same for everyone. Each piece of it, constant or personal,
is encoded as if it stood alone at the start of a line and is joined to the next by a soft line
break, so that constant pieces are encoded once for a delivery and yet no line grows too long.
No line begins with a dot, so that nothing is to be stuffed on the wire (RFC 5321, 4.5.2).
"""

import binascii
import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

_SOFT_BREAK: Final = b"=\r\n"
_LONGEST_LINE: Final = 76
_NEWLINES: Final = re.compile(r"\r\n?|\n")
_PLAIN: Final = re.compile(r"(?!\.)[ -<>-~]{0,73}[!-\-/-<>-~]")
"""One line that needs no encoding: no equals sign, no white space or dot at its ends."""

_DOT: Final = re.compile(rb"(?:(?<=\n)|\A)\.")


@lru_cache(maxsize=256)  # a message says the same name or token again and again
def encode_piece(piece: str) -> bytes:
    """Encode ``piece``, which is not empty, so that another piece may follow at a line start.

    Line breaks of any kind become CRLF.
    """
    if _PLAIN.fullmatch(piece):  # as nearly all personal values are
        return piece.encode("ascii") + _SOFT_BREAK
    if "\r" in piece:
        piece = _NEWLINES.sub("\n", piece)
    encoded = binascii.b2a_qp(piece.encode("utf-8", "replace")).replace(b"\n", b"\r\n")
    while _DOT.search(encoded):  # a line of its own, for there may be no room for two octets more
        encoded = _DOT.sub(b"=2E=\r\n", encoded)
    if encoded.endswith(b"\n"):
        return encoded
    if len(encoded) - encoded.rfind(b"\n") > _LONGEST_LINE:  # the soft break needs one octet
        last = b"=2E" if encoded.endswith(b".") else encoded[-1:]
        encoded = encoded[:-1] + _SOFT_BREAK + last
    return encoded + _SOFT_BREAK


class PieceEncoder:
    """Encodes pieces and remembers the constant ones."""

    __slots__ = ("_constants",)

    def __init__(self, constants: Iterable[str]) -> None:
        self._constants = {piece: encode_piece(piece) for piece in constants if piece}

    def encode(self, pieces: Iterable[str]) -> bytes:
        """Return the pieces as one text."""
        known = self._constants.get
        text = b"".join([known(piece) or encode_piece(piece) for piece in pieces if piece])
        return text.removesuffix(_SOFT_BREAK)
