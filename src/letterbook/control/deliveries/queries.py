"""What there is to know of deliveries, apart from their messages."""

from dataclasses import dataclass
from datetime import datetime

from letterbook.control.deliveries.models import Delivery, Proof
from letterbook.control.kernel.errors import NotFoundError
from letterbook.control.mailtemplates.options import Options
from letterbook.control.mailtemplates.queries import read_options
from letterbook.mail.status import DeliveryKind, DeliveryState

RUNNING = (DeliveryState.SENDING, DeliveryState.HELD, DeliveryState.RETRYING)


@dataclass(frozen=True, slots=True)
class DeliveryLine:
    """A delivery in a list."""

    id: int
    label: str
    state: DeliveryState
    template: str
    email_bcc: bool
    created_at: datetime
    started_at: datetime | None
    kind: DeliveryKind
    proof_of: int | None


@dataclass(frozen=True, slots=True)
class ProofMark:
    """Which delivery a proof tries out, and which of its proofs it is, from 1."""

    parent: int
    number: int


def deliveries(limit: int = 1000) -> list[DeliveryLine]:
    """Return the newest deliveries, newest first."""
    rows = list(Delivery.objects.order_by("-pk")[:limit])
    parents = dict(
        Proof.objects.filter(delivery__in=[row.pk for row in rows]).values_list("pk", "parent")
    )
    return [_line(row, parents.get(row.pk)) for row in rows]


def find_delivery(delivery_id: int) -> Delivery:
    """Return the delivery. Raises NotFoundError."""
    return _found(Delivery.objects.filter(pk=delivery_id).first(), delivery_id)


def locked_delivery(delivery_id: int) -> Delivery:
    """Return the delivery, locked until the transaction ends. Raises NotFoundError."""
    return _found(Delivery.objects.select_for_update().filter(pk=delivery_id).first(), delivery_id)


def running_with_email_bcc() -> list[int]:
    """Return the deliveries under way that send copies."""
    rows = Delivery.objects.filter(state__in=RUNNING).order_by("pk")
    return [row.pk for row in rows if effective_options(row).makes_copies]


def proof_mark(delivery_id: int) -> ProofMark | None:
    """Return what the delivery is a proof of; None when it is none."""
    row = Proof.objects.filter(pk=delivery_id).first()
    return ProofMark(row.parent_id, row.number) if row else None


def proofs_of(delivery_id: int) -> list[int]:
    """Return the proofs made of the delivery, oldest first."""
    rows = Proof.objects.filter(parent=delivery_id).order_by("number")
    return list(rows.values_list("pk", flat=True))


def kind_of(delivery: Delivery, proof_of: int | None) -> DeliveryKind:
    """Return what the delivery is for, given the delivery that it is a proof of, if any."""
    if proof_of is not None:
        return DeliveryKind.PROOF
    return DeliveryKind.TEST if effective_options(delivery).test_smtp else DeliveryKind.ORDINARY


def effective_options(delivery: Delivery) -> Options:
    """Return the template's options as this delivery overrides them."""
    return read_options({**delivery.options, **delivery.overrides})


def _line(row: Delivery, proof_of: int | None) -> DeliveryLine:
    return DeliveryLine(
        id=row.pk,
        label=row.label,
        state=DeliveryState(row.state),
        template=row.template_name,
        email_bcc=effective_options(row).email_bcc,
        created_at=row.created_at,
        started_at=row.started_at,
        kind=kind_of(row, proof_of),
        proof_of=proof_of,
    )


def _found(delivery: Delivery | None, delivery_id: int) -> Delivery:
    if delivery is None:
        raise NotFoundError(f"there is no delivery {delivery_id}")
    return delivery
