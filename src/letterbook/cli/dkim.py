"""Commands about the keys that sign messages."""

import click

from letterbook.cli.output import json_option, print_json, print_table
from letterbook.cli.session import open_session
from letterbook.control.outbox.queries import signed_with
from letterbook.control.platform.dkim import add_dkim_key, normalise_domain, retire_dkim_key
from letterbook.control.platform.queries import DkimKeyView, dkim_keys
from letterbook.mail.content import Algorithm
from letterbook.mail.dkim import record_strings


@click.group()
def dkim() -> None:
    """The keys that sign messages."""


@dkim.command("add")
@click.argument("domain")
@click.option("--selector", metavar="NAME", help="The key's name; algorithm and day unless said.")
@click.option(
    "--algorithm",
    type=click.Choice(["rsa", "ed25519"]),
    default="rsa",
    show_default=True,
    help="Every receiver knows rsa; ed25519 may sign beside it.",
)
def add(domain: str, selector: str | None, algorithm: Algorithm) -> None:
    """Make a key that signs letters from DOMAIN and below."""
    with open_session() as session:
        key = add_dkim_key(
            session.actor, session.sealer, domain, selector=selector, algorithm=algorithm
        )
    click.echo(f"Publish this; then see that it is there: letterbook check --domain {key.domain}")
    _print_record(key)


@dkim.command("show")
@click.argument("domain", required=False)
@json_option
def show(domain: str | None, as_json: bool) -> None:
    """Show the keys, of DOMAIN or all, and what the DNS must say of them."""
    wanted = normalise_domain(domain) if domain else None
    with open_session():
        found = dkim_keys(wanted)
        needed_by = {key.id: signed_with(key.id) for key in found}
    if as_json:
        print_json([_facts(key, needed_by[key.id]) for key in found])
        return
    print_table(
        ("domain", "selector", "algorithm", "state", "made", "deliveries under way"),
        [
            (
                key.domain,
                key.selector,
                key.algorithm,
                _state(key),
                f"{key.created_at:%Y-%m-%d}",
                ", ".join(map(str, needed_by[key.id])),
            )
            for key in found
        ],
    )
    for key in found:
        if key.retired_at is None or needed_by[key.id]:
            click.echo()
            _print_record(key)


@dkim.command("retire")
@click.argument("domain")
@click.argument("selector")
def retire(domain: str, selector: str) -> None:
    """Sign no more with a key, but for deliveries that were analysed before."""
    with open_session() as session:
        key = retire_dkim_key(session.actor, domain, selector)
        deliveries = signed_with(key.id)
    click.echo(f"The key {key.selector} of {key.domain} signs no further delivery.")
    if deliveries:
        numbers = ", ".join(map(str, deliveries))
        click.echo(f"Leave its record in the DNS until these have ended: deliveries {numbers}.")
    else:
        click.echo(
            "Leave its record in the DNS for a week: letters on their way may still be checked."
        )


def _print_record(key: DkimKeyView) -> None:
    strings = record_strings(key.record)
    quoted = " ".join(f'"{each}"' for each in strings)
    click.echo(f"{key.name}. IN TXT ( {quoted} )")
    if len(strings) > 1:
        click.echo(
            f"It is one record of {len(strings)} strings, for a string holds 255 octets at most. "
            "A provider's form that asks for one text takes them joined, without quotes or spaces "
            "between them."
        )


def _facts(key: DkimKeyView, needed_by: list[int]) -> dict[str, object]:
    return {
        "domain": key.domain,
        "selector": key.selector,
        "algorithm": key.algorithm,
        "state": _state(key),
        "name": key.name,
        "record": key.record,
        "strings": record_strings(key.record),
        "created_at": key.created_at,
        "retired_at": key.retired_at,
        "deliveries": needed_by,
    }


def _state(key: DkimKeyView) -> str:
    return "active" if key.retired_at is None else "retired"
