"""Lengths of time as people write them: ``30s``, ``5m``, ``1h``, ``5d``, ``1y``.

The units are those of Adobe Campaign's delivery properties (reference/adobe-campaign.md, 2.3).
"""

import re
from datetime import timedelta

from letterbook.errors import LetterbookError

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "y": 365 * 86_400}
_PATTERN = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdy])")


class DurationError(LetterbookError, ValueError):
    """A length of time is written as a number and one of the units s, m, h, d, y."""


def parse_duration(text: str) -> timedelta:
    """Read ``text``, for example ``"90s"`` or ``"5d"``.

    Raises DurationError when it is anything else.
    """
    match = _PATTERN.fullmatch(text.strip())
    if match is None:
        raise DurationError(
            f"{text!r} is not a length of time; write a number and a unit, such as 30s, 1h or 5d"
        )
    number, unit = match.groups()
    try:
        return timedelta(seconds=float(number) * _SECONDS[unit])
    except OverflowError:
        raise DurationError(f"{text!r} is too long a time") from None


def format_duration(duration: timedelta) -> str:
    """Write ``duration`` in the largest unit that divides it."""
    seconds = duration.total_seconds()
    for unit in ("d", "h", "m"):
        if seconds and seconds % _SECONDS[unit] == 0:
            return f"{int(seconds // _SECONDS[unit])}{unit}"
    return f"{seconds:.6f}".rstrip("0").rstrip(".") + "s"
