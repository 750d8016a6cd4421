"""What the DNS says of a domain that letters come from."""

from typing import Final

from rich.markup import escape

from letterbook.cli.output import print_json, stdout
from letterbook.cli.session import Session, open_session
from letterbook.control.kernel.errors import ActionError
from letterbook.control.outbox.queries import signed_with
from letterbook.control.platform.dkim import normalise_domain
from letterbook.control.platform.queries import DkimKeyView, dkim_keys, routes, signing_keys
from letterbook.control.platform.routes import RECIPIENTS, RouteUrl
from letterbook.dns import domain as dns_domain
from letterbook.dns.dkim import PublicKey
from letterbook.dns.domain import Sending
from letterbook.dns.findings import Finding, Level
from letterbook.dns.lookup import Lookup
from letterbook.mail.address import domain_of
from letterbook.mail.headers import clean

_MARKS: Final = {Level.GOOD: "[green]✓[/]", Level.NOTE: "[yellow]![/]", Level.WRONG: "[red]✗[/]"}


def check_domain(text: str, *, as_json: bool) -> None:
    """Print what is found. Raises ActionError when something is wrong."""
    domain = normalise_domain(text)
    with open_session() as session:
        sending = _sending(session, domain)
    findings = dns_domain.check_domain(sending, Lookup(session.settings.dns))
    troubles = [each for each in findings if each.level is Level.WRONG]
    if as_json:
        print_json({"domain": domain, "ok": not troubles, "findings": findings})
    else:
        for each in findings:
            _print(each)
    if troubles:
        raise ActionError(f"what is marked ✗ must be mended before letters from {domain} go well")


def _sending(session: Session, domain: str) -> Sending:
    active = {key.id for key in signing_keys(domain)}
    keys = [key for key in dkim_keys() if f".{domain}".endswith(f".{key.domain}")]
    signing = [key for key in keys if key.id in active]
    retiring = [key for key in keys if key.retired_at is not None and signed_with(key.id)]
    error_address = session.settings.error_address
    return Sending(
        domain=domain,
        bounce_domain=domain_of(error_address) if error_address else domain,
        keys=tuple(map(_public, signing)),
        retiring=tuple(map(_public, retiring)),
        relay=next((RouteUrl.parse(each.url).host for each in routes() if each.name == RECIPIENTS),
                   None),
    )  # fmt: skip


def _public(key: DkimKeyView) -> PublicKey:
    return PublicKey(key.domain, key.name, key.record)


def _print(finding: Finding) -> None:
    stdout.print(f"{_MARKS[finding.level]} {_plain(f'{finding.about}: {finding.says}')}")
    if finding.mend:
        stdout.print(f"  → {_plain(finding.mend)}")


def _plain(text: str) -> str:
    """What somebody put into the DNS may be meant to upset a terminal."""
    return escape(clean(text))
