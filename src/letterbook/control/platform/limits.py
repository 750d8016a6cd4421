"""The limits of a route, and what may stand in them."""

import math
from collections.abc import Mapping
from typing import Final

from letterbook.control.platform.errors import RouteError

WHOLE: Final = ("connections", "per_connection")
LIMITS: Final = (*WHOLE, "rate")
_LEAST_RATE: Final = 0.001
_MOST: Final = 1_000_000


def checked_limits(limits: Mapping[str, float | None]) -> dict[str, float | None]:
    """Return ``limits`` by name, whole ones as such. Raises RouteError for what cannot be one."""
    return {name: _checked(name, value) for name, value in limits.items()}


def _checked(name: str, value: float | None) -> float | None:
    if name not in LIMITS:
        raise RouteError(f"there is no limit {name!r}: the limits are {', '.join(LIMITS)}")
    if value is None:
        return None
    whole = name in WHOLE
    least = 1 if whole else _LEAST_RATE
    if not math.isfinite(value) or not least <= value <= _MOST or (whole and value % 1):
        kind = "a whole number" if whole else "a number of messages a second"
        raise RouteError(f"{name} must be {kind} from {least:g} to {_MOST:,}, or none")
    return int(value) if whole else float(value)
