"""Alerts: what somebody should know is told once, as long as its cause lasts, and when it is over.

Every worker does this; the ledger sees to it that only one of them finds, and one tells.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import structlog
from psycopg.types.json import Jsonb

from letterbook.engine.channels import Alert, Channels
from letterbook.engine.database import LOST, Database, persist, statement
from letterbook.engine.errors import ChannelError
from letterbook.engine.sign import says_full, sign_of
from letterbook.engine.work import ARCHIVE
from letterbook.sealing import SealError

_PERIOD: Final = 1.0
_CALM: Final = timedelta(seconds=60)
"""How long a cause must have been away to be over: what comes and goes is told once."""

_LONGEST_BACKOFF: Final = timedelta(minutes=10)
_SHOWN: Final = 20
"""Deliveries that an alert names; it counts them all."""

_TEXTS: Final = {
    "held": "{count} deliveries are held: the {object} does not work ({sign}). They go on by "
    "themselves when it works again.",
    "archive_full": "The archive is full ({sign}): make room there. {count} deliveries are held.",
    "copies_owed": "The archive does not work ({sign}), and {count} copies are owed.",
    "in_doubt": "{count} messages of {object} are in doubt: they may have reached their "
    "recipients or not, and are not sent again by themselves.",
    "copies_returned": "{count} copies of {object} came back after the archive had accepted them.",
    "brake": "The brake paused {object}: everybody is refused alike ({sign}). Nobody is sent "
    "anything until it is resumed.",
    "failed": "{object} failed.",
}
CAUSES: Final = tuple(_TEXTS)
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Cause:
    """Why somebody should know, what it is about, and the facts."""

    cause: str
    object: str
    deliveries: tuple[int, ...]
    count: int
    sign: str | None


class Alerts:
    """Finds causes and tells of them."""

    def __init__(self, database: Database, channels: Channels, platform: str) -> None:
        """``platform`` is the address that says which platform speaks."""
        self._database = database
        self._channels = channels
        self._platform = platform

    async def run(self) -> None:
        """Find what begins and what ends, until cancelled."""
        while True:
            try:
                await self.find()
            except LOST as error:
                _log.warning("alerts lost the database", error=type(error).__name__)
            await asyncio.sleep(_PERIOD)

    async def run_telling(self) -> None:
        """Tell what is due, until cancelled. A slow channel does not keep ``run`` waiting."""
        while True:
            try:
                await self.tell()
            except LOST as error:
                _log.warning("alerts lost the database", error=type(error).__name__)
            await asyncio.sleep(_PERIOD)

    async def find(self) -> None:
        """Open and close alerts, unless another worker is about to do just that."""
        async with self._database.connection() as db, db.transaction():
            cursor = await db.execute(statement("alerts_turn"))
            if (await cursor.fetchone() or (False,))[0]:
                cursor = await db.execute(statement("alerts_causes"))
                causes = list(_causes(await cursor.fetchall()))
                names = [each.cause for each in causes], [each.object for each in causes]
                values = {
                    "causes": names[0],
                    "objects": names[1],
                    "facts": [Jsonb(_facts(each)) for each in causes],
                    "calm": _CALM,
                }
                for name in ("alerts_open", "alerts_close", "alerts_news"):
                    await db.execute(statement(name), values)

    async def tell(self) -> None:
        """Tell what is due."""
        rows = await self._database.fetch("alerts_claim", {})
        await asyncio.gather(*(self._tell_one(*row) for row in rows))

    async def _tell_one(
        self, number: int, kind: str, recovered: bool, tries: int, sealed: bytes, *row: Any
    ) -> None:
        alert = self._alert(number, recovered, *row)
        key = {"alert": number, "channel": kind, "recovered": recovered}
        try:
            await self._channels.tell(kind, bytes(sealed), alert)
        except (ChannelError, SealError) as error:
            wait = min(timedelta(seconds=2 ** min(tries, 16)), _LONGEST_BACKOFF)
            _log.warning("alert not told", alert=number, channel=kind, trouble=str(error))
            values = {**key, "trouble": str(error), "wait": wait}
            await persist(self._database.fetch, "alerts_failed", values)
        else:
            _log.info("alert told", alert=number, channel=kind, cause=alert.cause)
            await persist(self._database.fetch, "alerts_told", key)

    def _alert(self, number: int, recovered: bool, *row: Any) -> Alert:
        cause, about, facts, opened_at, closed_at = row
        text = _TEXTS[cause].format(object=about, count=facts["count"], sign=facts["sign"])
        return Alert(
            event="recovered" if recovered else "opened",
            alert=number,
            cause=cause,
            object=about,
            text=f"Over: {text}" if recovered else text,
            deliveries=tuple(facts["deliveries"]),
            count=facts["count"],
            sign=facts["sign"],
            opened_at=opened_at,
            closed_at=closed_at if recovered else None,
            platform=self._platform,
        )


def _causes(rows: Sequence[tuple[Any, ...]]) -> Iterator[Cause]:
    """What the ledger shows, as causes: a route that is down is one for what suffers from it."""
    for found, about, deliveries, count, because in rows:
        sign = sign_of(because) if because else None
        if found != "route_down":
            yield Cause(found, about, tuple(deliveries), count, sign)
        elif about == ARCHIVE and says_full(sign or ""):
            yield Cause("archive_full", "archive route", tuple(deliveries), len(deliveries), sign)
        elif deliveries:
            yield Cause("held", f"{about} route", tuple(deliveries), len(deliveries), sign)
        elif count:
            yield Cause("copies_owed", "archive route", (), count, sign)


def _facts(cause: Cause) -> dict[str, object]:
    return {
        "deliveries": cause.deliveries[:_SHOWN],
        "count": cause.count,
        "sign": cause.sign,
    }
