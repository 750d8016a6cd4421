"""Commands about the platform: migrate, check, routes, archive."""

from importlib import import_module
from pathlib import Path

import click
from rich.markup import escape

from letterbook.cli.limits import changes_of, limit_options, shown_limit
from letterbook.cli.output import (
    complain,
    json_option,
    print_facts,
    print_json,
    print_table,
    stdout,
)
from letterbook.cli.probing import mail_archive_code, probe_route
from letterbook.cli.session import Session, open_session
from letterbook.control.deliveries.queries import running_with_email_bcc
from letterbook.control.kernel.errors import ActionError
from letterbook.control.kernel.queries import durability
from letterbook.control.outbox.queries import database_is_known, health, worker_is_running
from letterbook.control.platform import actions, queries
from letterbook.control.platform.limits import LIMITS, checked_limits
from letterbook.control.platform.routes import ARCHIVE, RECIPIENTS, RouteUrl
from letterbook.control.recipients.queries import is_recipient
from letterbook.engine.errors import NoRouteError, ProbeError
from letterbook.errors import LetterbookError
from letterbook.mail.status import ArchivePolicy


@click.command()
def migrate() -> None:
    """Bring the database's schema up to date."""
    with open_session(migrating=True):
        click.echo("The schema is up to date.")


@click.command()
@click.option(
    "--domain",
    metavar="DOMAIN",
    help="Check what the DNS says of a sender's domain instead: SPF, DKIM, DMARC, bounces.",
)
@json_option
def check(domain: str | None, as_json: bool) -> None:
    """Say what is wrong with the set-up, and how to mend it."""
    if domain is not None:  # the DNS library takes its time to load
        import_module("letterbook.cli.domain").check_domain(domain, as_json=as_json)
    elif as_json:
        raise click.UsageError("--json goes with --domain")
    else:
        _check_platform()


def _check_platform() -> None:
    with open_session() as session:
        where = "embedded" if session.settings.database_url is None else "external"
        stdout.print(f"[green]✓[/] database: {where}, schema up to date")
        for trouble in durability().troubles:
            stdout.print(f"[yellow]![/] {trouble}: docs/operate/failover.md")
        stdout.print(f"[green]✓[/] data folder: {escape(str(session.settings.data))}")
        troubles = [_check_known()]
        troubles += [_check_route(session, name) for name in (RECIPIENTS, ARCHIVE)]
        troubles.append(_check_archive())
        for name, (state, because) in health().items():
            if state == "down":
                stdout.print(
                    f"[yellow]![/] the workers hold the {name} route down: {escape(because or '')}"
                )
        if not worker_is_running():
            stdout.print("[yellow]![/] no worker is running: `letterbook worker`")
    if any(troubles):
        raise ActionError("what is marked ✗ must be mended before letters can leave")


@click.group()
def routes() -> None:
    """The SMTP servers that letters leave through."""


@routes.command("set")
@click.argument("name", type=click.Choice([RECIPIENTS, ARCHIVE]))
@click.argument("url")
@click.option("--ca", type=click.Path(path_type=Path), help="PEM file of certificates to trust.")
@click.option("--insecure", is_flag=True, help="Allow no TLS, or a certificate that is not valid.")
@limit_options
def set_route(name: str, url: str, ca: Path | None, insecure: bool, **limits: float | None) -> None:
    """Set a route: smtp://, smtps:// or smtp+starttls://[USER[:PASSWORD]@]HOST[:PORT].

    A password that the URL lacks is asked for. Limits that are not named stay as they are.
    """
    changes = checked_limits(changes_of(limits))
    route = RouteUrl.parse(url)
    if route.username and route.password is None:
        password = click.prompt(f"Password of {route.username}", hide_input=True, err=True)
        route = RouteUrl(route.security, route.host, route.port, route.username, password)
    with open_session() as session:
        actions.set_route(
            session.actor,
            session.sealer,
            name,
            route,
            ca=_read_ca(ca) if ca else None,
            insecure=insecure,
        )
        if changes:
            actions.limit_route(session.actor, name, changes)
        click.echo(f"The {name} route is {route.shown}.")
        try:
            found = probe_route(session, name)
        except ProbeError as error:
            complain(f"It does not answer as it should: {error}")
        else:
            offered = " ".join(sorted(found.extensions.keywords)) or "no extensions"
            click.echo(f"It answers, and offers {offered}.")


@routes.command("limit")
@click.argument("name", type=click.Choice([RECIPIENTS, ARCHIVE]))
@limit_options
def limit_route(name: str, **limits: float | None) -> None:
    """Change limits of a route; running workers keep to them within a second."""
    changes = changes_of(limits)
    if not changes:
        raise click.UsageError("name a limit: --connections, --per-connection or --rate")
    with open_session() as session:
        actions.limit_route(session.actor, name, changes)
        (found,) = (each for each in queries.routes() if each.name == name)
        shown = (shown_limit(getattr(found, limit)) for limit in LIMITS)
        said = "connections {}, messages a connection {}, messages a second {}".format(*shown)
        click.echo(f"Limits of the {name} route: {said}.")


