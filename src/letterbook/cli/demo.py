"""The demonstration, for people and for scripts."""

import signal

import click
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from letterbook.cli.output import json_option, print_json, stderr, stdout
from letterbook.demo.run import Demo, Result, open_demo

_PEOPLE = 3000


@click.command()
@click.option("--recipients", type=click.IntRange(1, 1_000_000), default=_PEOPLE, show_default=True)
@click.option("--once", is_flag=True, help="Exit when done; status 0 only if every promise held.")
@json_option
def demo(recipients: int, once: bool, as_json: bool) -> None:
    """Send sample data to two sinks and show that every promise held."""
    # Whoever ends it, nothing of it is left: SIGTERM is what Ctrl-C is.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with _bars() as bars, open_demo(bars.step) as running:
        result = running.send(recipients)
        bars.stop()
        if as_json:
            print_json(result)
        else:
            _print_result(result)
        if not once:
            _stay(running)
    if not result.held:
        raise SystemExit(1)


class _Bars(Progress):
    """A bar for each step, on standard error."""

    def __init__(self) -> None:
        super().__init__(
            TextColumn("{task.description:<28}"),
            BarColumn(bar_width=32),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            console=stderr,
            disable=not stderr.is_terminal,
        )
        self._steps: dict[str, TaskID] = {}

    def step(self, name: str, done: float, total: float) -> None:
        if name not in self._steps:
            self._steps[name] = self.add_task(name, total=total)
        self.update(self._steps[name], completed=done)


def _bars() -> _Bars:
    return _Bars()


def _print_result(result: Result) -> None:
    rows = (
        ("recipients", result.recipients, True),
        ("sent", result.sent, result.sent == result.recipients),
        ("copies in the archive", result.copies, result.copies == result.recipients),
        ("missing copies", result.missing, result.missing == 0),
        ("copies that differ", result.different, result.different == 0),
        ("archive address leaked", result.leaked, result.leaked == 0),
        ("recipients ahead of their copy", result.ahead, result.ahead == 0),
    )
    stdout.print()
    for name, value, right in rows:
        mark = "[green]✓[/]" if right else "[red]✗[/]"
        stdout.print(f"  {mark} {name:<32}{value:>10,}")
    stdout.print(
        f"\n  {result.sent:,} messages and as many copies in {result.seconds:.1f} s: "
        f"[bold]{result.msg_per_s:,.0f} messages per second[/], every copy first.\n"
    )


def _stay(running: Demo) -> None:
    """Wait; what is said goes to standard error, so that a result as JSON is the last line."""
    try:
        stderr.print("  The platform stays up until Ctrl-C. In another terminal:")
        stderr.print(f"    export LETTERBOOK_DATA={running.settings.data}")
        stderr.print("    letterbook deliveries show 1")
        stderr.print("    letterbook deliveries log 1 | head\n")
        signal.pause()
    except KeyboardInterrupt:
        stderr.print("  Good-bye; nothing is left behind.")
