"""The sweeper: whatever is due and held by nobody becomes a job, whatever became of older jobs."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from letterbook.engine.database import CHANNEL, LOST, Database, statement
from letterbook.engine.ledger import Ledger

_PERIOD: Final = 0.5
_AT_ONCE: Final = 100
_PATIENCE: Final = timedelta(seconds=15)
"""How long ``--until-idle`` waits for a route that is down."""

_log = structlog.get_logger(__name__)


class Sweeper:
    """Moves deliveries on, and parts back to work. Every worker has one; they do not collide."""

    def __init__(
        self,
        database: Database,
        ledger: Ledger,
        worker: UUID,
        lease: timedelta,
        defer: Callable[[list[tuple[int, int, bool]]], Awaitable[None]],
    ) -> None:
        """``defer`` makes jobs of parts, given as (delivery, number, whether it has copies)."""
        self._database = database
        self._ledger = ledger
        self._worker = worker
        self._lease = lease
        self._defer = defer
        self._woken = asyncio.Event()

    async def run(self) -> None:
        """Sweep until cancelled: twice a second, and at once when there is news."""
        while True:
            self._woken.clear()
            try:
                await self.sweep()
            except LOST as error:
                _log.warning("not swept", error=type(error).__name__)
            try:
                async with asyncio.timeout(_PERIOD):
                    await self._woken.wait()
            except TimeoutError:
                pass

    async def sweep(self) -> None:
        """Do all that is due now."""
        await self._ledger.reap()
        await self._database.fetch("begin_scheduled", {})
        await self._database.fetch("reopen", {})
        await self._database.fetch("keep_holds", {})
        await self._conclude()
        parts = await self._database.fetch("due_parts", {"limit": _AT_ONCE})
        if parts:
            await self._defer([(delivery, number, copied) for delivery, number, copied in parts])

    async def _conclude(self) -> None:
        async with self._database.connection() as db, db.transaction():
            cursor = await db.execute(statement("conclusive"))
            deliveries = [delivery for (delivery,) in await cursor.fetchall()]
            if deliveries:
                await db.execute(statement("conclude"), {"deliveries": deliveries})

    async def is_idle(self) -> bool:
        """Whether nothing is due, held or about to be, and every delivery is concluded."""
        values = {"worker": self._worker, "lease": self._lease, "patience": _PATIENCE}
        ((idle,),) = await self._database.fetch("idle", values)
        # The last part may have been given back since the last sweep.
        return bool(idle) and not await self._database.fetch("conclusive", {})

    async def listen(self) -> None:
        """Wake up when the control plane has changed something, until cancelled."""
        while True:
            try:
                async with self._database.connection() as connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    async for _ in connection.notifies():
                        self._woken.set()
            except LOST:
                await asyncio.sleep(_PERIOD)
