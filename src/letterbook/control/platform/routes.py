"""The address of a route, as an administrator writes it: ``smtp+starttls://user@relay:587``."""

import ipaddress
import ssl
import urllib.parse
from dataclasses import dataclass
from typing import Final

from letterbook.control.platform.errors import RouteError

RECIPIENTS: Final = "recipients"
ARCHIVE: Final = "archive"
ROUTES: Final = (RECIPIENTS, ARCHIVE)

_SCHEMES: Final = {
    "smtp": ("none", 25),
    "smtp+starttls": ("starttls", 587),
    "smtps": ("tls", 465),
}


@dataclass(frozen=True, slots=True)
class RouteUrl:
    """Where a route leads. ``security`` is none, starttls or tls."""

    security: str
    host: str
    port: int
    username: str | None
    password: str | None

    @classmethod
    def parse(cls, text: str) -> "RouteUrl":
        """Read a URL. Raises RouteError saying what is wrong with it."""
        try:
            url = urllib.parse.urlsplit(text)
            port = url.port
        except ValueError as error:
            raise RouteError(f"{_without_password(text)} is not a URL: {error}") from None
        if url.scheme not in _SCHEMES:
            raise RouteError(
                f"{_without_password(text)} must begin with one of "
                f"{', '.join(f'{scheme}://' for scheme in _SCHEMES)}"
            )
        if not url.hostname or url.path.strip("/") or url.query or url.fragment:
            raise RouteError(
                f"{_without_password(text)} must have the form {url.scheme}://[user@]host[:port]"
            )
        security, default_port = _SCHEMES[url.scheme]
        return cls(
            security=security,
            host=url.hostname,
            port=port or default_port,
            username=urllib.parse.unquote(url.username) if url.username else None,
            password=urllib.parse.unquote(url.password) if url.password else None,
        )

    @property
    def shown(self) -> str:
        """The URL without its password."""
        scheme = next(name for name, (security, _) in _SCHEMES.items() if security == self.security)
        user = f"{urllib.parse.quote(self.username, safe='')}@" if self.username else ""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{user}{host}:{self.port}"

    @property
    def on_this_host(self) -> bool:
        """Whether the route does not leave this host."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def check_authorities(pem: str) -> None:
    """Raise RouteError unless ``pem`` holds certificates that TLS can trust."""
    try:
        ssl.create_default_context(cadata=pem)
    except (ssl.SSLError, ValueError) as error:
        raise RouteError(f"the CA file holds no usable PEM certificate: {error}") from error


def _without_password(text: str) -> str:
    before, at, after = text.rpartition("@")
    scheme, slashes, _ = before.partition("://")
    return f"{scheme}{slashes}…@{after}" if at else text
