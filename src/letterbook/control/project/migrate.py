"""Bringing the database's schema up to date, and refusing one that is not."""

from django.core.management import call_command
from django.db import connection

from letterbook.control.kernel.models import SchemaVersion
from letterbook.control.kernel.sql import cursor
from letterbook.errors import ConfigurationError
from letterbook.schema import SCHEMA_VERSION

_LOCK = 0x1E77E2B00C
"""Any number will do, as long as every migrating process takes the same lock."""

_OLDEST_SERVER = 140_000


class SchemaError(ConfigurationError):
    """The database has another schema than this release needs."""


def schema_version() -> int | None:
    """Return the version of the schema in the database, None when it has none yet."""
    with cursor() as db:
        db.execute("SELECT to_regclass('kernel_schemaversion') IS NOT NULL")
        if not db.fetchone()[0]:
            return None
    return SchemaVersion.objects.values_list("version", flat=True).first()


def migrate() -> bool:
    """Bring the schema up to date; return whether anything had to be done.

    Safe to run by several processes at once. Raises SchemaError when the database is newer than
    this release, or its server too old.
    """
    require_supported_server()
    with cursor() as db:
        db.execute("SELECT pg_advisory_lock(%s)", [_LOCK])
        try:
            found = schema_version()
            if found == SCHEMA_VERSION:
                return False
            if found is not None and found > SCHEMA_VERSION:
                raise SchemaError(_difference(found))
            call_command("migrate", verbosity=0, interactive=False)
            SchemaVersion.objects.update_or_create(id=1, defaults={"version": SCHEMA_VERSION})
        finally:
            db.execute("SELECT pg_advisory_unlock(%s)", [_LOCK])
    return True


def require_schema() -> None:
    """Raise SchemaError unless the database has exactly the schema of this release."""
    found = schema_version()
    if found != SCHEMA_VERSION:
        raise SchemaError(_difference(found))


def require_supported_server() -> None:
    """Raise SchemaError when the server is older than PostgreSQL 14."""
    connection.ensure_connection()
    if connection.connection.info.server_version < _OLDEST_SERVER:
        raise SchemaError("Letterbook needs PostgreSQL 14 or newer")


def _difference(found: int | None) -> str:
    if found is None:
        return "the database has no schema yet: run `letterbook migrate`"
    if found < SCHEMA_VERSION:
        return (
            f"the database has schema {found} and this release needs {SCHEMA_VERSION}: "
            "run `letterbook migrate`"
        )
    return (
        f"the database has schema {found}, made by a newer release; this one knows "
        f"{SCHEMA_VERSION}: upgrade Letterbook on this host"
    )
