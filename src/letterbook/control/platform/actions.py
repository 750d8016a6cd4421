"""Every change of the platform's set-up: actor first, right, change, audit."""

import hashlib
import hmac
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Final

from django.db import transaction
from django.db.models.functions import Now

from letterbook.control.kernel.actor import Actor, Right
from letterbook.control.kernel.audit import record
from letterbook.control.kernel.sql import cursor
from letterbook.control.platform.channels import read_target
from letterbook.control.platform.errors import (
    AlertChannelError,
    ArchiveAddressError,
    RouteError,
)
from letterbook.control.platform.limits import checked_limits
from letterbook.control.platform.models import (
    AlertChannel,
    ArchiveAddress,
    ArchivePolicy,
    Route,
    Secret,
)
from letterbook.control.platform.queries import IDENTITY_SECRET
from letterbook.control.platform.routes import ROUTES, RouteUrl, check_authorities
from letterbook.mail.address import address_key, normalise_address
from letterbook.mail.errors import AddressError
from letterbook.mail.status import ArchivePolicy as Policy
from letterbook.sealing import Sealer

_CODE_DIGITS: Final = 8


@dataclass(frozen=True, slots=True)
class Proposal:
    """An archive address that was set. ``code`` is None when it is active at once."""

    version: int
    address: str
    code: str | None


def ensure_secrets(sealer: Sealer) -> None:
    """Make the platform's secrets on the first start, and check that the key opens them.

    Raises SealError when the key is not the one they were sealed with.
    """
    with transaction.atomic():
        sealed = sealer.seal(IDENTITY_SECRET, secrets.token_bytes(32))
        secret, _ = Secret.objects.get_or_create(name=IDENTITY_SECRET, defaults={"sealed": sealed})
    sealer.open(IDENTITY_SECRET, bytes(secret.sealed))


def set_route(
    actor: Actor, sealer: Sealer, name: str, url: RouteUrl, *, ca: str | None, insecure: bool
) -> None:
    """Set the route ``name``. ``ca``: PEM certificates to trust; ``insecure``: see ``Route``.

    Raises RouteError.
    """
    actor.require(Right.ADMINISTRATION)
    if name not in ROUTES:
        raise RouteError(f"there is no route {name!r}: the routes are {' and '.join(ROUTES)}")
    if url.security == "none" and not url.on_this_host and not insecure:
        raise RouteError(
            f"{url.shown} leaves this host without TLS; use smtp+starttls:// or smtps://, "
            "or say --insecure if you mean it"
        )
    if ca is not None:
        check_authorities(ca)
    sealed = sealer.seal(f"route {name}", url.password.encode()) if url.password else None
    with transaction.atomic():
        old = Route.objects.select_for_update().filter(name=name).first()
        values = {
            "security": url.security,
            "host": url.host,
            "port": url.port,
            "username": url.username,
            "sealed_password": sealed,
            "ca": ca,
            "insecure": insecure,
            "size_limit": None,
            "extensions": [],
            "probed_at": None,
            "changed_at": Now(),
        }
        Route.objects.update_or_create(name=name, defaults=values)
        record(
            actor,
            "set route",
            f"route {name}",
            before=_shown(old) if old else None,
            after={"url": url.shown, "own_ca": ca is not None, "insecure": insecure},
        )


def limit_route(actor: Actor, name: str, changes: Mapping[str, float | None]) -> None:
    """Change the limits of the route ``name`` that ``changes`` names; None takes one away.

    They are ``connections``, ``per_connection`` and ``rate`` (see ``Route``). Running workers
    keep to them within a second. Raises RouteError.
    """
    actor.require(Right.ADMINISTRATION)
    changes = checked_limits(changes)
    with transaction.atomic():
        route = Route.objects.select_for_update().filter(name=name).first()
        if route is None:
            raise RouteError(f"there is no {name} route: `letterbook routes set {name} URL`")
        before = {limit: getattr(route, limit) for limit in changes}
        if before != changes:
            Route.objects.filter(name=name).update(**changes, limited_at=Now())
            record(actor, "limit route", f"route {name}", before=before, after=changes)


def note_probe(name: str, *, size_limit: int | None, extensions: Collection[str]) -> None:
    """Remember what the route's server offered when it was last asked."""
    Route.objects.filter(name=name).update(
        size_limit=size_limit, extensions=sorted(extensions), probed_at=Now()
    )


def check_archive_address(text: str, *, is_recipient: Callable[[str], bool]) -> str:
    """Return ``text`` normalised. Raises ArchiveAddressError when it cannot be the archive's."""
    try:
        address = normalise_address(text)
    except AddressError as error:
        raise ArchiveAddressError(f"{text!r} is not an address: {error}") from error
    if is_recipient(address_key(address)):
        raise ArchiveAddressError(
            f"{address} is a recipient; the archive needs an address that gets no letters itself"
        )
    return address


