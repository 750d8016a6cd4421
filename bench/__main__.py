"""The whole run: one table, all rows with the same messages, then what a million costs.

``python -m bench`` writes docs/results/, the picture and docs/performance.md. Named cases only are
measured and printed, and nothing is written: ``python -m bench base "10 ms"``; ``--senders abc``
leaves the others out.
"""

import time
from datetime import UTC, datetime
from typing import Final

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench import scale
from bench.cases import PLAN, SENDERS, Line
from bench.contenders import Ground, measure
from bench.machine import database_version, machine
from bench.page import COLUMNS, PAGE, cells, write_page
from bench.platform import Platform, open_platform
from bench.plot import PLOT, write_plot
from bench.results import BENCH, CaseResult, Results, keep, load_scale
from bench.sink import running_sink
from bench.targets import targets

_WIDTH: Final = 118
_console = Console(stderr=True)
_output = Console(width=max(_WIDTH, Console().width))


class Run:
    """One run over the lines of a plan."""

    def __init__(self, platform: Platform, plan: list[Line], progress: Progress) -> None:
        self._platform = platform
        self._plan = plan
        self._progress = progress
        self._whole = progress.add_task("all rows", total=sum(len(each.senders) for each in plan))

    def cases(self) -> list[CaseResult]:
        """Measure everything."""
        return [self._case(line) for line in self._plan]

    def _case(self, line: Line) -> CaseResult:
        case = line.case
        task = self._progress.add_task(line.name)
        with (
            running_sink(case.round_trip, chunking=case.chunking) as archive,
            running_sink(case.round_trip, chunking=case.chunking) as recipients,
        ):
            self._platform.set_routes(recipients.port, archive.port)
            ground = Ground(
                self._platform, archive, recipients,
                lambda done, total: self._progress.update(task, completed=done, total=total),
            )  # fmt: skip
            rows = []
            for sender in line.senders:
                shown = f"{line.name}: ({sender}) {SENDERS[sender]}"  # type: ignore[index]
                self._progress.update(task, description=shown, completed=0, total=None)
                rows.append(measure(sender, case, ground))
                self._progress.advance(self._whole)
        self._progress.remove_task(task)
        return CaseResult(
            name=line.name, size=case.size, connections=case.connections,
            workers=case.workers, round_trip_ms=case.round_trip * 1000, dkim=case.dkim,
            rows=rows,
        )  # fmt: skip


def table(results: Results) -> Table:
    """All rows, for the terminal."""
    shown = Table(title="Messages a second", title_justify="left")
    shown.add_column("case")
    shown.add_column("sender")
    for column in COLUMNS:
        shown.add_column(column, justify="right")
    for case in results.cases:
        for number, row in enumerate(case.rows):
            name = f"({row.sender}) {SENDERS[row.sender]}"  # type: ignore[index]
            last = number == len(case.rows) - 1
            shown.add_row(
                "" if number else case.name, name, *cells(results, case, row), end_section=last
            )
    return shown


def target_table(results: Results) -> Table:
    """Each target, for the terminal."""
    shown = Table(title="Targets", title_justify="left")
    for column in ("target", "bound", "measured", ""):
        shown.add_column(column)
    for each in targets(results, load_scale()):
        shown.add_row(each.sentence, each.bound, each.shown, each.verdict)
    return shown


def run(plan: list[Line]) -> Results:
    """Measure ``plan`` on an installation of its own."""
    began = time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with (
        Progress(*columns, TimeElapsedColumn(), console=_console) as progress,
        open_platform() as platform,
    ):
        cases = Run(platform, plan, progress).cases()
        described = machine() | {"PostgreSQL": database_version()}
    return Results(
        taken_at=datetime.now(UTC).date().isoformat(),
        minutes=round((time.monotonic() - began) / 60, 1),
        machine=described,
        cases=cases,
    )


def publish(results: Results) -> None:
    """Keep the results; picture and page follow from them."""
    keep(BENCH, results)
    write_plot(results)
    write_page(results, load_scale(), f"results/{PLOT.name}")
    _console.print(f"written: {BENCH.name}, {PLOT.name}, {PAGE.name}")


@click.command()
@click.argument("names", nargs=-1, type=click.Choice([line.name for line in PLAN]))
@click.option("--senders", default="abcdefg", help="Only these of a to g.")
@click.option("--no-scale", is_flag=True, help="Leave out what a million costs.")
def main(names: tuple[str, ...], senders: str, no_scale: bool) -> None:
    """Measure and publish; with NAMES of cases, measure and print."""
    whole = not names and senders == "abcdefg"
    plan = [line.only(senders) for line in PLAN if not names or line.name in names]
    results = run(plan)
    _output.print(table(results))
    if whole:
        publish(results)
        if not no_scale:
            scale.run(scale.SIZES)
            publish(results)
        _output.print(target_table(results))


if __name__ == "__main__":
    main()
