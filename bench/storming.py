"""The storm in a thread of its own: both sinks and both proxies, with one clock."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvloop

from letterbook.smtp.server_events import ServerOptions
from letterbook.testing.authority import make_authority
from letterbook.testing.faultplan import FaultPlan
from letterbook.testing.sink import Sink
from letterbook.testing.storm import Storm


@contextmanager
def storming(
    plans: dict[str, FaultPlan], folder: Path, forbidden: str
) -> Iterator[tuple[Storm, str]]:
    """Run a storm inside the block; yields it and the CA that its routes' TLS is under.

    ``forbidden`` must not be seen on the recipients' route.
    """
    right, wrong = make_authority(folder), make_authority(folder, "Another CA")
    options = ServerOptions(name="sink.example", chunking=True)
    recipients = Sink(keep=False, forbidden=forbidden.encode(), options=options)
    storm = Storm(
        plans, recipients, Sink(keep=False, options=options), authority=right, stranger=wrong
    )
    loop = uvloop.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="storm", daemon=True)
    thread.start()

    async def start() -> None:
        for sink in storm.sinks.values():
            await sink.start()
        await storm.start()

    async def stop() -> None:
        await storm.stop()
        for sink in storm.sinks.values():
            await sink.stop()

    try:
        asyncio.run_coroutine_threadsafe(start(), loop).result()
        yield storm, right.ca
    finally:
        asyncio.run_coroutine_threadsafe(stop(), loop).result(30)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
