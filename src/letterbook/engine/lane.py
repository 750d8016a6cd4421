"""A lane: one SMTP connection that carries letters, one after another, pipelined."""

import asyncio
from typing import Final, Generic, Protocol, TypeVar, cast

from letterbook.engine.routes import Route
from letterbook.settings import Settings
from letterbook.smtp.client import Client
from letterbook.smtp.errors import ContentWithheld, NotSupported, UnsafeCommand, UnsafeContent
from letterbook.smtp.events import (
    Closing,
    ContentWanted,
    Cut,
    Event,
    Finished,
    Phase,
    Ready,
    Stage,
    TlsWanted,
    Unanswered,
)
from letterbook.smtp.extensions import Extensions
from letterbook.smtp.opening import Tls
from letterbook.smtp.reply import Reply
from letterbook.smtp.transaction import Transaction

Cargo = TypeVar("Cargo")
"""What a lane carries: letters, or a probe's errand."""

_OPENING: Final = frozenset((Stage.GREETING, Stage.EHLO, Stage.STARTTLS, Stage.AUTH))
_LARGE: Final = 65_536
"""Octets of content that may not fit on the way, so that a cut connection may tear it."""


class Carrier(Protocol[Cargo]):
    """What a lane asks of the stage that it works for."""

    def next_letter(self) -> Cargo | None:
        """The next letter that may begin, or None."""

    def transaction(self, letter: Cargo) -> Transaction:
        """Its envelope and content."""

    def may_go(self, letter: Cargo) -> bool:
        """Whether its content may still be written."""

    def finished(self, letter: Cargo, stage: Stage, reply: Reply) -> None:
        """The server decided."""

    def unsupported(self, letter: Cargo, why: str) -> None:
        """The server cannot take this letter; nothing was written."""

    def unanswered(self, letter: Cargo, content_written: bool) -> None:
        """The connection ended first."""

    def hungry(self, lane: "Lane[Cargo]") -> None:
        """The lane has room and found no letter."""

    def gone(self, lane: "Lane[Cargo]", fault: str | None, opening: bool) -> None:
        """The lane is of no more use. ``fault``: what was wrong, None for an orderly end."""


