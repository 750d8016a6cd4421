"""Probes from the command line: the same coroutines that the engine runs."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeVar

from letterbook.cli.output import complain
from letterbook.cli.session import Session
from letterbook.control.platform.actions import note_probe
from letterbook.control.platform.queries import routes
from letterbook.engine.database import Database
from letterbook.engine.probe import Probe, mail_code, probe
from letterbook.engine.routes import Route, load_route
from letterbook.engine.work import ARCHIVE
from letterbook.errors import LetterbookError

_Result = TypeVar("_Result")


def probe_route(session: Session, name: str, recipient: str | None = None) -> Probe:
    """Probe the route ``name`` and remember what it offers. Raises ProbeError and NoRouteError."""
    sender = sender_address(session)

    async def run(route: Route) -> Probe:
        return await probe(route, session.settings, sender=sender, recipient=recipient)

    found = _with_route(session, name, run)
    offered = found.extensions
    note_probe(name, size_limit=offered.size, extensions=offered.keywords)
    return found


def refresh_routes(session: Session) -> None:
    """Ask the routes for their SIZE; an analysis goes on without an answer."""
    for route in routes():
        try:
            probe_route(session, route.name)
        except LetterbookError as error:
            complain(f"{route.name} route: {error}")


def mail_archive_code(session: Session, address: str, code: str) -> str:
    """Mail ``code`` to the archive; return the server's reply. Raises ProbeError."""

    async def run(route: Route) -> str:
        return await mail_code(
            route,
            session.settings,
            sender=sender_address(session),
            address=address,
            code=code,
            now=datetime.now(UTC),
        )

    return _with_route(session, ARCHIVE, run)


def sender_address(session: Session) -> str:
    """Return whom the platform's own mail is from."""
    return session.settings.error_address or f"postmaster@{session.settings.hello}"


def _with_route(session: Session, name: str, run: Callable[[Route], Awaitable[_Result]]) -> _Result:
    async def connected() -> _Result:
        async with Database(session.conninfo) as database:
            route = await load_route(database, session.sealer, name)
        return await run(route)

    return asyncio.run(connected())
