"""The kill test: ``kill -9`` of the worker at random moments in one delivery.

Run as ``python -m bench.kills [--seed S]``, and by ``bench.chaos``; it prints its account as JSON.
"""

import argparse
import json
import sys
import time
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress

from bench.platform import ARCHIVE_ADDRESS, Platform, open_platform
from bench.scale import write_people
from bench.storming import storming
from bench.victims import Books, Commands
from letterbook.control.kernel.actor import SYSTEM
from letterbook.control.outbox.actions import start
from letterbook.control.platform.queries import identity
from letterbook.control.recipients.importing import import_recipients
from letterbook.sealing import load_sealer
from letterbook.testing.account import balance
from letterbook.testing.faultplan import fair_weather
from letterbook.testing.killing import kill_at, moments
from letterbook.testing.storm import Storm

MESSAGES: Final = 5_000
KILLS: Final = 20
IN_FLIGHT: Final = 16
LEAST_SENT: Final = 0.9
_ROUND_TRIP: Final = 0.002
_HTML: Final = (
    "<p>Hello {{ recipient.first_name }}, you live in {{ recipient.city }}.</p>unsubscribe"
)


def run_kills(seed: int, progress: Progress) -> dict[str, Any]:
    """Send one delivery while its worker is killed, and return the account."""
    with (
        open_platform() as platform,
        storming(fair_weather(seed), platform.settings.data, ARCHIVE_ADDRESS) as (storm, _),
    ):
        for sink in storm.sinks.values():
            sink.delay = _ROUND_TRIP
        platform.set_routes(*(proxy.port for proxy in storm.proxies.values()))
        return _kill(platform, storm, seed, progress)


def _kill(platform: Platform, storm: Storm, seed: int, progress: Progress) -> dict[str, Any]:
    path = platform.settings.data / "people.csv"
    write_people(path, MESSAGES)
    import_recipients(SYSTEM, path, "all", mapping={}, rejects_file=path.with_suffix(".no"))
    path.unlink()
    platform.template("killed", _HTML, email_bcc=True)
    delivery, _ = platform.analyzed("killed", "all")
    commands = Commands(platform, in_flight=IN_FLIGHT, lease="1s", hello="sender.example")
    books = Books(platform.database.conninfo())
    task = progress.add_task("kills", total=MESSAGES)

    def settled() -> int:
        count = books.settled()
        progress.update(task, completed=count)
        return count

    began = time.monotonic()
    start(SYSTEM, delivery)
    worker = kill_at(
        moments(seed, KILLS, MESSAGES), settled, lambda: commands.spawn("worker"), seconds=60
    )
    deadline = time.monotonic() + 120
    while books.states()[delivery] != "finished" and time.monotonic() < deadline:
        settled()
        time.sleep(0.1)
    worker.terminate()
    worker.wait()
    return _result(platform, storm, books, time.monotonic() - began)


def _result(platform: Platform, storm: Storm, books: Books, seconds: float) -> dict[str, Any]:
    made_by = identity(load_sealer(platform.settings, may_create=False))
    account = balance(
        books.entries(made_by, "example.com"),
        storm.sinks["recipients"].received,
        storm.sinks["archive"].received,
        began=storm.proxies["recipients"].began,
        answered=storm.proxies["archive"].answered,
        leaked=storm.sinks["recipients"].leaks,
    )
    broken = account.broken
    if account.in_doubt > KILLS * IN_FLIGHT:
        broken["more in doubt than the window allows"] = account.in_doubt
    if account.exactly_one < LEAST_SENT * MESSAGES:
        broken["too few plainly sent"] = account.exactly_one
    return {
        "kills": KILLS,
        "in_flight": IN_FLIGHT,
        "seconds": round(seconds, 1),
        "most_in_doubt": KILLS * IN_FLIGHT,
        "account": dict(account.lines()),
        "broken": broken,
    }


def main() -> None:
    """Run and print the account; status 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m bench.kills", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with Progress(console=Console(stderr=True)) as progress:
        result = run_kills(given.seed, progress)
    print(json.dumps(result, indent=2))
    sys.exit(bool(result["broken"]))


if __name__ == "__main__":
    main()
