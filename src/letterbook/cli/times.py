"""Times that somebody types."""

from datetime import datetime
from zoneinfo import ZoneInfo

import click


def read_time(text: str, zone: str, option: str) -> datetime:
    """Read a time such as 2026-12-24T08:00, which is one of ``zone`` unless it says otherwise.

    Raises click.BadParameter, naming ``option``.
    """
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is not a time such as 2026-12-24T08:00", param_hint=option
        ) from None
    return when if when.tzinfo else when.replace(tzinfo=ZoneInfo(zone))
