"""Every change of who may be written to. (The import has a file of its own.)"""

from django.db import transaction
from django.db.models.functions import Now

from letterbook.control.kernel.actor import Actor, Right
from letterbook.control.kernel.audit import record
from letterbook.control.kernel.errors import ActionError
from letterbook.control.platform import queries as platform
from letterbook.control.recipients.models import QuarantinedAddress, Recipient
from letterbook.mail.address import address_key, normalise_address


def opt_out(actor: Actor, text: str) -> str:
    """Put the person at ``text`` on the denylist; return the address.

    Somebody who is no recipient yet is noted too, so that a later import changes nothing; but not
    the archive, which must never be a recipient. Raises AddressError and ActionError.
    """
    actor.require(Right.RECIPIENT_IMPORT)
    address = normalise_address(text)
    archive = platform.archive()
    if address_key(address) in [address_key(e) for e in (archive.address, archive.pending) if e]:
        raise ActionError(f"{address} is the archive address, which gets no letters anyway")
    with transaction.atomic():
        recipient, _ = Recipient.objects.get_or_create(
            key=address_key(address), defaults={"email": address}
        )
        Recipient.objects.filter(pk=recipient.pk, denylisted_at=None).update(denylisted_at=Now())
        record(actor, "opt out", f"recipient {recipient.pk}")
    return address


def quarantine(actor: Actor, text: str, reason: str) -> str:
    """Put the address ``text`` in quarantine because of ``reason``; return the address.

    Raises AddressError.
    """
    actor.require(Right.RECIPIENT_IMPORT)
    address = normalise_address(text)
    with transaction.atomic():
        QuarantinedAddress.objects.update_or_create(
            key=address_key(address), defaults={"reason": reason}
        )
        record(actor, "quarantine", "an address", after={"reason": reason})
    return address
