"""Whether a route works: for this worker at once, for all others through the database."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import structlog

from letterbook.engine.database import Database, persist
from letterbook.engine.sign import sign_of

_log = structlog.get_logger(__name__)


class Health:
    """One route's health. What this worker sees counts at once; the database makes it common."""

    def __init__(self, route: str, database: Database) -> None:
        self.route = route
        self.is_down = False
        self.because = ""
        self._database = database
        self._on_trial = True
        self._writing: set[asyncio.Task[None]] = set()
        self.when_down: Callable[[], None] = lambda: None
        """Told at the moment the route goes down."""

    def down(self, because: str) -> None:
        """Say that the route does not work, in the server's words."""
        if self.is_down:
            return
        self._go_down(because)
        values = {"route": self.route, "because": because, "probed": False}
        self._write(self._statements(("mark_down", values), ("keep_holds", {})))

    def slow(self, because: str) -> None:
        """Say that the route takes its time."""
        if not self.is_down:
            self._on_trial = True
            values = {"route": self.route, "because": because}
            self._write(self._statements(("mark_slow", values)))

    def well(self) -> None:
        """Say that a message went through."""
        if self._on_trial and not self.is_down:
            self._on_trial = False
            self._write(self._statements(("mark_well", {"route": self.route})))

    def learn(self, state: str, because: str | None) -> None:
        """Take over what the database says, unless this worker has news that are on their way."""
        if self._writing:
            return
        if state == "down" and not self.is_down:
            self._go_down(because or "")
        elif state != "down" and self.is_down:
            _log.info("route up", route=self.route)
            self.is_down = False
            self._on_trial = True

    async def written(self) -> None:
        """Wait until what was said is in the database."""
        while self._writing:
            await asyncio.wait(self._writing)

    def _go_down(self, because: str) -> None:
        # A server's words may name a person: they belong into the database, not into a log.
        _log.warning("route down", route=self.route, sign=sign_of(because))
        self.is_down = True
        self.because = because
        self.when_down()

    async def _statements(self, *statements: tuple[str, dict[str, Any]]) -> None:
        for name, values in statements:
            await persist(self._database.fetch, name, values)

    def _write(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)
