"""Commands about deliveries."""

import csv
import dataclasses
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from typing import Any, Final

import click
import msgspec
from rich.markup import escape

from letterbook.cli import again
from letterbook.cli.output import (
    json_option,
    print_facts,
    print_json,
    print_table,
    progress_bar,
    stdout,
)
from letterbook.cli.probing import refresh_routes
from letterbook.cli.proofs import proof
from letterbook.cli.session import open_session
from letterbook.cli.times import read_time
from letterbook.cli.waiting import wait_for
from letterbook.control.deliveries import queries as deliveries_queries
from letterbook.control.deliveries.actions import create_delivery, edit_delivery
from letterbook.control.kernel.errors import ActionError
from letterbook.control.mailtemplates.options import PRIORITIES
from letterbook.control.outbox import actions, queries
from letterbook.control.outbox.analysis import AnalysisReport, analyze, state_after
from letterbook.control.outbox.freeze import Defaults
from letterbook.control.outbox.queries import DeliveryView, LogLine
from letterbook.control.outbox.throughput import Bound
from letterbook.control.platform.routes import ARCHIVE
from letterbook.mail.status import DeliveryKind, DeliveryState, MessageStatus

bcc_option = click.option(
    "--email-bcc/--no-email-bcc", default=None, help="Differ from the template."
)
priority_option = click.option(
    "--priority", type=click.Choice(list(PRIORITIES)), help="Differ from the template."
)
waves_option = click.option(
    "--waves",
    metavar="PLAN",
    help='Send in waves: "30% every 2h", "1000, 5000 after 1h, rest after 1d", or "none".',
)
test_option = click.option(
    "--test-smtp/--no-test-smtp",
    default=None,
    help="Differ from the template: everything but DATA, so that nothing is sent.",
)


_KINDS: Final = {
    DeliveryKind.ORDINARY: "delivery",
    DeliveryKind.PROOF: "proof",
    DeliveryKind.TEST: "Test SMTP: everything but DATA; nothing is sent or copied",
}


@click.group()
def deliveries() -> None:
    """Deliveries: make, analyse, start, watch."""


deliveries.add_command(proof)


@deliveries.command("create")
@click.option("--template", required=True, metavar="NAME")
@click.option("--list", "lists", required=True, multiple=True, metavar="NAME")
@click.option("--label", metavar="TEXT")
@bcc_option
@test_option
@priority_option
@waves_option
def create(template: str, lists: tuple[str, ...], **options: Any) -> None:
    """Make a delivery from a template. The last line printed is its id."""
    with open_session() as session:
        delivery = create_delivery(session.actor, template=template, lists=lists, **options)
        click.echo(delivery)


@deliveries.command("edit")
@click.argument("delivery", type=int, metavar="ID")
@click.option("--label", metavar="TEXT")
@bcc_option
@test_option
@priority_option
@waves_option
def edit(delivery: int, **options: Any) -> None:
    """Change a delivery that has not started; it must be analysed anew."""
    with open_session() as session:
        edit_delivery(session.actor, delivery, **options)
        click.echo(f"Delivery {delivery} is changed; analyse it again before it starts.")


@deliveries.command("analyze")
@click.argument("delivery", type=int, metavar="ID")
@json_option
def analyze_delivery(delivery: int, as_json: bool) -> None:
    """Work out what a delivery would send, check it, freeze it. Nothing is sent."""
    with open_session() as session, progress_bar("Analysing", None) as update:
        refresh_routes(session)
        report = analyze(
            session.actor,
            delivery,
            identity=session.identity,
            defaults=Defaults.of(session.settings),
            progress=lambda step: update(0, say=f"Analysing: {step}"),
        )
    if as_json:
        found = msgspec.structs.asdict(report)
        print_json({"id": delivery, "state": state_after(report), **found})
    else:
        _print_report(delivery, report)
    if report.errors:
        raise ActionError(f"delivery {delivery} cannot start: {len(report.errors)} errors")


