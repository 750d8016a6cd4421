"""Header lines: encoded, folded, and closed to injection (RFC 5322, 2047, 6532)."""

import binascii
import re
from collections.abc import Callable, Iterator
from typing import Final

from letterbook.mail.errors import HeaderError

_LINE: Final = 76
_HARD_LIMIT: Final = 900
"""Longest unbreakable run we leave unencoded, well under the 998 of RFC 5322, 2.1.1."""

_NAME: Final = re.compile(r"[!-9;-~]{1,60}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\x85\u2028\u2029]+")
_WORD: Final = re.compile(r" *[^ ]+")
_ATOM_TEXT: Final = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]+")
_Q_SAFE: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!*+-/"
_Q_TABLE: Final = {
    code: chr(code) if chr(code) in _Q_SAFE else "_" if code == 0x20 else f"={code:02X}"
    for code in range(256)
}
"""The Q encoding in its strictest form, which is allowed in a phrase too (RFC 2047, 5)."""

_RESERVED: Final = frozenset(
    (
        "bcc", "cc", "date", "dkim-signature", "from", "list-unsubscribe",
        "list-unsubscribe-post", "message-id", "mime-version", "received", "reply-to",
        "return-path", "sender", "subject", "to",
    )
)  # fmt: skip
_RESERVED_PREFIXES: Final = ("content-", "arc-", "resent-", "x-letterbook-")

PROOF_HEADER: Final = "X-Letterbook-Proof"
"""Marks a proof, for its reader and in the archive: the delivery it tries out, and its number."""


def clean(text: str) -> str:
    """Return ``text`` on one line: each run of control characters becomes a space."""
    return _CONTROL.sub(" ", text).strip()


def check_extra_header(name: str) -> None:
    """Raise HeaderError when a template may not set the header ``name``."""
    if not _NAME.fullmatch(name):
        raise HeaderError(
            f"{name!r} is not the name of a header: use up to 60 letters, digits and hyphens"
        )
    if name.lower() in _RESERVED or name.lower().startswith(_RESERVED_PREFIXES):
        raise HeaderError(f"the header {name} is Letterbook's own and cannot be set")


def text_header(name: str, text: str) -> bytes:
    """Return ``name: text`` as header lines with their CRLF; no content can break out of it."""
    text = clean(text)
    if text.isascii() and "=?" not in text:
        if len(name) + 2 + len(text) <= _LINE:
            return f"{name}: {text}\r\n".encode("ascii")
        words = _WORD.findall(text)
        if all(len(word) <= _HARD_LIMIT for word in words):
            return _fold(name, words)
    return f"{name}: {_encoded_words(text, _LINE - len(name) - 2)}\r\n".encode("ascii")


def address_header(name: str, address: str, display_name: str = "") -> bytes:
    """Return an address header with one address; beyond ASCII in the address needs SMTPUTF8."""
    address, display_name = clean(address), clean(display_name)
    if not display_name:
        return f"{name}: {address}\r\n".encode()
    phrase = _phrase(display_name, _LINE - len(name) - 2)
    separator = " " if len(name) + len(phrase) + len(address) + 5 <= _LINE else "\r\n "
    return f"{name}: {phrase}{separator}<{address}>\r\n".encode()


def _phrase(text: str, room: int) -> str:
    if text.isascii() and "=?" not in text:
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        # Between atoms, a run of spaces counts as one.
        plain = _ATOM_TEXT.fullmatch(text) and "  " not in text
        phrase = text if plain else f'"{escaped}"'
        if len(phrase) <= room:
            return phrase
    return _encoded_words(text, room)


def _fold(name: str, words: list[str]) -> bytes:
    lines = [f"{name}:"]
    for word in words:
        piece = word if word.startswith(" ") else f" {word}"
        # The first word stays beside the name: a line of white space alone is obsolete syntax.
        if len(lines[-1]) + len(piece) > _LINE and lines != [f"{name}:"]:
            lines.append(piece)
        else:
            lines[-1] += piece
    return ("\r\n".join(lines) + "\r\n").encode("ascii")


def _encoded_words(text: str, room: int) -> str:
    """Encode by RFC 2047, section 2: words of at most 75 characters, split between characters."""
    data = text.encode("utf-8", "replace")
    encode = min((_q_encode, _b_encode), key=lambda each: len(each(data)))
    label = "q" if encode is _q_encode else "b"
    overhead = len("=?utf-8?q??=")
    chunks = _chunks(text, encode, max(room, 40) - overhead, _LINE - 1 - overhead)
    return "\r\n ".join(f"=?utf-8?{label}?{chunk}?=" for chunk in chunks)


def _chunks(text: str, encode: Callable[[bytes], str], first: int, others: int) -> Iterator[str]:
    room, chunk = first, b""
    for character in text:
        data = character.encode("utf-8", "replace")
        if chunk and len(encode(chunk + data)) > room:
            yield encode(chunk)
            room, chunk = others, b""
        chunk += data
    yield encode(chunk)


def _b_encode(data: bytes) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def _q_encode(data: bytes) -> str:
    return data.decode("latin-1").translate(_Q_TABLE)
