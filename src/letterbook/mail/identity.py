"""Names that only this platform can make: Message-IDs, boundaries, return paths.

All of them come from the ledger's (delivery, ordinal) and a secret, so they are the same on
every attempt and on every host, and nobody else can guess them.
"""

import hmac
import re
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

_TOKEN: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_CODE_LENGTH: Final = 10
"""Bytes of a return path's code: a forger has one chance in 2**80."""


class Purpose(IntEnum):
    """What a token is for; one made for one purpose opens for no other."""

    MESSAGE_ID = 1


@dataclass(frozen=True, slots=True)
class MessageRef:
    """A message's place in the ledger."""

    delivery: int
    ordinal: int


@dataclass(frozen=True, slots=True)
class Identity:
    """Makes and recognises the names of messages. ``key`` is 32 secret bytes."""

    key: bytes = field(repr=False)
    _block: "_Block" = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        block_key = hmac.digest(self.key, b"message token", "sha256")
        object.__setattr__(self, "_block", _Block(block_key))

    def token(self, message: MessageRef, purpose: Purpose) -> str:
        """Return 32 hexadecimal digits that stand for ``message`` and reveal nothing of it."""
        plain = b"".join(
            (
                message.delivery.to_bytes(8, "big"),
                message.ordinal.to_bytes(4, "big"),
                purpose.to_bytes(4, "big"),
            )
        )
        return self._block.encrypt(plain).hex()

    def open_token(self, token: str, purpose: Purpose) -> MessageRef | None:
        """Return the message of a token of ours, or None for any other text."""
        if not _TOKEN.fullmatch(token):
            return None
        plain = self._block.decrypt(bytes.fromhex(token))
        if plain[12:] != purpose.to_bytes(4, "big"):
            return None
        return MessageRef(int.from_bytes(plain[:8], "big"), int.from_bytes(plain[8:12], "big"))

    def message_id(self, message: MessageRef, domain: str) -> str:
        """Return ``<message.delivery@domain>`` (RFC 5322, 3.6.4), stable over attempts."""
        return f"<{self.token(message, Purpose.MESSAGE_ID)}.{message.delivery}@{domain}>"

    def boundary(self, delivery: int) -> str:
        """Return a MIME boundary stem for all messages of a delivery.

        ``=_`` can occur neither in quoted-printable nor in base64 (RFC 2045, 6.7 and 6.8), so no
        content can contain a boundary.
        """
        return "=_" + self._code(f"boundary {delivery}")

    def copies_return_path(self, message: MessageRef, error_address: str) -> str:
        """Return where bounces of a copy come back to, apart from the recipients' (design, 7)."""
        name = f"{message.delivery}.{message.ordinal}"
        domain = error_address.rpartition("@")[2]
        return f"copies+{name}.{self._code(f'copies {name}')}@{domain}"

    def _code(self, text: str) -> str:
        return hmac.digest(self.key, text.encode(), "sha256")[:_CODE_LENGTH].hex()


class _Block:
    """One block of AES as a keyed permutation.

    Each (delivery, ordinal, purpose) is encrypted once and alone, so ECB is exactly right here:
    distinct inputs give distinct outputs that look random without the key.
    """

    def __init__(self, key: bytes) -> None:
        cipher = Cipher(algorithms.AES(key), modes.ECB())  # noqa: S305
        self._encryptor: CipherContext = cipher.encryptor()
        self._decryptor: CipherContext = cipher.decryptor()

    def encrypt(self, plain: bytes) -> bytes:
        return self._encryptor.update(plain)

    def decrypt(self, sealed: bytes) -> bytes:
        return self._decryptor.update(sealed)
