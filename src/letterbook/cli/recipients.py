"""Commands about recipients."""

import time
from pathlib import Path

import click

from letterbook.cli.output import complain, json_option, print_json, progress_bar
from letterbook.cli.session import open_session
from letterbook.control.recipients import actions
from letterbook.control.recipients.importing import import_recipients


@click.group()
def recipients() -> None:
    """Recipients: import, opt out, quarantine."""


@recipients.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--list", "list_name", required=True, metavar="NAME", help="The list to fill.")
@click.option(
    "--map",
    "mapping",
    multiple=True,
    metavar="COLUMN:TYPE",
    help="The type of a column (text, int, float, bool, date), or the field that it is.",
)
@click.option(
    "--rejects",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where rejected rows go; FILE.rejects.csv unless said.",
)
@json_option
def import_file(
    file: Path, list_name: str, mapping: tuple[str, ...], rejects: Path | None, as_json: bool
) -> None:
    """Import a CSV file with a header row."""
    wanted = dict(_split(each) for each in mapping)
    began = time.monotonic()
    with (
        open_session() as session,
        progress_bar(f"Importing {file.name}", file.stat().st_size) as update,
    ):
        report = import_recipients(
            session.actor,
            file,
            list_name,
            mapping=wanted,
            rejects_file=rejects or file.with_name(f"{file.stem}.rejects.csv"),
            progress=update,
        )
    seconds = round(time.monotonic() - began, 3)
    if as_json:
        print_json(
            {
                "list": list_name,
                "rows": report.rows,
                "imported": report.new + report.updated,
                "new": report.new,
                "updated": report.updated,
                "merged": report.merged,
                "rejected": report.rejected,
                "rejects": report.rejects,
                "rejects_file": str(report.rejects_file) if report.rejects_file else None,
                "encoding": report.encoding,
                "delimiter": report.delimiter,
                "seconds": seconds,
            }
        )
        return
    click.echo(
        f"{report.rows:,} rows in {seconds:.1f} s: {report.new:,} new, {report.updated:,} updated, "
        f"{report.merged:,} merged (a later row had the address too), {report.rejected:,} rejected."
    )
    for reject in report.rejects:
        complain(f"line {reject.line}: {reject.reason}")
    if report.rejected:
        complain(f"All rejected rows, with their reasons: {report.rejects_file}")


@recipients.command("optout")
@click.argument("address")
def opt_out(address: str) -> None:
    """Put a person on the denylist: no delivery reaches them any more."""
    with open_session() as session:
        click.echo(f"{actions.opt_out(session.actor, address)} gets no more letters.")


@recipients.command("quarantine")
@click.argument("address")
@click.option("--reason", default="set by hand", help="Why.")
def quarantine(address: str, reason: str) -> None:
    """Put an address in quarantine: no delivery is sent to it."""
    with open_session() as session:
        click.echo(f"{actions.quarantine(session.actor, address, reason)} is in quarantine.")


def _split(text: str) -> tuple[str, str]:
    column, colon, target = text.rpartition(":")
    if not colon or not column or not target:
        raise click.BadParameter(f"{text!r} must be COLUMN:TYPE", param_hint="--map")
    return column, target
