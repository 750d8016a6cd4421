"""Setting Django up for one process: its apps first, its database as soon as it is known."""

import os
from typing import Any

import django
from django.conf import settings
from django.db import OperationalError, connection
from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

from letterbook.errors import ConfigurationError


class DatabaseError(ConfigurationError):
    """The database cannot be used."""


def prepare() -> None:
    """Load the apps. Django wants this before any module with models is imported."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "letterbook.control.project.settings")
    django.setup()


def use_database(conninfo: str) -> None:
    """Use the database at ``conninfo`` (a libpq string or URL), before the first query.

    Raises DatabaseError, which never quotes it: it may hold a password.
    """
    try:
        settings.DATABASES["default"].update(_database(conninfo))
    except ProgrammingError:
        raise DatabaseError(
            "the address of the database has the form postgresql://user:password@host:port/name"
        ) from None


def connect() -> None:
    """Connect to the database. Raises DatabaseError when it does not answer."""
    try:
        connection.ensure_connection()
    except OperationalError as error:
        raise DatabaseError(f"cannot reach the database: {error}") from error


def _database(conninfo: str) -> dict[str, Any]:
    parts = conninfo_to_dict(conninfo)
    return {
        "NAME": parts.pop("dbname", None) or parts.get("user") or "letterbook",
        "USER": parts.pop("user", "") or "",
        "PASSWORD": parts.pop("password", "") or "",
        "HOST": parts.pop("host", "") or "",
        "PORT": str(parts.pop("port", "") or ""),
        "OPTIONS": parts,
    }
