"""The platform's routes and its one archive address, as the engine reads them."""

import ssl
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from letterbook.engine.database import Database
from letterbook.engine.errors import NoRouteError
from letterbook.mail.identity import Identity
from letterbook.mail.status import ArchivePolicy
from letterbook.sealing import Sealer
from letterbook.smtp.opening import Tls
from letterbook.smtp.sasl import Credentials

_TLS: Final = {"none": Tls.NONE, "starttls": Tls.STARTTLS, "tls": Tls.IMPLICIT}


@dataclass(frozen=True, slots=True)
class Limits:
    """What a route may be used for; None: no limit. ``rate`` in messages a second, of all workers.

    (The limit of connections is shared out in the database, see ``share``.)
    """

    per_connection: int | None = None
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """An SMTP server and how to talk to it."""

    name: str
    tls: Tls
    host: str
    port: int
    credentials: Credentials | None
    ca: str | None
    insecure: bool
    changed_at: datetime
    limits: Limits = field(default=Limits(), compare=False)
    """They change while connections stay."""

    def tls_context(self) -> ssl.SSLContext:
        """Return what TLS to this server trusts: its own CA, else the system's; or anything."""
        context = ssl.create_default_context(cadata=self.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    @property
    def shown(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Archive:
    """The archive address in force, if any, and the policy."""

    version: int | None
    address: str | None
    policy: ArchivePolicy


async def load_routes(database: Database, sealer: Sealer) -> dict[str, Route]:
    """Return the routes that are set, by name. Raises SealError."""
    rows = await database.fetch("routes", {})
    routes = {}
    for name, security, host, port, username, sealed, ca, insecure, changed_at, *limits in rows:
        password = sealer.open(f"route {name}", bytes(sealed)).decode() if sealed else ""
        credentials = Credentials(username, password) if username else None
        routes[name] = Route(
            name,
            _TLS[security],
            host,
            port,
            credentials,
            ca,
            insecure,
            changed_at,
            Limits(*limits),
        )
    return routes


async def load_route(database: Database, sealer: Sealer, name: str) -> Route:
    """Return the route ``name``. Raises NoRouteError and SealError."""
    routes = await load_routes(database, sealer)
    if name not in routes:
        raise NoRouteError(f"there is no {name} route: `letterbook routes set {name} URL`")
    return routes[name]


async def load_archive(database: Database) -> Archive:
    """Return the archive address in force and the policy."""
    ((version, address, policy),) = await database.fetch("archive", {})
    return Archive(version, address, ArchivePolicy(policy))


async def load_identity(database: Database, sealer: Sealer) -> Identity:
    """Return the maker of this platform's names. Raises SealError."""
    ((sealed,),) = await database.fetch("secret", {"name": "identity"})
    return Identity(sealer.open("identity", bytes(sealed)))
