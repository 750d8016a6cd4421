"""After a restore or a failover: what the ledger no longer knows is put in doubt, not guessed."""

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Final

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from letterbook.control.deliveries.models import Delivery
from letterbook.control.kernel.actor import Actor, Right
from letterbook.control.kernel.audit import record
from letterbook.control.kernel.errors import ActionError
from letterbook.control.kernel.sql import cursor, statement
from letterbook.control.outbox.actions import CHANNEL
from letterbook.control.outbox.queries import database_is_known
from letterbook.mail.status import DeliveryState

_NUMBERS_TO_SKIP: Final = 10_000
"""More deliveries, recipients or addresses than anybody makes between two backups."""

_NUMBERED: Final = (
    ("deliveries_delivery", "id"),
    ("recipients_recipient", "id"),
    ("platform_archiveaddress", "version"),
)
"""What is known by its number out in the world: in Message-IDs, links and the archive."""

_DRAFTS = (DeliveryState.EDITING, DeliveryState.ANALYZING, DeliveryState.READY)
_FINAL = (DeliveryState.FINISHED, DeliveryState.STOPPED, DeliveryState.FAILED)


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """How many deliveries were paused and stopped, and how many messages put in doubt."""

    paused: int
    stopped: int
    in_doubt: int


def acknowledge_restore(actor: Actor, since: datetime) -> RestoreReport:
    """Make the ledger honest that stands as it was at ``since`` (with time zone).

    Deliveries under way are paused, what they may have sent since is in doubt; deliveries that had
    not started are stopped, because they may have been started since. Numbers that may have been
    given since are skipped, so that no new message gets the Message-ID of another one. Raises
    ActionError when ``since`` cannot be.
    """
    actor.require(Right.ADMINISTRATION)
    with transaction.atomic():
        _require_possible(since)
        report = RestoreReport(*_rest_all(since), in_doubt=_doubt())
        _skip_numbers()
        _acknowledge(actor, "acknowledge restore", {"since": since.isoformat()} | asdict(report))
    return report


def acknowledge_failover(actor: Actor) -> None:
    """Go on as before, because nothing that was committed is missing.

    Raises ActionError when the database is the one it was.
    """
    actor.require(Right.ADMINISTRATION)
    with transaction.atomic():
        if database_is_known():
            raise ActionError("this database is the one it was; there is nothing to acknowledge")
        _acknowledge(actor, "acknowledge failover", {"nothing_lost": True})


def _require_possible(since: datetime) -> None:
    if since > timezone.now():
        raise ActionError(f"{since} is in the future; say what time the backup stands for")
    newest = Delivery.objects.aggregate(started=Max("started_at"), finished=Max("finished_at"))
    latest = max((at for at in newest.values() if at is not None), default=None)
    if latest is not None and latest > since:
        raise ActionError(
            f"the ledger tells of a delivery's start or end at {latest}, so it stands for a later "
            f"time than {since}"
        )


def _rest_all(since: datetime) -> tuple[int, int]:
    """Pause what is under way and stop what was not; their rows stay locked."""
    open_ones = Delivery.objects.select_for_update().exclude(state__in=_FINAL).order_by("pk")
    paused = stopped = 0
    for delivery in open_ones:
        delivery.held_route = None
        if delivery.state in _DRAFTS:
            stopped += 1
            delivery.state = DeliveryState.STOPPED
            delivery.because = f"restored to {since}: it may have been started since; make it anew"
            delivery.finished_at = timezone.now()
        else:
            paused += 1
            delivery.state = DeliveryState.PAUSED
            delivery.because = f"restored to {since}: what it may have sent since is in doubt"
        delivery.save()
    return paused, stopped


def _doubt() -> int:
    with cursor() as db:
        db.execute(statement("outbox", "free_parts"))
        db.execute(statement("outbox", "doubt_unfinished"))
        doubted: int = db.rowcount
        db.execute(statement("outbox", "make_tests_due"))
    return doubted


def _skip_numbers() -> None:
    with cursor() as db:
        for table, column in _NUMBERED:
            db.execute(
                "SELECT setval(s, nextval(s) + %s) "
                "FROM CAST(pg_get_serial_sequence(%s, %s) AS regclass) AS s",
                [_NUMBERS_TO_SKIP, table, column],
            )


def _acknowledge(actor: Actor, action: str, how: dict[str, object]) -> None:
    with cursor() as db:
        db.execute(statement("outbox", "acknowledge_lineage"))
        before, after = db.fetchone()
        record(
            actor, action, "database", before={"lineage": before}, after={"lineage": after} | how
        )
        db.execute("SELECT pg_notify(%s, '')", [CHANNEL])
