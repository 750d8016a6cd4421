"""What there is to know of deliveries, apart from their messages."""

from dataclasses import dataclass
from datetime import datetime

from letterbook.control.deliveries.models import Delivery
from letterbook.control.kernel.errors import NotFoundError
from letterbook.control.mailtemplates.options import Options
from letterbook.control.mailtemplates.queries import read_options
from letterbook.mail.status import DeliveryState

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


def deliveries(limit: int = 1000) -> list[DeliveryLine]:
    """Return the newest deliveries, newest first."""
    return [
        DeliveryLine(
            id=row.pk,
            label=row.label,
            state=DeliveryState(row.state),
            template=row.template_name,
            email_bcc=effective_options(row).email_bcc,
            created_at=row.created_at,
            started_at=row.started_at,
        )
        for row in Delivery.objects.order_by("-pk")[:limit]
    ]


def find_delivery(delivery_id: int) -> Delivery:
    """Return the delivery. Raises NotFoundError."""
    return _found(Delivery.objects.filter(pk=delivery_id).first(), delivery_id)


def locked_delivery(delivery_id: int) -> Delivery:
    """Return the delivery, locked until the transaction ends. Raises NotFoundError."""
    return _found(Delivery.objects.select_for_update().filter(pk=delivery_id).first(), delivery_id)


def running_with_email_bcc() -> list[int]:
    """Return the deliveries under way that send copies."""
    rows = Delivery.objects.filter(state__in=RUNNING).order_by("pk")
    return [row.pk for row in rows if effective_options(row).email_bcc]


def effective_options(delivery: Delivery) -> Options:
    """Return the template's options as this delivery overrides them."""
    return read_options({**delivery.options, **delivery.overrides})


def _found(delivery: Delivery | None, delivery_id: int) -> Delivery:
    if delivery is None:
        raise NotFoundError(f"there is no delivery {delivery_id}")
    return delivery
