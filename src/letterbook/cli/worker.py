"""The command that sends."""

import asyncio
import signal

import click
import uvloop

from letterbook.cli.output import complain
from letterbook.cli.session import Session, open_session
from letterbook.engine.run import configure_logging, run_worker


@click.command()
@click.option("--until-idle", is_flag=True, help="End when nothing is due and no lease is live.")
def worker(until_idle: bool) -> None:
    """Send what is due, until told to stop (SIGTERM or Ctrl-C)."""
    with open_session() as session:
        complain(f"data folder: {session.settings.data}")
        configure_logging(session.settings)
        uvloop.run(_work(session, until_idle))


async def _work(session: Session, until_idle: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run_worker(
        session.conninfo, session.settings, session.sealer, stop=stop, until_idle=until_idle
    )
