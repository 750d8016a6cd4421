"""Making deliveries and changing them. What moves messages stands in the outbox."""

from collections.abc import Sequence
from typing import Final

import msgspec
from django.db import transaction

from letterbook.control.deliveries.errors import DeliveryStateError
from letterbook.control.deliveries.models import Delivery, Target
from letterbook.control.deliveries.queries import locked_delivery, proof_mark
from letterbook.control.kernel.actor import Actor, Right
from letterbook.control.kernel.audit import record
from letterbook.control.kernel.errors import ActionError
from letterbook.control.mailtemplates.options import PRIORITIES
from letterbook.control.mailtemplates.queries import template_named
from letterbook.control.mailtemplates.waves import parse_waves
from letterbook.control.recipients.queries import list_named
from letterbook.mail.status import DeliveryState

NO_WAVES: Final = "none"
_EDITABLE: Final = (DeliveryState.EDITING, DeliveryState.READY)


def create_delivery(
    actor: Actor,
    *,
    template: str,
    lists: Sequence[str],
    label: str | None = None,
    email_bcc: bool | None = None,
    test_smtp: bool | None = None,
    priority: str | None = None,
    waves: str | None = None,
) -> int:
    """Make a delivery from ``template`` to ``lists``; return its id.

    It copies the template as it is now. The other options differ from the template (waves
    "none": all at once). Raises NotFoundError and ActionError.
    """
    actor.require(Right.PREPARE_DELIVERIES)
    if not lists:
        raise ActionError("a delivery needs a list to go to")
    source = template_named(template)
    targets = [list_named(name) for name in dict.fromkeys(lists)]
    overrides = _overrides(email_bcc=email_bcc, test_smtp=test_smtp, priority=priority, waves=waves)
    with transaction.atomic():
        delivery = Delivery.objects.create(
            label=label or source.options.label,
            template_name=source.name,
            template_version=source.version,
            options=msgspec.to_builtins(source.options),
            overrides=overrides,
            markup=source.markup,
            html_source=source.html_source,
            text_source=source.text_source,
            files=list(source.files),
            created_by=actor.name,
        )
        Target.objects.bulk_create(
            [Target(delivery_id=delivery.pk, list_id=each.id) for each in targets]
        )
        record(
            actor,
            "create delivery",
            f"delivery {delivery.pk}",
            after={"template": source.name, "version": source.version, "lists": list(lists)},
        )
    return delivery.pk


def edit_delivery(
    actor: Actor,
    delivery_id: int,
    *,
    label: str | None = None,
    email_bcc: bool | None = None,
    test_smtp: bool | None = None,
    priority: str | None = None,
    waves: str | None = None,
) -> None:
    """Change what is given (see create_delivery). An analysis made before counts no longer.

    Raises NotFoundError, DeliveryStateError and ActionError.
    """
    actor.require(Right.PREPARE_DELIVERIES)
    overrides = _overrides(email_bcc=email_bcc, test_smtp=test_smtp, priority=priority, waves=waves)
    with transaction.atomic():
        delivery = locked_delivery(delivery_id)
        if delivery.state not in _EDITABLE:
            raise DeliveryStateError(
                f"delivery {delivery_id} is {delivery.state} and can no longer be edited"
            )
        if proof_mark(delivery_id) is not None:
            raise DeliveryStateError(f"delivery {delivery_id} is a proof; edit what it tries out")
        before = {"label": delivery.label, "overrides": delivery.overrides}
        if label is not None:
            delivery.label = label
        delivery.overrides = {**delivery.overrides, **overrides}
        delivery.state = DeliveryState.EDITING
        delivery.analyzed_at = None
        delivery.save()
        after = {"label": delivery.label, "overrides": delivery.overrides}
        record(actor, "edit delivery", f"delivery {delivery_id}", before=before, after=after)


def _overrides(
    *, email_bcc: bool | None, test_smtp: bool | None, priority: str | None, waves: str | None
) -> dict[str, object]:
    """Return what a delivery says differently from its template."""
    if priority is not None and priority not in PRIORITIES:
        raise ActionError(f"{priority!r} is no priority; use one of {', '.join(PRIORITIES)}")
    if waves is not None and waves != NO_WAVES:
        try:
            parse_waves(waves)
        except ValueError as error:
            raise ActionError(str(error)) from None
    said = {"email_bcc": email_bcc, "test_smtp": test_smtp, "priority": priority, "waves": waves}
    found = {name: value for name, value in said.items() if value is not None}
    return found | ({"waves": None} if waves == NO_WAVES else {})
