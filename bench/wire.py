"""The wire limit: prebuilt bytes through Letterbook's own SMTP client, the archive first.

No database, no composing, no hash, nobody asks whether a message may go: what is left is what the
lanes (``letterbook.engine.lane``), the client machine and the kernel need.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import uvloop

from bench.child import Order, order, say
from bench.letters import ARCHIVE_ADDRESS, SENDER, composed
from letterbook.engine.lane import Lane
from letterbook.engine.routes import Route
from letterbook.settings import Settings
from letterbook.smtp.content import stuff
from letterbook.smtp.events import Stage
from letterbook.smtp.grammar import Dsn
from letterbook.smtp.opening import Tls
from letterbook.smtp.reply import Reply
from letterbook.smtp.transaction import Transaction

PREBUILT: Final = 500
"""Different messages; they are sent in turn."""

Letter = tuple[int, str, bytes]
"""Number, address, content."""


class Station:
    """The lanes to one sink, and the letters that wait for one."""

    def __init__(
        self,
        port: int,
        connections: int,
        transaction: Callable[[Letter], Transaction],
        done: Callable[[Letter], None],
    ) -> None:
        self.transaction = transaction
        self._done = done
        self._waiting: deque[Letter] = deque()
        self._hungry: list[Lane[Letter]] = []
        route = Route("wire", Tls.NONE, "127.0.0.1", port, None, None, False, datetime.now(UTC))
        settings = Settings(hello="bench.example")
        self._lanes = [Lane(route, settings, self) for _ in range(connections)]

    async def open(self) -> None:
        for lane in self._lanes:
            await lane.open()

    def put(self, letter: Letter) -> None:
        self._waiting.append(letter)
        if self._hungry:
            self._hungry.pop().pump()

    # What lanes ask and tell (see letterbook.engine.lane.Carrier).

    def next_letter(self) -> Letter | None:
        return self._waiting.popleft() if self._waiting else None

    def may_go(self, letter: Letter) -> bool:
        return True

    def finished(self, letter: Letter, stage: Stage, reply: Reply) -> None:
        assert reply.positive, (stage, reply)
        self._done(letter)

    def unsupported(self, letter: Letter, why: str) -> None:
        raise AssertionError(why)

    def unanswered(self, letter: Letter, content_written: bool) -> None:
        raise AssertionError("the sink cut the connection")

    def hungry(self, lane: Lane[Letter]) -> None:
        if lane not in self._hungry:
            self._hungry.append(lane)

    def gone(self, lane: Lane[Letter], fault: str | None, opening: bool) -> None:
        raise AssertionError(fault)


class Wire:
    """Both sinks, the archive's before the recipients'."""

    def __init__(self, what: Order) -> None:
        self._letters = composed(PREBUILT, what.size)
        self._stuffed = {content: stuff(content) for _, content in self._letters}
        self.archive = Station(what.archive, what.connections, self._copy, self._copied)
        self.recipients = Station(what.recipients, what.connections, self._message, self._sent)
        self._left = 0
        self._all_sent = asyncio.Event()

    async def send(self, count: int) -> None:
        """Send ``count`` messages, each after its copy was accepted."""
        self._left = count
        self._all_sent.clear()
        for number in range(count):
            self.archive.put((number, *self._letters[number % PREBUILT]))
        await self._all_sent.wait()

    def _copy(self, letter: Letter) -> Transaction:
        number, address, content = letter
        return Transaction(
            sender=f"copies+1.{number}.00000000000000000000@example.com",
            recipient=ARCHIVE_ADDRESS,
            content=content,
            subject=letter,
            dsn=Dsn(ret="HDRS", envid=f"1.{number}", notify=("FAILURE",), orcpt=address),
            stuffed=self._stuffed[content],
        )

    def _copied(self, letter: Letter) -> None:
        self.recipients.put(letter)

    def _message(self, letter: Letter) -> Transaction:
        _, address, content = letter
        return Transaction(
            sender=SENDER,
            recipient=address,
            content=content,
            subject=letter,
            stuffed=self._stuffed[content],
        )

    def _sent(self, _letter: Letter) -> None:
        self._left -= 1
        if not self._left:
            self._all_sent.set()


async def main() -> None:
    """Warm up, send, and report."""
    what = order()
    wire = Wire(what)
    await wire.archive.open()
    await wire.recipients.open()
    await wire.send(what.warm_up)
    say("ready")
    await wire.send(what.messages)
    say("done")


if __name__ == "__main__":
    uvloop.run(main())
