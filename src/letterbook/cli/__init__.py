"""The command line. Each group of commands is imported when it is asked for, and not before."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import click

from letterbook import __version__
from letterbook.errors import LetterbookError

_COMMANDS: Final = {
    "alerts": ("alerts", "What somebody should know of, by mail, webhook or command."),
    "archive": ("platform", "The one archive address."),
    "check": ("platform", "Say what is wrong with the set-up, and how to mend it."),
    "deliveries": ("deliveries", "Deliveries: make, analyse, start, watch."),
    "demo": ("demo", "Send sample data to two sinks and show that every promise held."),
    "dkim": ("dkim", "The keys that sign messages."),
    "migrate": ("platform", "Bring the database's schema up to date."),
    "recipients": ("recipients", "Recipients: import, opt out, quarantine."),
    "restored": ("restored", "After a restore or a failover: what workers wait for."),
    "routes": ("platform", "The SMTP servers that letters leave through."),
    "templates": ("templates", "Delivery templates."),
    "worker": ("worker", "Send what is due."),
}

_WITHOUT_DJANGO: Final = {"worker"}
"""Commands that a host with the extra ``engine`` alone can run."""


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        if cmd_name not in _WITHOUT_DJANGO:
            import_module("letterbook.control.project.configure").prepare()
        module, _ = _COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"letterbook.cli.{module}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in sorted(_COMMANDS.items())])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="letterbook")
def cli() -> None:
    """Email campaigns whose every message is archived before it is sent."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line: status 0 done, 1 refused or failed, 2 wrong usage."""
    try:
        cli.main(args=None if arguments is None else list(arguments), prog_name="letterbook")
    except LetterbookError as error:
        click.echo(f"letterbook: {error}", err=True)
        sys.exit(1)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "letterbook"):
            raise
        click.echo(
            f"letterbook: this command needs the package {package}, which is not installed here; "
            "pip install 'letterbook[all]' brings what every command needs",
            err=True,
        )
        sys.exit(1)
