"""Commands about alerts: where they go, whether they arrive, which are open."""

import asyncio
from datetime import UTC, datetime

import click
from rich.markup import escape

from letterbook.cli.output import json_option, print_json, print_table, stdout
from letterbook.cli.session import Session, open_session
from letterbook.control.kernel.errors import ActionError
from letterbook.control.outbox import queries as outbox
from letterbook.control.platform import actions, queries
from letterbook.control.platform.channels import KINDS
from letterbook.engine.channels import Alert, Channels
from letterbook.engine.database import Database
from letterbook.engine.errors import ChannelError

_channel = click.argument("channel", type=click.Choice(KINDS))


@click.group()
def alerts() -> None:
    """What somebody should know of, by mail, webhook or command."""


@alerts.command("set")
@_channel
@click.argument("target", required=False)
def set_channel(channel: str, target: str | None) -> None:
    """Let alerts go to an ADDRESS, a URL or a PATH.

    Without a target it is asked for and not shown: a URL may hold a secret.
    """
    if target is None:
        target = click.prompt(f"Target of {channel}", hide_input=True, err=True)
    with open_session() as session:
        shown = actions.set_alert_channel(session.actor, session.sealer, channel, target)
    click.echo(f"Alerts go by {channel} to {shown}. Try it: letterbook alerts test")


@alerts.command("off")
@_channel
def remove_channel(channel: str) -> None:
    """Tell no alerts over a channel any more."""
    with open_session() as session:
        actions.remove_alert_channel(session.actor, channel)
    click.echo(f"No alerts go by {channel} any more.")


@alerts.command("test")
def test_channels() -> None:
    """Tell a test over every channel, from this host and at once."""
    with open_session() as session:
        channels = queries.alert_channels()
        if not channels:
            raise ActionError("no channel is set: `letterbook alerts set mail ADDRESS`")
        troubles = asyncio.run(_tell_all(session, channels))
    for kind, (shown, _) in channels.items():
        trouble = troubles[kind]
        mark = f"[red]✗[/] {kind}" if trouble else f"[green]✓[/] {kind}"
        stdout.print(f"{mark}: {escape(f'{shown}: {trouble}' if trouble else shown)}")
    if any(troubles.values()):
        raise ActionError("what is marked ✗ did not arrive")


@alerts.command("show")
@json_option
def show(as_json: bool) -> None:
    """Show the channels, and the alerts that last or are not told yet."""
    with open_session():
        channels = {kind: shown for kind, (shown, _) in queries.alert_channels().items()}
        found = outbox.alerts()
    if as_json:
        print_json({"channels": channels, "alerts": found})
        return
    print_table(("channel", "target"), channels.items())
    print_table(
        ("alert", "cause", "about", "count", "sign", "since", "until", "told by", "trouble"),
        [
            (
                each.alert,
                each.cause,
                each.object,
                each.facts["count"],
                each.facts["sign"],
                each.opened_at,
                each.closed_at,
                ", ".join(each.told),
                "; ".join(f"{kind}: {trouble}" for kind, trouble in each.troubles.items()),
            )
            for each in found
        ],
    )


async def _tell_all(
    session: Session, channels: dict[str, tuple[str, bytes]]
) -> dict[str, str | None]:
    """Tell a test over each channel; return what was wrong with it, by kind."""
    alert = Alert(
        event="test",
        alert=0,
        cause="test",
        object="alerts",
        text="This is a test: alerts arrive here.",
        deliveries=(),
        count=0,
        sign=None,
        opened_at=datetime.now(UTC),
        closed_at=None,
        platform=session.settings.base_url,
    )
    async with Database(session.conninfo) as database:
        sender = Channels(database, session.sealer, session.settings)

        async def tell(kind: str, sealed: bytes) -> str | None:
            try:
                await sender.tell(kind, sealed, alert)
            except ChannelError as error:
                return str(error)
            return None

        told = await asyncio.gather(*(tell(kind, sealed) for kind, (_, sealed) in channels.items()))
    return dict(zip(channels, told, strict=True))
