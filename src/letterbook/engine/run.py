"""The worker: puts the pieces together, runs them, and brings them to rest."""

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Final, TypeAlias
from uuid import uuid4

import structlog

from letterbook.engine.alerts import Alerts
from letterbook.engine.channels import Channels
from letterbook.engine.database import LOST, Database
from letterbook.engine.errors import DrainError
from letterbook.engine.exporter import Exporter
from letterbook.engine.health import Health
from letterbook.engine.jobs import Jobs
from letterbook.engine.meter import MeteredLedger
from letterbook.engine.metrics import Metrics
from letterbook.engine.pipeline import Pipeline
from letterbook.engine.routes import load_identity
from letterbook.engine.share import Share
from letterbook.engine.sweep import Sweeper
from letterbook.engine.watch import Watch
from letterbook.engine.work import ARCHIVE, RECIPIENTS
from letterbook.sealing import Sealer
from letterbook.settings import Settings

_IDLE_CHECK: Final = 0.25
_AGAIN: Final = 1.0
_SETTLING: Final = 5.0
"""Seconds that the ledger has to take the last outcomes, once all connections are cut."""

_Service: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
_log = structlog.get_logger(__name__)


async def run_worker(
    conninfo: str,
    settings: Settings,
    sealer: Sealer,
    *,
    stop: asyncio.Event,
    cut: asyncio.Event | None = None,
    until_idle: bool = False,
) -> None:
    """Work until ``stop`` is set, or until there is nothing to do.

    Then begin nothing and let what is in flight settle, for the time of the setting ``drain``, or
    until ``cut`` is set; what is unknown by then is in doubt. Raises SchemaMismatchError,
    RestoredError, SealError and ExporterError before anything begins, and DrainError when the
    ledger does not take the outcomes.
    """
    _calm_garbage_collection()
    async with Database(conninfo) as database:
        await database.require_schema()
        await database.require_known()
        worker = Worker(database, settings, sealer)
        await worker.prepare()
        await worker.run(stop, until_idle, cut)


def _calm_garbage_collection() -> None:
    """Letters have no cycles and are many: looking for some at every 700 costs 20 µs each."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


class Worker:
    """One worker and its stages."""

    def __init__(self, database: Database, settings: Settings, sealer: Sealer) -> None:
        self._id = uuid4()
        self._database = database
        self._settings = settings
        self._sealer = sealer
        self.metrics = metrics = Metrics()
        self._ledger = MeteredLedger(database, self._id, settings.lease, metrics)
        self.exporter = Exporter(metrics, database)
        self._alerts = Alerts(database, Channels(database, sealer, settings), settings.base_url)

    async def prepare(self) -> None:
        """Load what must be right before anything begins."""
        identity = await load_identity(self._database, self._sealer)
        health = {name: Health(name, self._database) for name in (RECIPIENTS, ARCHIVE)}
        self._pipeline = Pipeline(
            self._database,
            self._ledger,
            self._settings,
            identity,
            self._sealer,
            health=health,
            metrics=self.metrics,
        )
        self._watch = Watch(
            self._id, self._database, self._sealer, self._settings, self._pipeline, health
        )
        self._jobs = Jobs(self._database.conninfo, self._pipeline.carry, self._pipeline.leases.shut)
        self._sweeper = Sweeper(
            self._database, self._ledger, self._id, self._settings.lease, self._jobs.defer
        )
        pipeline = self._pipeline
        self._shares = [
            Share(name, self._id, self._database, pool, demand)
            for name, pool, demand in (
                (ARCHIVE, pipeline.deposit.pool, pipeline.archive_demand),
                (RECIPIENTS, pipeline.send.pool, pipeline.recipients_demand),
            )
        ]
        await self._watch.look()

    async def run(
        self, stop: asyncio.Event, until_idle: bool, cut: asyncio.Event | None = None
    ) -> None:
        """Run all stages until told to stop; then come to rest (see run_worker)."""
        pipeline = self._pipeline
        services = (
            pipeline.deposit.pool.run,
            pipeline.send.pool.run,
            pipeline.intent.run,
            pipeline.settle.outcomes.run,
            pipeline.settle.setbacks.run,
            pipeline.settle.copies.run,
            pipeline.leases.run,
            self._watch.run,
            *(share.run for share in self._shares),
            *(tokens.run for tokens in pipeline.tokens.values()),
            self._alerts.run,
            self._alerts.run_telling,
        )
        async with (
            self.exporter.listening(self._settings.metrics),
            self._jobs.open(),
            _running(services),
        ):
            async with _running((self._sweeper.run, self._sweeper.listen)):
                carrying = asyncio.create_task(self._jobs.carry(stop))
                carrying.add_done_callback(lambda _: stop.set())
                if until_idle:
                    await self._wait_until_idle(stop)
                    stop.set()
                await stop.wait()
            settled = await self._drain(carrying, cut or asyncio.Event())
        if not settled:
            raise DrainError(
                "the database did not take the last outcomes in time; the worker that takes over "
                "shows the messages that were in flight as in doubt"
            )

    async def _drain(self, carrying: asyncio.Task[None], cut: asyncio.Event) -> bool:
        """Come to rest; say whether all is settled."""
        _log.info("draining")
        self._pipeline.leases.shut()
        cutting = asyncio.create_task(cut.wait())
        await asyncio.wait(
            (carrying, cutting),
            timeout=self._settings.drain.total_seconds(),
            return_when=asyncio.FIRST_COMPLETED,
        )
        cutting.cancel()
        try:
            async with asyncio.timeout(_SETTLING):
                if not carrying.done():
                    _log.warning("cutting what does not answer")
                    self._pipeline.cut()
                await carrying
                await self._pipeline.written()
                with contextlib.suppress(*LOST):
                    await self._database.fetch("forget_workers", {"worker": self._id})
                    await self._database.fetch("leave_shares", {"worker": self._id})
        except TimeoutError:
            self._jobs.abandon()
            return False
        return True

    async def _wait_until_idle(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self._sweeper.sweep()
                if not self._pipeline.leases.deliveries and await self._sweeper.is_idle():
                    return
            except LOST as error:
                _log.warning("not swept", error=type(error).__name__)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_IDLE_CHECK):
                    await stop.wait()


@contextlib.asynccontextmanager
async def _running(services: Sequence[_Service]) -> AsyncIterator[None]:
    """Run ``services`` inside the block; should one of them fail, the block fails with it."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(service()) for service in services]
        try:
            yield
        finally:
            await _ended(tasks)


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancel, until it works: before Python 3.12 ``wait_for``, which psycopg waits by, swallows a
    cancellation that comes together with what it waits for."""
    running = {task for task in tasks if not task.done()}
    while running:
        for task in running:
            task.cancel()
        _, running = await asyncio.wait(running, timeout=_AGAIN)
