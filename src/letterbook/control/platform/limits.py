"""The limits of a route, and what may stand in them."""

import math
from collections.abc import Mapping
from typing import Final

from letterbook.control.platform.errors import RouteError

WHOLE: Final = ("connections", "per_connection")
LIMITS: Final = (*WHOLE, "rate")
_LEAST_RATE: Final = 0.001
_MOST: Final = 1_000_000


def check_limits(limits: Mapping[str, float | None]) -> None:
    """Raise RouteError unless each of ``limits`` is one that there is, and makes sense."""
    for name, value in limits.items():
        if name not in LIMITS:
            raise RouteError(f"there is no limit {name!r}: the limits are {', '.join(LIMITS)}")
        if value is None:
            continue
        whole = name in WHOLE
        least = 1 if whole else _LEAST_RATE
        if not math.isfinite(value) or not least <= value <= _MOST or (whole and value % 1):
            kind = "a whole number" if whole else "a number of messages a second"
            raise RouteError(f"{name} must be {kind} from {least:g} to {_MOST:,}, or none")
