"""The worker: puts the pieces together, runs them, and brings them to rest."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Final, TypeAlias
from uuid import uuid4

import procrastinate
import structlog
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException

from letterbook.engine.alerts import Alerts
from letterbook.engine.channels import Channels
from letterbook.engine.database import LOST, Database
from letterbook.engine.exporter import Exporter
from letterbook.engine.health import Health
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

_PARTS: Final = "parts"
_COPIED_PARTS: Final = "parts with copies"
"""The queues of parts. Those that need the archive have their own, so that they do not keep the
others waiting when it takes its time."""

_PARTS_AT_ONCE: Final = 4
"""Parts of each queue that one worker carries at a time, so that the end of one does not let the
lanes idle."""

_IDLE_CHECK: Final = 0.25
_PAUSE: Final = 0.1
_Service: TypeAlias = Callable[[], Coroutine[Any, Any, None]]
_log = structlog.get_logger(__name__)


async def run_worker(
    conninfo: str,
    settings: Settings,
    sealer: Sealer,
    *,
    stop: asyncio.Event,
    until_idle: bool = False,
) -> None:
    """Work until ``stop`` is set, or until there is nothing to do.

    Raises SchemaMismatchError, SealError and ExporterError before anything begins.
    """
    async with Database(conninfo) as database:
        await database.require_schema()
        worker = Worker(database, settings, sealer)
        await worker.prepare()
        await worker.run(stop, until_idle)


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
        self._jobs = procrastinate.App(
            connector=procrastinate.PsycopgConnector(conninfo=database.conninfo, max_size=6)
        )

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
        self._sweeper = Sweeper(
            self._database, self._ledger, self._id, self._settings.lease, self._defer
        )
        pipeline = self._pipeline
        self._shares = [
            Share(name, self._id, self._database, pool, demand)
            for name, pool, demand in (
                (ARCHIVE, pipeline.deposit.pool, pipeline.archive_demand),
                (RECIPIENTS, pipeline.send.pool, pipeline.recipients_demand),
            )
        ]
        self._task = self._jobs.task(name="part", queue=_PARTS)(pipeline.carry)
        await self._watch.look()

    async def run(self, stop: asyncio.Event, until_idle: bool) -> None:
        """Run all stages; when told to stop, begin nothing and let what is in flight settle."""
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
            self._jobs.open_async(),
            _running(services),
        ):
            async with _running((self._sweeper.run, self._sweeper.listen)):
                carrying = asyncio.gather(
                    self._carry_parts(_PARTS, stop), self._carry_parts(_COPIED_PARTS, stop)
                )
                carrying.add_done_callback(lambda _: stop.set())
                if until_idle:
                    await self._wait_until_idle(stop)
                    stop.set()
                await stop.wait()
            _log.info("draining")
            pipeline.leases.shut()
            await carrying
            await pipeline.written()
            with contextlib.suppress(*LOST):
                await self._database.fetch("forget_workers", {"worker": self._id})
                await self._database.fetch("leave_shares", {"worker": self._id})

    async def _carry_parts(self, queue: str, stop: asyncio.Event) -> None:
        """Take jobs of ``queue`` until ``stop``, and again when the database was lost."""
        while not stop.is_set():
            working = asyncio.create_task(
                self._jobs.run_worker_async(
                    queues=[queue],
                    concurrency=_PARTS_AT_ONCE,
                    install_signal_handlers=False,
                    fetch_job_polling_interval=1.0,
                    delete_jobs="always",
                )
            )
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if not working.done():
                self._pipeline.leases.shut()
                working.cancel()
            try:
                await working
            except (ConnectorException, *LOST) as error:
                _log.warning("jobs lost the database", error=type(error).__name__)
                await asyncio.sleep(_PAUSE)
            except asyncio.CancelledError:
                if not working.cancelled():
                    raise

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

    async def _defer(self, parts: list[tuple[int, int, bool]]) -> None:
        for delivery, number, copied in parts:
            queue = _COPIED_PARTS if copied else _PARTS
            job = self._task.configure(queue=queue, queueing_lock=f"part {delivery} {number}")
            try:
                await job.defer_async(delivery=delivery, number=number)
            except AlreadyEnqueued:
                continue
            except ConnectorException as error:  # the next sweep will find them
                _log.warning("parts not deferred", error=type(error).__name__)
                return


@contextlib.asynccontextmanager
async def _running(services: Sequence[_Service]) -> AsyncIterator[None]:
    """Run ``services`` inside the block; should one of them fail, the block fails with it."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(service()) for service in services]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