class Lane(asyncio.Protocol, Generic[Cargo]):
    """One connection to a route's server. Everything happens in callbacks: no task a letter."""

    def __init__(self, route: Route, settings: Settings, carrier: Carrier[Cargo]) -> None:
        self.route = route
        self._settings = settings
        self._carrier = carrier
        self._machine = Client(
            settings.hello,
            tls=route.tls,
            credentials=route.credentials,
            clear_text_auth=route.tls is Tls.NONE,
            chunking=settings.chunking,
        )
        self._transport: asyncio.Transport | None = None
        self._loop = asyncio.get_running_loop()
        self._upgrade: asyncio.Task[None] | None = None
        self._fault: str | None = None
        self._opened = False
        self._leaving = False
        self._congested = False
        self._torn: Transaction | None = None
        """What went last, while the end of its content has not left this process."""
        self._gone = False
        self._begun = 0
        self._most: int | None = None
        self.heard_at = self._loop.time()
        """When something last came in or went out (monotonic seconds)."""

    async def open(self) -> None:
        """Connect; what comes of it is told to the carrier."""
        timeout = self._settings.connect_timeout.total_seconds()
        implicit = self.route.tls is Tls.IMPLICIT
        try:
            async with asyncio.timeout(timeout):
                await self._loop.create_connection(
                    lambda: self,
                    self.route.host,
                    self.route.port,
                    ssl=self.route.tls_context() if implicit else None,
                    server_hostname=self.route.host if implicit else None,
                )
        except TimeoutError:
            self._end(f"{self.route.shown} does not answer within {timeout:g} s")
        except OSError as error:
            words = error.strerror or str(error) or type(error).__name__
            self._end(f"{self.route.shown}: {words}")

    # What the event loop tells.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's has another base
        self._transport.set_write_buffer_limits(high=1, low=0)
        if self._gone:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self.heard_at = self._loop.time()
        self._handle(self._machine.receive(data))
        self.pump()

    def connection_lost(self, exc: Exception | None) -> None:
        awaited = self._machine.waiting_for
        self._handle(self._machine.connection_lost())
        if awaited is None or awaited is Stage.QUIT:
            self._end(self._fault)
        else:
            self._end(f"{self.route.shown}: connection lost while waiting for {awaited}")

    def pause_writing(self) -> None:
        self._congested = True

    def resume_writing(self) -> None:
        self._congested = False
        self._torn = None
        self.pump()

    # What the pool tells.

    def pump(self) -> None:
        """Begin as many letters as there is room for, and write what there is to write."""
        if self._leaving:
            self._leave()
        while self._machine.can_begin and self._torn is None and not self._leaving:
            letter = self._carrier.next_letter()
            if letter is None:
                self._carrier.hungry(self)
                break
            self._begin(letter)
        self._flush()

    def carry_at_most(self, letters: int | None) -> None:
        """Leave after so many letters in all; None: there is no limit."""
        self._most = letters
        if letters is not None and self._begun >= letters:
            self.quit()

    def quit(self) -> None:
        """Leave in good order when nothing is under way; else after it."""
        self._leaving = True
        self._leave()
        if self._machine.phase not in (Phase.READY, Phase.CLOSING):
            self.abort(None)

    def abort(self, fault: str | None) -> None:
        """Cut the connection. Who keeps silent after QUIT does no harm."""
        if self._machine.waiting_for is Stage.QUIT:
            fault = self._fault
        self._handle(self._machine.connection_lost())
        self._end(fault)

    @property
    def extensions(self) -> Extensions:
        """What the server offers, once it has been greeted."""
        return self._machine.extensions

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return self._opened and self._machine.waiting_for is None

    @property
    def opened(self) -> bool:
        """Whether the server has greeted it."""
        return self._opened

    @property
    def leaving(self) -> bool:
        """Whether it takes no more letters."""
        return self._leaving or self._gone

    def overdue(self, now: float) -> str | None:
        """Say what the server has left unanswered for too long, if anything."""
        awaited = self._machine.waiting_for
        if awaited is None and self._upgrade is None:
            return None
        limit = self._limit(awaited)
        if now - self.heard_at <= limit:
            return None
        return f"{self.route.shown}: no reply to {awaited or 'TLS'} within {limit:g} s"

    @property
    def waits_for_recipient(self) -> bool:
        """Whether what it waits for comes before DATA."""
        early = _OPENING | {Stage.MAIL, Stage.RCPT}
        return self._machine.waiting_for is None or self._machine.waiting_for in early

    # What the machine tells.

    def _handle(self, events: list[Event]) -> None:
        for event in events:
            if isinstance(event, ContentWanted):
                self._content_wanted(event.transaction)
            elif isinstance(event, Finished):
                letter = cast("Cargo", event.transaction.subject)
                self._carrier.finished(letter, event.stage, event.reply)
            elif isinstance(event, Unanswered):
                letter = cast("Cargo", event.transaction.subject)
                torn = event.transaction is self._torn
                self._carrier.unanswered(letter, event.content_written and not torn)
            else:
                self._handle_connection(event)

    def _handle_connection(self, event: Event) -> None:
        if isinstance(event, Ready):
            self._opened = True
        elif isinstance(event, TlsWanted):
            self._upgrade = self._loop.create_task(self._start_tls())
        elif isinstance(event, Closing):
            if event.stage is not Stage.QUIT and event.stage is not None:
                self._fault = f"{self.route.shown}: {event.reason}"
            if not self._machine.quit():
                self._end(self._fault)
        elif isinstance(event, Cut):
            ours = isinstance(event.error, ContentWithheld)
            self._end(None if ours else f"{self.route.shown}: {event.error}")

    def _content_wanted(self, transaction: Transaction) -> None:
        if not self._carrier.may_go(cast("Cargo", transaction.subject)):
            self._handle(self._machine.withhold())
            return
        self._machine.send_content()
        self._content_goes(transaction)

    def _content_goes(self, transaction: Transaction) -> None:
        if len(transaction.content) > _LARGE:
            # Nothing else is written until all of it is: only so can a torn one be told.
            self._flush()
            self._torn = transaction if self._congested else None

    async def _start_tls(self) -> None:
        assert self._transport is not None
        self._flush()
        try:
            if self._transport.is_closing():
                raise ConnectionResetError("the server said 220 and went")
            self._transport = await self._loop.start_tls(
                self._transport,
                self,
                self.route.tls_context(),
                server_hostname=self.route.host,
                ssl_handshake_timeout=self._settings.connect_timeout.total_seconds(),
            )
        except (OSError, TimeoutError, RuntimeError) as error:
            # uvloop's RuntimeError is a transport that has closed. Whoever waits must be told, for
            # from here on nothing else would: the handshake has taken the transport over.
            self.abort(f"{self.route.shown}: TLS failed: {error}")
            return
        finally:
            self._upgrade = None
        self.heard_at = self._loop.time()
        self._machine.tls_established()
        self._flush()

    def _begin(self, letter: Cargo) -> None:
        transaction = self._carrier.transaction(letter)
        try:
            if self._machine.begin(transaction):
                self._content_goes(transaction)
        except (NotSupported, UnsafeCommand, UnsafeContent) as error:
            self._carrier.unsupported(letter, str(error))
            return
        self._begun += 1
        self._leaving = self._begun == self._most

    def _leave(self) -> None:
        if self._machine.quit():
            self._flush()

    def _flush(self) -> None:
        output = self._machine.take_output()
        if output and self._transport is not None:
            self.heard_at = self._loop.time()
            self._transport.writelines(output)

    def _limit(self, awaited: Stage | None) -> float:
        if not self._opened:
            return self._settings.connect_timeout.total_seconds()
        if awaited is Stage.CONTENT:
            return self._settings.final_reply_timeout.total_seconds()
        return self._settings.reply_timeout.total_seconds()

    def _end(self, fault: str | None) -> None:
        if self._gone:
            return
        self._gone = True
        if self._upgrade is not None and self._upgrade is not asyncio.current_task():
            self._upgrade.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._carrier.gone(self, fault, opening=not self._opened)
