"""Two sinks in a process of their own, with one clock: the recipients' and the archive's.

Run as ``python -m letterbook.demo.sinks ARCHIVE_ADDRESS``. It prints the two ports, and for each
line that it reads from then on a line of JSON: what it got, compared message by message.
"""

import asyncio
import sys
from typing import Any

import msgspec
import uvloop

from letterbook.testing.sink import Sink


class Comparison(msgspec.Struct, frozen=True):
    """What both sinks got. ``ahead``: messages that began before their copy's 250 had gone out."""

    sent: int
    copies: int
    missing: int
    different: int
    leaked: int
    ahead: int
    doubled: int


def compare(recipients: Sink, archive: Sink) -> Comparison:
    """Compare the two sides message by message."""
    copies = {copy.message_id: copy for copy in archive.received}
    pairs = [(message, copies.get(message.message_id)) for message in recipients.received]
    return Comparison(
        sent=len(recipients.received),
        copies=len(copies),
        missing=sum(copy is None for _, copy in pairs),
        different=sum(copy is not None and copy.sha256 != each.sha256 for each, copy in pairs),
        leaked=recipients.leaks,
        ahead=sum(copy is not None and copy.answered_at > each.began_at for each, copy in pairs),
        doubled=len(pairs) - len({message.message_id for message, _ in pairs}),
    )


async def _serve(archive_address: str) -> None:
    recipients = await Sink(keep=False, forbidden=archive_address.encode()).start()
    archive = await Sink(keep=False).start()
    _say({"recipients": recipients.port, "archive": archive.port})
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        _say(compare(recipients, archive))
    await recipients.stop()
    await archive.stop()


def _say(value: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(value) + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    uvloop.run(_serve(sys.argv[1]))
