"""The address of a route, as an administrator writes it: ``smtp+starttls://user@relay:587``."""

import ipaddress
import re
import ssl
import urllib.parse
from dataclasses import dataclass, field
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
_HOST: Final = re.compile(r"[\w.:%-]+")
_FORM: Final = (
    "the address of a route has the form smtps://[user[:password]@]host[:port]; write the "
    "characters @ : / ? # [ ] % of a user or password as %40 %3A %2F %3F %23 %5B %5D %25"
)


@dataclass(frozen=True, slots=True)
class RouteUrl:
    """Where a route leads. ``security`` is none, starttls or tls."""

    security: str
    host: str
    port: int
    username: str | None
    password: str | None = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> "RouteUrl":
        """Read a URL. Raises RouteError, which never quotes it: it may hold a password."""
        try:
            url = urllib.parse.urlsplit(text)
            port = url.port
        except ValueError:
            raise RouteError(_FORM) from None
        if url.scheme not in _SCHEMES:
            schemes = ", ".join(f"{scheme}://" for scheme in _SCHEMES)
            raise RouteError(f"the address of a route must begin with one of {schemes}")
        host = url.hostname
        if not host or not _HOST.fullmatch(host) or port == 0:
            raise RouteError(_FORM)
        if url.path.strip("/") or url.query or url.fragment or (url.password and not url.username):
            raise RouteError(_FORM)
        security, default_port = _SCHEMES[url.scheme]
        return cls(
            security=security,
            host=host,
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
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=pem)
    except (ssl.SSLError, ValueError) as error:
        raise RouteError(f"the CA file holds no usable PEM certificate: {error}") from error
