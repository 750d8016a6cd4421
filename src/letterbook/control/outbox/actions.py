"""Every action that moves a delivery's messages. (Analysis has a file of its own.)"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple, cast

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
from letterbook.control.outbox.queries import database_is_known
from letterbook.control.platform import queries as platform
from letterbook.mail.status import CopyStatus, DeliveryState, Failure, MessageStatus

CHANNEL: Final = "letterbook_ledger"
"""Where workers listen: there may be something to do."""

_UNDER_WAY: Final = RUNNING
_MENDABLE: Final = [
    each.value for each in Failure if each not in (Failure.PERSONALISATION, Failure.REVEALS_ARCHIVE)
]
"""Failures that another attempt may end otherwise."""


class Resent(NamedTuple):
    """How many messages are sent again, and how many are not, because of whom they are to."""

    messages: int
    left_out: int


def start(actor: Actor, delivery_id: int, *, at: datetime | None = None) -> None:
    """Start the delivery, now or ``at`` a time (with time zone).

    Raises NotFoundError, DeliveryStateError, NotReadyError and, when the time is past, ActionError.
    """
    actor.require(Right.START_DELIVERIES)
    if at is not None and at <= datetime.now(UTC):
        raise ActionError(f"{at} is past; leave the time out to start now")
    with _changing(actor, "start delivery", delivery_id) as delivery:
        _require_known_database()
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
    """Go on with exactly the rest. Raises DeliveryStateError and NotReadyError."""
    actor.require(Right.START_DELIVERIES)
    with _changing(actor, "resume delivery", delivery_id) as delivery:
        _require_known_database()
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
        _lock_parts(delivery_id)
        with cursor() as db:
            db.execute(statement("outbox", "cancel_messages"), {"delivery": delivery_id})


def release(actor: Actor, delivery_id: int, ordinal: int) -> None:
    """Let a message go whose copy the archive refuses; the copy is owed from now on.

    Raises NotFoundError and ActionError.
    """
    actor.require(Right.ARCHIVE_ADMINISTRATION)
    with transaction.atomic(), cursor() as db:
        locked_delivery(delivery_id)
        _lock_parts(delivery_id, ordinal)
        db.execute(
            "UPDATE outbox_message SET copy = %s, next_attempt_at = NULL "
            "WHERE delivery_id = %s AND ordinal = %s AND copy = %s AND status = %s "
            "RETURNING part",
            [
                CopyStatus.OWED,
                delivery_id,
                ordinal,
                CopyStatus.REFUSED,
                MessageStatus.PENDING,
            ],
        )
        found = db.fetchone()
        if found is None:
            raise ActionError(
                f"message {ordinal} of delivery {delivery_id} does not wait for the archive"
            )
        db.execute(statement("outbox", "make_due"), {"delivery": delivery_id, "parts": [*found]})
        what = f"delivery {delivery_id}, message {ordinal}"
        before, after = {"copy": CopyStatus.REFUSED}, {"copy": CopyStatus.OWED}
        record(actor, "release message without its copy", what, before=before, after=after)
        _notify()


def retry(
    actor: Actor,
    delivery_id: int,
    ordinals: Sequence[int] | None = None,
    *,
    lasting: timedelta | None = None,
) -> Resent:
    """Try the failed messages of a finished delivery again: all, or those named.

    They are the same bytes, and a copy that was accepted is not repeated. Not tried again are
    messages that could not be personalised or hold the archive address, because they are frozen,
    and people who are on the denylist or in quarantine by now. The validity begins anew,
    ``lasting`` so long. Raises NotFoundError, DeliveryStateError and ActionError.
    """
    actor.require(Right.START_DELIVERIES)
    noted: dict[str, object] = {}
    with _changing(actor, "retry failed messages", delivery_id, noted) as delivery:
        _require(delivery, (DeliveryState.FINISHED,), "retried")
        resent = _send_again(delivery_id, MessageStatus.FAILED, ordinals)
        noted |= {"messages": resent.messages, "left out": resent.left_out}
        delivery.valid_until = _end_of_validity(delivery_id, lasting)
        _go_on(delivery)
    return resent


def resend(
    actor: Actor,
    delivery_id: int,
    ordinals: Sequence[int] | None,
    *,
    lasting: timedelta | None = None,
) -> Resent:
    """Send messages in doubt again (None: all); somebody may get a second one.

    A validity that has ended begins anew, ``lasting`` so long. Raises NotFoundError,
    DeliveryStateError and ActionError.
    """
    actor.require(Right.START_DELIVERIES)
    noted: dict[str, object] = {"named": ordinals}
    with _changing(actor, "resend messages in doubt", delivery_id, noted) as delivery:
        _require(delivery, (*_UNDER_WAY, DeliveryState.PAUSED, DeliveryState.FINISHED), "resent")
        resent = _send_again(delivery_id, MessageStatus.IN_DOUBT, ordinals)
        noted |= {"messages": resent.messages, "left out": resent.left_out}
        ends = delivery.valid_until or datetime.now(UTC)
        if lasting is not None or ends <= datetime.now(UTC):
            delivery.valid_until = max(ends, _end_of_validity(delivery_id, lasting))
        if delivery.state == DeliveryState.FINISHED:
            _go_on(delivery)
    return resent


def settle_doubts(
    actor: Actor, delivery_id: int, ordinals: Sequence[int] | None, *, arrived: bool
) -> int:
    """Note what became of messages in doubt (None: all), as somebody knows; return how many.

    Raises NotFoundError and ActionError.
    """
    actor.require(Right.START_DELIVERIES)
    status, failure = (
        (MessageStatus.SENT, None) if arrived else (MessageStatus.FAILED, Failure.LOST)
    )
    noted: dict[str, object] = {"named": ordinals, "status": status}
    with _changing(actor, "settle messages in doubt", delivery_id, noted), cursor() as db:
        words = f"{'arrived' if arrived else 'never arrived'}, says {actor.name}"
        values = {
            "delivery": delivery_id,
            "ordinals": None if ordinals is None else list(ordinals),
            "status": status,
            "failure": failure,
            "words": words,
        }
        _lock_parts(delivery_id)
        db.execute(statement("outbox", "settle_doubts"), values)
        settled = int(db.rowcount)
        _require_found(delivery_id, MessageStatus.IN_DOUBT, ordinals, settled)
        noted["messages"] = settled
    return settled


def _send_again(delivery_id: int, status: MessageStatus, ordinals: Sequence[int] | None) -> Resent:
    _require_known_database()
    _lock_parts(delivery_id)
    with cursor() as db:
        db.execute(
            statement("outbox", "send_again"),
            {
                "delivery": delivery_id,
                "status": status,
                "failures": _MENDABLE,
                "ordinals": None if ordinals is None else list(ordinals),
            },
        )
        resent = Resent(*db.fetchone())
    _require_found(delivery_id, status, ordinals, sum(resent))
    if not resent.messages:
        raise ActionError(
            f"nothing is sent again: {resent.left_out} of delivery {delivery_id} are to people who "
            "are on the denylist, in quarantine or gone by now"
        )
    return resent


def _lock_parts(delivery_id: int, ordinal: int | None = None) -> None:
    """Lock the delivery's parts, or only that of a message; the delivery is locked already."""
    with cursor() as db:
        db.execute(statement("outbox", "lock_parts"), {"delivery": delivery_id, "ordinal": ordinal})


