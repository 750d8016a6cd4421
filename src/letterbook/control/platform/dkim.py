"""Every change of the keys that sign messages: actor first, right, change, audit."""

import re
from datetime import UTC, datetime
from typing import Final

from django.db import transaction
from django.db.models.functions import Now

from letterbook.control.kernel.actor import Actor, Right
from letterbook.control.kernel.audit import record
from letterbook.control.platform.errors import DkimKeyError
from letterbook.control.platform.models import DkimKey
from letterbook.control.platform.queries import DkimKeyView, dkim_key_view
from letterbook.mail.address import domain_of, normalise_address
from letterbook.mail.content import Algorithm
from letterbook.mail.dkim import make_private_key, public_record, secret_name
from letterbook.mail.errors import AddressError
from letterbook.sealing import Sealer

_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SELECTOR: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


def add_dkim_key(
    actor: Actor, sealer: Sealer, domain: str, *, selector: str | None, algorithm: Algorithm
) -> DkimKeyView:
    """Make a key that signs for ``domain`` from the next analysis on.

    Without a ``selector`` it gets one that tells algorithm and day. Raises DkimKeyError.
    """
    actor.require(Right.ADMINISTRATION)
    domain = normalise_domain(domain)
    selector = (selector or f"{algorithm}-{datetime.now(UTC):%Y%m%d}").lower()
    if not _SELECTOR.fullmatch(selector):
        raise DkimKeyError(
            f"{selector!r} cannot be a selector: use letters, digits and hyphens, as in host names"
        )
    private_key = make_private_key(algorithm)
    with transaction.atomic():
        key, made = DkimKey.objects.get_or_create(
            domain=domain,
            selector=selector,
            defaults={
                "algorithm": algorithm,
                "sealed": sealer.seal(secret_name(domain, selector), private_key),
                "record": public_record(private_key),
            },
        )
        if not made:
            raise DkimKeyError(
                f"{domain} has a key with the selector {selector} already; a name is used once, "
                "so say another --selector"
            )
        record(actor, "add DKIM key", _object(key), after={"algorithm": algorithm})
        key.refresh_from_db()
    return dkim_key_view(key)


def retire_dkim_key(actor: Actor, domain: str, selector: str) -> DkimKeyView:
    """Sign nothing new with the key; what was frozen with it is signed with it to its end.

    Raises DkimKeyError.
    """
    actor.require(Right.ADMINISTRATION)
    domain, selector = normalise_domain(domain), selector.lower()
    with transaction.atomic():
        key = DkimKey.objects.select_for_update().filter(domain=domain, selector=selector).first()
        if key is None:
            raise DkimKeyError(
                f"{domain} has no key with the selector {selector}: `letterbook dkim show {domain}`"
            )
        if key.retired_at is not None:
            raise DkimKeyError(f"the key {selector} of {domain} is retired already")
        DkimKey.objects.filter(pk=key.pk).update(retired_at=Now())
        record(actor, "retire DKIM key", _object(key))
        key.refresh_from_db()
    return dkim_key_view(key)


def normalise_domain(text: str) -> str:
    """Return ``text`` as a domain in lower-case ASCII. Raises DkimKeyError."""
    try:
        return domain_of(normalise_address(f"postmaster@{text.strip().removesuffix('.')}"))
    except AddressError as error:
        raise DkimKeyError(f"{text!r} is not a domain of mail: {error}") from error


def _object(key: DkimKey) -> str:
    return f"DKIM key {key.selector} of {key.domain}"
