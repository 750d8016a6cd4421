"""The one form of content, and its transparency (RFC 5321, 4.5.2).

Content has CRLF line ends only and ends in one. A bare CR or LF may be a line end to one server
and none to the next, which is how a message is smuggled inside another (RFC 5321, 2.3.8).
"""

import re
from typing import Final

from letterbook.smtp.errors import UnsafeContent

# Patterns with a literal first byte are searched with memchr: twice as fast as bytes.find here.
_DOT: Final = re.compile(rb"\n\.")
_BARE_CR: Final = re.compile(rb"\r(?!\n)")
_BARE_LF: Final = re.compile(rb"\n(?<!\r\n)")


def is_canonical(content: bytes) -> bool:
    """Whether every CR and LF of ``content`` is part of a CRLF."""
    return _BARE_CR.search(content) is None and _BARE_LF.search(content) is None


def stuff(content: bytes) -> bytes:
    """Double each dot that begins a line; the same object when there is none.

    The composer vouches for canonical content, which costs too much to check again. A dot after
    a bare LF, the end of the message to a careless server, is seen and refused all the same.
    """
    if content[-2:] != b"\r\n":
        raise UnsafeContent("the content does not end in CRLF")
    pieces = _DOT.split(content)
    if len(pieces) > 1:
        if not all(piece.endswith(b"\r") for piece in pieces[:-1]):
            raise UnsafeContent("the content has a dot after a bare LF")
        content = b"\n..".join(pieces)
    return b"." + content if content[0] == 0x2E else content


def unstuff(stuffed: bytes) -> bytes:
    """Take away the dots that ``stuff`` added."""
    if _DOT.search(stuffed) is not None:
        stuffed = stuffed.replace(b"\r\n.", b"\r\n")
    return stuffed.removeprefix(b".")
