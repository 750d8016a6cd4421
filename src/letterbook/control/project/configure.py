"""Setting Django up for one process: its apps first, its database as soon as it is known."""

import os
from typing import Any

import django
from django.conf import settings
from psycopg.conninfo import conninfo_to_dict


def prepare() -> None:
    """Load the apps. Django wants this before any module with models is imported."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "letterbook.control.project.settings")
    django.setup()


def use_database(conninfo: str) -> None:
    """Use the database at ``conninfo`` (a libpq string or URL), before the first query."""
    settings.DATABASES["default"].update(_database(conninfo))


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
