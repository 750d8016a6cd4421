"""Collecting what happens one by one into sets, because a commit costs the same for one or many."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from letterbook.engine.database import persist

LINGER: Final = 0.025
"""Seconds to wait for company. Nobody notices them, and they make batches large."""

_Item = TypeVar("_Item")


class Batch(Generic[_Item]):
    """Gathers items and hands them on in batches, each until it is done.

    ``work`` is repeated as long as the database is lost; ``done`` is told each item afterwards.
    """

    def __init__(
        self,
        work: Callable[[list[_Item]], Awaitable[None]],
        done: Callable[[_Item], None],
        enough: int,
    ) -> None:
        self._work = work
        self._done = done
        self._enough = enough
        self._items: list[_Item] = []
        self._filled = asyncio.Event()

    def add(self, item: _Item) -> None:
        """Add an item to the batch that is being gathered."""
        self._items.append(item)
        self._filled.set()

    async def run(self) -> None:
        """Work until cancelled."""
        while True:
            await self._filled.wait()
            if len(self._items) < self._enough:
                await asyncio.sleep(LINGER)
            items, self._items = self._items, []
            self._filled.clear()
            await persist(self._work, items)
            for item in items:
                self._done(item)
