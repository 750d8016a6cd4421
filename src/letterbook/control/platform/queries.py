"""What there is to know of the platform's set-up."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, cast

from letterbook.control.platform.models import (
    AlertChannel,
    ArchiveAddress,
    ArchivePolicy,
    DkimKey,
    Route,
    Secret,
)
from letterbook.control.platform.routes import ROUTES, RouteUrl
from letterbook.mail.content import Algorithm, SigningKey
from letterbook.mail.identity import Identity
from letterbook.mail.status import ArchivePolicy as Policy
from letterbook.sealing import Sealer

IDENTITY_SECRET: Final = "identity"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True)
class RouteView:
    """A route as it may be shown: without its password. ``size_limit`` in octets.

    Limits are None where there is none; ``rate`` is in messages a second.
    """

    name: str
    url: str
    has_password: bool
    own_ca: bool
    insecure: bool
    connections: int | None
    per_connection: int | None
    rate: float | None
    size_limit: int | None
    extensions: tuple[str, ...]
    probed_at: datetime | None


@dataclass(frozen=True, slots=True)
class ArchiveView:
    """The archive address in force, the one that waits for its code, and the policy."""

    address: str | None
    version: int | None
    confirmed_at: datetime | None
    confirmed_by: str | None
    pending: str | None
    policy: Policy


@dataclass(frozen=True, slots=True)
class DkimKeyView:
    """A key's public side. ``name``: where the DNS must say ``record``."""

    id: int
    domain: str
    selector: str
    algorithm: Algorithm
    name: str
    record: str
    created_at: datetime
    retired_at: datetime | None


def routes() -> list[RouteView]:
    """Return the routes that are set, recipients first."""
    found = {row.name: row for row in Route.objects.all()}
    return [_view(found[name]) for name in ROUTES if name in found]


def archive() -> ArchiveView:
    """Return the archive's set-up."""
    rows = {
        row.state: row
        for row in ArchiveAddress.objects.filter(
            state__in=(ArchiveAddress.State.ACTIVE, ArchiveAddress.State.PENDING)
        )
    }
    active = rows.get(ArchiveAddress.State.ACTIVE)
    pending = rows.get(ArchiveAddress.State.PENDING)
    policy = ArchivePolicy.objects.filter(id=1).values_list("policy", flat=True).first()
    return ArchiveView(
        address=active.address if active else None,
        version=active.version if active else None,
        confirmed_at=active.confirmed_at if active else None,
        confirmed_by=active.confirmed_by if active else None,
        pending=pending.address if pending else None,
        policy=Policy(policy) if policy else Policy.HOLD,
    )


def alert_channels() -> dict[str, tuple[str, bytes]]:
    """Return where alerts go, by kind: the target as it may be shown, and sealed."""
    return {
        row.kind: (row.shown, bytes(row.sealed)) for row in AlertChannel.objects.order_by("kind")
    }


def has_secrets() -> bool:
    """Whether this database holds sealed secrets already."""
    return Secret.objects.exists()


def identity(sealer: Sealer) -> Identity:
    """Return the maker of this platform's message names. Raises SealError."""
    secret = Secret.objects.get(name=IDENTITY_SECRET)
    return Identity(sealer.open(IDENTITY_SECRET, bytes(secret.sealed)))


def dkim_keys(domain: str | None = None) -> list[DkimKeyView]:
    """Return the DKIM keys, of one domain or of all; the oldest of a domain first."""
    rows = DkimKey.objects.order_by("domain", "pk")
    return [dkim_key_view(row) for row in (rows.filter(domain=domain) if domain else rows)]


def signing_keys(sender_domain: str) -> tuple[SigningKey, ...]:
    """Return the keys that sign letters from ``sender_domain`` today.

    They are those of the domain itself, or of its closest parent that has any: relaxed alignment
    (RFC 7489, 3.1.1). All of them sign, so that a new key can be published before the old one is
    retired.
    """
    labels = sender_domain.split(".")
    domains = [".".join(labels[at:]) for at in range(len(labels))]
    rows = list(DkimKey.objects.filter(domain__in=domains, retired_at=None).order_by("pk"))
    closest = max((row.domain for row in rows), key=len, default="")
    return tuple(
        SigningKey(
            id=row.pk,
            domain=row.domain,
            selector=row.selector,
            algorithm=cast("Algorithm", row.algorithm),
        )
        for row in rows
        if row.domain == closest
    )


def dkim_key_view(row: DkimKey) -> DkimKeyView:
    """Return the public side of ``row``."""
    return DkimKeyView(
        id=row.pk,
        domain=row.domain,
        selector=row.selector,
        algorithm=cast("Algorithm", row.algorithm),
        name=f"{row.selector}._domainkey.{row.domain}",
        record=row.record,
        created_at=row.created_at,
        retired_at=row.retired_at,
    )


def _view(row: Route) -> RouteView:
    url = RouteUrl(row.security, row.host, row.port, row.username, None)
    return RouteView(
        name=row.name,
        url=url.shown,
        has_password=row.sealed_password is not None,
        own_ca=row.ca is not None,
        insecure=row.insecure,
        connections=row.connections,
        per_connection=row.per_connection,
        rate=row.rate,
        size_limit=row.size_limit,
        extensions=tuple(row.extensions),
        probed_at=row.probed_at,
    )
