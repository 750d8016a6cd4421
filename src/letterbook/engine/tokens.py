"""Tokens: leave to begin messages on a route, so many a second over all workers and hosts."""

import asyncio
import math
import random
from collections.abc import Callable
from typing import Final

import structlog

from letterbook.engine.database import LOST, Database

BURST: Final = 0.25
"""Seconds for which tokens may be saved up, in the database and by a worker."""

_PERIOD: Final = 0.1
_log = structlog.get_logger(__name__)


class Tokens:
    """One worker's tokens of one route. They come in sets from a row that all workers draw from.

    Without a limit there is always leave. Should the database be lost there is none until it is
    back.
    """

    def __init__(self, route: str, database: Database) -> None:
        self._route = route
        self._database = database
        self._loop = asyncio.get_running_loop()
        self._stock = 0
        self._stale_at = 0.0
        self._wish = 0
        self._wished = asyncio.Event()
        self.rate: float | None = None
        """Messages a second; None: no limit."""
        self.when_more: Callable[[], None] = lambda: None
        """Told when there are more tokens."""

    @property
    def burst(self) -> int:
        """Messages that may wait with a token, when there is a limit."""
        return math.ceil((self.rate or 0) * BURST) + 1

    def use(self, rate: float | None) -> None:
        """Keep to ``rate`` from now on."""
        lifted = self.rate is not None and rate is None
        self.rate = rate
        if lifted:
            self.when_more()

    def left(self, wanted: int) -> int:
        """Say for how many of ``wanted`` messages there is leave; the others are asked for."""
        if self.rate is None:
            return wanted
        self._forget_stale()
        if self._stock < wanted:
            self._wish = wanted - self._stock
            self._wished.set()
        return min(self._stock, wanted)

    def take(self, wanted: int) -> int:
        """Take leave for ``wanted`` messages, or as many as there is leave for; return how many."""
        taken = self.left(wanted)
        if self.rate is not None:
            self._stock -= taken
        return taken

    async def run(self) -> None:
        """Ask for tokens when there are too few, until cancelled."""
        while True:
            await self._wished.wait()
            self._wished.clear()
            if self.rate is not None:
                await self._ask()
            # Not in step with other workers, or one of them might always be the first.
            await asyncio.sleep(_PERIOD * random.uniform(0.5, 1.5))  # noqa: S311

    async def _ask(self) -> None:
        values = {"route": self._route, "wanted": self._wish, "burst": BURST}
        try:
            rows = await self._database.fetch("give_tokens", values)
        except LOST as error:
            _log.warning("no tokens", route=self._route, error=type(error).__name__)
            self._wished.set()
            return
        given = sum(tokens for (tokens,) in rows)
        if given:
            self._forget_stale()
            self._stock += given
            self._stale_at = self._loop.time() + 2 * BURST
            self.when_more()
        elif self._wish:
            self._wished.set()

    def _forget_stale(self) -> None:
        if self._loop.time() >= self._stale_at:
            self._stock = 0
