"""The two SASL mechanisms that relays ask for: PLAIN (RFC 4616) and LOGIN (never published)."""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Final

from letterbook.smtp.errors import BadCommand, UnsafeCommand

USERNAME_CHALLENGE: Final = base64.b64encode(b"Username:").decode("ascii")
PASSWORD_CHALLENGE: Final = base64.b64encode(b"Password:").decode("ascii")


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user name and a password; the password stays out of the representation."""

    username: str
    password: str = field(repr=False)

    def __post_init__(self) -> None:
        if "\0" in self.username or "\0" in self.password:
            raise UnsafeCommand("a user name or password cannot have a NUL")


@dataclass(frozen=True, slots=True)
class Exchange:
    """The client's part of a mechanism: the command, then one response for each 334."""

    command: bytes = field(repr=False)
    responses: tuple[bytes, ...] = field(repr=False)


def plain_response(credentials: Credentials) -> bytes:
    """``[authzid] NUL authcid NUL passwd`` in base64, the first left empty."""
    return _encode(f"\0{credentials.username}\0{credentials.password}")


def start_exchange(credentials: Credentials, offered: frozenset[str]) -> Exchange | None:
    """PLAIN where it is offered, else LOGIN, else None.

    PLAIN is sent at once (RFC 4954, 4); a server that asks with 334 all the same is told again.
    """
    if "PLAIN" in offered:
        response = plain_response(credentials)
        return Exchange(b"AUTH PLAIN " + response, (response,))
    if "LOGIN" in offered:
        return Exchange(
            b"AUTH LOGIN", (_encode(credentials.username), _encode(credentials.password))
        )
    return None


def read_plain(response: bytes) -> Credentials:
    """Read what ``plain_response`` writes; raises BadCommand for anything else."""
    parts = _decode(response).split("\0")
    if len(parts) != 3:
        raise BadCommand(501, "5.5.2 This is not a PLAIN response")
    return Credentials(parts[1], parts[2])


def read_login(response: bytes) -> str:
    """Read a user name or a password; raises BadCommand for anything else."""
    text = _decode(response)
    if "\0" in text:
        raise BadCommand(501, "5.5.2 This is not a LOGIN response")
    return text


def _decode(response: bytes) -> str:
    """RFC 4954, 4: base64, and ``=`` alone for an empty initial response."""
    try:
        return base64.b64decode(b"" if response == b"=" else response, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise BadCommand(501, "5.5.2 This is not text in base64") from error


def _encode(text: str) -> bytes:
    try:
        return base64.b64encode(text.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise UnsafeCommand("a user name or password is not text") from error
