"""What there is to know of a delivery's messages."""

from collections.abc import Generator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from django.db import connection, transaction
from psycopg import sql

from letterbook.control.deliveries.models import Delivery
from letterbook.control.deliveries.queries import (
    effective_options,
    find_delivery,
    kind_of,
    proof_mark,
    proofs_of,
)
from letterbook.control.kernel.sql import cursor, statement
from letterbook.control.outbox.analysis import AnalysisReport
from letterbook.control.outbox.throughput import Bound, bound
from letterbook.mail.address import domain_of, normalise_address
from letterbook.mail.identity import Identity, MessageRef
from letterbook.mail.status import (
    CopyStatus,
    DeliveryKind,
    DeliveryState,
    Failure,
    MessageStatus,
)

_FETCH: Final = 2000
WORKER_SEEN: Final = "10 seconds"
"""A worker renews its leases far more often than this."""


@dataclass(frozen=True, slots=True)
class WaveView:
    """A wave; its time is known when the delivery has started."""

    number: int
    messages: int
    starts_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryView:
    """A delivery and how far its messages are."""

    id: int
    label: str
    state: DeliveryState
    because: str | None
    email_bcc: bool
    target: int
    excluded: dict[str, int]
    messages: dict[MessageStatus, int]
    copies: dict[CopyStatus, int]
    archived_not_sent: int
    """Cancelled or failed, and the archive has a copy."""
    priority: str
    waves: list[WaveView]
    scheduled_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None
    kind: DeliveryKind
    proof_of: int | None
    proofs: list[int]
    tested: int
    """Of the cancelled messages of a test: those whose recipient was accepted."""
    bound: Bound | None
    """The route that keeps it from going faster, if letters queue there."""
    valid_until: datetime | None

    @property
    def duration(self) -> timedelta | None:
        """From start to finish."""
        if self.started_at is None or self.finished_at is None:
            return None
        return self.finished_at - self.started_at


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """A message in the log. ``sent_at`` is when its last outcome came, if it was sent.

    ``reason``: why it failed or was not sent.
    """

    message_id: str
    address: str
    status: MessageStatus
    sha256: str | None
    copy_status: CopyStatus
    copy_accepted_at: datetime | None
    copy_reply: str | None
    sent_at: datetime | None
    reply: str | None
    attempts: int
    kind: DeliveryKind
    reason: Failure | None
    message: int
    """Its number in the delivery."""
    archived_not_sent: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertView:
    """An alert whose cause lasts, or is not told to be over yet; ``troubles`` by channel."""

    alert: int
    cause: str
    object: str
    facts: dict[str, Any]
    opened_at: datetime
    closed_at: datetime | None
    told: tuple[str, ...]
    troubles: dict[str, str]


def delivery_view(delivery_id: int) -> DeliveryView:
    """Return the delivery with its tallies. Raises NotFoundError."""
    delivery = find_delivery(delivery_id)
    report = last_report(delivery_id)
    tallies = _tallies(delivery_id)
    proof = proof_mark(delivery_id)
    proof_of = proof.parent if proof else None
    kind = kind_of(delivery, proof_of)
    state, options = DeliveryState(delivery.state), effective_options(delivery)
    return DeliveryView(
        id=delivery_id,
        label=delivery.label,
        state=state,
        because=delivery.because,
        email_bcc=options.email_bcc,
        target=report.target if report else 0,
        excluded=report.excluded if report else {},
        messages={each: tallies[each.value] for each in MessageStatus},
        copies={each: tallies[f"copies_{each.value}"] for each in CopyStatus},
        archived_not_sent=tallies["archived_not_sent"],
        priority=options.priority,
        waves=_waves(delivery_id, delivery.started_at),
        scheduled_at=delivery.scheduled_at,
        started_at=delivery.started_at,
        finished_at=delivery.finished_at,
        kind=kind,
        proof_of=proof_of,
        proofs=proofs_of(delivery_id),
        tested=_tested(delivery, tallies) if kind is DeliveryKind.TEST else 0,
        valid_until=delivery.valid_until,
        bound=bound(state, copied=options.makes_copies),
    )


def last_report(delivery_id: int) -> AnalysisReport | None:
    """Return what the last analysis found, None when there was none."""
    with cursor() as db:
        db.execute("SELECT report::text FROM outbox_content WHERE delivery_id = %s", [delivery_id])
        row = db.fetchone()
    return msgspec.json.decode(row[0], type=AnalysisReport) if row else None


def log(delivery_id: int, identity: Identity) -> Generator[LogLine]:
    """Return a line for each message of the delivery, in order; memory stays constant.

    Raises NotFoundError.
    """
    sender = effective_options(find_delivery(delivery_id)).sender
    domain = domain_of(normalise_address(sender.address)) if sender else ""
    return _log_lines(delivery_id, identity, domain)


