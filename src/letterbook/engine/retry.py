"""When again?"""

from datetime import timedelta
from typing import Final

DAILY: Final = timedelta(days=1)
HOURLY: Final = timedelta(hours=1)
_LONGEST_BACKOFF: Final = 60.0


def retry_after(attempts: int, period: timedelta, most: int) -> timedelta:
    """Return the wait after refusal number ``attempts``.

    The first ``most`` retries are a period apart, the others a day (reference, 6.3).
    """
    return period if attempts <= most else max(period, DAILY)


def copy_backoff(failures: int) -> float:
    """Seconds until a copy is tried again: 1, 2, 4 … 60."""
    return float(min(2 ** max(failures - 1, 0), _LONGEST_BACKOFF))
