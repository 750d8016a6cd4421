"""Writing the audit trail, always in the transaction of the change itself."""

from collections.abc import Mapping

from django.db import connection

from letterbook.control.kernel.actor import Actor
from letterbook.control.kernel.models import AuditLine


class AuditOutsideTransactionError(AssertionError):
    """An audit line was written apart from the change it tells of."""


def record(
    actor: Actor,
    action: str,
    what: str,
    *,
    before: Mapping[str, object] | None = None,
    after: Mapping[str, object] | None = None,
) -> None:
    """Add a line. ``what`` names the object (``"route archive"``); no secret may be in it."""
    if not connection.in_atomic_block:
        raise AuditOutsideTransactionError(action)
    AuditLine.objects.create(
        actor=actor.name,
        action=action,
        object=what,
        before=dict(before) if before is not None else None,
        after=dict(after) if after is not None else None,
    )
