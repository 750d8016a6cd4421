"""The watch: learns what has changed in the platform, and probes routes that are down."""

import asyncio
import os
import socket
from typing import Final
from uuid import UUID

import structlog

from letterbook import __version__
from letterbook.engine.database import LOST, Database
from letterbook.engine.errors import ProbeError
from letterbook.engine.health import Health
from letterbook.engine.pipeline import Pipeline
from letterbook.engine.probe import probe
from letterbook.engine.routes import Archive, Route, load_archive, load_routes
from letterbook.engine.work import ARCHIVE
from letterbook.sealing import Sealer
from letterbook.settings import Settings

_PERIOD: Final = 0.5
_log = structlog.get_logger(__name__)


class Watch:
    """Keeps one worker in step with the database."""

    def __init__(
        self,
        worker: UUID,
        database: Database,
        sealer: Sealer,
        settings: Settings,
        pipeline: Pipeline,
        health: dict[str, Health],
    ) -> None:
        self._worker = worker
        self._database = database
        self._sealer = sealer
        self._settings = settings
        self._pipeline = pipeline
        self._health = health
        self._routes: dict[str, Route] = {}
        self._archive: Archive | None = None
        self._is_known = True

    async def run(self) -> None:
        """Look twice a second, until cancelled."""
        while True:
            await asyncio.sleep(_PERIOD)
            try:
                await self.look()
                await self._probe_what_is_down()
            except LOST as error:
                _log.warning("watch lost the database", error=type(error).__name__)
            self._pipeline.deposit.owe_overdue()

    async def look(self) -> None:
        """Learn the routes, the archive address, and what other workers found out."""
        values = {
            "worker": self._worker,
            "host": socket.gethostname(),
            "process": os.getpid(),
            "version": __version__,
        }
        await self._database.fetch("note_worker", values)
        await self._look_whether_known()
        self._routes = await load_routes(self._database, self._sealer)
        self._archive = await load_archive(self._database)
        self._pipeline.use(self._archive, self._routes)
        for route, state, because in await self._database.fetch("health", {}):
            self._health[route].learn(state, because)

    async def _look_whether_known(self) -> None:
        """Say it when the gate is shut because of a restore or a failover, and when no longer."""
        before, self._is_known = self._is_known, await self._database.is_known()
        if before and not self._is_known:
            _log.error("another database: nothing begins", mend="letterbook restored --since WHEN")
        elif self._is_known and not before:
            _log.info("the database is known again")

    async def _probe_what_is_down(self) -> None:
        for (name,) in await self._database.fetch("claim_probe", {}):
            route = self._routes.get(name)
            because = await self._try(route) if route else f"there is no {name} route"
            if because is None:
                _log.info("probe passed", route=name)
                await self._database.fetch("mark_up", {"route": name})
                self._health[name].learn("up", None)
            else:
                values = {"route": name, "because": because, "probed": True}
                await self._database.fetch("mark_down", values)
            await self._database.fetch("keep_holds", {})

    async def _try(self, route: Route) -> str | None:
        """Return what is wrong with ``route``, None when it works."""
        archive = self._archive.address if self._archive and route.name == ARCHIVE else None
        sender = self._settings.error_address or f"postmaster@{self._settings.hello}"
        try:
            await probe(route, self._settings, sender=sender, recipient=archive)
        except ProbeError as error:
            return str(error)
        return None
