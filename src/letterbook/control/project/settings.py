"""What Django is told, the same in every process. ``configure.use_database`` adds the database."""

from typing import Any

INSTALLED_APPS = [
    "procrastinate.contrib.django",
    "letterbook.control.kernel",
    "letterbook.control.platform",
    "letterbook.control.recipients",
    "letterbook.control.mailtemplates",
    "letterbook.control.deliveries",
    "letterbook.control.outbox",
]
DATABASES: dict[str, Any] = {"default": {"ENGINE": "django.db.backends.postgresql"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
SECRET_KEY = "nothing is signed with it: there is no web process"  # noqa: S105
USE_TZ = True
TIME_ZONE = "UTC"