@deliveries.command("start")
@click.argument("delivery", type=int, metavar="ID")
@click.option("--at", metavar="WHEN", help="For example 2026-12-24T08:00, platform time.")
@click.option("--wait", is_flag=True, help="Return when it is finished, or needs somebody.")
def start(delivery: int, at: str | None, wait: bool) -> None:
    """Start a delivery that is ready, now or at a time."""
    with open_session() as session:
        when = read_time(at, session.settings.time_zone, "--at") if at else None
        actions.start(session.actor, delivery, at=when)
        click.echo(f"Delivery {delivery} {'is scheduled for ' + str(when) if when else 'starts'}.")
        if wait:
            view = wait_for(session, delivery)
            _print_end(view)
            if view.state in (DeliveryState.FAILED, DeliveryState.PAUSED, DeliveryState.STOPPED):
                raise ActionError(f"delivery {delivery} is {view.state}: {view.because}")


@deliveries.command("pause")
@click.argument("delivery", type=int, metavar="ID")
def pause(delivery: int) -> None:
    """Begin no further message; what is in flight settles."""
    with open_session() as session:
        actions.pause(session.actor, delivery)
        click.echo(f"Delivery {delivery} is paused.")


@deliveries.command("resume")
@click.argument("delivery", type=int, metavar="ID")
def resume(delivery: int) -> None:
    """Go on with exactly the rest."""
    with open_session() as session:
        actions.resume(session.actor, delivery)
        click.echo(f"Delivery {delivery} goes on.")


@deliveries.command("stop")
@click.argument("delivery", type=int, metavar="ID")
def stop(delivery: int) -> None:
    """Stop for good: what has not begun is cancelled."""
    with open_session() as session:
        actions.stop(session.actor, delivery)
        click.echo(f"Delivery {delivery} is stopped.")


@deliveries.command("release")
@click.argument("delivery", type=int, metavar="ID")
@click.argument("message", type=int)
def release(delivery: int, message: int) -> None:
    """Let a message go whose copy the archive refuses; its copy stays owed."""
    with open_session() as session:
        actions.release(session.actor, delivery, message)
        click.echo(f"Message {message} of delivery {delivery} goes; its copy is owed.")


deliveries.add_command(again.retry)
deliveries.add_command(again.resolve)


@deliveries.command("list")
@json_option
def list_deliveries(as_json: bool) -> None:
    """List the newest deliveries."""
    with open_session():
        found = deliveries_queries.deliveries()
    if as_json:
        print_json(found)
        return
    print_table(
        ("id", "label", "kind", "state", "template", "Email BCC", "started"),
        [
            (
                each.id,
                each.label,
                f"proof of {each.proof_of}" if each.proof_of else each.kind,
                each.state,
                each.template,
                "on" if each.email_bcc else "off",
                each.started_at,
            )
            for each in found
        ],
    )


@deliveries.command("show")
@click.argument("delivery", type=int, metavar="ID")
@json_option
def show(delivery: int, as_json: bool) -> None:
    """Show how far a delivery is."""
    with open_session() as session:
        view = queries.delivery_view(delivery)
        window = session.settings.in_flight
    if as_json:
        print_json(_as_json(view, window))
    else:
        _print_view(view, window)


@deliveries.command("log")
@click.argument("delivery", type=int, metavar="ID")
@click.option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv")
def log(delivery: int, form: str) -> None:
    """Print a line for each message."""
    # Closing: a reader such as `head` may leave before the last line.
    with open_session() as session, closing(queries.log(delivery, session.identity)) as lines:
        if form == "jsonl":
            for line in lines:
                print_json(line)
            return
        fields = [field.name for field in dataclasses.fields(LogLine)]
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(fields)
        writer.writerows([getattr(line, name) for name in fields] for line in lines)


def _as_json(view: DeliveryView, window: int) -> dict[str, object]:
    return {
        "id": view.id,
        "state": view.state,
        "held_because": view.because,
        "target": view.target,
        "excluded": view.excluded,
        "messages": view.messages,
        "copies": view.copies,
        "window": window,
        "started_at": view.started_at,
        "finished_at": view.finished_at,
        "kind": view.kind,
        "tested": view.tested,
        "proof_of": view.proof_of,
        "proofs": view.proofs,
        "archived_not_sent": view.archived_not_sent,
        "priority": view.priority,
        "waves": view.waves,
        "duration_seconds": view.duration.total_seconds() if view.duration else None,
        "valid_until": view.valid_until,
        "bound_by": view.bound.route if view.bound else None,
        "rate": view.bound.per_second if view.bound else None,
    }


