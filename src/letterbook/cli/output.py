"""How commands speak: tables for people, JSON for programs, progress on standard error."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

stdout: Final = Console(soft_wrap=True, highlight=False)
stderr: Final = Console(stderr=True, soft_wrap=True, highlight=False)
_UNFOLDED: Final = 10_000


def print_json(value: Any) -> None:
    """Print ``value`` as one line of JSON."""
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")


def print_table(titles: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in titles:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*map(_plain, row))
    _print(table)


def print_facts(facts: Iterable[tuple[str, object]]) -> None:
    """Print names and values, one a line."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for name, value in facts:
        table.add_row(name, _plain(value))
    _print(table)


def _print(table: Table) -> None:
    """Fold long cells for people only: programs look for whole words."""
    console = stdout if stdout.is_terminal else Console(width=_UNFOLDED, highlight=False)
    console.print(table)


def _plain(value: object) -> Text:
    """What somebody else wrote may hold brackets, which are no markup of ours."""
    return Text("" if value is None else str(value))


@contextmanager
def progress_bar(description: str, total: float | None) -> Iterator[Any]:
    """Show a bar on standard error when it is a terminal; yields ``update(completed)``."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=stderr, disable=not stderr.is_terminal) as progress:
        task = progress.add_task(description, total=total)

        def update(completed: float, *, say: str | None = None) -> None:
            progress.update(task, completed=completed, description=say or description)

        yield update


def complain(text: str) -> None:
    """Say ``text`` on standard error."""
    click.echo(text, err=True)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
