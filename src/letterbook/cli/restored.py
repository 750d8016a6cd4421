"""The command for the day after: the database was restored, or another server took over."""

import click

from letterbook.cli.output import complain
from letterbook.cli.session import open_session
from letterbook.cli.times import read_time
from letterbook.control.outbox.restore import acknowledge_failover, acknowledge_restore


@click.command()
@click.option("--since", metavar="WHEN", help="What time the database stands for, platform time.")
@click.option("--nothing-lost", is_flag=True, help="After a failover: every commit is there.")
def restored(since: str | None, nothing_lost: bool) -> None:
    """Say that the database was restored or failed over; workers wait for it.

    With --since, every delivery under way is paused, what it may have sent since is put in doubt,
    and deliveries that had not started are stopped. With --nothing-lost all goes on as before.
    """
    if (since is None) != nothing_lost:
        raise click.UsageError("Say either --since WHEN or --nothing-lost.")
    with open_session() as session:
        if since is None:
            acknowledge_failover(session.actor)
            click.echo("Workers go on as before.")
            return
        when = read_time(since, session.settings.time_zone, "--since")
        report = acknowledge_restore(session.actor, when)
    click.echo(
        f"Paused {report.paused:,} deliveries, stopped {report.stopped:,} that had not started, "
        f"put {report.in_doubt:,} messages in doubt."
    )
    complain(
        f"What was made or started after {when} is unknown here; the archive has its copies: "
        "docs/operate/backup-and-restore.md"
    )