def _log_lines(delivery_id: int, identity: Identity, domain: str) -> Generator[LogLine]:
    with transaction.atomic(), connection.chunked_cursor() as db:
        db.execute(statement("outbox", "log"), {"delivery": delivery_id})
        while rows := db.fetchmany(_FETCH):
            for row in rows:
                yield _log_line(row, identity.message_id(MessageRef(delivery_id, row[0]), domain))


def signed_with(key_id: int) -> list[int]:
    """Return the deliveries that the DKIM key ``key_id`` may still have to sign for."""
    with cursor() as db:
        db.execute(statement("outbox", "signed_with"), {"key": key_id})
        return [delivery for (delivery,) in db.fetchall()]


def worker_is_running() -> bool:
    """Whether a worker has given a sign of life within the last seconds."""
    with cursor() as db:
        db.execute(
            "SELECT EXISTS (SELECT FROM outbox_worker WHERE seen_at > now() - %s::interval)",
            [WORKER_SEEN],
        )
        return bool(db.fetchone()[0])


def database_is_known() -> bool:
    """Whether the database is the one it was: not restored, and no other after a failover."""
    with cursor() as db:
        db.execute("SELECT is_known FROM engine_lineage")
        return bool(db.fetchone()[0])


def health() -> dict[str, tuple[str, str | None]]:
    """Return each route's state (up, slow, down) as the workers see it, and why."""
    with cursor() as db:
        db.execute("SELECT route, state, because FROM outbox_health")
        return {route: (state, because) for route, state, because in db.fetchall()}


def alerts() -> list[AlertView]:
    """Return the alerts that are open, and those that some channel has not been told of yet."""
    with cursor() as db:
        db.execute(statement("outbox", "alerts"))
        return [
            AlertView(
                alert=alert,
                cause=cause,
                object=about,
                facts=msgspec.json.decode(facts),
                opened_at=opened_at,
                closed_at=closed_at,
                told=tuple(told),
                troubles=msgspec.json.decode(troubles),
            )
            for alert, cause, about, facts, opened_at, closed_at, told, troubles in db.fetchall()
        ]


def _waves(delivery_id: int, started_at: datetime | None) -> list[WaveView]:
    with cursor() as db:
        db.execute(statement("outbox", "waves"), {"delivery": delivery_id})
        return [
            WaveView(number, messages, started_at + after if started_at else None)
            for number, messages, after in db.fetchall()
        ]


def _tallies(delivery_id: int) -> dict[str, int]:
    copies = [f"copies_{each.value}" for each in CopyStatus]
    names = [*(each.value for each in MessageStatus), *copies, "archived_not_sent"]
    sums = sql.SQL(", ").join(
        sql.SQL("coalesce(sum({}), 0)").format(sql.Identifier(name)) for name in names
    )
    with cursor() as db:
        query = sql.SQL(statement("outbox", "show")).format(sums=sums)
        db.execute(query, {"delivery": delivery_id})
        return dict(zip(names, map(int, db.fetchone()), strict=True))


def _tested(test: Delivery, tallies: dict[str, int]) -> int:
    if test.state != DeliveryState.STOPPED:
        return tallies[MessageStatus.CANCELLED]
    with cursor() as db:
        db.execute(statement("outbox", "tested"), {"delivery": test.pk})
        return int(db.fetchone()[0])


def _last_word(reply: str | None, failure: str | None) -> str | None:
    """What was said last; that a message expired says more than what made it wait."""
    if failure in (Failure.EXPIRED, Failure.ARCHIVE_REFUSED):
        return f"{failure}: {reply}" if reply else failure
    return reply or failure


def _log_line(row: tuple[Any, ...], message_id: str) -> LogLine:
    (
        ordinal,
        address,
        status,
        sha256,
        copy,
        copy_at,
        copy_reply,
        settled_at,
        failure,
        reply,
        attempts,
        kind,
    ) = row
    sent = status == MessageStatus.SENT
    return LogLine(
        message_id=message_id,
        address=address,
        status=MessageStatus(status),
        sha256=sha256,
        copy_status=CopyStatus(copy),
        copy_accepted_at=copy_at,
        copy_reply=copy_reply,
        sent_at=settled_at if sent else None,
        reply=_last_word(reply, failure),
        attempts=attempts,
        kind=DeliveryKind(kind),
        reason=Failure(failure) if failure else None,
        message=ordinal,
        archived_not_sent=copy == CopyStatus.ACCEPTED
        and status in (MessageStatus.CANCELLED, MessageStatus.FAILED),
    )