def set_archive_address(
    actor: Actor, text: str, *, is_recipient: Callable[[str], bool], trust: bool
) -> Proposal:
    """Propose ``text`` as the archive address; with ``trust`` it is active at once.

    The address in force stays in force until the new one is confirmed. Raises
    ArchiveAddressError.
    """
    actor.require(Right.ARCHIVE_ADMINISTRATION)
    address = check_archive_address(text, is_recipient=is_recipient)
    code = "".join(secrets.choice("0123456789") for _ in range(_CODE_DIGITS))
    with transaction.atomic():
        _one_after_the_other()
        old = _active()
        ArchiveAddress.objects.filter(state=ArchiveAddress.State.PENDING).update(
            state=ArchiveAddress.State.REPLACED, code_hash=None
        )
        pending = ArchiveAddress.objects.create(
            address=address,
            state=ArchiveAddress.State.PENDING,
            code_hash=None if trust else _hash(code),
            set_by=actor.name,
        )
        action = "trust archive address" if trust else "propose archive address"
        before = {"address": old.address, "version": old.version} if old else None
        after = {"address": address, "version": pending.version}
        record(actor, action, "archive address", before=before, after=after)
        if trust:
            _activate(actor, pending)
    return Proposal(pending.version, address, None if trust else code)


def confirm_archive_address(actor: Actor, code: str) -> str:
    """Activate the pending address whose mailbox showed ``code``; return the address.

    Raises ArchiveAddressError.
    """
    actor.require(Right.ARCHIVE_ADMINISTRATION)
    with transaction.atomic():
        _one_after_the_other()
        pending = ArchiveAddress.objects.filter(state=ArchiveAddress.State.PENDING).first()
        if pending is None or pending.code_hash is None:
            raise ArchiveAddressError("no archive address waits for a code; set one first")
        if not hmac.compare_digest(bytes(pending.code_hash), _hash(code.strip())):
            raise ArchiveAddressError(
                f"this is not the code that was sent to {pending.address}; look at the newest "
                "message there, or set the address again for a new code"
            )
        old = _active()
        before = {"address": old.address, "version": old.version} if old else None
        _activate(actor, pending)
        after = {"address": pending.address, "version": pending.version}
        record(actor, "confirm archive address", "archive address", before=before, after=after)
    return pending.address


def set_archive_policy(actor: Actor, policy: Policy) -> None:
    """Say what happens to a message whose copy the archive does not accept."""
    actor.require(Right.ARCHIVE_ADMINISTRATION)
    with transaction.atomic():
        row, _ = ArchivePolicy.objects.select_for_update().get_or_create(
            id=1, defaults={"policy": Policy.HOLD}
        )
        if row.policy != policy:
            before = {"policy": row.policy}
            ArchivePolicy.objects.filter(id=1).update(policy=policy)
            record(
                actor,
                "set archive policy",
                "archive policy",
                before=before,
                after={"policy": policy},
            )


def set_alert_channel(actor: Actor, sealer: Sealer, kind: str, target: str) -> str:
    """Let alerts go to ``target``; return it as it may be shown. Raises AlertChannelError.

    Alerts that are open are told there too.
    """
    actor.require(Right.ADMINISTRATION)
    found = read_target(kind, target)
    with transaction.atomic():
        old = AlertChannel.objects.select_for_update().filter(kind=kind).first()
        values = {
            "shown": found.shown,
            "sealed": sealer.seal(f"alert channel {kind}", found.target.encode()),
            "changed_at": Now(),
        }
        AlertChannel.objects.update_or_create(kind=kind, defaults=values)
        record(
            actor,
            "set alert channel",
            f"alert channel {kind}",
            before={"target": old.shown} if old else None,
            after={"target": found.shown},
        )
    return found.shown


def remove_alert_channel(actor: Actor, kind: str) -> None:
    """Tell no alerts over this channel any more. Raises AlertChannelError."""
    actor.require(Right.ADMINISTRATION)
    with transaction.atomic():
        old = AlertChannel.objects.select_for_update().filter(kind=kind).first()
        if old is None:
            raise AlertChannelError(f"no alerts go by {kind}: `letterbook alerts show`")
        with cursor() as db:  # what was not told yet goes with it, in the database
            db.execute("DELETE FROM platform_alertchannel WHERE kind = %s", [kind])
        what = f"alert channel {kind}"
        record(actor, "remove alert channel", what, before={"target": old.shown})


def _one_after_the_other() -> None:
    """Let whoever changes the archive address at the same time wait until this is done."""
    with cursor() as db:
        db.execute("SELECT pg_advisory_xact_lock(hashtext('archive address'))")


def _active() -> ArchiveAddress | None:
    return ArchiveAddress.objects.filter(state=ArchiveAddress.State.ACTIVE).first()


def _activate(actor: Actor, pending: ArchiveAddress) -> None:
    ArchiveAddress.objects.filter(state=ArchiveAddress.State.ACTIVE).update(
        state=ArchiveAddress.State.REPLACED
    )
    ArchiveAddress.objects.filter(version=pending.version).update(
        state=ArchiveAddress.State.ACTIVE,
        code_hash=None,
        confirmed_by=actor.name,
        confirmed_at=Now(),
    )


def _hash(code: str) -> bytes:
    return hashlib.sha256(code.encode()).digest()


def _shown(route: Route) -> dict[str, object]:
    url = RouteUrl(route.security, route.host, route.port, route.username, None)
    return {"url": url.shown, "own_ca": route.ca is not None, "insecure": route.insecure}