def _require_found(
    delivery_id: int, status: MessageStatus, ordinals: Sequence[int] | None, found: int
) -> None:
    """All that were named must stand as they are thought to, or one at least if none is named."""
    shown = status.replace("_", " ")
    if ordinals is None and not found:
        raise ActionError(f"no message of delivery {delivery_id} is {shown}, or none can be mended")
    if ordinals is not None and found != len(set(ordinals)):
        raise ActionError(
            f"only {found} of the messages {', '.join(map(str, ordinals))} of delivery "
            f"{delivery_id} are {shown} and can be mended: nothing is changed"
        )


def _go_on(delivery: Delivery) -> None:
    delivery.state = DeliveryState.SENDING
    delivery.finished_at = None


@contextmanager
def _changing(
    actor: Actor, action: str, delivery_id: int, noted: Mapping[str, object] | None = None
) -> Iterator[Delivery]:
    """Change a delivery's state: locked, saved, audited, and told to the workers.

    ``noted``: what more the audit is told, as it stands in the end.
    """
    with transaction.atomic():
        delivery = locked_delivery(delivery_id)
        before = delivery.state
        yield delivery
        delivery.save()
        after = {"state": delivery.state, **(noted or {})}
        record(actor, action, f"delivery {delivery_id}", before={"state": before}, after=after)
        _notify()


def _begin(delivery: Delivery) -> None:
    delivery.state = DeliveryState.SENDING
    delivery.started_at = Now()
    delivery.valid_until = _end_of_validity(delivery.pk)
    with cursor() as db:
        db.execute(statement("outbox", "begin_parts"), {"delivery": delivery.pk})


def _end_of_validity(delivery_id: int, lasting: timedelta | None = None) -> datetime:
    """Return when a validity that begins now ends, ``lasting`` so long or as declared."""
    with cursor() as db:
        db.execute(
            "SELECT now() + coalesce(%s, validity) FROM outbox_content WHERE delivery_id = %s",
            [lasting, delivery_id],
        )
        (end,) = db.fetchone()
        return cast("datetime", end)


def _require_known_database() -> None:
    if not database_is_known():
        raise NotReadyError(
            "the database was restored, or is another server after a failover: first run "
            "`letterbook restored --since WHEN` (docs/operate/backup-and-restore.md)"
        )


def _require(delivery: Delivery, states: tuple[DeliveryState, ...], what: str) -> None:
    if delivery.state not in states:
        raise DeliveryStateError(f"delivery {delivery.pk} is {delivery.state} and cannot be {what}")


def _notify() -> None:
    with cursor() as db:
        db.execute("SELECT pg_notify(%s, '')", [CHANNEL])
