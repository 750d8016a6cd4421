"""Every action that moves a delivery's messages. (Analysis has a file of its own.)"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models.functions import Now

from letterbook.control.deliveries.errors import DeliveryStateError
from letterbook.control.deliveries.models import Delivery
from letterbook.control.deliveries.queries import RUNNING, effective_options, locked_delivery
from letterbook.control.kernel.actor import Actor, Right
from letterbook.control.kernel.audit import record
from letterbook.control.kernel.errors import ActionError
from letterbook.control.kernel.sql import cursor, statement
from letterbook.control.outbox.errors import NotReadyError
from letterbook.control.platform import queries as platform
from letterbook.mail.status import CopyStatus, DeliveryState, MessageStatus

CHANNEL: Final = "letterbook_ledger"
"""Where workers listen: there may be something to do."""

_UNDER_WAY: Final = RUNNING


def start(actor: Actor, delivery_id: int, *, at: datetime | None = None) -> None:
    """Start the delivery, now or ``at`` a time (with time zone).

    Raises NotFoundError, DeliveryStateError and NotReadyError.
    """
    actor.require(Right.START_DELIVERIES)
    with _changing(actor, "start delivery", delivery_id) as delivery:
        if delivery.state != DeliveryState.READY:
            raise DeliveryStateError(
                f"delivery {delivery_id} is {delivery.state}; only one that is ready can start "
                f"(`letterbook deliveries analyze {delivery_id}`)"
            )
        if effective_options(delivery).makes_copies and platform.archive().address is None:
            raise NotReadyError(
                "Email BCC is on, but the platform has no confirmed archive address: "
                "`letterbook archive set ADDRESS`"
            )
        delivery.started_by = actor.name
        delivery.scheduled_at = at
        if at is not None:
            delivery.state = DeliveryState.SCHEDULED
        else:
            _begin(delivery)


def pause(actor: Actor, delivery_id: int) -> None:
    """Begin no further message; what is in flight settles. Raises DeliveryStateError."""
    actor.require(Right.START_DELIVERIES)
    with _changing(actor, "pause delivery", delivery_id) as delivery:
        _require(delivery, (*_UNDER_WAY, DeliveryState.SCHEDULED), "paused")
        delivery.state = DeliveryState.PAUSED
        delivery.held_route = None
        delivery.because = f"paused by {actor.name}"


def resume(actor: Actor, delivery_id: int) -> None:
    """Go on with exactly the rest. Raises DeliveryStateError."""
    actor.require(Right.START_DELIVERIES)
    with _changing(actor, "resume delivery", delivery_id) as delivery:
        _require(delivery, (DeliveryState.PAUSED,), "resumed")
        delivery.because = None
        if delivery.started_at is None:
            delivery.state = DeliveryState.SCHEDULED
        else:
            delivery.state = DeliveryState.SENDING


def stop(actor: Actor, delivery_id: int) -> None:
    """Stop for good: what has not begun is cancelled. Raises DeliveryStateError."""
    actor.require(Right.START_DELIVERIES)
    with _changing(actor, "stop delivery", delivery_id) as delivery:
        stoppable = (*_UNDER_WAY, DeliveryState.SCHEDULED, DeliveryState.PAUSED)
        _require(delivery, stoppable, "stopped")
        delivery.state = DeliveryState.STOPPED
        delivery.held_route = None
        delivery.because = f"stopped by {actor.name}"
        delivery.finished_at = Now()
        # The row is written before its messages: from here on the gate is shut.
        delivery.save()
        with cursor() as db:
            db.execute(statement("outbox", "cancel_messages"), {"delivery": delivery_id})


def release(actor: Actor, delivery_id: int, ordinal: int) -> None:
    """Let a message go whose copy the archive refuses; the copy is owed from now on.

    Raises NotFoundError and ActionError.
    """
    actor.require(Right.ARCHIVE_ADMINISTRATION)
    with transaction.atomic(), cursor() as db:
        locked_delivery(delivery_id)
        db.execute(
            "UPDATE outbox_message SET copy = %s, next_attempt_at = NULL "
            "WHERE delivery_id = %s AND ordinal = %s AND copy = %s AND status = %s",
            [
                CopyStatus.OWED,
                delivery_id,
                ordinal,
                CopyStatus.REFUSED,
                MessageStatus.PENDING,
            ],
        )
        if not db.rowcount:
            raise ActionError(
                f"message {ordinal} of delivery {delivery_id} does not wait for the archive"
            )
        _make_due(delivery_id)
        what = f"delivery {delivery_id}, message {ordinal}"
        before, after = {"copy": CopyStatus.REFUSED}, {"copy": CopyStatus.OWED}
        record(actor, "release message without its copy", what, before=before, after=after)
        _notify()


@contextmanager
def _changing(actor: Actor, action: str, delivery_id: int) -> Iterator[Delivery]:
    """Change a delivery's state: locked, saved, audited, and told to the workers."""
    with transaction.atomic():
        delivery = locked_delivery(delivery_id)
        before = delivery.state
        yield delivery
        delivery.save()
        after = {"state": delivery.state}
        record(actor, action, f"delivery {delivery_id}", before={"state": before}, after=after)
        _notify()


def _begin(delivery: Delivery) -> None:
    with cursor() as db:
        db.execute(
            "SELECT now() + validity FROM outbox_content WHERE delivery_id = %s", [delivery.pk]
        )
        (valid_until,) = db.fetchone()
    delivery.state = DeliveryState.SENDING
    delivery.started_at = Now()
    delivery.valid_until = valid_until
    _make_due(delivery.pk)


def _make_due(delivery_id: int) -> None:
    with cursor() as db:
        db.execute(statement("outbox", "make_due"), {"delivery": delivery_id})


def _require(delivery: Delivery, states: tuple[DeliveryState, ...], what: str) -> None:
    if delivery.state not in states:
        raise DeliveryStateError(f"delivery {delivery.pk} is {delivery.state} and cannot be {what}")


def _notify() -> None:
    with cursor() as db:
        db.execute("SELECT pg_notify(%s, '')", [CHANNEL])
