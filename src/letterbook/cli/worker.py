"""The command that sends. With a database of its own it needs no Django on this host."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module

import click
import uvloop

from letterbook.cli.output import complain
from letterbook.engine.logs import configure_logging
from letterbook.engine.run import run_worker
from letterbook.sealing import Sealer, load_sealer
from letterbook.settings import Settings, load_settings


@click.command()
@click.option("--until-idle", is_flag=True, help="End when nothing is due and no lease is live.")
def worker(until_idle: bool) -> None:
    """Send what is due, until told to stop (SIGTERM or Ctrl-C)."""
    settings = load_settings()
    complain(f"data folder: {settings.data}")
    configure_logging(settings)
    with _database(settings) as (conninfo, sealer):
        uvloop.run(_work(conninfo, settings, sealer, until_idle))


@contextmanager
def _database(settings: Settings) -> Iterator[tuple[str, Sealer]]:
    if settings.database_url is not None:
        yield settings.database_url, load_sealer(settings, may_create=False)
        return
    # The embedded database is brought up to date by whoever starts it, which is Django's work.
    import_module("letterbook.control.project.configure").prepare()
    with import_module("letterbook.cli.session").open_session() as session:
        yield session.conninfo, session.sealer


async def _work(conninfo: str, settings: Settings, sealer: Sealer, until_idle: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await run_worker(conninfo, settings, sealer, stop=stop, until_idle=until_idle)
