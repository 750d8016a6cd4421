"""How an alert reaches somebody: by mail, by a webhook, by a command."""

import asyncio
import http.client
import os
import signal
import ssl
import urllib.parse
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from letterbook import __version__
from letterbook.engine.database import Database
from letterbook.engine.errors import ChannelError, NoRouteError, ProbeError
from letterbook.engine.notice import mail_notice
from letterbook.engine.routes import load_route
from letterbook.engine.sign import sign_of
from letterbook.engine.work import RECIPIENTS
from letterbook.sealing import Sealer
from letterbook.settings import Settings

PATIENCE: Final = 20.0
"""Seconds that a channel may take."""

_COMMAND_ENVIRONMENT: Final = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """What is told. Nothing personal: numbers, our own words, and a server's codes.

    ``event`` is opened, recovered or test; ``count`` is how many deliveries, messages or copies
    the cause concerns, and ``deliveries`` names the first of the deliveries.
    """

    event: str
    alert: int
    cause: str
    object: str
    text: str
    deliveries: tuple[int, ...]
    count: int
    sign: str | None
    opened_at: datetime
    closed_at: datetime | None
    platform: str

    def encode(self) -> bytes:
        """The alert as JSON."""
        return msgspec.json.encode(asdict(self))


class Channels:
    """All channels. What one needs beside its target is read when it is used."""

    def __init__(self, database: Database, sealer: Sealer, settings: Settings) -> None:
        self._database = database
        self._sealer = sealer
        self._settings = settings
        self._tell = {"mail": self._mail, "webhook": self._webhook, "command": self._command}

    async def tell(self, kind: str, sealed: bytes, alert: Alert) -> None:
        """Tell ``alert`` over the channel whose target is ``sealed``.

        Raises ChannelError and SealError.
        """
        target = self._sealer.open(f"alert channel {kind}", sealed).decode()
        try:
            async with asyncio.timeout(PATIENCE):
                await self._tell[kind](target, alert)
        except TimeoutError as error:
            raise ChannelError(f"not done within {PATIENCE:g} s") from error

    async def _mail(self, address: str, alert: Alert) -> None:
        """Over the recipients' route; if that is down, it waits for it."""
        settings = self._settings
        ending = {"opened": "", "recovered": " is over", "test": ""}[alert.event]
        subject = f"Letterbook: {alert.cause.replace('_', ' ')}, {alert.object}{ending}"
        try:
            route = await load_route(self._database, self._sealer, RECIPIENTS)
            await mail_notice(
                route,
                settings,
                sender=settings.error_address or f"postmaster@{settings.hello}",
                address=address,
                subject=subject,
                lines=[alert.text, "", f"{alert.platform} (Letterbook {__version__})"],
                now=datetime.now(UTC),
            )
        except ProbeError as error:
            raise ChannelError(f"the recipients' route: {sign_of(str(error))}") from error
        except NoRouteError as error:
            raise ChannelError(str(error)) from error

    async def _webhook(self, url: str, alert: Alert) -> None:
        """POST; only 2xx is success, and a redirect is not followed: it may lead anywhere."""
        try:
            status = await asyncio.to_thread(_post, url, alert.encode())
        except ssl.SSLCertVerificationError as error:
            raise ChannelError("its certificate cannot be verified") from error
        except (OSError, http.client.HTTPException) as error:
            raise ChannelError(f"no answer: {type(error).__name__}") from error
        if not 200 <= status < 300:
            raise ChannelError(f"it answered with status {status}")

    async def _command(self, path: str, alert: Alert) -> None:
        """Run it with the alert on its standard input, and without our environment's secrets."""
        try:
            process = await asyncio.create_subprocess_exec(
                path,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.DEVNULL,
                env=_COMMAND_ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise ChannelError(f"it cannot be run: {error.strerror}") from error
        try:
            await process.communicate(alert.encode() + b"\n")
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)  # with whatever it has started
                await process.wait()
        if process.returncode:
            raise ChannelError(f"it ended with status {process.returncode}")


def _post(url: str, body: bytes) -> int:
    parts = urllib.parse.urlsplit(url)
    assert parts.hostname is not None
    connection: Any = (
        http.client.HTTPSConnection(
            parts.hostname, parts.port, timeout=PATIENCE, context=ssl.create_default_context()
        )
        if parts.scheme == "https"
        else http.client.HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE)
    )
    target = urllib.parse.urlunsplit(("", "", parts.path or "/", parts.query, ""))
    headers = {"Content-Type": "application/json", "User-Agent": f"Letterbook/{__version__}"}
    try:
        connection.request("POST", target, body, headers)
        return int(connection.getresponse().status)
    finally:
        connection.close()
