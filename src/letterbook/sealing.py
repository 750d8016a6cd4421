"""Secrets at rest: sealed in the database, opened with a key that is never stored there.

AES-256-GCM; the name of what is sealed is bound to it, so that one secret cannot be put in the
place of another.
"""

import base64
import os
import secrets
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from letterbook.errors import ConfigurationError
from letterbook.settings import Settings

KEY_LENGTH: Final = 32
_NONCE_LENGTH: Final = 12
KEY_FILE: Final = "seal.key"


class SealError(ConfigurationError):
    """The key that seals the secrets is missing, malformed, or not the right one."""


class Sealer:
    """Seals and opens secrets with one key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)

    def seal(self, name: str, secret: bytes) -> bytes:
        """Return ``secret`` sealed under ``name``."""
        nonce = secrets.token_bytes(_NONCE_LENGTH)
        return nonce + self._cipher.encrypt(nonce, secret, name.encode())

    def open(self, name: str, sealed: bytes) -> bytes:
        """Return the secret that was sealed under ``name``. Raises SealError."""
        nonce, box = sealed[:_NONCE_LENGTH], sealed[_NONCE_LENGTH:]
        try:
            return self._cipher.decrypt(nonce, box, name.encode())
        except (InvalidTag, ValueError):  # ValueError: too short to be sealed by us
            raise SealError(
                f"the secret {name!r} in the database was sealed with another key; give every "
                "host the key of the first one (LETTERBOOK_SEAL_KEY or LETTERBOOK_SEAL_KEY_FILE)"
            ) from None


def load_sealer(settings: Settings, *, may_create: bool) -> Sealer:
    """Return the sealer whose key the settings name.

    ``may_create``: make a key file where there is none, which is right only on the one host of
    an embedded database. Raises SealError.
    """
    if settings.seal_key is not None:
        return Sealer(_decode(settings.seal_key, "LETTERBOOK_SEAL_KEY"))
    path = settings.seal_key_file or settings.data / KEY_FILE
    try:
        return Sealer(_decode(path.read_text(encoding="ascii"), str(path)))
    except FileNotFoundError:
        if not may_create:
            raise SealError(
                f"there is no key to open the secrets with: set LETTERBOOK_SEAL_KEY, or put the "
                f"key of the first host into {path}"
            ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SealError(f"cannot read the key in {path}: {error}") from error
    try:
        return Sealer(_create(path))
    except OSError as error:
        raise SealError(f"cannot write the key to {path}: {error.strerror}") from error


def _create(path: Path) -> bytes:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = secrets.token_bytes(KEY_LENGTH)
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
        file.write(base64.b64encode(key) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        path.hardlink_to(draft)
    except FileExistsError:  # another process was faster, and its key counts
        return _decode(path.read_text(encoding="ascii"), str(path))
    finally:
        draft.unlink()
    return key


def _decode(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except ValueError:
        key = b""
    if len(key) != KEY_LENGTH:
        raise SealError(f"{where} must hold {KEY_LENGTH} bytes in base64")
    return key
