"""Commands that send again what has come to an end, on an operator's word."""

from datetime import timedelta

import click

from letterbook.cli.session import open_session
from letterbook.control.outbox import actions
from letterbook.duration import DurationError, parse_duration


class _Duration(click.ParamType[timedelta]):
    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        try:
            duration = parse_duration(str(value))
        except DurationError as error:
            self.fail(str(error), param, ctx)
        if not timedelta() < duration <= timedelta(days=365):
            self.fail(f"{value!r} is not over 0s and up to 1y", param, ctx)
        return duration


_lasting_option = click.option(
    "--for",
    "lasting",
    type=_Duration(),
    metavar="DURATION",
    help="Validity from now on, such as 2d; default: as long as the first one.",
)


@click.command("retry")
@click.argument("delivery", type=int, metavar="ID")
@click.argument("messages", type=click.IntRange(1, 2**31 - 1), nargs=-1, metavar="[MESSAGE]...")
@_lasting_option
def retry(delivery: int, messages: tuple[int, ...], lasting: timedelta | None) -> None:
    """Try the failed messages of a finished delivery again: all, or those named."""
    with open_session() as session:
        resent = actions.retry(session.actor, delivery, messages or None, lasting=lasting)
        _say(delivery, resent)


@click.command("resolve")
@click.argument("delivery", type=int, metavar="ID")
@click.argument("messages", type=click.IntRange(1, 2**31 - 1), nargs=-1, metavar="[MESSAGE]...")
@click.option("--all", "everything", is_flag=True, help="All that are in doubt.")
@click.option("--resend", "what", flag_value="resend", help="Send again; some may get two.")
@click.option("--arrived", "what", flag_value="arrived", help="They did arrive: count as sent.")
@click.option("--lost", "what", flag_value="lost", help="They never arrived: count as failed.")
@_lasting_option
@click.option("--yes", is_flag=True, help="Do not ask.")
def resolve(
    delivery: int,
    messages: tuple[int, ...],
    everything: bool,
    what: str | None,
    lasting: timedelta | None,
    yes: bool,
) -> None:
    """Say what is to be done with messages in doubt; nothing is by itself."""
    if what is None:
        raise click.UsageError("say what is to be done: --resend, --arrived or --lost")
    if bool(messages) == everything:
        raise click.UsageError("name the messages, or say --all")
    if lasting is not None and what != "resend":
        raise click.UsageError("--for goes with --resend")
    named = None if everything else messages
    with open_session() as session:
        shown = f"{len(messages)} messages" if messages else "all messages in doubt"
        if not yes:
            click.confirm(f"{_QUESTIONS[what]} ({shown} of delivery {delivery})", abort=True)
        if what == "resend":
            _say(delivery, actions.resend(session.actor, delivery, named, lasting=lasting))
            return
        arrived = what == "arrived"
        settled = actions.settle_doubts(session.actor, delivery, named, arrived=arrived)
        click.echo(f"{settled:,} messages count as {'sent' if arrived else 'failed'}.")


_QUESTIONS = {
    "resend": "Send again what may have arrived already?",
    "arrived": "Count as sent?",
    "lost": "Count as failed?",
}


def _say(delivery: int, resent: actions.Resent) -> None:
    click.echo(f"{resent.messages:,} messages of delivery {delivery} are sent again.")
    if resent.left_out:
        click.echo(f"{resent.left_out:,} are not: on the denylist, in quarantine, or gone by now.")
