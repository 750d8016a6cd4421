"""The parts that this worker holds, and the beat that keeps them."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

import structlog

from letterbook.engine.database import LOST
from letterbook.engine.ledger import Ledger
from letterbook.engine.work import Part

_BEATS: Final = 4
"""Renewals in the time of one lease."""

_log = structlog.get_logger(__name__)


class Leases:
    """Renews the leases of the parts in the pipeline."""

    def __init__(self, ledger: Ledger, lease: timedelta) -> None:
        self._ledger = ledger
        self._beat = lease.total_seconds() / _BEATS
        self._parts: set[Part] = set()
        self._is_shut = False

    @property
    def deliveries(self) -> set[int]:
        """The deliveries whose parts are held."""
        return {part.delivery for part in self._parts}

    @contextmanager
    def held(self, part: Part) -> Iterator[None]:
        """Keep the lease of ``part`` inside the block."""
        self._parts.add(part)
        part.open = part.open and not self._is_shut
        try:
            yield
        finally:
            self._parts.discard(part)

    def shut(self) -> None:
        """Begin nothing more in any part, not even in one whose claim is under way."""
        self._is_shut = True
        for part in self._parts:
            part.open = False

    def rest(self, delivery: int) -> None:
        """Begin nothing more in the parts of ``delivery`` that are held now: its gate is shut."""
        for part in self._parts:
            part.open = part.open and part.delivery != delivery

    async def run(self) -> None:
        """Renew until cancelled. While the database is lost, the leases run out by themselves."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._beat)
            parts = list(self._parts)
            if not parts:
                continue
            try:
                await self._ledger.renew(parts, loop.time())
            except LOST as error:
                _log.warning("leases not renewed", error=type(error).__name__)
