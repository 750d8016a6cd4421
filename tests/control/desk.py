"""What these tests share: actions in Django's thread, and looks at the tables."""

import csv
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from letterbook.control.kernel.actor import ALL_RIGHTS, Actor, Right
from letterbook.control.recipients.importing import ImportReport, import_recipients
from letterbook.mail.status import CopyStatus, MessageStatus
from tests.house import ACTOR, House, in_django


@in_django
def do(action: Callable[..., Any], *args: Any, **named: Any) -> Any:
    """Do something of the control plane."""
    return action(*args, **named)


def without(right: Right) -> Actor:
    """Somebody who may do everything but one thing."""
    return Actor("newcomer", ALL_RIGHTS - {right})


# Recipients.


def import_file(
    house: House,
    content: str | bytes,
    list_name: str = "all",
    *,
    mapping: Mapping[str, str] | None = None,
    actor: Actor = ACTOR,
) -> ImportReport:
    """Import a file with this content; it stays, and so do its rejects."""
    path = house.folder / "people.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return do(
        import_recipients,
        actor,
        path,
        list_name,
        mapping=mapping or {},
        rejects_file=rejects_path(house),
    )


def rejects_path(house: House) -> Path:
    return house.folder / "rejects.csv"


def rejects(house: House) -> list[list[str]]:
    """The rows of the rejects file, its header first."""
    with rejects_path(house).open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def people(house: House) -> dict[str, dict[str, Any]]:
    """Everybody in the database, by address."""
    names = ("email", "first_name", "last_name", "language", "attributes")
    rows = house.sql(f"SELECT {', '.join(names)} FROM recipients_recipient")
    return {row[0]: dict(zip(names[1:], row[1:], strict=True)) for row in rows}


def members(house: House, list_name: str = "all") -> set[str]:
    """The addresses on a list."""
    rows = house.sql(
        "SELECT r.email FROM recipients_membership m JOIN recipients_recipient r "
        "ON r.id = m.recipient_id JOIN recipients_recipientlist l ON l.id = m.list_id "
        "WHERE l.name = %s",
        list_name,
    )
    return {email for (email,) in rows}


# The audit trail and the ledger.


def audit(house: House, action: str | None = None) -> list[tuple[Any, ...]]:
    """The audit lines, oldest first: actor, action, object, before, after."""
    return house.sql(
        "SELECT actor, action, object, before, after FROM kernel_auditline "
        "WHERE action = coalesce(%s, action) ORDER BY id",
        action,
    )


COPY = (
    "CASE WHEN copy = 'waiting' AND status IN ('failed', 'cancelled') THEN 'none' "
    "ELSE copy::text END"
)
"""Where a copy stands: a message that ended before its deposit waits for none any more."""


def check_tallies(house: House) -> None:
    """Whatever was done, the tallies of the parts equal a count over the ledger."""
    counted = {
        (delivery, part): tuple(counts)
        for delivery, part, *counts in house.sql(
            "SELECT delivery_id, part, "
            + ", ".join(
                f"count(*) FILTER (WHERE {column} = '{word}')"
                for column, words in (("status::text", MessageStatus), (COPY, CopyStatus))
                for word in words
            )
            + " FROM outbox_message GROUP BY 1, 2"
        )
    }
    names = [*MessageStatus, *(f"copies_{word}" for word in CopyStatus)]
    tallied = {
        (delivery, part): tuple(counts)
        for delivery, part, *counts in house.sql(
            f"SELECT delivery_id, number, {', '.join(names)} FROM outbox_part"
        )
    }
    assert tallied == counted


def everything(house: House) -> list[tuple[str, str]]:
    """Every row of every table, as text: to see that nothing has changed."""
    tables = house.sql(
        "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind = 'r' "
        "AND c.relnamespace = 'public'::regnamespace AND c.relname !~ '^(procrastinate|django)'"
    )
    rows = " UNION ALL ".join(f"SELECT '{table}', t::text FROM {table} t" for (table,) in tables)
    return sorted(house.sql(rows))
