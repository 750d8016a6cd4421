"""Setting Django up for one process, with the database that this process was given."""

from typing import Any

import django
from django.conf import settings
from psycopg.conninfo import conninfo_to_dict

from letterbook.control.project import settings as declared


def configure(conninfo: str) -> None:
    """Set Django up for the database at ``conninfo`` (a libpq string or URL), once a process."""
    values: dict[str, Any] = {
        name: getattr(declared, name) for name in dir(declared) if name.isupper()
    }
    values["DATABASES"] = {"default": _database(conninfo)}
    settings.configure(**values)
    django.setup()


def _database(conninfo: str) -> dict[str, Any]:
    parts = conninfo_to_dict(conninfo)
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parts.pop("dbname", None) or parts.get("user") or "letterbook",
        "USER": parts.pop("user", "") or "",
        "PASSWORD": parts.pop("password", "") or "",
        "HOST": parts.pop("host", "") or "",
        "PORT": str(parts.pop("port", "") or ""),
        "OPTIONS": parts,
    }
