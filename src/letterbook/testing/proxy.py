"""A proxy that understands SMTP and harms it: it stands before a server and plays a fault plan.

It carries one command at a time and waits for its reply, so that every reply stands in its place
whoever gives it. TLS ends here. A message that the proxy refuses, or loses before its end, is
never shown whole to the server: what the server has kept was acknowledged, or its reply was lost.
"""

import asyncio
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Self

from letterbook.smtp.reply import Reply, ReplyReader
from letterbook.testing.authority import Authority
from letterbook.testing.faultplan import Deed, Fault, FaultPlan
from letterbook.testing.inlet import Gone, Inlet, pass_on_to, recipient_of

_END: Final = b"\r\n.\r\n"
_LONGEST_DELAY: Final = 0.3
_NOT_UNDERSTOOD: Final = ("STARTTLS", "BINARYMIME")
_ONE_BY_ONE: Final = 3
"""Every so manieth connection offers no CHUNKING."""


class Proxy:
    """Listens on loopback for ``target``, a port there.

    ``authority`` and ``stranger`` offer STARTTLS, with a certificate that is right, or is not.
    ``faults`` counts what was done, by kind. ``began`` is when the first octet of content for an
    address came in, ``answered`` when the last octet of the first 250 for it went out (monotonic
    seconds): the two ends of promise P1, as near to Letterbook as they can be seen.
    """

    def __init__(
        self,
        target: int,
        plan: FaultPlan,
        *,
        authority: Authority | None = None,
        stranger: Authority | None = None,
    ) -> None:
        self.target = target
        self.plan = plan
        self.authority = authority
        self.stranger = stranger
        self.port = 0
        self.faults: Counter[Fault] = Counter()
        self.began: dict[str, float] = {}
        self.answered: dict[str, float] = {}
        self.connections = 0
        self._spent: set[str] = set()
        self._sessions: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> Self:
        """Listen at a free port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        """Stop listening, and cut what is connected."""
        assert self._server is not None
        self._server.close()
        for session in list(self._sessions):
            session.cancel()
        await asyncio.gather(*self._sessions, return_exceptions=True)
        await self._server.wait_closed()

    def fault_of(self, address: str, point: str) -> Fault | None:
        """Return what the message to ``address`` meets with at ``point`` now."""
        fault = self.plan.of_message(address)
        if fault is None or fault.point != point or address in self._spent:
            return None
        return fault

    def met(self, fault: Fault, address: str | None = None) -> None:
        """Note that a fault was done, to a message if there is one."""
        self.faults[fault] += 1
        if address is not None and not fault.always:
            self._spent.add(address)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._sessions.add(task)
        task.add_done_callback(self._sessions.discard)
        number = self.connections
        with suppress(asyncio.CancelledError):  # by ``stop``; asyncio's streams do not bear it
            beyond = await asyncio.open_connection("127.0.0.1", self.target)
            await _Session(self, number, (reader, writer), beyond).run()


_Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Cut(Exception):  # noqa: N818 - it is what was planned
    """The plan wants this connection cut."""


class _Mute(Exception):  # noqa: N818 - it is what was planned
    """The plan wants no further answer on this connection."""


class _Session:
    """One connection and its continuation to the server."""

    def __init__(self, proxy: Proxy, number: int, near: _Streams, far: _Streams) -> None:
        self._proxy = proxy
        self._number = number
        self._fate = proxy.plan.of_connection(number)
        self._reader, self._writer = near
        self._inlet = Inlet(self._reader)
        self._far_reader, self._far_writer = far
        self._replies = ReplyReader()
        self._encrypted = False
        self._address = ""
        self._held = b""
        self._merging = False
        self._accepted: list[str] = []

    async def run(self) -> None:
        """Carry what is said until either side has enough."""
        try:
            await self._converse()
        except _Mute:
            with suppress(Gone, OSError):
                while await self._inlet.chunk():
                    pass
        except _Cut:
            with suppress(OSError):
                await self._release()
        except (Gone, OSError):
            pass
        finally:
            self._far_writer.transport.abort()
            if not self._writer.is_closing():
                self._writer.transport.abort()

    async def _converse(self) -> None:
        await self._answer_at("greeting", self._fate, self._reply)
        while True:
            line = await self._inlet.line()
            verb = line[:8].strip().upper().partition(b" ")[0].decode("ascii", "replace")
            if verb in ("EHLO", "HELO"):
                await self._hello(line)
            elif verb == "STARTTLS" and self._proxy.authority is not None:
                await self._start_tls()
            elif verb in ("MAIL", "RCPT"):
                await self._envelope(verb, line)
            elif verb == "DATA":
                await self._data(line)
            elif verb == "BDAT":
                await self._bdat(line)
            else:
                await self._say(await self._ask(line))
                if verb == "QUIT":
                    await self._close()

    # The opening.

    async def _hello(self, line: bytes) -> None:
        async def ask() -> Reply:
            reply = await self._ask(line)
            return Reply(reply.code, tuple(self._offered(reply))) if reply.positive else reply

        fate = self._fate
        if fate is not None and fate.deed is Deed.NO_PIPELINING:
            if not self._encrypted:
                self._proxy.met(fate)
            fate = None
        await self._answer_at("EHLO", fate if not self._encrypted else None, ask)

    def _offered(self, reply: Reply) -> list[str]:
        hidden: tuple[str, ...] = _NOT_UNDERSTOOD
        if self._fate is not None and self._fate.deed is Deed.NO_PIPELINING:
            hidden = (*hidden, "PIPELINING")
        if self._number % _ONE_BY_ONE == 0:
            hidden = (*hidden, "CHUNKING")
        kept = [line for line in reply.lines if line.partition(" ")[0] not in hidden]
        offers_tls = self._proxy.authority is not None and not self._encrypted
        return [*kept, "STARTTLS"] if offers_tls else kept

    async def _start_tls(self) -> None:
        await self._answer_at("STARTTLS", self._fate, self._ready_for_tls)
        if self._fate is not None and self._fate.point == "STARTTLS":
            return  # it was refused
        authority = self._proxy.authority
        if self._fate is not None and self._fate.point == "TLS":
            self._proxy.met(self._fate)
            if self._fate.deed is Deed.GARBAGE:
                await self._write(b"\x16\x03\x03 this is not TLS\r\n")
            if self._fate.deed is Deed.MUTE:
                raise _Mute
            if self._fate.deed is not Deed.FOREIGN:
                raise _Cut
            authority = self._proxy.stranger
        assert authority is not None
        try:
            await self._writer.start_tls(authority.context)
        except (ssl.SSLError, ConnectionError) as error:
            raise Gone from error
        self._encrypted = True

    async def _ready_for_tls(self) -> Reply:
        return Reply(220, ("2.0.0 Go ahead",))

    # A message.

    async def _envelope(self, verb: str, line: bytes) -> None:
        if verb == "MAIL":
            following, _, _ = self._inlet.ahead.partition(b"\n")
            self._address = recipient_of(following) if following else ""
        else:
            self._address = recipient_of(line)
        fault = self._proxy.fault_of(self._address, verb)
        await self._answer_at(verb, fault, lambda: self._ask(line), address=self._address)

    async def _data(self, line: bytes) -> None:
        fault = self._proxy.fault_of(self._address, "DATA")
        last = self._proxy.fault_of(self._address, "dot")
        withheld = last is not None and last.deed in (Deed.ANSWER, Deed.CUT, Deed.MUTE)

        async def ask() -> Reply:
            return Reply(354, ("Go on",)) if withheld else await self._ask(line)

        wanted = await self._answer_at("DATA", fault, ask, address=self._address)
        if not wanted.intermediate:
            return
        await self._content(pass_on=not withheld)

        async def final() -> Reply:
            return await self._reply()

        reply = await self._answer_at("dot", last, final, address=self._address)
        if withheld and not reply.positive:
            await self._ask(b"RSET\r\n")

    async def _bdat(self, line: bytes) -> None:
        """A whole message in one command: what is planned for DATA happens at its end too."""
        fault = self._proxy.fault_of(self._address, "DATA")
        fault = fault or self._proxy.fault_of(self._address, "dot")
        withheld = fault is not None and fault.deed in (Deed.ANSWER, Deed.CUT, Deed.MUTE)
        if not withheld:
            await pass_on_to(line, self._far_writer)
        await self._octets(int(line.split()[1]), pass_on=not withheld)
        point = fault.point if fault is not None else "dot"
        reply = await self._answer_at(
            point, fault, self._reply, address=self._address, is_last=True
        )
        if withheld and not reply.positive:
            await self._ask(b"RSET\r\n")

    async def _octets(self, size: int, *, pass_on: bool) -> None:
        torn = self._proxy.fault_of(self._address, "content")
        while size:
            chunk = await self._inlet.chunk()
            self._proxy.began.setdefault(self._address, time.monotonic())
            if torn is not None:
                self._proxy.met(torn, self._address)
                await pass_on_to(chunk[: min(size, len(chunk)) // 2], self._far_writer)
                raise _Cut
            self._inlet.give_back(chunk[size:])
            chunk = chunk[:size]
            size -= len(chunk)
            if pass_on:
                await pass_on_to(chunk, self._far_writer)

    async def _content(self, *, pass_on: bool) -> None:
        torn = self._proxy.fault_of(self._address, "content")
        before = b"\r\n"
        while True:
            chunk = await self._inlet.chunk()
            self._proxy.began.setdefault(self._address, time.monotonic())
            if torn is not None:
                self._proxy.met(torn, self._address)
                await pass_on_to(chunk[: len(chunk) // 2], self._far_writer)
                raise _Cut
            end = (before + chunk).find(_END)
            if end >= 0:
                rest = end + len(_END) - len(before)
                self._inlet.give_back(chunk[rest:])
                chunk = chunk[:rest]
            if pass_on:
                await pass_on_to(chunk, self._far_writer)
            if end >= 0:
                return
            before = (before + chunk)[-len(_END) + 1 :]

    # Answers.

    async def _answer_at(
        self,
        point: str,
        fault: Fault | None,
        ask: Callable[[], Awaitable[Reply]],
        *,
        address: str | None = None,
        is_last: bool = False,
    ) -> Reply:
        """Answer as the server does, unless there is a fault for this point.

        ``is_last``: the reply decides about the message.
        """
        for_copy = address if is_last or point == "dot" else None
        if fault is not None and fault.point != point:
            fault = None
        if fault is not None and fault.deed is Deed.MERGE and not self._inlet.has_line:
            fault = None
        if fault is None:
            reply = await ask()
            await self._say(reply, for_copy=for_copy)
            return reply
        self._proxy.met(fault, address)
        reply = await self._harm(fault, ask)
        pause = 0.0
        if fault.deed is Deed.DELAY:
            pause = _LONGEST_DELAY * self._proxy.plan.draw("pause", address or str(self._number))
        self._merging = self._merging or fault.deed is Deed.MERGE
        await self._say(
            reply,
            for_copy=for_copy,
            split=fault.deed is Deed.SPLIT,
            pause=pause,
        )
        if reply.code == 421 or (point == "greeting" and not reply.positive):
            await self._close()
        return reply

    async def _harm(self, fault: Fault, ask: Callable[[], Awaitable[Reply]]) -> Reply:
        if fault.deed is Deed.ANSWER:
            code, _, text = fault.reply.partition(" ")
            return Reply(int(code), (text,))
        if fault.deed is Deed.CUT:
            raise _Cut
        if fault.deed is Deed.MUTE:
            await self._release()
            raise _Mute
        reply = await ask()
        if fault.deed is Deed.LOSE:
            raise _Cut
        return reply

    async def _say(
        self,
        reply: Reply,
        *,
        for_copy: str | None = None,
        split: bool = False,
        pause: float = 0.0,
    ) -> None:
        if pause:
            await asyncio.sleep(pause)
        self._held += reply.encode()
        if for_copy is not None and reply.positive:
            self._accepted.append(for_copy)
        if self._merging and self._inlet.has_line:
            return  # the reply to the next line will take it along
        self._merging = False
        await self._release(pieces=3 if split else 1)

    async def _release(self, pieces: int = 1) -> None:
        data, self._held = self._held, b""
        size = max(1, len(data) // pieces)
        while len(data) > size:
            await self._write(data[:size])
            data = data[size:]
            await asyncio.sleep(0.001)
        for address in self._accepted:
            self._proxy.answered.setdefault(address, time.monotonic())
        self._accepted.clear()
        await self._write(data)

    async def _write(self, data: bytes) -> None:
        await pass_on_to(data, self._writer)

    async def _close(self) -> None:
        self._writer.close()
        raise Gone

    # The server.

    async def _ask(self, line: bytes) -> Reply:
        await pass_on_to(line, self._far_writer)
        return await self._reply()

    async def _reply(self) -> Reply:
        while True:
            data = await self._far_reader.read(65_536)
            if not data:
                raise Gone
            if replies := self._replies.feed(data):
                return replies[0]
