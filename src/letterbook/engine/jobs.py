"""Parts as jobs: queued by priority, and taken in lines that do not hold each other up."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import procrastinate
import structlog
from procrastinate.exceptions import AlreadyEnqueued, ConnectorException

from letterbook.engine.database import LOST
from letterbook.engine.work import DuePart

_LINES: Final = {
    "parts": 4,
    "parts with copies": 4,
    "urgent parts": 2,
    "urgent parts with copies": 2,
}
"""Parts that one worker carries at a time from each queue: several, so that the end of one does not
let the lanes idle. High priorities have queues of their own, which the others cannot hold up; and
so have parts that need no archive, for when that takes its time."""

_RANKS: Final = 100
"""More than a part's rank, so that it never outweighs a priority."""

_PAUSE: Final = 0.1
_log = structlog.get_logger(__name__)


class Jobs:
    """The jobs of one worker. They are hints: the ledger decides who may carry a part."""

    def __init__(
        self,
        conninfo: str,
        carry: Callable[[int, int], Awaitable[None]],
        shut: Callable[[], None],
    ) -> None:
        """``carry`` takes a part through the pipeline; ``shut`` lets the pipeline begin no more."""
        self._app = procrastinate.App(
            connector=procrastinate.PsycopgConnector(conninfo=conninfo, max_size=2 * len(_LINES))
        )
        self._task = self._app.task(name="part")(self._carry)
        self._carry_part = carry
        self._carrying: set[asyncio.Task[object]] = set()
        self._shut = shut

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Connect, for the time of the block."""
        async with self._app.open_async():
            yield
        if self._carrying:  # abandoned: without a connection they end now
            await asyncio.wait(self._carrying, timeout=1.0)

    def abandon(self) -> None:
        """Carry no part any further, settled or not."""
        for task in self._carrying:
            task.cancel()

    async def _carry(self, delivery: int, number: int) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._carrying.add(task)
        task.add_done_callback(self._carrying.discard)
        await self._carry_part(delivery, number)

    async def defer(self, parts: Sequence[DuePart]) -> None:
        """Make jobs of ``parts``."""
        for part in parts:
            job = self._task.configure(
                queue=_line_of(part),
                queueing_lock=f"part {part.delivery} {part.number}",
                priority=part.priority * _RANKS - part.rank,
            )
            try:
                await job.defer_async(delivery=part.delivery, number=part.number)
            except AlreadyEnqueued:
                continue
            except ConnectorException as error:  # the next sweep will find them
                _log.warning("parts not deferred", error=type(error).__name__)
                return

    async def carry(self, stop: asyncio.Event) -> None:
        """Take jobs until ``stop``, and return when all those taken have ended."""
        async with asyncio.TaskGroup() as group:
            for queue, at_once in _LINES.items():
                group.create_task(self._carry_from(queue, at_once, stop))

    async def _carry_from(self, queue: str, at_once: int, stop: asyncio.Event) -> None:
        """Should the database be lost, take jobs again afterwards."""
        while not stop.is_set():
            working = asyncio.create_task(
                self._app.run_worker_async(
                    queues=[queue],
                    concurrency=at_once,
                    install_signal_handlers=False,
                    fetch_job_polling_interval=1.0,
                    delete_jobs="always",
                )
            )
            stopping = asyncio.create_task(stop.wait())
            await asyncio.wait((working, stopping), return_when=asyncio.FIRST_COMPLETED)
            stopping.cancel()
            if not working.done():
                self._shut()
                working.cancel()
            try:
                await working
            except (ConnectorException, *LOST) as error:
                _log.warning("jobs lost the database", error=type(error).__name__)
                await asyncio.sleep(_PAUSE)
            except asyncio.CancelledError:
                if not working.cancelled():
                    raise


def _line_of(part: DuePart) -> str:
    line = "parts with copies" if part.copied else "parts"
    return f"urgent {line}" if part.priority > 0 else line
