"""The same prebuilt bytes through aiosmtplib, on as many connections, the copy first.

As with the wire limit nothing is composed or recorded; each copy is awaited before its message.
"""

import asyncio
from collections.abc import Iterator
from itertools import count, islice

import aiosmtplib
import uvloop

from bench.child import Order, order, say
from bench.letters import ARCHIVE_ADDRESS, SENDER, composed
from bench.wire import PREBUILT


class Pair:
    """A connection to the archive and one to the recipients' sink."""

    def __init__(self, what: Order) -> None:
        self._archive = aiosmtplib.SMTP(hostname="127.0.0.1", port=what.archive)
        self._recipients = aiosmtplib.SMTP(hostname="127.0.0.1", port=what.recipients)

    async def open(self) -> None:
        await self._archive.connect()
        await self._recipients.connect()

    async def send(self, numbers: Iterator[int], letters: list[tuple[str, bytes]]) -> None:
        """Send the letters of ``numbers``, which other pairs draw from too."""
        for number in numbers:
            address, content = letters[number % PREBUILT]
            await self._archive.sendmail(SENDER, [ARCHIVE_ADDRESS], content)
            await self._recipients.sendmail(SENDER, [address], content)


async def main() -> None:
    """Warm up, send, and report."""
    what = order()
    letters = composed(PREBUILT, what.size)
    pairs = [Pair(what) for _ in range(what.connections)]
    for pair in pairs:
        await pair.open()
    for word, messages in (("ready", what.warm_up), ("done", what.messages)):
        numbers = islice(count(), messages)
        await asyncio.gather(*(pair.send(numbers, letters) for pair in pairs))
        say(word)


if __name__ == "__main__":
    uvloop.run(main())
