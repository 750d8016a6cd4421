"""A capturing SMTP server that can be told to answer anything, late, or not at all."""

import asyncio
import hashlib
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Self, TypeAlias, cast

from letterbook.smtp.reply import Reply
from letterbook.smtp.server import Server
from letterbook.smtp.server_events import Command, Message, ServerEvent, ServerOptions

_MESSAGE_ID: Final = re.compile(rb"^message-id:[ \t]*(<[^>]*>)", re.IGNORECASE | re.MULTILINE)

_TICK: Final = 1e-6
"""Seconds between two moments, so that the event loop keeps their order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Received:
    """A message that the sink accepted. Times are of the system's monotonic clock, in seconds.

    ``began_at`` is when its first octet of content came in (by BDAT: when its recipient was named,
    which is no later), ``answered_at`` when its 250 went out.
    ``connection`` counts the sink\'s connections from 1.
    """

    sender: str
    recipient: str
    original_recipient: str | None
    envelope_id: str | None
    message_id: str
    sha256: str
    size: int
    began_at: float
    answered_at: float
    content: bytes | None
    connection: int


class Drop:
    """Cut the connection instead of answering."""


class Silence:
    """Never answer."""


Action: TypeAlias = Reply | Drop | Silence | None
"""None: answer as proposed."""

Script: TypeAlias = Callable[[ServerEvent], Action]


class Sink:
    """Listens on loopback and keeps what it accepts.

    ``script`` decides on each event, and finds the EHLO name of its client in ``speaking``;
    ``delay`` (seconds) holds back what is written, as a round trip does; ``keep`` keeps the
    contents; ``forbidden`` counts in ``leaks`` the connections whose client sent these octets,
    wherever they stood.
    """

    def __init__(
        self,
        *,
        options: ServerOptions | None = None,
        script: Script | None = None,
        delay: float = 0.0,
        keep: bool = True,
        forbidden: bytes | None = None,
    ) -> None:
        self.options = options or ServerOptions(name="sink.example")
        self.script = script
        self.delay = delay
        self.keep = keep
        self.forbidden = forbidden
        self.received: list[Received] = []
        self.leaks = 0
        self.speaking = ""
        self.connections: set[_Connection] = set()
        self.connected = 0
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self, port: int = 0) -> Self:
        """Listen; a ``port`` of 0 takes a free one."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self), "127.0.0.1", port, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Stop listening, and cut what is connected."""
        if self._server is not None:
            self._server.close()
            for connection in list(self.connections):
                connection.cut()
            await self._server.wait_closed()
            self._server = None

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"


class _Connection(asyncio.Protocol):
    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._server = Server(sink.options)
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._in_content = False
        self._began_at = self._read_at = self._named_at = 0.0
        self._tail = b""
        self._silent = False
        self._number = 0
        self._last_at = 0.0
        self._client = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has another base
        self._sink.connections.add(self)
        self._sink.connected += 1
        self._number = self._sink.connected
        self._answer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._sink.connections.discard(self)

    def data_received(self, data: bytes) -> None:
        self._read_at = time.monotonic()
        if self._in_content and not self._began_at:
            self._began_at = self._read_at
        self._look_for_leaks(data)
        self._server.receive(data)
        self._answer()

    def cut(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _answer(self) -> None:
        while not self._silent and (event := self._server.next_event()) is not None:
            if isinstance(event, Command) and event.verb in ("EHLO", "HELO"):
                self._client = event.argument
            self._sink.speaking = self._client
            action = self._sink.script(event) if self._sink.script else None
            if isinstance(action, Drop):
                self.cut()
                return
            if isinstance(action, Silence):
                self._silent = True
                break
            self._respond(event, action or event.proposed)
        self._write(self._server.take_output())
        if self._server.ended and self._transport is not None:
            self._later(self._transport.close)

    def _respond(self, event: ServerEvent, reply: Reply) -> None:
        self._server.respond(reply)
        if isinstance(event, Message):
            self._in_content = False
            if reply.positive:
                self._keep(event)
            self._began_at = 0.0
        elif isinstance(event, Command) and event.verb == "RCPT":
            self._named_at = self._read_at
        elif isinstance(event, Command) and event.verb == "DATA" and reply.intermediate:
            self._in_content = True

    def _keep(self, message: Message) -> None:
        content = message.content
        found = _MESSAGE_ID.search(content)
        sender, (recipient, *_) = message.envelope.sender, message.envelope.recipients
        self._sink.received.append(
            Received(
                sender=sender.address if sender else "",
                recipient=recipient.address,
                original_recipient=recipient.orcpt[1] if recipient.orcpt else None,
                envelope_id=sender.envid if sender else None,
                message_id=found[1].decode("ascii", "replace") if found else "",
                sha256=hashlib.sha256(content).hexdigest(),
                size=len(content),
                began_at=self._began_at or self._named_at,
                answered_at=time.monotonic() + self._sink.delay,
                content=content if self._sink.keep else None,
                connection=self._number,
            )
        )

    def _look_for_leaks(self, data: bytes) -> None:
        forbidden = self._sink.forbidden
        if forbidden is None:
            return
        data = self._tail + data
        if forbidden in data:
            self._sink.leaks += 1
        self._tail = data[-len(forbidden) + 1 :]

    def _write(self, output: bytes) -> None:
        if not output or self._transport is None:
            return
        self._later(self._transport.write, output)

    def _later(self, act: Callable[..., None], *arguments: bytes) -> None:
        """Act after the delay, and after what is held back from before the delay was changed."""
        now = self._loop.time()
        if self._sink.delay or self._last_at > now:
            self._last_at = max(now + self._sink.delay, self._last_at + _TICK)
            self._loop.call_at(self._last_at, act, *arguments)
        else:
            act(*arguments)
