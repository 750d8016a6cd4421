"""Proofs: a delivery's content as it is now, written as one recipient, sent to given addresses.

A proof is a delivery of its own, so that it is analysed, copied, sent and logged like any other.
"""

from collections.abc import Sequence
from typing import Final

from django.db import transaction
from django.db.models import Max

from letterbook.control.deliveries.errors import DeliveryStateError, ProofAddressError
from letterbook.control.deliveries.models import Delivery, Proof
from letterbook.control.deliveries.queries import locked_delivery, proof_mark
from letterbook.control.kernel.actor import Actor, Right
from letterbook.control.kernel.audit import record
from letterbook.control.kernel.errors import ActionError
from letterbook.control.kernel.sql import cursor, statement
from letterbook.control.platform import queries as platform
from letterbook.control.recipients.queries import recipient_at, why_not_written_to
from letterbook.mail.address import address_key, normalise_address
from letterbook.mail.errors import AddressError
from letterbook.mail.status import DeliveryState

MOST_ADDRESSES: Final = 100
"""Campaign's proof size check (reference/adobe-campaign.md, 4.3)."""

_NOT_STARTED: Final = (DeliveryState.EDITING, DeliveryState.READY, DeliveryState.SCHEDULED)
_CONTENT: Final = (
    "template_name", "template_version", "options", "markup", "html_source", "text_source", "files",
)  # fmt: skip


def create_proof(
    actor: Actor, delivery_id: int, *, to: Sequence[str], written_as: str | None = None
) -> int:
    """Make a proof of the delivery for the addresses ``to``; return the proof's id.

    It is written as the recipient whose address is ``written_as``, else as the first of the
    target, and is yet to be analysed and started. The delivery itself stays as it is. Raises
    NotFoundError, DeliveryStateError, ProofAddressError and ActionError.
    """
    actor.require(Right.PREPARE_DELIVERIES)
    addresses = _usable(to)
    with transaction.atomic():
        parent = locked_delivery(delivery_id)  # two proofs at once have two numbers
        _require_provable(parent)
        recipient = recipient_at(written_as) if written_as else _first_of_target(delivery_id)
        last = Proof.objects.filter(parent=parent).aggregate(last=Max("number"))["last"]
        number = (last or 0) + 1
        proof = Delivery.objects.create(
            label=f"[Proof {number}] {parent.label}",
            overrides={**parent.overrides, "test_smtp": False},
            created_by=actor.name,
            **{name: getattr(parent, name) for name in _CONTENT},
        )
        Proof.objects.create(
            delivery=proof,
            parent=parent,
            number=number,
            recipient_id=recipient,
            addresses=addresses,
        )
        after = {"delivery": proof.pk, "addresses": len(addresses), "as recipient": recipient}
        record(actor, "make proof", f"delivery {delivery_id}", after=after)
    return proof.pk


def _require_provable(parent: Delivery) -> None:
    if proof_mark(parent.pk) is not None:
        raise DeliveryStateError(f"delivery {parent.pk} is a proof itself")
    if parent.state not in _NOT_STARTED:
        raise DeliveryStateError(
            f"delivery {parent.pk} is {parent.state}; proofs are made before a delivery starts"
        )


def _usable(to: Sequence[str]) -> list[str]:
    """Return the addresses, each once. Raises ProofAddressError for one that must not be used."""
    found: dict[str, str] = {}
    for text in to:
        try:
            address = normalise_address(text)
        except AddressError as error:
            raise ProofAddressError(f"{text!r} is not an address: {error}") from None
        found.setdefault(address_key(address), address)
    if not 1 <= len(found) <= MOST_ADDRESSES:
        raise ProofAddressError(
            f"a proof goes to 1 to {MOST_ADDRESSES} addresses, not to {len(found)}"
        )
    archive = _archive_keys()
    reasons = why_not_written_to(list(found))
    for key, address in found.items():
        if key in archive:
            raise ProofAddressError(f"{address} is the archive address; nothing is sent to it")
        if key in reasons:
            raise ProofAddressError(f"{address} is {reasons[key]}; it gets no proof either")
    return list(found.values())


def _first_of_target(delivery_id: int) -> int:
    with cursor() as db:
        values = {"delivery": delivery_id, "archive_keys": _archive_keys()}
        db.execute(statement("deliveries", "first_of_target"), values)
        row = db.fetchone()
    if row is None:
        raise ActionError(
            f"nobody in the target of delivery {delivery_id} can be written to; say whom the "
            "proof is written as (--as ADDRESS)"
        )
    return int(row[0])


def _archive_keys() -> list[str]:
    archive = platform.archive()
    return [address_key(each) for each in (archive.address, archive.pending) if each]
