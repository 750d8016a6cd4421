"""A ledger that counts and times what it commits, a batch at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from time import perf_counter
from uuid import UUID

from letterbook.engine.database import Database
from letterbook.engine.ledger import Ledger
from letterbook.engine.metrics import Metrics
from letterbook.engine.work import Letter, Outcome, Setback


class MeteredLedger(Ledger):
    """The ledger as the stages use it. What is not committed is not counted."""

    def __init__(
        self, database: Database, worker: UUID, lease: timedelta, metrics: Metrics
    ) -> None:
        super().__init__(database, worker, lease)
        self._metrics = metrics

    async def grant(self, letters: Sequence[Letter]) -> list[Letter]:
        with self._timed("intent"):
            granted = await super().grant(letters)
        self._metrics.copied(letters, granted)
        return granted

    async def settle(
        self, outcomes: Sequence[Outcome], retries: Sequence[timedelta | None]
    ) -> None:
        with self._timed("settle"):
            await super().settle(outcomes, retries)
        self._metrics.settled(outcomes)

    async def set_back(self, setbacks: Sequence[Setback]) -> None:
        await super().set_back(setbacks)
        self._metrics.set_back(setbacks)

    async def settle_copies(self, letters: Sequence[Letter]) -> None:
        await super().settle_copies(letters)
        self._metrics.copied(letters)

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        began = perf_counter()
        yield
        self._metrics.stage(stage, perf_counter() - began)