def _print_report(delivery: int, report: AnalysisReport) -> None:
    print_facts(
        [
            ("kind", _KINDS[report.kind]),
            ("target", f"{report.target:,}"),
            *((f"excluded: {reason}", f"{n:,}") for reason, n in report.excluded.items()),
            ("messages", f"{report.messages:,}"),
            ("copies", f"{report.copies:,}"),
            ("estimated size", f"{report.estimated_bytes:,} octets"),
            *(_archive_facts(report) if report.copies else ()),
        ]
    )
    for finding in report.warnings:
        stdout.print(f"[yellow]warning[/] {finding.rule}: {escape(finding.message)}")
    for finding in report.errors:
        stdout.print(f"[red]error[/] {finding.rule}: {escape(finding.message)}")
    if not report.errors:
        click.echo(f"Ready: letterbook deliveries start {delivery}")


def _archive_facts(report: AnalysisReport) -> Iterator[tuple[str, object]]:
    yield "size of the copies", f"{report.copy_bytes:,} octets"
    rate = report.archive_rate
    yield "archive accepts", "not yet measured" if rate is None else f"{rate:,.1f} copies/s"
    if report.archive_rate_limit is not None:
        yield "limit of the archive route", f"{report.archive_rate_limit:,g} copies/s"
    if report.copies_ahead:
        yield "copies ahead", f"{report.copies_ahead:,}, of other deliveries"
    if report.last_copy_at is not None:
        yield "last copy accepted", f"{report.last_copy_at:%Y-%m-%d %H:%M:%S} UTC, if it starts now"


def _print_view(view: DeliveryView, window: int) -> None:
    print_facts(
        [
            ("delivery", f"{view.id}: {view.label}"),
            ("kind", f"proof of {view.proof_of}" if view.proof_of else _KINDS[view.kind]),
            ("state", f"{view.state}: {view.because}" if view.because else view.state),
            ("Email BCC", "on" if view.email_bcc else "off"),
            ("target", f"{view.target:,}"),
            *((f"excluded: {reason}", f"{n:,}") for reason, n in view.excluded.items()),
            *((f"messages {status}", f"{n:,}") for status, n in _messages(view)),
            *((f"copies {status}", f"{n:,}") for status, n in view.copies.items() if n),
            *_shown_unless_zero("archived, not sent", view.archived_not_sent),
            ("priority", view.priority),
            *_shown_waves(view),
            ("window", window),
            *([("pace", _pace(view.bound))] if view.bound else ()),
            ("scheduled", view.scheduled_at),
            ("started", view.started_at),
            ("finished", view.finished_at),
            *((("proofs", ", ".join(map(str, view.proofs))),) if view.proofs else ()),
            *([("start to finish", _shown_duration(view.duration))] if view.duration else []),
        ]
    )


def _shown_unless_zero(name: str, count: int) -> list[tuple[str, object]]:
    return [(name, f"{count:,}")] if count else []


def _shown_waves(view: DeliveryView) -> list[tuple[str, object]]:
    if len(view.waves) < 2:
        return []
    return [
        (f"wave {wave.number}", f"{wave.messages:,} messages, {wave.starts_at or 'not started'}")
        for wave in view.waves
    ]


def _shown_duration(duration: timedelta) -> str:
    return f"{str(duration).partition('.')[0]} ({duration.total_seconds():,.1f} s)"


def _pace(bound: Bound) -> str:
    things = "copies" if bound.route == ARCHIVE else "messages"
    rate = "not yet measured" if bound.per_second is None else f"{bound.per_second:,.1f} {things}/s"
    return f"{bound.route}-bound: {rate}"


def _print_end(view: DeliveryView) -> None:
    counts = ", ".join(f"{n:,} {status}" for status, n in _messages(view))
    copies = ", ".join(f"{n:,} {status}" for status, n in view.copies.items() if n)
    click.echo(f"Delivery {view.id} is {view.state}: {counts}; copies: {copies}.")


def _messages(view: DeliveryView) -> list[tuple[str, int]]:
    """Return how many messages stand where; those of a test that were accepted are *tested*."""
    counts = {str(status): n for status, n in view.messages.items()}
    counts[str(MessageStatus.CANCELLED)] -= view.tested
    return [(status, n) for status, n in {**counts, "tested": view.tested}.items() if n]
