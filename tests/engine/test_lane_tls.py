"""A lane whose TLS handshake comes to nothing: it says so, and leaves nothing behind."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import uvloop

from letterbook.engine.errors import ProbeError
from letterbook.engine.probe import probe
from letterbook.engine.routes import Route
from letterbook.settings import Settings
from letterbook.smtp.opening import Tls
from letterbook.testing.authority import make_authority
from letterbook.testing.faultplan import NOTHING, Deed, Fault, FaultPlan, Menu
from letterbook.testing.proxy import Proxy
from letterbook.testing.sink import Sink

SETTINGS = Settings(hello="sender.example", connect_timeout=timedelta(seconds=0.2))


def handshakes() -> list[str]:
    """The tasks that still wait for TLS."""
    names = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]
    return [name for name in names if "start_tls" in name]


async def fail_at_tls(deed: Deed, folder: Path) -> list[str]:
    """Probe a server that does ``deed``; return what the event loop complained of."""
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: complaints.append(str(context["message"]))
    )
    sink = await Sink().start()
    right, wrong = make_authority(folder), make_authority(folder, "Another CA")
    plan = FaultPlan(1, "recipients", NOTHING, Menu([(10_000, Fault("TLS", deed))]))
    proxy = await Proxy(sink.port, plan, authority=right, stranger=wrong).start()
    route = Route(
        "recipients",
        Tls.STARTTLS,
        "localhost",
        proxy.port,
        None,
        right.ca,
        insecure=False,
        changed_at=datetime.now(UTC),
    )
    for _ in range(10):
        with pytest.raises(ProbeError):
            await probe(route, SETTINGS, sender="news@example.com", recipient=None)
    await asyncio.sleep(0)
    assert proxy.faults.total() == 10
    assert not handshakes()
    await proxy.stop()
    await sink.stop()
    return complaints


@pytest.mark.parametrize("deed", [Deed.CUT, Deed.MUTE, Deed.GARBAGE, Deed.FOREIGN])
def test_a_handshake_that_fails_ends_with_its_lane(deed: Deed, tmp_path: Path):
    """On the event loop that workers run on, whose transports bear less than asyncio's."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert not runner.run(fail_at_tls(deed, tmp_path))
