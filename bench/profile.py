"""Where a worker's processor time goes: ``python -m bench.profile``, or with a sender, b or c.

Prints microseconds a message by function: its own, and with all that it calls.
"""

import json
import os
import signal
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from bench import contenders
from bench.cases import BASE
from bench.contenders import Ground, Measurement, Meter, measure
from bench.platform import open_platform
from bench.sampled import OUTPUT
from bench.sink import running_sink

_ROWS = 45


class SampledMeter(Meter):
    """A meter that starts the samplers with itself."""

    def __init__(self, ground: Ground, pids: list[int], *, families: bool = False) -> None:
        for pid in pids:
            os.kill(pid, signal.SIGUSR1)
        super().__init__(ground, pids, families=families)


def _shares(samples: Path, measured: Measurement) -> tuple[Counter[str], Counter[str], float]:
    """Samples by function, own and cumulative, and what one stands for in µs a message."""
    own: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for stack, count in json.loads(samples.read_text()):
        own[stack[0]] += count
        for function in set(stack):
            total[function] += count
    return own, total, (measured.sender_cpu or 0.0) / max(own.total(), 1)


@click.command()
@click.argument("sender", type=click.Choice(["b", "c"]), default="b")
@click.option("--round-trip", default=0.0, help="Milliseconds.")
@click.option("--connections", default=10)
def main(sender: str, round_trip: float, connections: int) -> None:
    """Run one sender in the base case and print where its processor time goes."""
    case = replace(BASE, round_trip=round_trip / 1000, connections=connections)
    contenders.Meter = SampledMeter  # type: ignore[misc]
    with (
        tempfile.NamedTemporaryFile() as file,
        running_sink(case.round_trip) as archive,
        running_sink(case.round_trip) as recipients,
        open_platform(module="bench.sampled") as platform,
    ):
        os.environ[OUTPUT] = file.name
        platform.set_routes(recipients.port, archive.port)
        ground = Ground(platform, archive, recipients, lambda _done, _total: None)
        measured = measure(sender, case, ground)
        own, total, worth = _shares(Path(file.name), measured)
    console = Console(width=118)
    console.print(
        f"{measured.rate:,.0f} msg/s, {measured.sender_cpu} µs a message, {own.total()} samples"
    )
    for title, counts in (("own", own), ("with what it calls", total)):
        table = Table("µs", "function", title=title, title_justify="left")
        for function, count in counts.most_common(_ROWS):
            table.add_row(f"{count * worth:.1f}", function)
        console.print(table)


if __name__ == "__main__":
    main()
