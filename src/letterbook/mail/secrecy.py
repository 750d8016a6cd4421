"""Looking for an address in a message, as a reader of it would find it (promise P3)."""

import binascii
import re
from typing import Final

_ENCODED_WORD: Final = re.compile(rb"=\?utf-8\?([bq])\?([^?\r\n]*)\?=")
_SOFT_BREAK: Final = re.compile(rb"=\r\n")
_LONGEST_OCTET: Final = 6
"""What one octet may become in quoted-printable: ``=C3``, and a soft line break after it."""


class Secret:
    """An address that no recipient may see.

    Made for messages as ``mail.compose`` writes them: an ``@`` is never encoded in a body, and
    header lines break where there is a space or within encoded words in UTF-8.
    """

    def __init__(self, address: str) -> None:
        """``address`` in its normal form (mail.address)."""
        local, _, domain = address.lower().rpartition("@")
        spellings = {domain, _unicode_domain(domain)}
        self._needles = tuple(f"{local}@{each}" for each in spellings)
        starts = {each[0] for each in spellings}
        self._followers = {
            text.encode()[0] for start in starts for text in (start, start.upper(), "=")
        }
        self._reach = _LONGEST_OCTET * max(len(each.encode()) for each in self._needles)

    def is_in(self, message: bytes) -> bool:
        """Whether ``message`` shows the address: in whatever case, encoding or folding."""
        at = message.find(b"@")
        while 0 <= at < len(message) - 1:
            if message[at + 1] in self._followers and self._is_at(message, at):
                return True
            at = message.find(b"@", at + 1)
        return self._is_encoded(message)

    def _is_at(self, message: bytes, at: int) -> bool:
        nearby = message[max(0, at - self._reach) : at + self._reach]
        return self._shows(binascii.a2b_qp(_SOFT_BREAK.sub(b"", nearby)))

    def _is_encoded(self, message: bytes) -> bool:
        header = message[: message.find(b"\r\n\r\n")]
        words = _ENCODED_WORD.findall(header)
        return bool(words) and self._shows(b"".join(map(_decoded, words)))

    def _shows(self, text: bytes) -> bool:
        seen = text.decode("utf-8", "replace").lower()
        return any(needle in seen for needle in self._needles)


def _decoded(word: tuple[bytes, bytes]) -> bytes:
    """Decode an encoded word (RFC 2047, 4)."""
    encoding, text = word
    if encoding == b"b":
        return binascii.a2b_base64(text)
    return binascii.a2b_qp(text, header=True)


def _unicode_domain(domain: str) -> str:
    """Return the domain as people write it."""
    try:
        return domain.encode("ascii").decode("idna").lower()
    except UnicodeError:
        return domain
