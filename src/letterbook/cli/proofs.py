"""Proofs from the command line: made, analysed and started at once, like any delivery."""

from collections.abc import Sequence

import click

from letterbook.cli.output import complain, json_option, print_facts, print_json, print_table
from letterbook.cli.probing import refresh_routes
from letterbook.cli.session import Session, open_session
from letterbook.cli.waiting import wait_for
from letterbook.control.deliveries.proofs import create_proof
from letterbook.control.kernel.errors import ActionError
from letterbook.control.outbox import actions, queries
from letterbook.control.outbox.analysis import analyze
from letterbook.control.outbox.errors import NotReadyError
from letterbook.control.outbox.freeze import Defaults
from letterbook.control.outbox.queries import DeliveryView, LogLine
from letterbook.mail.status import MessageStatus

_NOT_SENT = (MessageStatus.FAILED, MessageStatus.IN_DOUBT, MessageStatus.CANCELLED)


@click.command("proof")
@click.argument("delivery", type=int, metavar="ID")
@click.option("--to", required=True, multiple=True, metavar="ADDRESS", help="Up to 100 of them.")
@click.option(
    "--as",
    "written_as",
    metavar="ADDRESS",
    help="The recipient whose data it shows; else the first of the target.",
)
@click.option("--no-wait", is_flag=True, help="Return at once, and send when a worker runs.")
@json_option
def proof(
    delivery: int, to: tuple[str, ...], written_as: str | None, no_wait: bool, as_json: bool
) -> None:
    """Send the content as it is now to given addresses, and change nothing."""
    with open_session() as session:
        made = _start(session, delivery, to, written_as)
        view = queries.delivery_view(made) if no_wait else wait_for(session, made)
        lines = list(queries.log(made, session.identity))
        if as_json:
            print_json({"id": made, "proof_of": delivery, "state": view.state, "messages": lines})
        else:
            _print(view, lines)
    missing = sum(line.status in _NOT_SENT for line in lines)
    if missing:
        raise ActionError(f"{missing} of {len(lines)} proofs were not sent")


def _start(session: Session, delivery: int, to: Sequence[str], written_as: str | None) -> int:
    """Make, analyse and start a proof; return its id. Raises NotReadyError."""
    made = create_proof(session.actor, delivery, to=to, written_as=written_as)
    refresh_routes(session)
    report = analyze(
        session.actor,
        made,
        identity=session.identity,
        defaults=Defaults.of(session.settings),
    )
    for finding in (*report.warnings, *report.errors):
        complain(f"{finding.level} {finding.rule}: {finding.message}")
    if report.errors:
        raise NotReadyError(f"proof {made} cannot start: {len(report.errors)} errors")
    actions.start(session.actor, made)
    return made


def _print(view: DeliveryView, lines: Sequence[LogLine]) -> None:
    print_facts([("proof", f"{view.id}: {view.label}"), ("state", view.state)])
    print_table(
        ("to", "status", "copy", "reply"),
        [(line.address, line.status, line.copy_status, line.reply) for line in lines],
    )
