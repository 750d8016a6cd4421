"""The share: how many connections to a route this worker may have, of those for all workers."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from letterbook.engine.database import LOST, Database, statement
from letterbook.engine.gauge import Demand, Gauge
from letterbook.engine.pool import Pool

_PERIOD: Final = 0.5
_LEAST_PERIOD: Final = 0.1
_LEASE: Final = timedelta(seconds=5)
"""For how long a share is another worker's no more, should this one vanish."""

_WEIGHT: Final = 0.3
"""Of the newest measurement in a route's rate."""

_log = structlog.get_logger(__name__)


class Share:
    """Asks for this worker's share of one route, and tells the others what it does there."""

    def __init__(
        self,
        route: str,
        worker: UUID,
        database: Database,
        pool: Pool,
        demand: Callable[[], Demand],
    ) -> None:
        """``demand`` says what there is to do on the route."""
        self._route = route
        self._worker = worker
        self._database = database
        self._pool = pool
        self._demand = demand
        self._gauge = Gauge()
        self._loop = asyncio.get_running_loop()
        self._lease_ends = 0.0
        self._wanted = asyncio.Event()
        pool.when_short = self._wanted.set

    async def run(self) -> None:
        """Ask twice a second, and at once when there are letters and no lane; until cancelled."""
        while True:
            try:
                await self.ask()
            except LOST as error:
                _log.warning("share not known", route=self._route, error=type(error).__name__)
                self._expire()
            await asyncio.sleep(_LEAST_PERIOD)
            try:
                async with asyncio.timeout(_PERIOD - _LEAST_PERIOD):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            self._wanted.clear()

    async def ask(self) -> None:
        """Ask for a share. While the answer is on its way there are no more lanes than before."""
        pool, now = self._pool, self._loop.time()
        if pool.share is not None:
            pool.grant(min(pool.share, pool.connections))
        demand = self._demand()
        reading = self._gauge.read(now, pool.accepted, demand)
        values = {
            "route": self._route,
            "worker": self._worker,
            "lease": _LEASE,
            "open": pool.connections,
            "most": pool.most,
            "busy": demand.busy,
            "bound": reading.bound,
            "per_second": reading.per_second,
            "weight": _WEIGHT,
        }
        async with self._database.connection() as db, db.transaction():
            await db.execute(statement("lock_flow"), values)
            cursor = await db.execute(statement("share_connections"), values)
            row = await cursor.fetchone()
            if reading.per_second:
                await db.execute(statement("measure_route"), values)
        self._lease_ends = now + _LEASE.total_seconds()
        pool.grant(row[0] if row else None)

    def _expire(self) -> None:
        """The others take a share that was not renewed."""
        if self._pool.share is not None and self._loop.time() >= self._lease_ends:
            self._pool.grant(0)