@routes.command("show")
@json_option
def show_routes(as_json: bool) -> None:
    """Show the routes, without passwords."""
    with open_session():
        found = queries.routes()
    if as_json:
        print_json(found)
    else:
        print_table(
            (
                "route",
                "url",
                "password",
                "own CA",
                "insecure",
                "connections",
                "per connection",
                "rate",
                "size limit",
                "probed",
            ),
            [
                (
                    each.name,
                    each.url,
                    _yes(each.has_password),
                    _yes(each.own_ca),
                    _yes(each.insecure),
                    shown_limit(each.connections),
                    shown_limit(each.per_connection),
                    shown_limit(each.rate),
                    each.size_limit,
                    each.probed_at,
                )
                for each in found
            ],
        )


@click.group()
def archive() -> None:
    """The one archive address."""


@archive.command("set")
@click.argument("address")
@click.option("--policy", type=click.Choice([each.value for each in ArchivePolicy]))
@click.option("--trust", is_flag=True, help="Activate it without a code; the audit tells.")
@click.option("--yes", is_flag=True, help="Change it although deliveries are running.")
def set_archive(address: str, policy: str | None, trust: bool, yes: bool) -> None:
    """Set the archive address, and what happens when the archive does not accept."""
    with open_session() as session:
        address = actions.check_archive_address(address, is_recipient=is_recipient)
        found = queries.archive()
        current = found.address
        if current not in (None, address):
            _require_leave(yes, f"send the rest of their copies to {address}")
        if policy not in (None, found.policy):
            _require_leave(yes, f"follow the policy {policy} from now on")
        if current != address:
            _probe_archive(session, address, trust=trust)
        if policy is not None:
            actions.set_archive_policy(session.actor, ArchivePolicy(policy))
            click.echo(f"Policy: {policy}.")
        if current == address:
            click.echo(f"{address} is the archive address already.")
            return
        proposal = actions.set_archive_address(
            session.actor, address, is_recipient=is_recipient, trust=trust
        )
        if proposal.code is None:
            click.echo(f"{address} is the archive address (trusted without a code).")
            return
        reply = mail_archive_code(session, address, proposal.code)
        click.echo(f"A code is on its way to {address} ({reply}).")
        click.echo("Read it there, then: letterbook archive confirm CODE")


@archive.command("confirm")
@click.argument("code")
@click.option("--yes", is_flag=True, help="Activate it although deliveries are running.")
def confirm_archive(code: str, yes: bool) -> None:
    """Activate the address whose mailbox shows CODE."""
    with open_session() as session:
        found = queries.archive()
        if found.address is not None and found.pending is not None:
            _require_leave(yes, f"send the rest of their copies to {found.pending}")
        address = actions.confirm_archive_address(session.actor, code)
        click.echo(f"{address} is the archive address.")


@archive.command("show")
@json_option
def show_archive(as_json: bool) -> None:
    """Show the archive address, the one that waits for its code, and the policy."""
    with open_session():
        found = queries.archive()
        state, because = health().get(ARCHIVE, ("up", None))
    if as_json:
        print_json(
            {
                "address": found.address,
                "version": found.version,
                "confirmed_at": found.confirmed_at,
                "confirmed_by": found.confirmed_by,
                "pending": found.pending,
                "policy": found.policy,
                "state": state,
                "because": because,
            }
        )
    else:
        print_facts(
            (
                ("address", found.address or "none confirmed yet"),
                ("version", found.version),
                ("confirmed", f"{found.confirmed_at} by {found.confirmed_by}")
                if found.address
                else ("confirmed", None),
                ("waits for its code", found.pending),
                ("policy", found.policy),
                ("archive", f"{state}: {because}" if because else state),
            )
        )


def _require_leave(yes: bool, consequence: str) -> None:
    """Raise ActionError when a change of the archive concerns deliveries that are running."""
    running = running_with_email_bcc()
    if running and not yes:
        numbers = ", ".join(map(str, running))
        raise ActionError(
            f"deliveries {numbers} are running and would {consequence}; say --yes if you mean it"
        )


def _probe_archive(session: Session, address: str, *, trust: bool) -> None:
    try:
        found = probe_route(session, ARCHIVE, address)
    except NoRouteError:
        raise
    except ProbeError as error:
        if not trust:
            raise
        complain(f"The archive does not answer as it should: {error}")
    else:
        click.echo(f"The archive accepts {address} ({found.reply}).")


def _check_route(session: Session, name: str) -> bool:
    try:
        found = probe_route(session, name)
    except LetterbookError as error:
        stdout.print(f"[red]✗[/] {name} route: {escape(str(error))}")
        return True
    size = f", up to {found.extensions.size:,} octets" if found.extensions.size else ""
    stdout.print(f"[green]✓[/] {name} route answers{size}")
    return False


def _check_known() -> bool:
    if database_is_known():
        return False
    stdout.print(
        "[red]✗[/] the database was restored, or is another server after a failover, and workers "
        "wait: `letterbook restored --since WHEN` (docs/operate/backup-and-restore.md)"
    )
    return True


def _check_archive() -> bool:
    found = queries.archive()
    if found.address is None:
        waiting = f"; {escape(found.pending)} waits for its code" if found.pending else ""
        stdout.print(
            f"[red]✗[/] archive address: none is confirmed{waiting}: "
            "`letterbook archive set ADDRESS`, then `letterbook archive confirm CODE`"
        )
        return True
    stdout.print(f"[green]✓[/] archive address: {escape(found.address)}, policy {found.policy}")
    return False


def _read_ca(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ActionError(f"cannot read {path}: {error}") from error


def _yes(value: bool) -> str:
    return "yes" if value else "no"
