"""How fast the routes are: what binds a delivery now, and when the archive will have its copies."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from letterbook.control.kernel.sql import cursor, statement
from letterbook.control.platform.routes import ARCHIVE, RECIPIENTS
from letterbook.duration import format_duration
from letterbook.mail.status import DeliveryState

_AT_WORK: Final = (DeliveryState.SENDING, DeliveryState.RETRYING)


@dataclass(frozen=True, slots=True)
class Bound:
    """The route that most letters wait for, and how many messages a second it accepts, if known."""

    route: str
    per_second: float | None


@dataclass(frozen=True, slots=True)
class Capacity:
    """What the archive can take. Rates in copies a second, None where there is none.

    ``measured`` since the route or its limits last changed; ``limit`` is the route's own;
    ``ahead`` counts the copies that other deliveries under way still have to bring.
    """

    measured: float | None
    limit: float | None
    ahead: int

    def last_copy_at(
        self, waves: Iterable[tuple[timedelta, int]], now: datetime | None = None
    ) -> datetime | None:
        """Return when the last copy would be accepted of a delivery that starts ``now``.

        ``waves``: how long after the start each begins, and its copies. None: nothing is known of
        the archive, or there are no copies.
        """
        rates = [rate for rate in (self.measured, self.limit) if rate]
        if not rates:
            return None
        copies, rate = 0, min(rates)
        seconds = self.ahead / rate
        for begins, size in waves:
            copies += size
            seconds = max(seconds, begins.total_seconds()) + size / rate
        return (now or datetime.now(UTC)) + timedelta(seconds=round(seconds)) if copies else None


def bound(state: DeliveryState, *, copied: bool) -> Bound | None:
    """Return what binds a delivery in ``state``, if workers see that letters queue at a route.

    ``copied``: the archive gets copies of its messages.
    """
    if state not in _AT_WORK:
        return None
    with cursor() as db:
        db.execute(
            "SELECT route, sum(per_second) FROM outbox_share WHERE until > now() "
            "GROUP BY route HAVING bool_or(bound)"
        )
        rates = dict(db.fetchall())
    for route in (ARCHIVE, RECIPIENTS) if copied else (RECIPIENTS,):
        if route in rates:
            return Bound(route, rates[route])
    return None


def archive_capacity(delivery_id: int) -> Capacity:
    """Return what the archive can take beside what deliveries other than this one bring it."""
    with cursor() as db:
        db.execute(statement("outbox", "archive_capacity"), {"delivery": delivery_id})
        return Capacity(*db.fetchone())


def archive_is_too_slow(last_copy_at: datetime, validity: timedelta) -> str | None:
    """Say so if the last copy would come after the validity of a delivery that starts now."""
    late = last_copy_at - (datetime.now(UTC) + validity)
    if late <= timedelta(0):
        return None
    return (
        f"the archive would accept the last copy at {last_copy_at:%Y-%m-%d %H:%M} UTC, and the "
        f"validity of {format_duration(validity)} ends before: what has not been sent by then "
        "expires"
    )
