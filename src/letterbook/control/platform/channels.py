"""Where alerts may go, as an administrator writes it."""

import ipaddress
import os
import urllib.parse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from letterbook.control.platform.errors import AlertChannelError
from letterbook.mail.address import normalise_address
from letterbook.mail.errors import AddressError

KINDS: Final = ("mail", "webhook", "command")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a channel leads, and how that may be shown."""

    target: str = field(repr=False)
    shown: str


def read_target(kind: str, text: str) -> Target:
    """Read the target of a channel. Raises AlertChannelError, which never quotes a URL."""
    match kind:
        case "mail":
            return _mail(text)
        case "webhook":
            return _webhook(text)
        case "command":
            return _command(text)
    raise AlertChannelError(f"there is no channel {kind!r}: they are {', '.join(KINDS)}")


def _mail(text: str) -> Target:
    try:
        address = normalise_address(text)
    except AddressError as error:
        raise AlertChannelError(f"{text!r} is not an address: {error}") from error
    return Target(address, address)


def _webhook(text: str) -> Target:
    """Its path and query may hold a secret, so only its host is shown."""
    form = "a webhook's address has the form https://host[:port]/path, without user and password"
    try:
        url = urllib.parse.urlsplit(text)
        port = url.port
    except ValueError:
        raise AlertChannelError(form) from None
    printable = text.isascii() and text.isprintable() and " " not in text
    if url.scheme not in ("https", "http") or not url.hostname or not printable:
        raise AlertChannelError(form)
    if url.username is not None or url.fragment or port == 0:
        raise AlertChannelError(form)
    if url.scheme == "http" and not _on_this_host(url.hostname):
        raise AlertChannelError("a webhook that leaves this host must begin with https://")
    return Target(text, f"{url.scheme}://{url.netloc}/…")


def _on_this_host(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _command(text: str) -> Target:
    """It runs on whatever host a worker runs, so it can be checked on this one only."""
    path = Path(text)
    if not path.is_absolute():
        raise AlertChannelError(f"{text!r} must be a whole path, the same on every worker's host")
    if not path.is_file() or not os.access(path, os.X_OK):
        raise AlertChannelError(
            f"{text} cannot be run on this host: `chmod +x` it, or mend the path"
        )
    return Target(text, text)
