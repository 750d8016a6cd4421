"""The worker's own port, where Prometheus reads its metrics: ``GET /metrics``, nothing else.

It stands in the worker's event loop, so that every figure is of one moment and needs no lock.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import structlog
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from letterbook.engine.database import LOST, Database
from letterbook.engine.errors import ExporterError
from letterbook.engine.metrics import Metrics
from letterbook.settings import Endpoint

_PATIENCE: Final = 5.0
"""Seconds that a client has to say what it wants, and the ledger to answer."""

_log = structlog.get_logger(__name__)


class Exporter:
    """Answers whoever asks for the metrics."""

    def __init__(self, metrics: Metrics, database: Database) -> None:
        self._metrics = metrics
        self._database = database
        self.at: Endpoint | None = None
        """Where it listens, when it does."""

    @contextlib.asynccontextmanager
    async def listening(self, endpoint: Endpoint | None) -> AsyncIterator[None]:
        """Listen inside the block; with no endpoint, do not. Raises ExporterError."""
        if endpoint is None:
            yield
            return
        try:
            server = await asyncio.start_server(self._answer, endpoint.host, endpoint.port)
        except OSError as error:
            raise ExporterError(
                f"LETTERBOOK_METRICS: cannot listen at {endpoint}: {error.strerror or error}; give "
                "each worker of a host a port of its own, or port 0"
            ) from error
        host, port, *_ = server.sockets[0].getsockname()
        self.at = Endpoint(host, port)
        _log.info("metrics", at=str(self.at))
        try:
            yield
        finally:
            server.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, EOFError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_PATIENCE):
                request = await reader.readuntil(b"\r\n\r\n")
                writer.write(await self._response(request.partition(b"\r\n")[0]))
                await writer.drain()
        writer.close()

    async def _response(self, request_line: bytes) -> bytes:
        method, _, rest = request_line.partition(b" ")
        path = rest.partition(b" ")[0].partition(b"?")[0]
        if path != b"/metrics":
            return _http("404 Not Found", b"the metrics are at /metrics\n")
        if method not in (b"GET", b"HEAD"):
            return _http("405 Method Not Allowed", b"only GET and HEAD\n")
        await self._read_ledger()
        page = _http("200 OK", generate_latest(self._metrics.registry), CONTENT_TYPE_LATEST)
        return page if method == b"GET" else page[: page.index(b"\r\n\r\n") + 4]

    async def _read_ledger(self) -> None:
        try:
            async with asyncio.timeout(_PATIENCE / 2):
                rows = await self._database.fetch("figures", {})
        except (*LOST, TimeoutError) as error:
            _log.warning("figures not read", error=type(error).__name__)
            self._metrics.ledger(None)
        else:
            self._metrics.ledger((name, word, value) for name, word, value in rows)


def _http(status: str, body: bytes, content_type: str = "text/plain; charset=utf-8") -> bytes:
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode("ascii") + body
