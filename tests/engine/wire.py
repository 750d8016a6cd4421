"""A wire between two programs that can be cut, or hold back what goes over it."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Self

_CHUNK = 65_536


class Wire:
    """Forwards every connection to ``target``: a port on loopback, or the path of a socket.

    ``torn_after``: cut a connection when so many octets have gone to the target after
    ``marker``. ``lose``: cut it instead of passing on an answer with these octets, ``losses``
    times.
    """

    def __init__(self, target: int | Path) -> None:
        self._target = target
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._open = asyncio.Event()
        self._open.set()
        self.port = 0
        self.refuses = False
        self.marker = b""
        self.torn_after: int | None = None
        self.lose = b""
        self.losses = 0

    async def start(self, path: Path | None = None) -> Self:
        """Listen at a free port, or at ``path``."""
        if path is None:
            self._server = await asyncio.start_server(self._link, "127.0.0.1", 0)
            self.port = self._server.sockets[0].getsockname()[1]
        else:
            self._server = await asyncio.start_unix_server(self._link, path)
        return self

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        self._open.set()
        self.cut()
        await asyncio.gather(*(link.ended for link in self._links), return_exceptions=True)
        await self._server.wait_closed()

    def cut(self) -> None:
        """Cut all connections."""
        for link in self._links:
            link.cut()

    def cut_near(self) -> None:
        """Cut all connections on this side; the target does not learn of it."""
        for link in self._links:
            link.cut_near()

    def block(self) -> None:
        """Pass nothing on, in any direction; connections stay open and the line is silent."""
        self._open.clear()

    def unblock(self) -> None:
        """Pass on what was held back, and all that follows."""
        self._open.set()

    async def _link(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refuses:
            writer.transport.abort()
            return
        if isinstance(self._target, int):
            beyond = await asyncio.open_connection("127.0.0.1", self._target, limit=4 * _CHUNK)
        else:
            beyond = await asyncio.open_unix_connection(self._target)
        link = _Link(self, (reader, writer), beyond)
        self._links.add(link)
        with suppress(OSError):
            await link.run()
        self._links.discard(link)

    async def pass_on(self) -> None:
        await self._open.wait()


class _Link:
    """One connection and its continuation."""

    def __init__(self, wire: Wire, near, far) -> None:
        self._wire = wire
        self._near = near
        self._far = far
        self._before = b""
        self._torn = 0
        self._marked = False
        self._near_is_cut = False
        self.ended = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        there = asyncio.create_task(self._carry(self._near[0], self._far[1], self._is_torn))
        back = asyncio.create_task(self._carry(self._far[0], self._near[1], self._is_lost))
        try:
            await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
            if self._near_is_cut:
                await asyncio.wait((back,))
        finally:
            self.cut()
            await asyncio.gather(there, back, return_exceptions=True)
            if not self.ended.done():
                self.ended.set_result(None)

    def cut(self) -> None:
        self.cut_near()
        self._far[1].transport.abort()

    def cut_near(self) -> None:
        self._near_is_cut = True
        self._near[1].transport.abort()

    async def _carry(self, reader, writer, stops) -> None:
        while data := await reader.read(_CHUNK):
            await self._wire.pass_on()
            if stops(data):
                return
            if not writer.is_closing():
                writer.write(data)
                await writer.drain()

    def _is_torn(self, data: bytes) -> bool:
        """Whether enough has gone to the target."""
        wire = self._wire
        if wire.torn_after is None:
            return False
        if not self._marked:
            self._marked = wire.marker in self._before + data
            self._before = data[-len(wire.marker) :]
            return False
        self._torn += len(data)
        if self._torn < wire.torn_after:
            return False
        wire.torn_after = None
        return True

    def _is_lost(self, data: bytes) -> bool:
        """Whether this is an answer to be lost."""
        wire = self._wire
        if not wire.losses or wire.lose not in data:
            return False
        wire.losses -= 1
        return True
